"""Unresolved topups over HTTP: one person proposes, another confirms, and both are told."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from services.ledger.changes import Changes
from services.ledger.keys import NewKey
from services.ledger.operators import Operators
from shared.bus.messages import ItemFailed, Outcome, Restoring, Terms, Work
from shared.bus.records import Record
from shared.bus.topups import Topups
from shared.bus.trust import Trust
from shared.contracts.acts import act_by
from shared.contracts.events import Evidence, encode
from shared.contracts.instants import timestamp
from shared.contracts.keys import OPERATOR_PREFIX, draw_key, hash_of, shown_of
from shared.contracts.states import State
from shared.contracts.streams import PartitionKeys
from shared.runtime.redis import Client
from tests.integration.gateway.house import Answer, House
from tests.integration.gateway.people import end_quarantine

pytestmark = pytest.mark.integration

TERMS = Terms(
    kind="neither", lease_ms=60_000, quarantine_ms=60_000, dedupe_window_ms=0,
    refusal_covers=False, hold_ms=1_000, breaker=0,
)  # fmt: skip
KEYS = {name: draw_key(OPERATOR_PREFIX) for name in ("ana", "ben")}
POSTED_AS_FAILED = [
    (0, "available", "held", "10.00"),
    (1, "held", "limbo", "10.00"),
    (2, "limbo", "available", "10.00"),
]
NOBODYS = "0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11"


async def ask(home: House, gateway: str, who: str, path: str, body: Any = None) -> Answer:
    """Ask as this person: POST where there is a body."""
    return await home.ask(
        "GET" if body is None else "POST",
        f"{gateway}/api/admin/unresolved{path}",
        headers={"x-admin-key": KEYS[who]},
        **({} if body is None else {"json": body}),
    )


@pytest.fixture
async def desk(home: House, whole: str, changes: Changes) -> AsyncIterator[str]:
    """A gateway that ana and ben may operate."""
    operators = Operators(changes)
    KEYS.update({name: draw_key(OPERATOR_PREFIX) for name in KEYS})  # the database is kept
    for name, key in KEYS.items():
        await operators.add(name, NewKey(sha256=hash_of(key), prefix=shown_of(key)))

    async def known() -> bool:
        return all([(await ask(home, whole, name, "")).status == 200 for name in KEYS])

    await home.until(known)
    yield whole
    for name in KEYS:
        await operators.revoke(name)


@pytest.fixture
async def stuck(home: House, desk: str, redis: Client) -> str:
    """A topup whose answer never came, as it is booked."""
    topup: str = (await home.post(desk)).json["topup_id"]
    topups = Topups(redis, partitions=1, window_ms=60_000)
    (entry, _), *_ = await redis.xrange(PartitionKeys(0).requests("LATCOM"))
    work = Work(id=topup, entry=entry.decode(), key_hash="", nonce="n1")
    (begun,) = await topups.begin(0, "LATCOM", [work], owner="a", terms=TERMS)
    assert not isinstance(begun, ItemFailed)
    outcome = Outcome(
        id=topup, key_hash="", nonce="n1", to=State.UNRESOLVED, reason="no_answer",
        provider_reference="", evidence=b"",
    )  # fmt: skip
    (word,) = await topups.finish(0, "LATCOM", [outcome], terms=TERMS)
    assert word == ("ok", "unresolved")

    async def booked() -> bool:
        answer = await ask(home, desk, "ana", f"/{topup}")
        return answer.status == 200 and bool(answer.json["topup"]["status"] == "unresolved")

    await home.until(booked)
    return topup


async def propose(home: House, desk: str, topup: str, **changes: Any) -> Answer:
    body = {"to": "succeeded", "evidence": "ticket 4711"} | changes
    return await ask(home, desk, "ana", f"/{topup}/propose", body)


async def test_one_proposes_and_another_confirms(
    home: House, desk: str, stuck: str, redis: Client
) -> None:
    """Nothing is settled before; the merchant sees it then, and the proposal says by whom."""
    file = {"name": "letter.txt", "content": base64.b64encode(b"paid").decode()}
    proposal = (await propose(home, desk, stuck, file=file)).json["proposal"]
    (listed,) = (await ask(home, desk, "ben", "?order=newest&limit=1")).json["topups"]
    assert (listed["topup_id"], listed["proposal"]["maker"]) == (stuck, "ana")
    whole = (await ask(home, desk, "ben", f"/{stuck}")).json
    assert base64.b64decode(whole["proposals"][0]["file"]["content"]) == b"paid"
    alone = await ask(home, desk, "ana", f"/{stuck}/confirm", {"proposal": proposal["id"]})
    assert (alone.status, "ana proposed it" in alone.json["error"]) == (403, True)
    assert (await home.show(desk, stuck)).json["status"] == "unresolved"
    done = await ask(home, desk, "ben", f"/{stuck}/confirm", {"proposal": proposal["id"]})
    assert (done.status, done.json["maker"], done.json["checker"]) == (200, "ana", "ben")
    assert (await home.show(desk, stuck)).json["status"] == "succeeded"

    async def ended() -> bool:
        (one,) = (await ask(home, desk, "ana", f"/{stuck}")).json["proposals"]
        return (one["state"], one["checker"]) == ("confirmed", "ben")

    await home.until(ended)
    again = await ask(home, desk, "ben", f"/{stuck}/confirm", {"proposal": proposal["id"]})
    assert (again.status, again.code) == (409, "conflict")
    assert "confirmed by ben at" in again.json["error"]
    acts = (await home.admin(desk, f"audit?target={stuck}")).json["acts"]
    assert [(one["act"], one["who"]) for one in acts] == [
        ("topup.resolve", "ben"), ("topup.propose", "ana"),
    ]  # fmt: skip
    assert acts[0]["why"] == "ticket 4711 (proposed by ana)"


async def test_the_second_is_told_what_the_first_did(home: House, desk: str, stuck: str) -> None:
    """A second proposal is 409 with who and when; after it was taken back there may be another."""
    first = (await propose(home, desk, stuck)).json["proposal"]
    second = await ask(
        home, desk, "ben", f"/{stuck}/propose", {"to": "succeeded", "evidence": "me too"}
    )
    assert (second.status, second.code) == (409, "conflict")
    assert f"proposed as succeeded by ana at {first['made_at']}" in second.json["error"]
    back = {"proposal": first["id"], "reason": "mistaken"}
    assert (await ask(home, desk, "ben", f"/{stuck}/withdraw", back)).status == 200
    twice = await ask(home, desk, "ana", f"/{stuck}/withdraw", back)
    assert (twice.status, "withdrawn by ben at" in twice.json["error"]) == (409, True)
    gone = await ask(home, desk, "ben", f"/{stuck}/confirm", {"proposal": first["id"]})
    assert (gone.status, "withdrawn by ben at" in gone.json["error"]) == (409, True)
    assert (await propose(home, desk, stuck)).status == 200


async def test_a_no_counts_only_after_the_quarantine(
    home: House, desk: str, stuck: str, redis: Client
) -> None:
    """Asked before it, the text says until when; without a moment it is not understood."""
    topups = Topups(redis, partitions=1, window_ms=60_000)
    (record,) = await topups.look(0, [stuck])
    assert isinstance(record, Record)
    assert (await propose(home, desk, stuck, to="failed")).status == 400
    now = timestamp(await topups.now_ms())
    soon = await propose(home, desk, stuck, to="failed", asked_at=now)
    assert (soon.status, soon.code) == (409, "conflict")
    assert timestamp(record.quarantine_until_ms) in soon.json["error"]


async def propose_no(home: House, desk: str, topup: str, redis: Client) -> str:
    """Let the quarantine pass, and ana propose that it was not paid; return the proposal's id."""
    await end_quarantine(redis, topup)
    asked_at = timestamp(await Topups(redis, partitions=1, window_ms=60_000).now_ms())
    made = await propose(home, desk, topup, to="failed", asked_at=asked_at)
    assert made.status == 200, made.body
    return str(made.json["proposal"]["id"])


