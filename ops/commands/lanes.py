"""`topup lanes`: which lane is open or held, by whom and why; hold one, release one."""

from typing import Annotated, Any, Final

from cyclopts import App, Parameter

from ops.admin import ask
from ops.confirm import confirmed
from ops.errors import CommandFailed
from ops.flags import AsJson, DryRun, Reason, Yes, check_reason
from ops.screens.listing import print_json, print_table
from shared.contracts.catalogue import OFFERS
from shared.contracts.errors import InvalidRequest
from shared.runtime.clock import SystemClock
from shared.runtime.moments import moment_ms

lanes = App(name="lanes", help_format="plaintext")

_EXAMPLE: Final = "for example: topup lanes hold LATCOM --reason maintenance --for 30m"

Lane = Annotated[str, Parameter(name="LANE", help="The provider, as `topup lanes list` names it.")]


@lanes.command(name="list")
def list_(*, as_json: AsJson = False) -> None:
    """Show every lane: its state, why, who made it so, since and until when."""
    found = ask("GET", "/api/admin/lanes")["lanes"]
    if as_json:
        print_json(found)
    else:
        print_table([_row(lane) for lane in found], empty="there are no lanes")


@lanes.command
def hold(  # noqa: PLR0913 - each is an option of the command
    lane: Lane,
    /,
    *,
    reason: Reason,
    until: Annotated[
        str | None,
        Parameter(help="Until when: 2026-11-24T03:00:00-06:00; then one topup tries it."),
    ] = None,
    for_: Annotated[str | None, Parameter(name="--for", help="For how long: 30m, 2h.")] = None,
    replace: Annotated[
        bool, Parameter(negative=(), help="Also where another operator holds it already.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let nothing of a lane start: topup lanes hold LATCOM --reason maintenance --for 30m."""
    _check(lane, reason)
    if until is not None and for_ is not None:
        raise CommandFailed(f"say either --until or --for; {_EXAMPLE}", status=2)
    end = _end("--until", until) or _end("--for", for_)
    now = _look(lane)
    if now["state"] == "held" and dry_run:
        print(f"{lane} is {_story(now)}")
    what = f"hold {lane} ({_story(now)}) {f'until {end}' if end else 'until it is released'}"
    if confirmed(what, yes=yes, dry_run=dry_run):
        body = {"reason": reason, "replace": replace, **({"until": end} if end else {})}
        _tell(lane, ask("POST", f"/api/admin/lanes/{lane}/hold", body), as_json=as_json)


@lanes.command
def release(
    lane: Lane,
    /,
    *,
    reason: Reason = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let a lane's topups go on: topup lanes release LATCOM."""
    _check(lane, reason or "none")
    now = _look(lane)
    if now["state"] == "open":
        as_it_is = {name: now[name] for name in ("state", "reason", "by", "since", "until")}
        same = {"provider": lane, "changed": False, "before": as_it_is, "after": as_it_is}
        _tell(lane, {"success": True, **same}, as_json=as_json)
    elif confirmed(f"release {lane}, {_story(now)}", yes=yes, dry_run=dry_run):
        body = {"held_since": now["since"], **({"reason": reason} if reason else {})}
        _tell(lane, ask("POST", f"/api/admin/lanes/{lane}/release", body), as_json=as_json)


def _check(lane: str, reason: str) -> None:
    """Refuse what no gateway would do, before one is asked."""
    if lane not in OFFERS:
        known = ", ".join(sorted(OFFERS))
        raise CommandFailed(f"there is no lane {lane[:32]!r}, only {known}; {_EXAMPLE}", status=2)
    check_reason(reason, _EXAMPLE)


def _end(option: str, text: str | None) -> str | None:
    """Return the text, which is a moment to come."""
    if text is None:
        return None
    try:
        moment_ms(option, text, now_ms=SystemClock().now_ms())
    except InvalidRequest as problem:
        raise CommandFailed(str(problem), status=2) from None
    return text


def _look(lane: str) -> dict[str, Any]:
    for found in ask("GET", "/api/admin/lanes")["lanes"]:
        if found["provider"] == lane:
            return dict(found)
    raise CommandFailed(f"the gateways know no lane {lane}; look with: topup lanes list", status=2)


def _story(lane: dict[str, Any]) -> str:
    """Say what it is and who made it so; what waits behind it."""
    waiting = lane["waiting"] + lane["delayed"]
    if lane["state"] == "open":
        return f"open, {waiting} topups wait"
    until = f" until {lane['until']}" if lane["until"] else ""
    return (
        f"{lane['state']} by {lane['by']} since {lane['since']}{until}: {lane['reason']}; "
        f"{waiting} topups wait"
    )


def _tell(lane: str, change: dict[str, Any], *, as_json: bool) -> None:
    after, before = change["after"], change["before"]
    if as_json:
        print_json(change)
    elif not change["changed"]:
        since = f" since {after['since']}" if after["since"] else ""
        by = f", by {after['by']}" if after["by"] else ""
        print(f"{lane} is {after['state']} already{since}{by}; nothing was changed")
    elif after["state"] == "held":
        until = after["until"] or "it is released"
        print(f"{lane} is held until {until}; release it with: topup lanes release {lane}")
    else:
        print(f"{lane} is open; it was {before['state']} by {before['by']}: {before['reason']}")


def _row(lane: dict[str, Any]) -> dict[str, str]:
    shown = ("state", "reason", "by", "since", "until")
    return {
        "lane": lane["provider"],
        **{name: lane[name] or "-" for name in shown},
        "served": "yes" if lane["served"] else "no",
        "waiting": str(lane["waiting"]),
        "active": str(lane["active"]),
        "delayed": str(lane["delayed"]),
        "oldest": f"{lane['oldest_waiting_seconds']}s",
    }
