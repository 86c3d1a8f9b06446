"""The options that say which entries are meant; `topup replay` and `topup export` share them."""

import os
import re
from dataclasses import dataclass
from typing import Annotated, Final

from cyclopts import Parameter

from ops.commands.stretches import stretch_between
from ops.connections import environment_here
from ops.errors import CommandFailed
from ops.flags import CustomerId
from ops.zone import timezone_of
from services.ledger.replay import Wanted
from shared.bus.ranges import Stretch
from shared.contracts.catalogue import OFFERS

_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which entries; all that is given must fit."""

    since: Annotated[str | None, Parameter(name="--from")] = None
    """From this time on (2026-11-23T22:00:00-06:00), or this day (2026-11-23, in TIMEZONE),
    or this entry of a stream (1795000000000-0)."""
    until: Annotated[str | None, Parameter(name="--to")] = None
    """Before this time or day, or up to this entry."""
    topup: str | None = None
    """Of one topup, by its id."""
    customer: CustomerId | None = None
    """Of one customer, by its id."""
    provider: str | None = None
    """Of one provider, by its name."""

    def stretch(self) -> Stretch:
        """Return the entries between both ends; raises CommandFailed where an end is wrong."""
        environ = environment_here(os.environ, needed=())
        return stretch_between(self.since, self.until, timezone=timezone_of(environ))

    def wanted(self) -> Wanted:
        """Return whose entries; raises CommandFailed for what nobody can have."""
        if self.topup is not None and not _ID.fullmatch(self.topup.lower()):
            raise CommandFailed(
                f"--topup {self.topup[:64]!r} is not the id of a topup; for example: "
                "--topup 019a0000-0000-7000-8000-000000000001",
                status=2,
            )
        if self.provider is not None and self.provider not in OFFERS:
            known = ", ".join(OFFERS)
            raise CommandFailed(
                f"--provider {self.provider[:32]!r} is not known, only {known}; "
                f"for example: --provider {next(iter(OFFERS))}",
                status=2,
            )
        return Wanted(
            topup_id=self.topup and self.topup.lower(),
            customer_id=self.customer,
            provider=self.provider,
        )

    def check_found(self, count: int) -> None:
        """Refuse an id that no entry has: it is rather mistyped than without any.

        Raises:
            CommandFailed: none was found.
        """
        asked = {"--topup": self.topup, "--customer": self.customer}
        named = " ".join(f"{option} {value}" for option, value in asked.items() if value)
        if named and not count:
            raise CommandFailed(
                f"no entry here is of {named}: look at the id, and at --from and --to; "
                "for example: topup customers list, topup tail --since 1h",
                status=2,
            )
