"""Operators hold and release lanes: who, why, until when; and the second is told of the first."""

from typing import Any

import pytest

from shared.bus.lanes import Lanes
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.instants import timestamp
from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client
from tests.integration.gateway.house import ADMIN_KEY, Answer, House

pytestmark = pytest.mark.integration


async def act(home: House, gateway: str, what: str, body: Any, provider: str = "LATCOM") -> Answer:
    url = f"{gateway}/api/admin/lanes/{provider}/{what}"
    return await home.ask("POST", url, json=body, headers={"x-admin-key": ADMIN_KEY})


async def lane(home: House, gateway: str) -> dict[str, Any]:
    found = (await home.admin(gateway, "lanes")).json["lanes"]
    (told,) = [one for one in found if one["provider"] == "LATCOM"]
    assert isinstance(told, dict)
    return told


async def test_a_lane_is_held_and_released_and_told(home: House, gateway: str) -> None:
    """To the last field; the topups behind it are counted."""
    shown = await lane(home, gateway)
    assert (shown["state"], shown["by"], shown["since"], shown["waiting"]) == (
        "open",
        None,
        None,
        0,
    )
    held = (await act(home, gateway, "hold", {"reason": "strike"})).json
    assert (held["changed"], held["before"]["state"]) == (True, "open")
    assert held["after"] | {"since": None} == {
        "state": "held", "reason": "strike", "by": "admin", "since": None, "until": None,
    }  # fmt: skip
    await home.post(gateway)
    shown = await lane(home, gateway)
    assert {name: shown[name] for name in held["after"]} == held["after"]
    assert shown["waiting"] == 1
    again = (await act(home, gateway, "hold", {"reason": "strike"})).json
    assert (again["changed"], again["after"]) == (False, held["after"])
    opened = (await act(home, gateway, "release", {"reason": "over"})).json
    assert (opened["changed"], opened["after"]["state"], opened["after"]["by"]) == (
        True, "open", "admin"
    )  # fmt: skip
    twice = (await act(home, gateway, "release", {"reason": "over"})).json
    assert (twice["changed"], twice["after"]) == (False, opened["after"])


@pytest.mark.parametrize("until", ["30m", "instant"])
async def test_a_hold_may_have_an_end(home: House, gateway: str, redis: Client, until: str) -> None:
    """As a duration, or as an instant."""
    now_ms = await Topups(redis, partitions=1, window_ms=1).now_ms()
    given = timestamp(now_ms + 1_800_000) if until == "instant" else until
    held = (await act(home, gateway, "hold", {"reason": "r", "until": given})).json["after"]
    assert held["until"] >= timestamp(now_ms + 1_800_000)
    assert held["until"] < timestamp(now_ms + 1_860_000)


async def test_the_second_is_told_what_the_first_did(
    home: House, gateway: str, redis: Client
) -> None:
    """Who, when and why; nothing is changed unless it is asked for."""
    topups = Topups(redis, partitions=1, window_ms=1)
    lanes = Lanes(redis, topups)
    first = await lanes.hold(
        "LATCOM", act=act_by("ana", why="strike"), until_ms=None, replace=False
    )
    refused = await act(home, gateway, "hold", {"reason": "mine"})
    assert (refused.status, refused.code) == (409, "conflict")
    for told in ("ana", "strike", timestamp(int(first.after.since or 0))):
        assert told in refused.json["error"]
    assert (await topups.lanes(0))["LATCOM"] == first.after
    taken = await act(home, gateway, "hold", {"reason": "mine", "replace": True})
    assert taken.json["before"]["by"] == "ana"
    assert taken.json["after"]["by"] == "admin"


async def test_what_holds_itself_is_anybodys_to_hold(
    home: House, gateway: str, redis: Client
) -> None:
    """The breaker is nobody who could be asked."""
    packed = b'{"state":"held","by":"breaker","since":1,"until":4000000000000,"holds":1}'
    await redis.hset(PartitionKeys(0).lanes, "LATCOM", packed)
    held = await act(home, gateway, "hold", {"reason": "mine"})
    assert (held.status, held.json["after"]["by"]) == (200, "admin")