async def test_two_people_settle_it_as_failed(
    home: House, desk: str, stuck: str, redis: Client
) -> None:
    """The customer's money comes back out of limbo, once; and that is final."""
    proposal = await propose_no(home, desk, stuck, redis)
    done = await ask(home, desk, "ben", f"/{stuck}/confirm", {"proposal": proposal})
    assert (done.status, done.json["status"], done.json["maker"]) == (200, "failed", "ana")
    shown = (await home.show(desk, stuck)).json
    assert (shown["status"], shown["reason"]) == ("failed", "resolved")

    async def story() -> dict[str, Any]:
        return dict((await home.admin(desk, f"topups/{stuck}/story")).json)

    async def booked() -> bool:
        return {one["seq"] for one in (await story())["postings"]} == {0, 1, 2}

    await home.until(booked)
    moved = [(one["seq"], one["debit"], one["credit"], one["amount"])
             for one in (await story())["postings"]]  # fmt: skip
    assert moved == POSTED_AS_FAILED
    twice = await ask(home, desk, "ben", f"/{stuck}/confirm", {"proposal": proposal})
    assert (twice.status, f"{stuck} is failed" in twice.json["error"]) == (409, True)


async def test_a_no_that_has_become_too_early_is_not_confirmed(
    home: House, desk: str, stuck: str, redis: Client
) -> None:
    """The quarantine counts as it is then; it stays unresolved, and the proposal open."""
    proposal = await propose_no(home, desk, stuck, redis)
    until_ms = await Topups(redis, partitions=1, window_ms=60_000).now_ms() + 60_000
    await redis.hset(PartitionKeys(0).record(stuck), "quarantine_until", str(until_ms))
    soon = await ask(home, desk, "ben", f"/{stuck}/confirm", {"proposal": proposal})
    assert (soon.status, soon.code) == (409, "conflict")
    assert timestamp(until_ms) in soon.json["error"]
    whole = (await ask(home, desk, "ben", f"/{stuck}")).json
    assert (whole["topup"]["status"], whole["topup"]["proposal"]["id"]) == ("unresolved", proposal)


