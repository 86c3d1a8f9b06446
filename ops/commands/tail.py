"""`topup tail`: what becomes of topups, as it happens."""

import asyncio
import os
import select
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ops.errors import CommandFailed

if TYPE_CHECKING:
    from ops.screens.events import Event, Wanted
    from ops.streams import Streams

_EXAMPLE = "for example: topup tail --since 10m --status failed"
_LOOK_MS = 1_000


def tail(
    *,
    since: str | None = None,
    customer: Sequence[str] = (),
    provider: Sequence[str] = (),
    status: Sequence[str] = (),
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> None:
    """Show each topup as it is accepted, woken, settled, resolved; until Ctrl-C.

    It only reads the streams: nobody's work is taken, and a slow reader slows nobody.

    Args:
        since: Begin with what happened so long ago, for example 10m; else with what comes now.
        customer: Of this customer only; may be given several times.
        provider: Of this provider only; may be given several times.
        status: Only what ends in this status; may be given several times.
        as_json: One JSON object a line.
    """
    import msgspec

    from ops.connections import environment_here
    from ops.screens.events import as_line
    from ops.zone import timezone_of

    wanted = _wanted(customer, provider, status)
    since_ms = None if since is None else _since_ms(since)
    timezone = timezone_of(environment_here(os.environ, needed=("REDIS_URL",)))

    def show(event: "Event") -> None:
        line = msgspec.json.encode(event).decode() if as_json else as_line(event, timezone=timezone)
        sys.stdout.write(f"{line}\n")

    asyncio.run(_tail(wanted, show, since_ms=since_ms))


async def _tail(wanted: "Wanted", show: "Callable[[Event], None]", *, since_ms: int | None) -> None:
    from ops.screens.events import event_of
    from ops.streams import open_streams, said
    from shared.bus.tail import follow

    def lost(problem: BaseException) -> None:
        _tell(f"the streams do not answer, trying again: {said(problem)}")

    def back() -> None:
        _tell("the streams answer again")

    async with open_streams() as streams:
        positions = await _start(streams, since_ms=since_ms)
        looks = follow(streams.client, positions, block_ms=_LOOK_MS, lost=lost, back=back)
        async for entries in looks:
            for event in map(event_of, entries):
                if wanted.fits(event):
                    show(event)
            sys.stdout.flush()
            _end_with_the_reader()


async def _start(streams: "Streams", *, since_ms: int | None) -> dict[str, str]:
    from shared.bus.tail import ends_of
    from shared.contracts.catalogue import OFFERS

    names = [names.outcomes for names in streams.topups.keys]
    names += [names.requests(lane) for names in streams.topups.keys for lane in OFFERS]
    if since_ms is None:
        return await ends_of(streams.client, names)
    start_ms = max(await streams.topups.now_ms() - since_ms, 0)
    return dict.fromkeys(names, f"{start_ms}-0")


def _wanted(
    customers: Sequence[str], providers: Sequence[str], statuses: Sequence[str]
) -> "Wanted":
    """Return the filters; raises CommandFailed where one could never fit anything."""
    from ops.screens.events import STATUSES, Wanted
    from services.ledger.names import check_customer_id
    from shared.contracts.catalogue import OFFERS
    from shared.contracts.errors import InvalidRequest

    _check("--provider", providers, tuple(OFFERS))
    _check("--status", statuses, STATUSES)
    for customer in customers:
        try:
            check_customer_id(customer)
        except InvalidRequest as problem:
            raise CommandFailed(str(problem), status=2) from None
    return Wanted(customers=customers, providers=providers, statuses=statuses)


def _check(option: str, given: Sequence[str], known: Sequence[str]) -> None:
    for value in given:
        if value not in known:
            raise CommandFailed(
                f"{option} {value!r} is not one of {', '.join(known)}; "
                f"for example: topup tail {option} {known[-1]}",
                status=2,
            )


def _since_ms(text: str) -> int:
    from shared.runtime.settings import parse_duration_ms

    try:
        return parse_duration_ms(text)
    except ValueError as problem:
        raise CommandFailed(f"--since {problem}; {_EXAMPLE}", status=2) from None


def _end_with_the_reader() -> None:
    """Stop when nobody reads our output any more, also while there is nothing to write."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if poll.poll(0):
        raise BrokenPipeError


def _tell(text: str) -> None:
    sys.stderr.write(f"topup: {text}\n")
