"""A primary dies: what was acknowledged is on the one that takes its place, and all goes on."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest
from uuid_utils import uuid7

from ops.valkey_cluster import ValkeyCluster
from services.ledger.database import Database
from services.ledger.watch import Standing, Watch
from shared.bus import functions
from shared.bus.messages import Acceptance
from shared.bus.topups import Topups
from shared.contracts.errors import NotAccepted, NotKnown
from shared.contracts.states import Reason
from shared.runtime.cluster import slot_of
from shared.runtime.redis import Client
from tests.cluster.conftest import LANE, PARTITIONS
from tests.integration.bus.bench import BODY, DELIVER_BEFORE_MS

pytestmark = [pytest.mark.integration, pytest.mark.long]

GOES_ON_S_MAX = 15.0


async def accept(topups: Topups, partition: int, topup_id: str) -> str:
    """Accept it in this partition, once; return what it was told."""
    item = Acceptance(id=topup_id, fingerprint="print", key_hash="", body=BODY)
    (reply,) = await topups.accept(partition, LANE, [item], deliver_before_ms=DELIVER_BEFORE_MS)
    return reply.status  # type: ignore[union-attr]


async def at_last(step: Callable[[], Awaitable[str]], *, within_s: float) -> str:
    """Repeat it as a gateway does, until it is neither refused nor unknown."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                return await step()
            except (NotAccepted, NotKnown):
                await asyncio.sleep(0.05)


async def until(look: Callable[[], bool]) -> None:
    """Look until it is so."""
    async with asyncio.timeout(GOES_ON_S_MAX):
        while not look():  # noqa: ASYNC110 - other processes are looked at
            await asyncio.sleep(0.05)


def verified(watch: Watch) -> bool:
    """Tell whether a ledger vouches for every partition."""
    return watch.standings == [Standing.VERIFIED] * PARTITIONS


async def test_what_was_acknowledged_outlives_its_primary(
    six: ValkeyCluster, topups: Topups, client: Client, watch: Watch
) -> None:
    """Nobody mends anything: a replica takes its place, a ledger vouches, the repeat is known.

    Meanwhile the other primaries' partitions go on. Steps count again once the dead one is back.
    """
    await until(lambda: verified(watch))
    lost = six.primary_of(slot_of(topups.keys[0].meta))
    ids = [str(uuid7()) for _ in range(PARTITIONS)]
    for partition, topup_id in enumerate(ids):
        assert await accept(topups, partition, topup_id) == "accepted"
    here, elsewhere = list[int](), list[int]()
    for partition, names in enumerate(topups.keys):
        home = six.primary_of(slot_of(names.meta))
        (here if home is lost else elsewhere).append(partition)
    assert here
    assert elsewhere
    died = time.monotonic()
    await asyncio.to_thread(lost.kill)
    for partition in elsewhere:
        assert await accept(topups, partition, str(uuid7())) == "accepted"
    assert time.monotonic() - died < GOES_ON_S_MAX
    await asyncio.to_thread(six.wait_until_promoted, lost)
    lost.revive()  # by the thread that lives as long as it should
    left_s = GOES_ON_S_MAX - (time.monotonic() - died)
    for partition in here:
        known = await at_last(lambda p=partition: accept(topups, p, ids[p]), within_s=left_s)  # type: ignore[misc]
        assert known == "replayed"
    assert not await functions.load(client)  # the one that was promoted had them
    await asyncio.to_thread(six.wait_until_whole)
    assert six.primary_of(slot_of(topups.keys[0].meta)) is not lost


async def test_what_was_promoted_and_lacks_something_does_not_go_on(
    six: ValkeyCluster, topups: Topups, database: Database, watch: Watch
) -> None:
    """Of a replica that was behind: its partitions are refused, and every lane is held.

    It can only be in the books where nobody waited for the replica; here it is put there.
    """
    await until(lambda: verified(watch))
    names = topups.keys[0]
    lost = six.primary_of(slot_of(names.meta))
    replica = six.replicas_of(lost)[0]
    replica.ask("CONFIG", "SET", "masterauth", "wrong")
    lost.ask("CLIENT", "KILL", "TYPE", "REPLICA")
    entry = lost.ask("XADD", names.outcomes, "*", "x", "y")
    milliseconds, _, sequence = entry.partition("-")
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO positions (stream, entry_ms, entry_seq) VALUES (%s, %s, %s)",
            (names.outcomes, int(milliseconds), int(sequence)),
        )
    await asyncio.to_thread(lost.kill)
    await asyncio.to_thread(six.wait_until_promoted, lost)

    await until(lambda: watch.standings[0] is Standing.LOST)
    with pytest.raises(NotAccepted):
        await accept(topups, 0, str(uuid7()))
    held = [await topups.lanes(partition) for partition in range(PARTITIONS)]
    assert {lanes[LANE].reason for lanes in held} == {Reason.STREAMS_LOST.value}
    for node in six.nodes:
        if node.lives():
            node.ask("CONFIG", "SET", "masterauth", six.password)
    lost.revive()  # by the thread that lives as long as it should
    await asyncio.to_thread(six.wait_until_whole)
