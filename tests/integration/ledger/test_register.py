"""Customers and keys: each change is whole, alone, and told to the gateways as it ended up."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import msgspec
import pytest

from services.ledger.changes import Changes, NotAnnounced
from services.ledger.customers import Customers, Seed
from services.ledger.database import Database
from services.ledger.keys import Key, Keys, NewKey
from shared.contracts.errors import InvalidRequest
from shared.contracts.keys import READ, WRITE, draw_key, hash_of, shown_of
from shared.contracts.peers import ApiKey, KeyUses
from shared.contracts.streams import KEYS_STREAM
from shared.runtime.clock import SystemClock
from shared.runtime.redis import Client, connect
from tests.integration.ledger.conftest import opened

pytestmark = pytest.mark.integration

ACME = "ACME_001"
NOBODY_LISTENS = "redis://127.0.0.1:1/0"


class Register:
    """Customers and keys, and what was told of them."""

    def __init__(self, owned: Database, served: Database, redis: Client) -> None:
        changes = Changes(owned, redis)
        self.customers = Customers(changes)
        self.keys = Keys(changes)
        self.for_gateways = Keys(Changes(served, redis))
        self._redis = redis

    async def draw(self, customer: str = ACME, **more: object) -> Key:
        """Give the customer a new key."""
        new = new_key()
        scopes = more.pop("scopes", [WRITE, READ])
        await self.keys.create(customer, new, **{"scopes": scopes, **more})  # type: ignore[arg-type]
        return await self.keys.find(new.sha256)

    async def told(self) -> dict[str, ApiKey]:
        """Return how each key is now, for a gateway that heard all announcements."""
        entries = await self._redis.xrange(KEYS_STREAM)
        keys = [msgspec.json.decode(fields[b"key"], type=ApiKey) for _, fields in entries]
        return {key.sha256: key for key in keys}

    async def working(self) -> set[str]:
        """Return the keys that a gateway gets that has just started."""
        return {key.sha256 for key in (await self.for_gateways.snapshot()).keys}


def new_key() -> NewKey:
    """Draw a key, and keep what is kept."""
    secret = draw_key()
    return NewKey(sha256=hash_of(secret), prefix=shown_of(secret))


@pytest.fixture
async def owned(ledger_url: str) -> AsyncIterator[Database]:
    """The database with an operator's rights."""
    async with opened(ledger_url, connections_max=8) as database:
        yield database


@pytest.fixture
async def register(owned: Database, database: Database, redis: Client) -> Register:
    """One customer without keys."""
    register = Register(owned, database, redis)
    await register.customers.create(ACME, "acme", None)
    return register


async def test_a_new_key_is_listed_and_told(register: Register) -> None:
    """With the scopes and the label it was given, and never with more of it than its beginning."""
    key = await register.draw(scopes=[READ], label="reports")
    assert [key] == await register.keys.all(ACME)
    assert (key.scopes, key.label, key.last_used_at) == ((READ,), "reports", None)
    told = (await register.told())[key.sha256]
    assert told == ApiKey(
        sha256=key.sha256, customer_id=ACME, merchant="acme", scopes=(READ,), active=True
    )
    assert await register.working() == {key.sha256}


async def test_a_customer_is_made_once(register: Register) -> None:
    """The second operator is told, and changes nothing."""
    with pytest.raises(InvalidRequest, match="ACME_001 exists"):
        await register.customers.create(ACME, "other", 5)
    customer = await register.customers.find(ACME)
    assert (customer.merchant, customer.limit_per_minute) == ("acme", None)


async def test_a_limit_is_told_for_every_key(register: Register) -> None:
    """And so is the way back to the default."""
    keys = [await register.draw() for _ in range(3)]
    for limit in (500, None):
        await register.customers.limit(ACME, limit)
        told = await register.told()
        assert {told[key.sha256].limit_per_minute for key in keys} == {limit}


async def test_a_disabled_customer_has_no_working_key(register: Register) -> None:
    """Until it is enabled; what was revoked meanwhile stays so."""
    kept, revoked = await register.draw(), await register.draw()
    await register.customers.disable(ACME)
    assert await register.working() == set()
    assert not any(key.active for key in (await register.told()).values())
    await register.keys.revoke(revoked)
    await register.customers.disable(ACME, disabled=False)
    assert await register.working() == {kept.sha256}
    told = await register.told()
    assert (told[kept.sha256].active, told[revoked.sha256].active) == (True, False)


async def test_a_revoked_key_is_told_again_when_it_is_revoked_again(
    register: Register, redis: Client
) -> None:
    """So an announcement that was lost is repeated by repeating the command."""
    key = await register.draw()
    await register.keys.revoke(key)
    first = await register.keys.find(key.id)
    await redis.delete(KEYS_STREAM)
    await register.keys.revoke(key)
    assert not (await register.told())[key.sha256].active
    assert await register.keys.find(key.id) == first
    assert await register.keys.all(ACME) == []
    assert await register.keys.all(ACME, with_ended=True) == [first]


