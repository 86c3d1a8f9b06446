"""Who shares a round trip with whom, and who waits for it."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.contracts.errors import NotKnown
from shared.runtime.batching import Batcher


class Trips:
    """A round trip that notes what went together, and comes back when it is let."""

    def __init__(self) -> None:
        self.taken: list[list[int]] = []
        self.left = asyncio.Event()
        self.back = asyncio.Event()

    async def run(self, items: Sequence[int]) -> Sequence[int]:
        self.taken.append(list(items))
        self.left.set()
        await self.back.wait()
        return items


def test_what_arrives_during_a_round_trip_goes_together_in_the_next() -> None:
    async def story() -> list[list[int]]:
        trips = Trips()
        batcher = Batcher(trips.run)
        first = asyncio.create_task(batcher(1))
        await trips.left.wait()
        others = [asyncio.create_task(batcher(each)) for each in (2, 3)]
        await asyncio.sleep(0)
        trips.back.set()
        assert await asyncio.gather(first, *others) == [1, 2, 3]
        return trips.taken

    assert asyncio.run(story()) == [[1], [2, 3]]


def test_what_gathers_goes_with_who_comes_a_little_later() -> None:
    async def story() -> list[list[int]]:
        trips = Trips()
        trips.back.set()
        batcher = Batcher(trips.run, gather_s=0.2)
        first = asyncio.create_task(batcher(1))
        for _ in range(10):
            await asyncio.sleep(0)
        assert list(await asyncio.gather(first, batcher(2))) == [1, 2]
        return trips.taken

    assert asyncio.run(story()) == [[1, 2]]


def test_a_full_batch_waits_for_nobody() -> None:
    async def story() -> list[list[int]]:
        trips = Trips()
        trips.back.set()
        batcher = Batcher(trips.run, size_max=2, gather_s=3_600)
        await asyncio.gather(batcher(1), batcher(2))
        return trips.taken

    assert asyncio.run(story()) == [[1, 2]]


def test_who_has_waited_long_enough_is_told_and_what_was_not_sent_never_is() -> None:
    """The others go on waiting."""

    async def story() -> list[list[int]]:
        trips = Trips()
        batcher = Batcher(trips.run)
        patient = asyncio.create_task(batcher(1, within_s=60))
        await trips.left.wait()
        for hasty in (2, 3):
            with pytest.raises(TimeoutError):
                await batcher(hasty, within_s=0)
        assert not patient.done()
        trips.back.set()
        assert list(await asyncio.gather(patient, batcher(4))) == [1, 4]
        return trips.taken

    assert asyncio.run(story()) == [[1], [4]]


def test_a_round_trip_may_end_after_who_asked_has_gone() -> None:
    async def story() -> None:
        trips = Trips()
        batcher = Batcher(trips.run)
        with pytest.raises(TimeoutError):
            await batcher(1, within_s=0.01)
        trips.back.set()
        assert await batcher(2, within_s=60) == 2

    asyncio.run(story())


@pytest.mark.parametrize("replies", [[], [1], [1, 2, 3]])
def test_replies_that_nobody_can_tell_apart_are_not_known(replies: list[int]) -> None:
    """No caller is given another one's, none waits for ever, and the next round trip is as ever."""

    async def run(items: Sequence[int]) -> Sequence[int]:
        return items if list(items) == [4] else replies

    async def story() -> None:
        batcher = Batcher(run, gather_s=0.01)
        for told in await asyncio.gather(batcher(1), batcher(2), return_exceptions=True):
            assert isinstance(told, NotKnown)
        assert await batcher(4) == 4

    asyncio.run(asyncio.wait_for(story(), 10))


def test_a_round_trip_that_is_cancelled_leaves_nobody_waiting() -> None:
    """Neither who was in it nor who waited for the next; whoever asks then is answered."""

    async def story() -> None:
        trips = Trips()
        batcher = Batcher(trips.run)
        first = asyncio.create_task(batcher(1))
        await trips.left.wait()
        second = asyncio.create_task(batcher(2))
        await asyncio.sleep(0)
        assert batcher._task is not None
        batcher._task.cancel()
        for told in await asyncio.gather(first, second, return_exceptions=True):
            assert isinstance(told, NotKnown)
        trips.back.set()
        assert await batcher(3) == 3

    asyncio.run(asyncio.wait_for(story(), 10))
