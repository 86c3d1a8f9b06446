"""A note beside a data folder that it once was complete: nothing is made anew in its place.

An empty server would start as gladly as a new one, and every topup it held would be forgotten.
"""

from pathlib import Path

from ops.errors import CommandFailed


def note_made(folder: Path) -> None:
    """Remember that this folder is complete."""
    _note(folder).touch(mode=0o600)


def refuse_lost(folder: Path, *, complete: bool) -> None:
    """Refuse to go on with an incomplete folder that was complete before.

    Raises:
        CommandFailed: it was, and is not.
    """
    if not complete and _note(folder).exists():
        raise CommandFailed(
            f"the data of {folder} is gone, or a part of it: bring it back, "
            f"or remove {folder.parent} to start anew"
        )


def _note(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.made")
