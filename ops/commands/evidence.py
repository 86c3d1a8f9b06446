"""`topup evidence`: one sale as a file that a third party can verify without us."""

import os
import re
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ops.errors import CommandFailed
from ops.files import check_new, readable

evidence = App(name="evidence", help_format="plaintext")
_EXAMPLE = "for example: topup evidence verify evidence-0195f2c4-7a1e-7c3b-9a50-2f6d1c0b8e11.zip"
_TO_EXAMPLE = "for example --to sale.zip"
_FINGERPRINT = re.compile("[0-9a-fA-F]{64}")
File = Annotated[Path, Parameter(name="FILE", allow_leading_hyphen=False)]


@evidence.default
def make(
    which: Annotated[str, Parameter(name="WHAT")],
    /,
    *,
    to: Annotated[Path | None, Parameter(name="--to")] = None,
) -> None:
    """Write the evidence of one topup to a new file, signed by the ledger.

    Args:
        which: Its id, a reference or the phone, as for `topup explain`.
        to: The file; else evidence-ID.zip here. It holds the phone, and is readable by you alone.
    """
    from ops.admin import fetch
    from ops.commands.explain import chosen

    if to is not None:
        check_new(f"--to {to}", to, example=_TO_EXAMPLE)
    topup_id = chosen(which)
    packed = fetch(f"/api/admin/topups/{topup_id}/evidence")
    path = to or Path(f"evidence-{topup_id}.zip")
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
            out.write(packed)
    except OSError as problem:
        raise CommandFailed(
            f"{path} cannot be made: {problem.strerror}; {_TO_EXAMPLE}", status=2
        ) from None
    sys.stdout.write(f"{path}\n")


@evidence.command
def verify(
    file: File,
    /,
    *,
    key: Annotated[str | None, Parameter(name="--key")] = None,
) -> int:
    """Check a file by itself: it needs neither a server nor a setting. Status 1 where it is wrong.

    Args:
        file: As `topup evidence` wrote it.
        key: The fingerprint that the key must have, as its owner published it.
    """
    if key is not None and not _FINGERPRINT.fullmatch(key):
        raise CommandFailed(
            f"--key {key[:64]!r} is no fingerprint of 64 hex digits, as topup doctor prints it; "
            f"{_EXAMPLE}",
            status=2,
        )
    from services.ledger.evidence import BYTES_MAX, NotEvidence
    from services.ledger.evidence import verify as verified

    with readable(str(file), example=_EXAMPLE), file.open("rb") as given:
        packed = given.read(BYTES_MAX)
    try:
        found = verified(packed)
    except NotEvidence as problem:
        raise CommandFailed(f"{file}: {problem}; {_EXAMPLE}", status=2) from None
    wrong = [check for check in found.checks if check.broken]
    for check in found.checks:
        mark = f"✗ {check.promise}: not {check.example}" if check.broken else f"✓ {check.promise}"
        sys.stdout.write(f"{mark}\n")
    sys.stdout.write(f"  topup {found.topup_id}, as it was at {found.made_at}\n")
    sys.stdout.write(f"  key {found.fingerprint}: its owner publishes this\n")
    sys.stdout.flush()
    if key is not None and key.lower() != found.fingerprint:
        raise CommandFailed("it is signed by another key than the one that --key names")
    return 1 if wrong else 0
