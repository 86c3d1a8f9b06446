"""Who PostgreSQL runs as, and where that account can reach: it refuses to run as root."""

import os
import pwd
import stat
from pathlib import Path

from ops.children import Account
from ops.errors import CommandFailed


def server_account() -> Account | None:
    """Return the account to change to, or None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise CommandFailed(
        "PostgreSQL refuses to run as root and there is no user `postgres` or `nobody`: run as "
        "another user, or set DATABASE_URL, for example postgresql://user:password@host:5432/topup"
    )


def can_enter(path: Path, account: Account) -> bool:
    """Whether the account may pass through every folder down to and including this one."""
    path = path.resolve()
    return all(_may_pass(folder.stat(), account) for folder in (path, *path.parents))


def _may_pass(entry: os.stat_result, account: Account) -> bool:
    if entry.st_uid == account.uid:
        return bool(entry.st_mode & stat.S_IXUSR)
    if entry.st_gid == account.gid:
        return bool(entry.st_mode & stat.S_IXGRP)
    return bool(entry.st_mode & stat.S_IXOTH)
