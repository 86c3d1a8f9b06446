"""PostgreSQL's data folder: made completely or not at all, where its account can reach it."""

import os
import secrets as chance
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from ops.children import Account, as_account
from ops.errors import CommandFailed
from ops.servers.account import server_account
from ops.servers.made import note_made, refuse_lost
from ops.servers.places import INSTEAD, private_place, reachable_programs, remember


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
    programs = reachable_programs(account)
    if folder.is_symlink() and not folder.exists():
        raise CommandFailed(
            f"the data of {folder} is gone from {folder.readlink()}: bring it back, "
            f"or remove {folder.parent} to start anew"
        )
    refuse_lost(folder, complete=(folder / "PG_VERSION").exists())
    if not folder.exists():
        _make(folder, secrets, programs, account)
    note_made(folder)
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
    place = private_place(making, account)
    password = chance.token_urlsafe(24)
    _write_private(secrets, password)
    _write_private(place / "password", password, account)
    _initdb(programs, place, account)
    (place / "password").unlink()
    if making.is_symlink():
        remember(place, folder)
        folder.symlink_to(place / "data")
        making.unlink()
    else:
        (place / "data").rename(folder)
        place.rmdir()


def _initdb(programs: Path, place: Path, account: Account | None) -> None:
    options = ["--username=topup", "--auth=scram-sha-256", f"--pwfile={place / 'password'}"]
    try:
        done = subprocess.run(
            [programs / "initdb", *options, "--encoding=UTF8", "--locale=C", place / "data"],
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            **as_account(account),
        )
    except OSError as error:  # also where root may not change its user
        raise CommandFailed(f"PostgreSQL cannot be run: {error.strerror}; {INSTEAD}") from None
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CommandFailed(
            f"PostgreSQL could not make its data folder in {place}: {reason}; {INSTEAD}"
        )


def _write_private(path: Path, text: str, account: Account | None = None) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(text)
    if account is not None:
        os.chown(path, account.uid, account.gid)
