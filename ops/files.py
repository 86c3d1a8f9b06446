"""Files that a command is given, or makes: refused in one line, made whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Final

from ops.errors import CommandFailed

_INTERRUPTED: Final = 130


def check_new(named: str, file: Path, *, example: str, suffixes: tuple[str, ...] = ()) -> None:
    """Refuse, before any work is done, a file that cannot be made; `named` is how it was given.

    Raises:
        CommandFailed: it ends otherwise, is there already, or is in no folder.
    """
    if suffixes and not file.name.endswith(suffixes):
        problem = f"does not end in {', '.join(suffixes)}"
    elif os.path.lexists(file):
        problem = "is there already"
    elif not file.parent.is_dir():
        problem = "is in no folder"
    else:
        return
    raise CommandFailed(f"{named} {problem}; {example}", status=2)


@contextmanager
def made_whole(file: Path) -> Iterator[IO[bytes]]:
    """Yield what becomes the file when the block ends, on disk; it is its owner's alone.

    Raises:
        OSError: it cannot be made, or somebody made it meanwhile; there is nothing of ours.
    """
    with NamedTemporaryFile(dir=file.parent, suffix=".part") as making:
        yield making
        making.flush()
        os.fsync(making.fileno())
        os.link(making.name, file)


@contextmanager
def made_new(file: Path, *, suffix: str, example: str) -> Iterator[IO[bytes]]:
    """Yield what becomes the file that a command was asked for; how it goes wrong is one line.

    Raises:
        CommandFailed: `check_new` refuses it, it cannot be made, or somebody interrupted it.
    """
    check_new(str(file), file, example=example, suffixes=(suffix,))
    try:
        with made_whole(file) as making:
            yield making
    except KeyboardInterrupt:
        raise CommandFailed(
            f"interrupted: {file} was not made; it can be run again", status=_INTERRUPTED
        ) from None
    except OSError as problem:
        raise CommandFailed(f"{file} cannot be made: {problem.strerror}; {example}") from None


@contextmanager
def readable(named: str, *, example: str) -> Iterator[None]:
    """Say in one line that a file, given as `named`, cannot be read.

    Raises:
        CommandFailed: the block could not read it.
    """
    try:
        yield
    except (OSError, ValueError) as problem:  # ValueError: a name that no file can have
        why = problem.strerror if isinstance(problem, OSError) else problem
        raise CommandFailed(f"{named} cannot be read: {why}; {example}", status=2) from None
