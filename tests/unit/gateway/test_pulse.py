"""What the live picture says of the last minute, from counters and a sample."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.page.frames import RATE_S, WINDOW_S
from services.gateway.page.pulse import Pulse, Tally


def counted(pulse: Pulse, at_s: float, accepted: int, **ends: tuple[int, int, int]) -> None:
    pulse.count(Tally(at_s, accepted, ends))


def test_one_look_tells_no_rate() -> None:
    """A rate needs two moments; until then nothing is claimed."""
    pulse = Pulse()
    assert pulse.rates() is None
    counted(pulse, 100, 50, LATCOM=(40, 1, 0))
    assert pulse.rates() is None
    assert pulse.share("LATCOM") == (None, None)


def test_rates_are_of_the_last_seconds() -> None:
    """What was before does not count any more."""
    pulse = Pulse()
    counted(pulse, 0, 0, LATCOM=(0, 0, 0))
    counted(pulse, 10, 1_000, LATCOM=(900, 0, 0))
    counted(pulse, 10 + RATE_S, 1_010, LATCOM=(905, 5, 0), DTONE=(5, 0, 5))
    rates = pulse.rates()
    assert rates is not None
    assert (rates.accepted, rates.succeeded) == (10 / RATE_S, 10 / RATE_S)
    assert (rates.failed, rates.unresolved) == (1, 1)


def test_the_share_is_of_what_ended_in_the_last_minute() -> None:
    """By provider; of one where nothing ended there is none."""
    pulse = Pulse()
    counted(pulse, 0, 0, LATCOM=(0, 100, 0))
    counted(pulse, 30, 0, LATCOM=(90, 105, 5))
    counted(pulse, 31, 0, LATCOM=(90, 105, 5), DTONE=(0, 0, 0))
    assert pulse.share("LATCOM") == (100, 0.9)
    assert pulse.share("DTONE") == (0, None)
    counted(pulse, 31 + WINDOW_S, 0, LATCOM=(90, 105, 5))
    assert pulse.share("LATCOM") == (0, None)


def test_what_people_settle_ends_once_more_and_takes_nothing_away() -> None:
    """An unresolved one that is settled makes no negative rate."""
    pulse = Pulse()
    counted(pulse, 0, 10, LATCOM=(0, 0, 10))
    counted(pulse, 1, 10, LATCOM=(1, 0, 9))
    rates = pulse.rates()
    assert rates is not None
    assert (rates.succeeded, rates.unresolved) == (1, 0)


def test_lost_streams_begin_anew() -> None:
    """Counters that go back are other counters."""
    pulse = Pulse()
    counted(pulse, 0, 1_000, LATCOM=(1_000, 0, 0))
    counted(pulse, 1, 3, LATCOM=(1, 0, 0))
    assert pulse.rates() is None
    counted(pulse, 2, 4, LATCOM=(2, 0, 0))
    rates = pulse.rates()
    assert rates is not None
    assert rates.accepted == 1


def test_times_are_those_of_the_last_minute() -> None:
    """By provider and of all; what is older is forgotten."""
    pulse = Pulse()
    for took_ms in range(1, 101):
        pulse.time(0, "LATCOM", took_ms)
    pulse.time(30, "DTONE", 5_000)
    all_ = pulse.took(30, pulse.providers)
    latcom = pulse.took(30, ["LATCOM"])
    assert latcom is not None
    assert all_ is not None
    assert (latcom.p50_ms, latcom.p95_ms, latcom.of) == (50, 95, 100)
    assert (all_.p95_ms, all_.of) == (96, 101)
    assert pulse.took(1 + WINDOW_S, ["LATCOM"]) is None
    assert pulse.took(1 + WINDOW_S, ["NOBODY"]) is None


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=300))
def test_so_many_took_no_longer(took_ms: list[int]) -> None:
    """Of a hundred, at least 50 and 95, and it is a time that was measured."""
    pulse = Pulse()
    for one in took_ms:
        pulse.time(0, "LATCOM", one)
    told = pulse.took(0, ["LATCOM"])
    assert told is not None
    for share, value in ((0.5, told.p50_ms), (0.95, told.p95_ms)):
        assert value in took_ms
        within = sum(one <= value for one in took_ms) / len(took_ms)
        assert within >= share or within == pytest.approx(share)
