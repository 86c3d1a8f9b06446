"""The admin API of lanes: list, hold, release."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.admin.acts import Admit, on_streams, read_act, understood
from services.gateway.admin.lane_calls import (
    HOLD,
    LANES,
    RELEASE,
    LaneChanged,
    LaneHold,
    LaneList,
    LaneRelease,
    LaneShown,
    LaneState,
)
from services.gateway.answers import ServedBehind
from services.gateway.refusals import Conflict, NotFound
from services.gateway.rest import json_response
from shared.bus import lanes, records
from shared.bus.queue import Queue, read_queue
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.catalogue import OFFERS
from shared.contracts.instants import timestamp
from shared.contracts.states import Reason
from shared.runtime.clock import Clock
from shared.runtime.moments import instant_ms, moment_ms
from shared.runtime.redis import Client

_HOLD_EXAMPLE: Final = '{"reason": "maintenance until 03:00", "until": "30m"}'
_RELEASE_EXAMPLE: Final = '{"reason": "maintenance is over"}'


class LaneRoutes:
    """What operators may do to lanes."""

    def __init__(self, client: Client, topups: Topups, clock: Clock, *, admit: Admit) -> None:
        self._client = client
        self._topups = topups
        self._lanes = lanes.Lanes(client, topups)
        self._clock = clock
        self._admit = admit

    def served(self) -> list[ServedBehind]:
        """Return the calls that are answered here."""
        return [
            ServedBehind(LANES, self._list),
            ServedBehind(HOLD, self._hold),
            ServedBehind(RELEASE, self._release),
        ]

    async def _list(self, request: Request) -> Response:
        self._admit(request)
        queue = await on_streams(
            read_queue(self._client, self._topups, now_ms=self._clock.now_ms())
        )
        states = await on_streams(self._lanes.all())
        return json_response(200, LaneList(lanes=lanes_shown(queue, states)))

    async def _hold(self, request: Request) -> Response:
        who, provider = self._admit(request), _known(request)
        asked = await read_act(request, LaneHold, example=_HOLD_EXAMPLE)
        until_ms, until = None, asked.until
        if until is not None:
            now_ms = await on_streams(self._topups.now_ms())
            until_ms = understood(lambda: moment_ms("until", until, now_ms=now_ms))
        change = await on_streams(
            self._lanes.hold(
                provider,
                act=act_by(who, why=asked.reason),
                until_ms=until_ms,
                replace=asked.replace,
            )
        )
        if change.word == "taken":
            raise Conflict(
                f"{provider} is held already, {_story(change.before)}; nothing was changed. "
                "Ask for `replace` to take it over"
            )
        return _changed(provider, change)

    async def _release(self, request: Request) -> Response:
        who, provider = self._admit(request), _known(request)
        asked = await read_act(request, LaneRelease, example=_RELEASE_EXAMPLE)
        seen_ms, since = None, asked.held_since
        if since is not None:
            seen_ms = understood(lambda: instant_ms("held_since", since))
        held = (await on_streams(self._lanes.all())).get(provider, records.LaneState())
        if held.state != "open" and held.reason == Reason.STREAMS_LOST:
            raise Conflict(
                f"{provider} is held because the streams lack what is in the books; "
                "`topup reconcile streams` opens it"
            )
        act = act_by(who, why=asked.reason or "")
        change = await on_streams(self._lanes.release(provider, act=act, seen_since_ms=seen_ms))
        if change.word == "changed":
            raise Conflict(
                f"{provider} is held by now {_story(change.before)}; nothing was changed. "
                "Look again"
            )
        return _changed(provider, change)


def lanes_shown(queue: Queue, states: Mapping[str, records.LaneState]) -> list[LaneShown]:
    """Return all lanes for people, by the name of their provider."""
    return [
        LaneShown(
            provider=provider,
            **_told(state := states.get(provider, records.LaneState())),
            served=figures.served,
            failures=state.failures,
            waiting=figures.waiting,
            active=figures.active,
            delayed=figures.delayed,
            oldest_waiting_seconds=figures.oldest_waiting_seconds,
        )
        for provider, figures in sorted(queue.lanes.items())
    ]


def _known(request: Request) -> str:
    provider: str = request.path_params["provider"]
    if provider not in OFFERS:
        raise NotFound(f"There is no lane {provider[:32]!r}, only {', '.join(sorted(OFFERS))}")
    return provider


def _story(state: records.LaneState) -> str:
    """Say who holds it, since and until when, and why."""
    since = f" since {timestamp(int(state.since))}" if state.since else ""
    until = f" until {timestamp(int(state.until))}" if state.until else ""
    return f"by {state.by}{since}{until}: {state.reason}"


def _changed(provider: str, change: lanes.LaneChange) -> Response:
    told = LaneChanged(
        provider=provider,
        changed=change.before != change.after,
        before=LaneState(**_told(change.before)),
        after=LaneState(**_told(change.after)),
    )
    return json_response(200, told)


def _told(state: records.LaneState) -> dict[str, Any]:
    return {
        "state": state.state,
        "reason": state.reason,
        "by": state.by,
        "since": None if state.since is None else timestamp(int(state.since)),
        "until": None if state.until is None else timestamp(int(state.until)),
    }
