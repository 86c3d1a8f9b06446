"""Acts: who changed what, when and why, as they travel from where they are done to the audit."""

import re
from typing import Final

import msgspec
from uuid_utils import uuid7

WHY_CHARACTERS_MAX: Final = 2_000
REASON_CHARACTERS_MAX: Final = 300
"""What an operator may type; `why` has room for evidence too, and for what a provider said."""
OPERATOR_PATTERN: Final = "[a-z][a-z0-9._-]{0,31}"
_OPERATOR: Final = re.compile(OPERATOR_PATTERN)
_OURS: Final = frozenset({"admin", "ledger", "probe", "breaker", "provider"})
"""Names that already stand for somebody in the audit or in a lane's state."""


class ActBy(msgspec.Struct, frozen=True, kw_only=True):
    """Who is about to act, and why; a repeat with the same id is the same act."""

    id: str
    who: str
    why: str


class Act(ActBy, frozen=True, kw_only=True):
    """What was done; `before` and `after` are JSON text."""

    at_ms: int
    act: str  # lane.hold, topup.resolve, …
    target: str
    before: str = "null"
    after: str = "null"


def act_by(who: str, *, why: str) -> ActBy:
    """Return a new act's id with who and why."""
    return ActBy(id=str(uuid7()), who=who, why=why)


def act_done(  # noqa: PLR0913 - an act has so many parts
    who: str,
    act: str,
    target: str,
    *,
    at_ms: int,
    why: str = "",
    before: object = None,
    after: object = None,
) -> Act:
    """Return a new act that is done in the same transaction."""
    return Act(
        id=str(uuid7()),
        who=who,
        why=why,
        at_ms=at_ms,
        act=act,
        target=target,
        before=msgspec.json.encode(before).decode(),
        after=msgspec.json.encode(after).decode(),
    )


def is_operator(name: str) -> bool:
    """Tell whether a person may be called so."""
    return _OPERATOR.fullmatch(name) is not None and name not in _OURS
