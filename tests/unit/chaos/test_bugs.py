"""The seeded bugs can still be sown: none has rotted while the code went on."""

import subprocess

import pytest

from tests.chaos.selftest import ROOT, RUN, Bug, bugs
from tests.chaos.settings import read

BUGS = list(bugs())
ENOUGH = 15


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_sown(bug: Bug) -> None:
    """Its patch fits the code as it is, says what it does, and its run is understood."""
    subprocess.run(["git", "apply", "--check", str(bug.patch)], cwd=ROOT, check=True)
    assert bug.said.endswith(".")
    read({**RUN, **bug.settings})


def test_bugs_are_many() -> None:
    """Each another mistake."""
    assert len({bug.said for bug in BUGS}) >= ENOUGH