async def test_a_rotated_key_ends_at_once(register: Register) -> None:
    """The new one has its scopes and its label."""
    old, new = await register.draw(scopes=[READ], label="reports"), new_key()
    await register.keys.rotate(old, new, grace_ms=0)
    found = await register.keys.find(new.sha256)
    assert (found.scopes, found.label) == (old.scopes, old.label)
    assert await register.working() == {new.sha256}
    assert not (await register.told())[old.sha256].active


async def test_a_rotated_key_ends_after_its_grace(register: Register) -> None:
    """Gateways are told when, so that nobody has to tell them then."""
    old, new = await register.draw(), new_key()
    before_ms = SystemClock().now_ms()
    await register.keys.rotate(old, new, grace_ms=86_400_000)
    told = (await register.told())[old.sha256]
    assert told.active
    assert told.expires_at_ms is not None
    assert 0 <= told.expires_at_ms - before_ms - 86_400_000 < 60_000
    assert await register.working() == {old.sha256, new.sha256}
    snapshot = {key.sha256: key for key in (await register.for_gateways.snapshot()).keys}
    assert snapshot[old.sha256] == told


async def test_a_key_whose_grace_is_over_is_in_no_list(register: Register) -> None:
    """Nobody has to clean up."""
    old, new = await register.draw(), new_key()
    await register.keys.rotate(old, new, grace_ms=1)

    async def over() -> bool:
        return await register.working() == {new.sha256}

    async with asyncio.timeout(10):
        while not await over():  # noqa: ASYNC110 - the database's clock has no event
            await asyncio.sleep(0.01)
    assert [key.sha256 for key in await register.keys.all(ACME)] == [new.sha256]


@pytest.mark.parametrize("grace_ms", [0, 86_400_000])
async def test_two_operators_rotate_one_key(register: Register, grace_ms: int) -> None:
    """One new key comes of it; the second is told what the first did."""
    old = await register.draw()
    results = await asyncio.gather(
        *(register.keys.rotate(old, new_key(), grace_ms=grace_ms) for _ in range(4)),
        return_exceptions=True,
    )
    refused = [str(result) for result in results if isinstance(result, InvalidRequest)]
    assert len(refused) == 3
    assert all("revoked or replaced already" in text for text in refused)
    assert len(await register.keys.all(ACME, with_ended=True)) == 2


async def test_a_revoked_key_is_not_brought_back_by_a_rotation(register: Register) -> None:
    """Not even for a grace."""
    key = await register.draw()
    await register.keys.revoke(key)
    with pytest.raises(InvalidRequest, match="already"):
        await register.keys.rotate(key, new_key(), grace_ms=86_400_000)
    assert await register.working() == set()


async def test_the_grace_can_be_cut_short(register: Register) -> None:
    """By revoking the old key."""
    old, new = await register.draw(), new_key()
    await register.keys.rotate(old, new, grace_ms=86_400_000)
    await register.keys.revoke(old)
    assert await register.working() == {new.sha256}
    assert not (await register.told())[old.sha256].active


async def test_operators_at_once_lose_no_change(register: Register) -> None:
    """Whatever the order, what is told last is what is kept: all changes, not one of them."""
    key = await register.draw()
    limits = count(1)
    await asyncio.gather(
        *(register.customers.limit(ACME, next(limits)) for _ in range(8)),
        *(register.draw() for _ in range(4)),
        register.keys.revoke(key),
    )
    customer, told = await register.customers.find(ACME), await register.told()
    working = await register.working()
    assert len(working) == customer.working_keys == 4
    assert {sha256 for sha256, known in told.items() if known.active} == working
    assert {told[sha256].limit_per_minute for sha256 in working} == {customer.limit_per_minute}