async def test_what_is_not_in_limbo_is_left_alone(home: House, desk: str) -> None:
    """Unknown is 404; open is 409."""
    assert (await propose(home, desk, NOBODYS)).status == 404
    assert (await propose(home, desk, "42")).status == 404
    topup = (await home.post(desk)).json["topup_id"]

    async def booked() -> bool:
        return (await ask(home, desk, "ana", f"/{topup}")).status == 200

    await home.until(booked)
    assert (await propose(home, desk, topup)).status == 409


async def test_money_in_limbo_is_summed(home: House, desk: str, stuck: str) -> None:
    """By currency and age, below the list; a wrong question names what would do."""

    async def counted() -> bool:
        limbo = (await ask(home, desk, "ana", "")).json["limbo"]
        return any(
            (one["currency"], one["age"], one["volume"]) == ("MXN", "1h", f"{10 * count}.00")
            for one in limbo
        )

    listed = (await ask(home, desk, "ana", "?provider=LATCOM&limit=1000")).json["topups"]
    count = len(listed)
    assert stuck in [one["topup_id"] for one in listed]
    await home.until(counted)
    metrics = (await home.admin(desk, "metrics")).json
    assert metrics["limbo"] == (await ask(home, desk, "ana", "")).json["limbo"]
    walked: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await ask(home, desk, "ana", f"?limit=1{cursor and '&cursor=' + cursor}")).json
        walked += [one["topup_id"] for one in page["topups"]]
        cursor = page["next"]
    assert walked == [one["topup_id"] for one in listed]
    for query in ("?limit=0", "?order=up", "?cursor=x", "?provider=no", "?what=1"):
        answer = await ask(home, desk, "ana", query)
        assert (answer.status, "for example ?limit=50" in answer.json["error"]) == (400, True)


async def test_one_person_may_be_enough(home: House, desk: str, stuck: str, ledger: str) -> None:
    """With RESOLVE_ALONE who proposed it confirms it too; a repeat is told that it is done."""
    alone = await home.gateway("gateway-2", ledger_url=ledger, resolve_alone=True)
    proposal = (await propose(home, desk, stuck)).json["proposal"]["id"]
    done = await ask(home, alone, "ana", f"/{stuck}/confirm", {"proposal": proposal})
    assert (done.status, done.json["maker"], done.json["checker"]) == (200, "ana", "ana")
    again = await ask(home, alone, "ana", f"/{stuck}/confirm", {"proposal": proposal})
    assert (again.status, f"{stuck} is succeeded" in again.json["error"]) == (409, True)
    await home.stop("gateway-2")


