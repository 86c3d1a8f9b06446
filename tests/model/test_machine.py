"""Valkey is what the model is in every life of a topup, and the money is what the provider's book
says; and a bug in either is seen.

`EXAMPLES=10000` is the long form, `make model-long`; its seed is drawn, and printed. The bugs are
sown by `make test-long`, and by `make model-long BUGS=1`.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from shared.bus import functions
from shared.runtime.redis import connect
from tests.chaos.selftest import ROOT, Bug, bugs
from tests.model.lives import Lives, Server
from tests.model.machine import load_with_clock

pytestmark = pytest.mark.integration

EXAMPLES = int(os.environ.get("EXAMPLES", "0"))
EXAMPLES_SHORT = 40
SEEN_WITHIN = 1_000
STEPS = 50
LIBRARY = "shared/bus/topups.lua"
SEEN = (
    "counters_not_moved", "ended_in_silence", "ended_unacknowledged", "expired_in_doubt",
    "late_yes_refused", "never_heard_believed_at_once", "no_nonce_checked",
    "sent_again_after_the_lease", "taken_over_without_doubt", "unknown_is_not_sent",
)  # fmt: skip
"""The bugs of `tests/chaos/bugs` that are in the functions alone, and in one topup's life."""

QUICK = ("taken_over_without_doubt",)
SOWN = [
    pytest.param(bug, marks=() if bug.name in QUICK else pytest.mark.long)
    for bug in bugs()
    if bug.name in SEEN
]


@pytest.fixture
def server(redis_url: str) -> Iterator[None]:
    """One loop, one client, and the library with a clock that is told."""
    with asyncio.Runner() as runner:
        Server.runner = runner
        Server.client = connect(redis_url)
        runner.run(load_with_clock(Server.client, functions.source()))
        runner.run(Server.client.config_set("appendfsync", "no"))  # no disk is lost here
        yield
        runner.run(Server.client.config_set("appendfsync", "always"))
        runner.run(Server.client.execute_command("FUNCTION", "FLUSH"))
        runner.run(Server.client.aclose())


def live(examples: int, *, drawn: int = 0, phases: Collection[Phase] = tuple(Phase)) -> None:
    """Live so many examples; always the same ones where no seed is drawn."""
    run_state_machine_as_test(
        seed(drawn)(Lives) if drawn else Lives,
        settings=settings(
            max_examples=examples, stateful_step_count=STEPS, deadline=None, database=None,
            derandomize=not drawn, phases=phases, suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip


def test_valkey_and_the_model_agree(server: None, capsys: pytest.CaptureFixture[str]) -> None:
    """After each step, in every field, with the same replies; and nobody is paid twice."""
    drawn = int(os.environ.get("SEED", "0")) or int.from_bytes(os.urandom(4))
    examples = EXAMPLES or EXAMPLES_SHORT
    with capsys.disabled():
        how = f"seed {drawn}" if EXAMPLES else "always the same"
        sys.stdout.write(f"\n{examples} examples, {how}\n")
    live(examples, drawn=drawn if EXAMPLES else 0)


@pytest.mark.parametrize("bug", SOWN, ids=lambda bug: bug.name)
def test_a_bug_in_the_functions_is_seen(server: None, tmp_path: Path, bug: Bug) -> None:
    """What each seeded bug does differs from the model, within so many examples."""
    copy = tmp_path / LIBRARY
    copy.parent.mkdir(parents=True)
    copy.write_bytes((ROOT / LIBRARY).read_bytes())
    subprocess.run(["git", "apply", str(bug.patch)], cwd=tmp_path, check=True)
    Server.runner.run(load_with_clock(Server.client, copy.read_bytes()))
    with pytest.raises(AssertionError):
        live(SEEN_WITHIN, drawn=int(os.environ.get("SEED", "1")), phases=[Phase.generate])
