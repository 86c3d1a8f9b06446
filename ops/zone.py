"""The time zone of a day: as the environment says, else as the ledger that runs here has it."""

from collections.abc import Mapping
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ops.errors import CommandFailed

_DEFAULT: Final = "America/Mexico_City"


def timezone_of(environ: Mapping[str, str]) -> str:
    """Return the name of TIMEZONE; raises CommandFailed where it is none."""
    name = environ.get("TIMEZONE") or _DEFAULT
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise CommandFailed(
            f"TIMEZONE is {name!r}, not a time zone known here; for example TIMEZONE={_DEFAULT}",
            status=2,
        ) from None
    return name
