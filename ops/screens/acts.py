"""An act of the audit as a row of a table."""

import datetime as dt
from typing import Any, Final

import msgspec

from shared.contracts.peers import AuditRow

_SHOWN_CHARACTERS_MAX: Final = 40


def as_row(act: AuditRow) -> dict[str, str]:
    """Return the columns of a table of acts."""
    at = dt.datetime.fromtimestamp(act.at_ms / 1_000, dt.UTC)
    return {
        "seq": str(act.seq),
        "at": f"{at:%Y-%m-%d %H:%M:%S}Z",
        "who": act.who,
        "act": act.act,
        "target": act.target,
        "why": _short(act.why) or "-",
        "change": _changed(act.before, act.after),
    }


def _changed(before: Any, after: Any) -> str:  # noqa: ANN401 - any JSON
    """Return the fields that differ, as they are after it."""
    if not isinstance(after, dict):
        return "-"
    was = before if isinstance(before, dict) else {}
    differing = {name: value for name, value in after.items() if was.get(name) != value}
    said = (f"{name}={_word(value)}" for name, value in differing.items())
    return _short(" ".join(said)) or "-"


def _word(value: Any) -> str:  # noqa: ANN401 - any JSON
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]}…"
