"""The seeded bugs can still be sown: none has rotted while the code went on."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.selftest import ROOT, RUN, Bug, bugs
from tests.chaos.settings import read

BUGS = list(bugs())
ENOUGH = 15


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_sown(bug: Bug, tmp_path: Path) -> None:
    """Its patch fits, names only what is there, says what it does, and its run is understood."""
    for changed in bug.files:
        (tmp_path / changed).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / changed, tmp_path / changed)
    subprocess.run(["git", "apply", str(bug.patch)], cwd=tmp_path, check=True)
    sown = [str(tmp_path / changed) for changed in bug.files if changed.endswith(".py")]
    names = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F823", *sown]
    subprocess.run(names if sown else ["true"], check=True)
    assert bug.said.endswith(".")
    read({**RUN, **bug.settings})


def test_bugs_are_many() -> None:
    """Each another mistake."""
    assert len({bug.said for bug in BUGS}) >= ENOUGH
