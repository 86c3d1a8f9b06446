"""What was put aside for people goes by age alone."""

import pytest

from shared.contracts.limits import DEAD_RETENTION_MS
from tests.integration.bus.bench import LANE, Bench

pytestmark = pytest.mark.integration


async def test_copies_for_people_are_dropped_after_their_time(bench: Bench) -> None:
    """And none of them before, whatever the retention of the streams is."""
    then_ms = await bench.topups.now_ms() - DEAD_RETENTION_MS
    for at_ms, name in [(then_ms - 1, "old"), (then_ms + 60_000, "young")]:
        await bench.client.xadd(bench.keys.dead, {"id": name, "reason": "why"}, id=f"{at_ms}-0")
    assert await bench.topups.trim(providers=[LANE], retention_ms=60_000) == 1
    assert await bench.dead() == [("young", "why")]
