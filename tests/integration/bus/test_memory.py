"""What a settled topup takes in Valkey."""

import pytest

from bench.memory import measure

pytestmark = pytest.mark.integration

BYTES_MAX = 1_024


async def test_a_settled_topup_takes_at_most_a_kilobyte(redis_url: str) -> None:
    """All of it: record, key, both entries, and their places in the server's tables."""
    took = await measure(redis_url, topups=5_000)
    assert took.grown <= BYTES_MAX, took
    parts = took.record + took.key + took.lane + took.outcomes
    assert parts < took.grown, "what is measured is what was settled"
