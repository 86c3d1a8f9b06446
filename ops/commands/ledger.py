"""`topup ledger`: check the books, or tell two of them apart."""

import asyncio
import sys

from cyclopts import App

ledger = App(name="ledger", help_format="plaintext")


@ledger.command
def verify() -> None:
    """Check the books against themselves; status 1 where they differ."""
    sys.exit(asyncio.run(_verify()))


@ledger.command
def digest() -> None:
    """Print a digest of the books; equal books have equal digests."""
    asyncio.run(_digest())


async def _verify() -> int:
    from ops.books import open_database
    from services.ledger.audit import Audit

    async with open_database() as database:
        checks = await Audit(database).verify()
    for check in checks:
        mark = "✗" if check.broken else "✓"
        found = f": not for {check.broken}, one is {check.example}" if check.broken else ""
        sys.stdout.write(f"{mark} {check.promise}{found}\n")
    return 1 if any(check.broken for check in checks) else 0


async def _digest() -> None:
    from ops.books import open_database
    from services.ledger.audit import Audit

    async with open_database() as database:
        sys.stdout.write(f"{await Audit(database).digest()}\n")
