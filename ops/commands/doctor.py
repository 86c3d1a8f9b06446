"""`topup doctor`: is everything as it must be, and if not, what to do."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ops.errors import CommandFailed

if TYPE_CHECKING:
    from ops.checks.finding import Finding


def doctor() -> int:
    """Check settings, durability, functions, schema, lanes and clocks; status 1 on any problem."""
    import asyncio

    from rich.console import Console

    from ops.connections import environment_here

    environ = environment_here(os.environ, needed=("REDIS_URL", "DATABASE_URL"))
    findings = asyncio.run(_look(environ))
    console = Console(highlight=False)
    width = max(len(finding.subject) for finding in findings)
    for finding in findings:
        mark = "[green]✓[/]" if finding.remedy is None else "[red]✗[/]"
        console.print(f"{mark} {finding.subject:<{width}}", end="  ")
        console.print(finding.found, markup=False, soft_wrap=True)
        if finding.remedy is not None:
            console.print(f"  {'':<{width}}  → {finding.remedy}", markup=False, soft_wrap=True)
    problems = sum(finding.remedy is not None for finding in findings)
    if problems:
        raise CommandFailed(f"{problems} of {len(findings)} checks found a problem")
    return 0


async def _look(environ: Mapping[str, str]) -> list["Finding"]:
    from ops.checks.books import check_books
    from ops.checks.clocks import check_clocks
    from ops.checks.database import check_database
    from ops.checks.evidence import check_evidence
    from ops.checks.settings import check_offered, check_settings
    from ops.checks.streams import check_streams
    from shared.runtime.clock import SystemClock

    findings = [*check_settings(environ), *check_offered(environ), *check_evidence(environ)]
    findings += [finding async for finding in check_streams(environ)]
    findings += check_database(environ)
    findings += [finding async for finding in check_books(environ)]
    findings += [finding async for finding in check_clocks(environ, SystemClock())]
    return findings
