"""The earlier version: named by a file, unpacked from git; what is missing is said in one line."""

import subprocess
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
NAMED: Final = Path(__file__).with_name("EARLIER")


class NoEarlierVersion(Exception):
    """It cannot be had here; the text says what is missing and how to get it."""


def commit_named(file: Path = NAMED) -> str:
    """Return the commit; raises NoEarlierVersion where the file names none."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    if len(lines) != 1 or len(lines[0]) != 40 or set(lines[0]) - set("0123456789abcdef"):
        raise NoEarlierVersion(
            f"{file.name} does not name one commit in full; for example: "
            "git rev-parse HEAD~10 > tests/rolling/EARLIER"
        )
    return lines[0]


def unpack(commit: str, into: Path, *, root: Path = ROOT) -> None:
    """Unpack that version.

    Raises:
        NoEarlierVersion: there is no git, no repository, or not that commit.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "archive", commit], capture_output=True, check=False
        )
    except FileNotFoundError:
        raise NoEarlierVersion("git is missing: apt-get install git") from None
    if done.returncode:
        raise NoEarlierVersion(_why_not(commit, root, done.stderr.decode(errors="replace")))
    into.mkdir(parents=True)
    with tarfile.open(fileobj=BytesIO(done.stdout)) as packed:
        packed.extractall(into, filter="data")


def _why_not(commit: str, root: Path, said: str) -> str:
    asked = ["git", "-C", str(root), "rev-parse", "--is-shallow-repository"]
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    if told.returncode:
        return (
            f"{root} is no git repository, so the earlier version {commit[:12]} cannot be had: "
            "run this in a clone with its history"
        )
    if told.stdout.strip() == "true":
        return (
            f"this clone is shallow and has no commit {commit[:12]}, the earlier version: "
            "git fetch --unshallow"
        )
    line = (said.strip().splitlines() or ["git said nothing"])[0]
    return f"this clone has no commit {commit[:12]}, the earlier version ({line}): git fetch --all"