class Held:
    """A client whose announcements wait until they are let go."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.waiting = asyncio.Event()
        self.go = asyncio.Event()

    async def at(self, _key: str) -> "Held":
        return self

    def pipeline(self, **how: Any) -> Any:
        pipe = self._client.pipeline(**how)
        send = pipe.execute

        async def execute() -> Any:
            self.waiting.set()
            await self.go.wait()
            return await send()

        pipe.execute = execute
        return pipe


async def test_a_late_announcement_does_not_undo_a_newer_one(
    register: Register, owned: Database, redis: Client
) -> None:
    """The second operator's change is told after the first one's, however long that takes."""
    key = await register.draw()
    held = Held(redis)
    first = asyncio.create_task(Customers(Changes(owned, held)).limit(ACME, 1))
    await asyncio.wait_for(held.waiting.wait(), 30)
    second = asyncio.create_task(register.customers.limit(ACME, 2))
    await asyncio.wait({second}, timeout=0.3)
    held.go.set()
    await asyncio.gather(first, second)
    assert (await register.customers.find(ACME)).limit_per_minute == 2
    assert (await register.told())[key.sha256].limit_per_minute == 2


async def test_without_redis_it_is_done_and_said_not_to_be_announced(
    register: Register, owned: Database
) -> None:
    """The ledger's own list has each change at once."""
    limited, revoked, rotated = [await register.draw() for _ in range(3)]
    silent = connect(NOBODY_LISTENS)
    cut_off = Changes(owned, silent)
    customers, keys, created, next_one = Customers(cut_off), Keys(cut_off), new_key(), new_key()
    for change in (
        customers.limit(ACME, 7),
        keys.create(ACME, created, scopes=[READ]),
        keys.revoke(revoked),
        keys.rotate(rotated, next_one, grace_ms=0),
    ):
        with pytest.raises(NotAnnounced, match=r"it is done, but could not be .* within 60 s"):
            await change
    listed = {known.sha256: known for known in (await register.for_gateways.snapshot()).keys}
    assert listed.keys() == {limited.sha256, created.sha256, next_one.sha256}
    assert listed[limited.sha256].limit_per_minute == 7
    with pytest.raises(NotAnnounced):
        await customers.disable(ACME)
    assert await register.working() == set()
    await silent.aclose()


async def test_unknown_ids_change_nothing(register: Register) -> None:
    """One sentence each, and where to look."""
    for unknown in (
        register.customers.find("ACME_002"),
        register.customers.limit("ACME_002", 5),
        register.customers.disable("ACME_002"),
        register.keys.create("ACME_002", new_key(), scopes=[READ]),
    ):
        with pytest.raises(InvalidRequest, match="no customer 'ACME_002'; see: topup customers"):
            await unknown
    with pytest.raises(InvalidRequest, match="no key 00000000; see: topup keys list"):
        await register.keys.find("00000000")
    assert await register.keys.all(with_ended=True) == []


async def test_an_id_that_means_two_keys_is_refused(register: Register) -> None:
    """It says how much more to say."""
    for end in ("0", "1"):
        new = NewKey(sha256=f"{'a' * 63}{end}", prefix="topup_aaaaaa")
        await register.keys.create(ACME, new, scopes=[READ])
    with pytest.raises(InvalidRequest, match="2 keys have an id that begins with aaaaaaaa"):
        await register.keys.find("a" * 8)
    assert (await register.keys.find("a" * 63 + "1")).sha256 == "a" * 63 + "1"


async def test_the_latest_use_is_kept_to_the_minute(register: Register) -> None:
    """Out of order, twice, or from a clock that is ahead: it never goes back or lies ahead."""
    key, now_ms = await register.draw(), SystemClock().now_ms()

    async def used(at_ms: int) -> int:
        return (
            await register.for_gateways.note_uses(KeyUses({key.sha256: at_ms, "?": at_ms}))
        ).noted

    async def last_ms() -> int:
        at = (await register.keys.find(key.id)).last_used_at
        return 0 if at is None else int(at.timestamp() * 1_000)

    assert await used(now_ms - 600_000) == 1
    assert await last_ms() == now_ms - 600_000
    for known in (now_ms - 600_000, now_ms - 700_000, now_ms - 600_000 + 59_000):
        assert await used(known) == 0
    assert await used(now_ms + 3_600_000) == 1
    assert now_ms <= await last_ms() <= now_ms + 60_000
    customer = await register.customers.find(ACME)
    assert customer.last_used_at is not None
    assert dt.datetime.now(dt.UTC) - customer.last_used_at < dt.timedelta(minutes=1)


async def test_reports_of_many_gateways_at_once(register: Register) -> None:
    """The same keys in any order: nobody waits for ever, and the latest is kept."""
    keys = [await register.draw() for _ in range(20)]
    start_ms = SystemClock().now_ms() - 3_600_000
    await asyncio.gather(
        *(
            register.for_gateways.note_uses(
                KeyUses(
                    {
                        key.sha256: start_ms + report * 60_001
                        for key in keys[:: 1 - 2 * (report % 2)]
                    }
                )
            )
            for report in range(8)
        )
    )
    lasts = {key.last_used_at for key in await register.keys.all(ACME)}
    assert {int(at.timestamp() * 1_000) for at in lasts if at} == {start_ms + 7 * 60_001}


async def test_a_seed_may_be_sown_again(register: Register) -> None:
    """`make run` does it at each start; it never takes somebody else's key."""
    seed = Seed("DEMO_001", "demo", hash_of("a key from before"), "a key")
    await register.customers.seed(seed)
    await register.customers.seed(seed)
    assert await register.working() == {seed.key_sha256}
    with pytest.raises(InvalidRequest, match="belongs to another customer"):
        await register.customers.seed(Seed(ACME, "acme", seed.key_sha256, "a key"))
