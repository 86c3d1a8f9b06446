"""`topup explain`: the story of one topup, found by whatever somebody has in hand."""

import os
import sys
from typing import Annotated, Final
from urllib.parse import urlencode

from cyclopts import Parameter

from ops.errors import CommandFailed
from ops.flags import AsJson

WHAT_CHARACTERS_MAX: Final = 255
_EXAMPLE: Final = "for example: topup explain 0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"


def explain(
    which: Annotated[str, Parameter(name="WHAT")],
    /,
    *,
    as_json: AsJson = False,
) -> int:
    """Tell all that is known of one topup, in the order of time.

    Args:
        which: Its id, a reference (the merchant's or the provider's), or the phone. Of several that
            fit, the newest are shown to choose from, with status 2.
        as_json: The same for programs.
    """
    import msgspec

    from ops.screens.story import as_text
    from ops.zone import timezone_of

    timezone = timezone_of(os.environ)
    topup_id = chosen(which, as_json=as_json)
    from ops.admin import ask

    told = ask("GET", f"/api/admin/topups/{topup_id}/story")
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")
    else:
        sys.stdout.write(as_text(told, timezone=timezone))
    sys.stdout.flush()
    if told["unknown"]:
        why = "; ".join(f"{witness}: {problem}" for witness, problem in told["unknown"].items())
        raise CommandFailed(f"not all could be asked: {why}")
    return 0


def chosen(which: str, *, as_json: bool = False) -> str:
    """Return the id of the one topup that fits.

    Raises:
        CommandFailed: none fits, or several do, and they are shown (status 2); nobody can be asked.
    """
    import msgspec

    from ops.admin import ask
    from ops.screens.story import as_choice

    if len(which) > WHAT_CHARACTERS_MAX:
        raise CommandFailed(
            f"WHAT is longer than {WHAT_CHARACTERS_MAX} characters; {_EXAMPLE}", status=2
        )
    matches = ask("GET", f"/api/admin/topups?{urlencode({'find': which})}")
    ids = [row["topup_id"] for row in matches["data"]]
    if not ids:
        raise CommandFailed(
            f"there is no topup {which!r}, by id, reference or phone; {_EXAMPLE}", status=2
        )
    meant = which.strip().lower()
    if meant in ids or len(ids) == 1:
        return meant if meant in ids else str(ids[0])
    shown = msgspec.json.encode(matches).decode() + "\n" if as_json else as_choice(matches)
    sys.stdout.write(shown)
    sys.stdout.flush()
    raise CommandFailed(
        f"several topups fit; name one by its id, for example: topup explain {ids[0]}", status=2
    )
