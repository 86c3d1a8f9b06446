"""The verdict says no to what no single witness can see: too much doubt, and work left lying."""

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tests.chaos.run import Happened, Told
from tests.chaos.schedule import Fault
from tests.chaos.settings import read
from tests.chaos.verdict import print_verdict
from tests.unit.chaos.test_verifier import ID, KEY, all_is_well

SETTLED_MS = 100_000
A_SECOND = range(0, SETTLED_MS, 1_000)
A_SLOW_MACHINE = range(0, SETTLED_MS, 5_000)


def fault(kind: str, target: str, at_ms: int) -> Happened:
    """One that was over at once."""
    return Happened(Fault(at_s=0, kind=kind, target=target, for_s=0, pick=0), at_ms, at_ms)


def told(
    *happened: Happened,
    provider: str = "neither",
    at_last: str = "succeeded",
    others: range = A_SECOND,
) -> Told:
    """Return a run of one topup that was open for 100 s, while others went by one by one."""
    sources = all_is_well()
    sources.streams.settled_ms[ID] = SETTLED_MS
    for at_ms in others:
        sources.streams.accepted_ms[f"at {at_ms}"] = at_ms
        sources.streams.settled_ms[f"at {at_ms}"] = at_ms + others.step
    heard = msgspec.structs.replace(sources.merchant[KEY], at_last=at_last)
    return Told(
        settings=read({"SEED": "1", "PROVIDER": provider}),
        sources=msgspec.structs.replace(sources, merchant={KEY: heard}),
        violations=[],
        happened=list(happened),
        lines=[],
        folder=Path("/nonexistent"),
        took_s=1.0,
    )


def holds(run: Told) -> bool:
    """Return the verdict."""
    return print_verdict(run, Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("at_ms", "fine"), [([], False), ([50_000], False), ([20_000, 40_000, 60_000, 80_000], True)]
)
def test_a_topup_that_lies_about_in_quiet_is_seen(at_ms: list[int], fine: bool) -> None:
    """A fault now and then excuses it; 25 s without one, in which others pass, do not."""
    assert holds(told(*(fault("kill", "dispatcher", at) for at in at_ms))) is fine


def test_a_slow_machine_is_no_broken_one() -> None:
    """Where each topup takes 5 s, 100 s are as much as 20 s elsewhere."""
    assert holds(told(others=A_SLOW_MACHINE))


def test_who_must_wait_may_wait() -> None:
    """For a provider that was away, or for the quarantine of a send."""
    assert holds(told(fault("cut", "dispatcher-provider", 40_000)))
    assert holds(told(provider="inquiry"))


@pytest.mark.parametrize(
    ("happened", "provider", "fine"),
    [
        ("gateway", "neither", False),
        ("dispatcher", "neither", True),
        ("dispatcher", "inquiry", False),
        ("dispatcher", "dedupes", False),
    ],
)
def test_a_doubt_needs_a_reason(happened: str, provider: str, fine: bool) -> None:
    """A sender that died, at a provider that tells nobody."""
    faults = [fault("kill", happened, at) for at in range(0, SETTLED_MS, 20_000)]
    assert holds(told(*faults, provider=provider, at_last="unresolved")) is fine