async def test_a_release_may_be_for_one_hold_only(home: House, gateway: str, redis: Client) -> None:
    """What was looked at before somebody else held it anew is not released by accident."""
    lanes = Lanes(redis, Topups(redis, partitions=1, window_ms=1))
    await lanes.hold("LATCOM", act=act_by("ana", why="strike"), until_ms=None, replace=False)
    other = {"reason": "over", "held_since": "2026-01-01T00:00:00.000Z"}
    refused = await act(home, gateway, "release", other)
    assert (refused.status, refused.code) == (409, "conflict")
    assert "ana" in refused.json["error"]
    since = (await lane(home, gateway))["since"]
    mine = await act(home, gateway, "release", {"reason": "over", "held_since": since})
    assert mine.json["after"]["state"] == "open"


async def test_a_lane_of_lost_streams_is_opened_by_reconciling_alone(
    home: House, gateway: str, redis: Client
) -> None:
    """What was queued may have been paid."""
    topups = Topups(redis, partitions=1, window_ms=1)
    await Lanes(redis, topups).hold("LATCOM", act=act_by("ledger", why="streams_lost"))
    refused = await act(home, gateway, "release", {"reason": "hurry"})
    assert (refused.status, refused.code) == (409, "conflict")
    assert "topup reconcile streams" in refused.json["error"]
    assert (await lane(home, gateway))["state"] == "held"


async def test_all_partitions_are_held_and_the_most_held_is_told(
    home: House, redis: Client
) -> None:
    """A lane that holds itself in one partition is not open."""
    gateway = await home.gateway(stream_partitions=4)
    topups = Topups(redis, partitions=4, window_ms=1)
    await redis.hset(
        PartitionKeys(2).lanes,
        "LATCOM",
        b'{"state":"held","by":"breaker","until":4000000000000,"holds":1}',
    )
    assert (await lane(home, gateway))["by"] == "breaker"
    await act(home, gateway, "hold", {"reason": "strike"})
    assert [(await topups.lanes(p))["LATCOM"].by for p in range(4)] == ["admin"] * 4
    await act(home, gateway, "release", {"reason": "over"})
    assert [(await topups.lanes(p))["LATCOM"].state for p in range(4)] == ["open"] * 4


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": " "}, "reason"),
        ({"reason": "a\u0007b"}, "reason"),
        ({"reason": 7}, "reason"),
        ({"reason": "x" * 301}, "reason"),
        ({"reason": "r", "until": "soon"}, "until 'soon'"),
        ({"reason": "r", "until": "0s"}, "until '0s'"),
        ({"reason": "r", "until": "9000d"}, "until '9000d'"),
        ({"reason": "r", "until": "2026-11-24T03:00:00"}, "offset"),
        ({"reason": "r", "until": "2020-11-24T03:00:00Z"}, "until"),
        ({"reason": "r", "for": "5m"}, "for"),
        (["reason"], "array"),
    ],
    ids=str,
)
async def test_a_wrong_body_is_told_with_an_example_and_changes_nothing(
    home: House, gateway: str, body: Any, said: str
) -> None:
    """One line that names the field, what is wrong, and what would do."""
    refused = await act(home, gateway, "hold", body)
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert said in refused.json["error"]
    assert "for example" in refused.json["error"]
    assert (await lane(home, gateway))["state"] == "open"


async def test_only_operators_act_and_only_on_lanes_that_exist(home: House, gateway: str) -> None:
    """An unknown lane is told with those that there are."""
    unknown = await act(home, gateway, "hold", {"reason": "r"}, provider="NOBODY")
    assert (unknown.status, unknown.code) == (404, "not_found")
    assert "LATCOM" in unknown.json["error"]
    for what in ("hold", "release"):
        url = f"{gateway}/api/admin/lanes/LATCOM/{what}"
        assert (await home.ask("POST", url, json={"reason": "r"})).status == 401
        sent = {"data": b"{", "headers": {"x-admin-key": ADMIN_KEY}}
        assert (await home.ask("POST", url, **sent)).status == 415
        sent["headers"] = {"x-admin-key": ADMIN_KEY, "content-type": "application/json"}
        assert (await home.ask("POST", url, **sent)).status == 400