async def answer_late(redis: Client, topup: str) -> None:
    """Let the provider's yes arrive after all."""
    yes = Outcome(
        id=topup, key_hash="", nonce="n1", to=State.SUCCEEDED, reason="",
        provider_reference="P1", evidence=b"",
    )  # fmt: skip
    topups = Topups(redis, partitions=1, window_ms=60_000)
    assert await topups.finish(0, "LATCOM", [yes], terms=TERMS) == [("ok", "succeeded")]


async def test_what_ends_by_itself_closes_its_proposal(
    home: House, desk: str, stuck: str, redis: Client
) -> None:
    """With the reason, in the list of proposals, in the story, and for who comes to confirm."""
    made = (await propose(home, desk, stuck)).json["proposal"]
    await answer_late(redis, stuck)

    async def closed() -> bool:
        (one,) = (await ask(home, desk, "ben", f"/{stuck}")).json["proposals"]
        return (one["state"], one["checker"]) == ("overtaken", "ledger")

    await home.until(closed)
    (one,) = (await ask(home, desk, "ben", f"/{stuck}")).json["proposals"]
    assert one["ended_why"] == "it has succeeded by itself: a late answer of the provider"
    for path, body in [("confirm", {}), ("withdraw", {"reason": "over"})]:
        told = await ask(home, desk, "ben", f"/{stuck}/{path}", {"proposal": made["id"]} | body)
        assert (told.status, told.code) == (409, "conflict")
        assert f"{stuck} is succeeded" in told.json["error"]
        assert "(it has succeeded by itself" in told.json["error"]
    story = (await home.admin(desk, f"topups/{stuck}/story")).json["timeline"]
    (act,) = [moment for moment in story if moment["event"] == "topup.overtaken"]
    assert act["detail"]["who"] == "ledger"
    assert act["detail"]["why"] == one["ended_why"]
    assert (act["detail"]["from"], act["detail"]["to"]) == ("proposed", "overtaken")


async def test_who_confirms_before_the_books_know_is_told_too(
    home: House, desk: str, stuck: str, redis: Client, database_url: str
) -> None:
    """The streams say that it has ended by itself; nothing is done."""
    made = (await propose(home, desk, stuck)).json["proposal"]
    with psycopg.connect(database_url) as behind:
        behind.execute("SELECT FROM topups WHERE topup_id = %s FOR UPDATE", [stuck])
        await answer_late(redis, stuck)
        told = await ask(home, desk, "ben", f"/{stuck}/confirm", {"proposal": made["id"]})
    assert (told.status, told.code) == (409, "conflict")
    assert f"{stuck} is succeeded by itself, by a late answer" in told.json["error"]
    assert (await home.show(desk, stuck)).json["status"] == "succeeded"


async def test_what_people_settled_is_not_overtaken(home: House, desk: str, stuck: str) -> None:
    """Its proposal is confirmed, by whom it was."""
    made = (await propose(home, desk, stuck)).json["proposal"]
    await ask(home, desk, "ben", f"/{stuck}/confirm", {"proposal": made["id"]})

    async def booked() -> bool:
        return bool(
            (await ask(home, desk, "ana", f"/{stuck}")).json["topup"]["status"] == "succeeded"
        )

    await home.until(booked)
    (one,) = (await ask(home, desk, "ana", f"/{stuck}")).json["proposals"]
    assert (one["state"], one["checker"]) == ("confirmed", "ben")
    acts = (await home.admin(desk, f"audit?target={stuck}")).json["acts"]
    assert [act["act"] for act in acts] == ["topup.resolve", "topup.propose"]


async def say_no(redis: Client, topup: str, *, proposal: str = "") -> str:
    """Let a dispatcher ask the provider, late, and be told that it was refused.

    An older one does not say that it is a machine: its no is kept like one of people.
    """
    topups = Topups(redis, partitions=1, window_ms=60_000)
    (record,) = await topups.look(0, [topup])
    assert isinstance(record, Record)
    refused = Evidence(code="E17", raw={"status": "Fail"}, by="dispatcher-1")
    word, _ = await topups.resolve(
        0, record, to=State.FAILED, asked_at_ms=record.quarantine_until_ms + 1,
        provider_reference="", evidence=encode(refused),
        act=act_by("dispatcher-1#0", why="the provider was asked again"), proposal=proposal,
    )  # fmt: skip
    return word


