"""`make rolling` says what is missing where the earlier version cannot be had."""

import subprocess
from pathlib import Path

import pytest

from tests.rolling.earlier import NAMED, NoEarlierVersion, commit_named, unpack

NOBODYS = "0" * 39 + "1"


def git(folder: Path, *words: str) -> str:
    """Run git there as somebody."""
    somebody = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    done = subprocess.run(
        ["git", "-C", str(folder), *somebody, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two commits."""
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    for text in ("earlier", "now"):
        (folder / "file").write_text(text)
        git(folder, "add", "file")
        git(folder, "commit", "-qm", text)
    return folder


def test_the_file_names_one_commit() -> None:
    """The one that `make rolling` begins with."""
    assert len(commit_named(NAMED)) == 40


def test_the_earlier_version_is_unpacked(repository: Path, tmp_path: Path) -> None:
    """As it was, whatever the present one looks like."""
    unpack(git(repository, "rev-parse", "HEAD~1"), tmp_path / "earlier", root=repository)
    assert (tmp_path / "earlier" / "file").read_text() == "earlier"


@pytest.mark.parametrize("text", ["", "# only a comment\n", "HEAD~1\n", f"{NOBODYS}\n{NOBODYS}\n"])
def test_a_file_that_names_none_is_told(tmp_path: Path, text: str) -> None:
    """With what would do."""
    file = tmp_path / "EARLIER"
    file.write_text(text)
    with pytest.raises(NoEarlierVersion, match="for example: git rev-parse"):
        commit_named(file)


def test_a_commit_that_is_not_there_is_told(repository: Path, tmp_path: Path) -> None:
    """In a clone, in a shallow one, and where there is no repository at all."""
    with pytest.raises(NoEarlierVersion, match=r"has no commit 0{12}.*git fetch --all"):
        unpack(NOBODYS, tmp_path / "earlier", root=repository)
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository}", str(shallow))
    earlier = git(repository, "rev-parse", "HEAD~1")
    with pytest.raises(NoEarlierVersion, match=r"shallow.*git fetch --unshallow"):
        unpack(earlier, tmp_path / "earlier", root=shallow)
    with pytest.raises(NoEarlierVersion, match="is no git repository"):
        unpack(NOBODYS, tmp_path / "earlier", root=tmp_path)
    assert not (tmp_path / "earlier").exists()
