"""What each kind of provider's answer does to a merchant's topup, over the whole of it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from tests.system.stack import Stack, until

pytestmark = pytest.mark.system

FAST = {
    "LATCOM_TIMEOUT": "2s",
    "RELOADLY_TIMEOUT": "2s",
    "DTONE_TIMEOUT": "2s",
    "STALL": "3s",
    "SANDBOX_LATENCY": "20",
}
SLOW_BUT_FINE = {"LATCOM_TIMEOUT": "15s", "SANDBOX_LATENCY": "20"}


async def sell(stack: Stack, endings: Sequence[str], provider: str = "LATCOM") -> dict[str, str]:
    """Make one topup for each ending of a phone; return their ids."""
    answers = await asyncio.gather(
        *(stack.post(phone=f"5566374{end}", provider=provider) for end in endings)
    )
    assert [status for status, _ in answers] == [202] * len(endings)
    return {end: body["topup_id"] for end, (_, body) in zip(endings, answers, strict=True)}


async def told(stack: Stack, topups: dict[str, str]) -> dict[str, tuple[str, str | None, int]]:
    """Return of each topup its status, its reason, and how often the provider paid it."""
    found = {}
    for end, topup_id in topups.items():
        body = await stack.status_of(topup_id)
        book = await stack.book(topup_id)
        found[end] = (body["status"], body["reason"], book["paid"])
    return found


@pytest.mark.settings(**FAST)
async def test_doubt_is_told_as_doubt_where_the_provider_cannot_be_asked(stack: Stack) -> None:
    """At LATCOM a lost answer is `unresolved`, paid or not; only an answer of its own is final."""
    topups = await sell(stack, ["900", "901", "902", "903", "904", "905", "906", "908"])
    await stack.until_settled(len(topups), within_s=60)
    assert await told(stack, topups) == {
        "900": ("succeeded", None, 1),
        "901": ("failed", "refused", 0),
        "902": ("succeeded", None, 1),
        "903": ("unresolved", "no_answer", 1),
        "904": ("unresolved", "no_answer", 1),
        "905": ("unresolved", "no_answer", 1),
        "906": ("unresolved", "no_answer", 0),
        "908": ("unresolved", "no_answer", 1),
    }
    assert (await stack.book(topups["902"]))["asked"] == 3, "refused twice, then credited"


@pytest.mark.settings(**FAST)
async def test_an_answer_may_wait_for_the_end(stack: Stack) -> None:
    """200 once it is final, 202 where people decide; and the list says the same."""
    ends = {"911": (200, "succeeded"), "901": (200, "failed"), "903": (202, "unresolved")}
    answers = await asyncio.gather(
        *(stack.post(phone=f"5566374{end}", prefer="wait=50") for end in ends)
    )
    told = {
        end: (status, body["status"]) for end, (status, body) in zip(ends, answers, strict=True)
    }
    assert told == ends
    shown = [body for _, body in answers]

    async def listed() -> bool:
        _, page = await stack.get("/api/enviadespensa/topups")
        return all(body in page["data"] for body in shown)

    await until(listed)


@pytest.mark.long
@pytest.mark.settings(**FAST)
async def test_each_lane_sells_as_its_provider_can(stack: Stack) -> None:
    """Reloadly and DT One can be asked: what is in doubt there is found out, and paid once."""
    endings = ["900", "901", "902", "903", "904", "905", "908", "910"]
    sold = {name: await sell(stack, endings, name) for name in ("RELOADLY", "DTONE", "LATCOM")}
    await stack.until_settled(3 * len(endings), within_s=60)
    fine = {"900": ("succeeded", None, 1), "901": ("failed", "refused", 0)}
    fine["902"] = fine["900"]
    found = dict.fromkeys(endings[3:], ("succeeded", None, 1))
    doubt = dict.fromkeys(endings[3:], ("unresolved", "no_answer", 1))
    assert await told(stack, sold["RELOADLY"]) == fine | found
    assert await told(stack, sold["DTONE"]) == fine | found
    assert await told(stack, sold["LATCOM"]) == fine | doubt
    for topups in sold.values():
        assert (await stack.book(topups["902"]))["asked"] == 3, "refused twice, then credited"
    body = await stack.status_of(sold["DTONE"]["905"])
    assert body["provider"] == "DTONE"
    assert body["provider_reference"] == (await stack.book(body["topup_id"]))["transaction"]


@pytest.mark.settings(SANDBOX_INQUIRY="on", **FAST)
async def test_doubt_is_cleared_where_the_provider_can_be_asked(stack: Stack) -> None:
    """What was paid is found out by asking, and is never sent again."""
    topups = await sell(stack, ["903", "904", "905", "908"])
    await stack.until_settled(len(topups), within_s=60)
    assert await told(stack, topups) == dict.fromkeys(topups, ("succeeded", None, 1))


@pytest.mark.long
@pytest.mark.settings(SANDBOX_DEDUPES="on", **FAST)
async def test_doubt_is_cleared_where_the_provider_dedupes(stack: Stack) -> None:
    """What may not have arrived is sent again under the same reference, and paid once."""
    topups = await sell(stack, ["903", "904", "905"])
    await stack.until_settled(len(topups), within_s=60)
    assert await told(stack, topups) == dict.fromkeys(topups, ("succeeded", None, 1))


@pytest.mark.long
@pytest.mark.settings(**SLOW_BUT_FINE)
async def test_a_slow_answer_is_waited_for(stack: Stack) -> None:
    """Slow within the time-out is no doubt."""
    topups = await sell(stack, ["909"])
    await stack.until_settled(1)
    assert await told(stack, topups) == {"909": ("succeeded", None, 1)}


@pytest.mark.settings(**SLOW_BUT_FINE)
async def test_an_empty_wallet_holds_the_lane_and_fails_nobody(stack: Stack) -> None:
    """Held topups wait; once the wallet is filled a probe opens the lane, and each is paid once."""
    topups = await sell(stack, ["907"])

    async def held() -> Any:
        lane = (await stack.queue())["lanes"]["LATCOM"]
        return lane if lane["state"] == "held" else None

    lane = await until(held)
    assert lane["reason"]
    behind = await sell(stack, ["100", "101", "102"])
    body = await stack.status_of(topups["907"])
    assert (body["status"], body["reason"]) == ("waiting", "lane_held")
    assert (await stack.book(behind["100"]))["asked"] == 0, "a held lane sends nothing"

    await stack.fill_wallet(10_000)
    await stack.until_settled(4, within_s=60)
    topups |= behind
    assert await told(stack, topups) == dict.fromkeys(topups, ("succeeded", None, 1))
    assert (await stack.queue())["lanes"]["LATCOM"]["state"] == "open"


@pytest.mark.long
@pytest.mark.settings(SANDBOX_LATENCY="20", DELIVER_BEFORE="2s")
async def test_a_topup_that_cannot_be_tried_in_time_fails_unpaid(stack: Stack) -> None:
    """Behind a held lane DELIVER_BEFORE passes: `failed`, `expired`, and never paid after that."""
    topups = await sell(stack, ["907", "100"])
    await stack.until_settled(2, within_s=60)
    outcome = await told(stack, topups)
    assert outcome["907"] == ("failed", "expired", 0)
    await stack.fill_wallet(10_000)
    status, body = await stack.post(phone="5566374101")
    assert (status, body["status"]) == (202, "queued")
    await stack.until_settled(3, within_s=60)
    assert (await stack.book(topups["907"]))["paid"] == 0


@pytest.mark.settings(**FAST)
async def test_auto_goes_on_after_a_no_and_never_after_doubt(stack: Stack) -> None:
    """After a no it goes on, until one says that the number is none; never after doubt."""
    topups = await sell(stack, ["900", "901", "904"], "AUTO")
    await stack.until_settled(len(topups), within_s=60)
    assert await told(stack, topups) == {
        "900": ("succeeded", None, 1),
        "901": ("failed", "refused", 0),
        "904": ("unresolved", "no_answer", 1),
    }
    served = {end: (await stack.status_of(found))["provider"] for end, found in topups.items()}
    assert served == {"900": "LATCOM", "901": "RELOADLY", "904": "LATCOM"}
    assert (await stack.book(topups["904"]))["asked"] == 1