async def test_no_machine_settles_against_an_open_proposal(
    home: House, desk: str, stuck: str, redis: Client
) -> None:
    """Who says that it was paid is heard first; taken back, it stands in nobody's way."""
    made = (await propose(home, desk, stuck)).json["proposal"]
    assert (await propose(home, desk, stuck, evidence="me too")).status == 409
    assert await say_no(redis, stuck) == "disputed"
    assert (await home.show(desk, stuck)).json["status"] == "unresolved"
    back = {"proposal": made["id"], "reason": "mistaken"}
    assert (await ask(home, desk, "ben", f"/{stuck}/withdraw", back)).status == 200
    assert await say_no(redis, stuck) == "ok"
    shown = (await home.show(desk, stuck)).json
    assert (shown["status"], shown["reason"]) == ("failed", "refused")


async def test_whoever_looks_brings_the_streams_what_the_books_say(
    home: House, desk: str, stuck: str, redis: Client
) -> None:
    """An older gateway did not tell them, one died in between, or the record was restored."""
    record = PartitionKeys(0).record(stuck)
    made = (await propose(home, desk, stuck)).json["proposal"]
    for look in (f"/{stuck}", "?order=newest&limit=100"):
        await redis.hdel(record, "proposed")
        await ask(home, desk, "ben", look)
        assert await say_no(redis, stuck) == "disputed"
    back = {"proposal": made["id"], "reason": "mistaken"}
    await ask(home, desk, "ben", f"/{stuck}/withdraw", back)
    await redis.hset(record, "proposed", made["id"])
    await ask(home, desk, "ben", f"/{stuck}")
    assert await say_no(redis, stuck) == "ok"


async def test_a_no_that_a_dispatcher_asked_for_closes_the_proposal_too(
    home: House, desk: str, stuck: str, redis: Client
) -> None:
    """It goes the way of people's acts, and yet no proposal was confirmed by it."""
    await propose_no(home, desk, stuck, redis)
    assert await say_no(redis, stuck) == "ok"

    async def closed() -> bool:
        (one,) = (await ask(home, desk, "ben", f"/{stuck}")).json["proposals"]
        return (one["state"], one["checker"]) == ("overtaken", "ledger")

    await home.until(closed)


async def test_an_older_dispatchers_no_is_not_told_as_peoples(
    home: House, desk: str, stuck: str, redis: Client, database_url: str
) -> None:
    """Who comes to confirm hears of it before the proposal is closed: its evidence names none."""
    proposal = await propose_no(home, desk, stuck, redis)
    with psycopg.connect(database_url) as behind:
        behind.execute("SELECT FROM proposals WHERE id = %s FOR UPDATE", [proposal])
        assert await say_no(redis, stuck, proposal="of nobody") == "ok"

        async def booked() -> bool:
            found = (await ask(home, desk, "ana", f"/{stuck}")).json["topup"]
            return (found["status"], found["reason"]) == ("failed", "resolved")

        await home.until(booked)
        told = await ask(home, desk, "ben", f"/{stuck}/confirm", {"proposal": proposal})
    assert (told.status, told.code) == (409, "conflict")
    assert f"{stuck} is failed by itself, by a late answer" in told.json["error"]


# -- who was paid -----------------------------------------------------------------------------


@pytest.fixture
async def nobodys(home: House, desk: str, ledger: str, redis: Client) -> str:
    """A topup with provider AUTO that is in limbo at nobody, after the streams were lost."""
    both = await home.gateway("gateway-2", ledger_url=ledger, providers="LATCOM,RELOADLY")
    body = {"phone": "5566374683", "amount": 10, "provider": "AUTO"}
    topup: str = (await home.post(both, body)).json["topup_id"]
    await home.stop("gateway-2")
    topups = Topups(redis, partitions=1, window_ms=60_000)
    (record,) = await topups.look(0, [topup])
    assert isinstance(record, Record)
    lost = Restoring(
        id=topup, request=record.request, accepted_at_ms=record.accepted_at_ms, seq=0,
        to=State.UNRESOLVED, reason="streams_lost", provider_reference="", evidence=b"",
        settled_at_ms=0, window_ms=60_000,
    )  # fmt: skip
    assert await Trust(redis, topups).restore(0, "AUTO", [lost]) == [("restored", "unresolved")]

    async def booked() -> bool:
        answer = await ask(home, desk, "ana", f"/{topup}")
        return answer.status == 200 and bool(answer.json["topup"]["status"] == "unresolved")

    await home.until(booked)
    return topup


