"""`make chaos-self-test`: seeded bugs, each in a copy of the code, each to be caught by a run.

A bug is a patch in `tests/chaos/bugs`. What stands above its first `diff` line is read by people,
but for the lines `NAME=value`: they are the settings of the run that must catch it. Where a run
does not meet the bug, the next seed is tried, as long as the two minutes last.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

ROOT: Final = Path(__file__).parents[2]
BUGS: Final = Path(__file__).parent / "bugs"
CAUGHT_S_MAX: Final = 120.0
RUN: Final = {"SEED": "7", "MINUTES": "0.25", "TOPUPS": "800", "EACH": "2", "REST": "30"}
WIDE: Final = "200"
_CHANGED: Final = re.compile(r"^\+\+\+ b/(\S+)$", re.MULTILINE)
_SETTING: Final = re.compile(r"^([A-Z]+)=(\S+)$", re.MULTILINE)


class Bug(msgspec.Struct, frozen=True):
    """A mistake that somebody could make, and the run that must see it."""

    name: str
    patch: Path
    settings: dict[str, str]

    @property
    def said(self) -> str:
        """What the bug does, in a sentence."""
        return self.patch.read_text().partition("\n")[0]

    @property
    def files(self) -> list[str]:
        """Which files it changes."""
        return _CHANGED.findall(self.patch.read_text())


def bugs() -> Iterator[Bug]:
    """Yield every bug, by name."""
    for patch in sorted(BUGS.glob("*.patch")):
        head = patch.read_text().partition("\ndiff ")[0]
        yield Bug(patch.stem, patch, dict(_SETTING.findall(head)))


def copy_with(bug: Bug, folder: Path) -> None:
    """Lay the committed and uncommitted code into the folder, with the bug in it.

    Raises:
        subprocess.CalledProcessError: the patch does not fit any more.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    subprocess.run(["git", "apply", str(bug.patch)], cwd=folder, check=True)


def is_caught(bug: Bug, folder: Path) -> tuple[bool, float, str]:
    """Run chaos on the copy, seed by seed; return whether one said no, after how long, and what."""
    begun = time.monotonic()
    seed, words = int(RUN["SEED"]), ""
    while (left_s := CAUGHT_S_MAX - (time.monotonic() - begun)) > 0:
        caught, words = _says_no(bug, folder, str(seed), left_s)
        if caught:
            return True, time.monotonic() - begun, words
        seed += 1
    return False, time.monotonic() - begun, words


def _says_no(bug: Bug, folder: Path, seed: str, within_s: float) -> tuple[bool, str]:
    environ = {**os.environ, **RUN, **bug.settings, "SEED": seed, "COLUMNS": WIDE}
    with subprocess.Popen(
        [sys.executable, "-m", "tests.chaos"],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            out, problems = run.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGINT)  # it takes down what it has started
            run.communicate()
            return False, "it did not end"
    words = [line for line in out.splitlines() if line.startswith("✗")]
    return run.returncode == 1 and bool(words), words[0] if words else problems[-500:]


def main() -> int:
    """Let every bug loose, or those that are named; return 1 where one got through."""
    wanted = set(sys.argv[1:])
    missed: list[str] = []
    for bug in bugs():
        if wanted and bug.name not in wanted:
            continue
        with TemporaryDirectory(prefix="topup-bug-") as name:
            copy_with(bug, Path(name))
            caught, took_s, words = is_caught(bug, Path(name))
        if not caught:
            missed.append(bug.name)
        verdict = "caught" if caught else "MISSED"
        sys.stdout.write(f"| {bug.name} | {bug.said} | {verdict} | {took_s:.0f} s | {words} |\n")
        sys.stdout.flush()
    sys.stdout.write(f"missed: {', '.join(missed) or 'none'}\n")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
