"""The options that mean the same with every command."""

from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from ops.errors import CommandFailed
from services.ledger.names import (
    check_customer_id,
    check_label,
    check_merchant,
    check_operator,
)
from shared.contracts.acts import REASON_CHARACTERS_MAX
from shared.contracts.errors import InvalidRequest

AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="JSON, for programs.")]
Yes = Annotated[bool, Parameter(name="--yes", negative=(), help="Do not ask.")]
DryRun = Annotated[
    bool, Parameter(name="--dry-run", negative=(), help="Say what would be done, and do nothing.")
]


def _checked(check: Callable[[str], None]) -> Callable[[type, str | None], None]:
    """Return what refuses a wrong value before any server is asked."""

    def validate(_type: type, value: str | None) -> None:
        if value is None:
            return
        try:
            check(value)
        except InvalidRequest as problem:
            raise CommandFailed(str(problem), status=2) from None

    return validate


CustomerId = Annotated[
    str,
    Parameter(
        validator=_checked(check_customer_id), help="The customer's id, for example ACME_001."
    ),
]
Reason = Annotated[str, Parameter(help="Why; whoever comes next reads it.")]
KeyId = Annotated[str, Parameter(help="The key's id, as `topup keys list` shows it.")]
Label = Annotated[
    str,
    Parameter(validator=_checked(check_label), help="What it is used for, to tell keys apart."),
]
OperatorName = Annotated[
    str,
    Parameter(validator=_checked(check_operator), help="The person's name, for example ana."),
]
Merchant = Annotated[
    str,
    Parameter(validator=_checked(check_merchant), help="Its path: acme makes it /api/acme/topup."),
]


def check_reason(reason: str, example: str) -> None:
    """Refuse a reason that no gateway would take, before one is asked."""
    if not reason.strip() or len(reason) > REASON_CHARACTERS_MAX:
        raise CommandFailed(
            f"--reason must be 1 to {REASON_CHARACTERS_MAX} characters that say why; {example}",
            status=2,
        )
