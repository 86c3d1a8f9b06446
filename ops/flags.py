"""The options that mean the same with every command."""

from typing import Annotated

from cyclopts import Parameter

AsJson = Annotated[bool, Parameter(name="--json", negative=(), help="JSON, for programs.")]
Yes = Annotated[bool, Parameter(name="--yes", negative=(), help="Do not ask.")]
DryRun = Annotated[
    bool, Parameter(name="--dry-run", negative=(), help="Say what would be done, and do nothing.")
]
CustomerId = Annotated[str, Parameter(help="The customer's id, for example ACME_001.")]
KeyId = Annotated[str, Parameter(help="The key's id, as `topup keys list` shows it.")]
