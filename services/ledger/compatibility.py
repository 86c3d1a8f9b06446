"""Which migrations an earlier version survives: expand first, contract once nobody needs it.

A migration that takes something away, or forbids what was allowed, says so in a line of its head:

    -- contract 0070: ledgers have not read topups.old since that migration
    -- expand: the constraint comes back in the next line, wider

`contract NNNN`: only ledgers that know the migration NNNN, or a later one, may be running when it
is applied. `expand`: what looks like a contraction is none; it says why. Every connection of ours
says which migrations its version knows, so the database itself can tell who is running.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, Protocol

import psycopg

from shared.contracts.errors import TopupError

BEFORE_THE_RULE: Final = frozenset({1, 2, 3, 4, 6, 10, 12, 20, 21, 26, 27, 28, 40, 50, 60, 61})
"""These were applied before there was this rule, and before anything was released."""
_CONTRACT: Final = re.compile(r"^-- contract (\d{4}): \S", re.MULTILINE)
_EXPAND: Final = re.compile(r"^-- expand: \S", re.MULTILINE)
_COMMENT: Final = re.compile(r"--.*$", re.MULTILINE)
_MADE_HERE: Final = re.compile(r"\bCREATE TABLE (?:IF NOT EXISTS )?(\w+)", re.IGNORECASE)
_CONSTRAINTS: Final = "CONSTRAINT|PRIMARY|UNIQUE|CHECK|FOREIGN|EXCLUDE"
_ADDED: Final = re.compile(
    rf"\bADD (?!{_CONSTRAINTS})(.*?)(?=, (?:ADD|DROP|ALTER) |;|$)", re.IGNORECASE
)
_NAME: Final = "topup/"
_TAKES: Final = {
    "drops something": r"\bDROP (?!INDEX\b|DEFAULT\b|NOT NULL\b|EXPRESSION\b)\w+",
    "renames something": r"\bRENAME\b",
    "changes a column's type": r"\bALTER (?:COLUMN )?\w+ (?:SET DATA )?TYPE\b",
    "makes a column obligatory": r"\bSET NOT NULL\b",
    "adds a constraint": rf"\bADD (?:{_CONSTRAINTS})\b",
    "revokes a right": r"\bREVOKE\b",
    "deletes rows": r"\b(?:DELETE FROM|TRUNCATE)\b",
}
_ON_A_TABLE: Final = {
    "adds a trigger": r"\bCREATE (?:OR REPLACE )?(?:CONSTRAINT )?TRIGGER\b[^;]*?\bON (\w+)",
    "adds a unique index": r"\bCREATE UNIQUE INDEX\b[^;]*?\bON (\w+)",
}
"""Nothing to an earlier version where the table is made in the same file."""
_RUNNING: Final = """
    SELECT pid, application_name, usename::text FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
      AND pid <> pg_backend_pid() AND (application_name LIKE 'topup/%' OR usename = 'topup_ledger')
"""


class WouldBreak(TopupError):
    """It would take away what an earlier version that runs still needs; nothing was changed."""

    code = "would_break"


class Numbered(Protocol):
    """A migration, as far as this page looks at it."""

    @property
    def number(self) -> int:
        """Its place."""
        ...

    @property
    def name(self) -> str:
        """Its file."""
        ...

    @property
    def text(self) -> str:
        """Its statements."""
        ...


def named_by(known: int) -> str:
    """Return the name of connections of a version that knows the migrations up to this one."""
    return f"{_NAME}{known:04}"


def takes_away(text: str) -> list[str]:
    """Say what of a migration an earlier version may not survive, whatever its head says."""
    bare = " ".join(_COMMENT.sub("", text).split())
    made = {name.lower() for name in _MADE_HERE.findall(bare)}
    found = [what for what, form in _TAKES.items() if re.search(form, bare, re.IGNORECASE)]
    if any(map(_is_obligatory, _ADDED.findall(bare))):
        found.append("adds an obligatory column")
    for what, form in _ON_A_TABLE.items():
        tables = re.findall(form, bare, re.IGNORECASE)
        if any(table.lower() not in made for table in tables):
            found.append(what)
    return found


def check_heads(migrations: Sequence[Numbered]) -> None:
    """Refuse migrations that take something away and do not say so.

    Raises:
        WouldBreak: one does.
    """
    for migration in migrations:
        if migration.number in BEFORE_THE_RULE or _says(migration.text):
            continue
        found = takes_away(migration.text)
        if found:
            raise WouldBreak(
                f"{migration.name} {', '.join(found)}: an earlier version that runs may need that; "
                "let its head say `-- contract NNNN: why` with the migration since which nobody "
                "does, or `-- expand: why not`"
            )


def check_running(connection: psycopg.Connection[Any], wanted: Sequence[Numbered]) -> None:
    """Refuse to contract while somebody runs who may need what is taken away.

    Raises:
        WouldBreak: a version is connected that does not know the migration it would have to.
    """
    check_heads(wanted)
    needed = {
        migration.name: int(match[1])
        for migration in wanted
        if (match := _CONTRACT.search(migration.text))
    }
    if not needed:
        return
    known = {
        (pid, name or f"an unnamed one of {role}"): _known(name)
        for pid, name, role in connection.execute(_RUNNING)
    }
    for migration, at_least in needed.items():
        for (pid, name), knows in known.items():
            if knows < at_least:
                raise WouldBreak(
                    f"{migration} takes away what versions before the migration {at_least:04} "
                    f"need, and one is connected ({name}, process {pid} of the database): replace "
                    "it by a version that knows that migration, then run topup migrate again"
                )


def _is_obligatory(column: str) -> bool:
    words = column.upper()
    return "NOT NULL" in words and "DEFAULT" not in words


def _says(text: str) -> bool:
    return bool(_CONTRACT.search(text) or _EXPAND.search(text))


def _known(name: str) -> int:
    """Return up to which migration a connection's version knows them; 0: it does not say."""
    number = name.removeprefix(_NAME)
    return int(number) if name.startswith(_NAME) and number.isdigit() else 0