async def test_who_was_paid_is_said_where_nobody_knows(
    home: House, desk: str, nobodys: str
) -> None:
    """One of those that may have been; merchant, books, story and statements then tell of that."""
    nobody = await propose(home, desk, nobodys)
    assert nobody.status == 400
    assert "provider is missing" in nobody.json["error"]
    assert "one of LATCOM, RELOADLY; for example" in nobody.json["error"]
    wrong = await propose(home, desk, nobodys, provider="DTONE")
    assert "it can only have been one of LATCOM, RELOADLY" in wrong.json["error"]
    odd = await propose(home, desk, nobodys, provider="reloadly")
    assert [one.status for one in (wrong, odd)] == [400, 400]
    made = await propose(home, desk, nobodys, provider="RELOADLY")
    assert (made.status, made.json["proposal"]["provider"]) == (200, "RELOADLY")
    confirm = {"proposal": made.json["proposal"]["id"]}
    assert (await ask(home, desk, "ben", f"/{nobodys}/confirm", confirm)).status == 200
    shown = (await home.show(desk, nobodys)).json
    assert (shown["status"], shown["provider"]) == ("succeeded", "RELOADLY")

    async def booked() -> bool:
        found = (await ask(home, desk, "ana", f"/{nobodys}")).json["topup"]
        return (found["status"], found["provider"]) == ("succeeded", "RELOADLY")

    await home.until(booked)
    acts = (await home.admin(desk, f"audit?target={nobodys}")).json["acts"]
    assert [act["after"].get("provider") for act in acts] == [
        "RELOADLY", "RELOADLY",
    ]  # fmt: skip


async def test_a_no_about_nobodys_topup_names_nobody(
    home: House, desk: str, nobodys: str, redis: Client
) -> None:
    """Each of its route was asked; to name one would be to say that it was paid."""
    await end_quarantine(redis, nobodys)
    asked_at = timestamp(await Topups(redis, partitions=1, window_ms=60_000).now_ms())
    named = {"to": "failed", "asked_at": asked_at}
    refused = await propose(home, desk, nobodys, provider="LATCOM", **named)
    assert (refused.status, "leave it out" in refused.json["error"]) == (400, True)
    made = await propose(home, desk, nobodys, **named)
    confirm = {"proposal": made.json["proposal"]["id"]}
    assert (await ask(home, desk, "ben", f"/{nobodys}/confirm", confirm)).status == 200
    assert (await home.show(desk, nobodys)).json["status"] == "failed"


async def test_another_provider_than_is_known_is_refused(
    home: House, desk: str, stuck: str
) -> None:
    """Whoever means another one means another topup; the same one may be named."""
    other = await propose(home, desk, stuck, provider="RELOADLY")
    assert (other.status, "it was sent to LATCOM" in other.json["error"]) == (400, True)
    assert (await propose(home, desk, stuck, provider="LATCOM")).status == 200


async def test_an_older_proposal_that_names_nobody_is_not_confirmed(
    home: House, desk: str, nobodys: str, database_url: str
) -> None:
    """It says what to do; nothing is settled."""
    with psycopg.connect(database_url) as behind:
        behind.execute(
            "INSERT INTO proposals (id, topup_id, settle_as, evidence, maker)"
            " VALUES (%s, %s, 'succeeded', 'ticket', 'ana')",
            [NOBODYS, nobodys],
        )
    told = await ask(home, desk, "ben", f"/{nobodys}/confirm", {"proposal": NOBODYS})
    assert (told.status, told.code) == (409, "conflict")
    assert "provider is missing" in told.json["error"]
    assert "Withdraw the proposal, and propose it again" in told.json["error"]
    assert (await home.show(desk, nobodys)).json["status"] == "unresolved"
