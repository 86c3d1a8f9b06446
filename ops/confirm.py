"""Asks before something is taken away; a script says --yes, and anyone may look first."""

import sys

from ops.errors import CommandFailed


def confirmed(what: str, *, yes: bool, dry_run: bool) -> bool:
    """Return whether to do it; `what` goes on from "this will …".

    Raises:
        CommandFailed: the answer was no, or nobody is there to be asked.
    """
    if dry_run:
        sys.stdout.write(f"this would {what}; nothing was changed\n")
        return False
    if yes:
        return True
    if not sys.stdin.isatty():
        raise CommandFailed(
            f"this would {what}: say --yes to do it, or --dry-run to look", status=2
        )
    sys.stderr.write(f"This will {what}.\nGo on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise CommandFailed("nothing was changed")
    return True
