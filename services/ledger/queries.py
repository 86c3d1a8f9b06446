"""The statements of the files beside this one, by name."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, LiteralString

_FILES: Final = (
    "queries.sql",
    "customers.sql",
    "streams.sql",
    "statements.sql",
    "operators.sql",
    "proposals.sql",
    "backup.sql",
)
_NAME: Final = re.compile(r"^-- (\w+): ", re.MULTILINE)


@cache
def queries() -> Mapping[str, LiteralString]:
    """Return each statement under the name that stands above it."""
    folder = files("services.ledger")
    texts = [folder.joinpath(name).read_text(encoding="utf-8") for name in _FILES]
    _, *parts = _NAME.split("\n".join(texts))
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {name: _statement(part) for name, part in pairs}


def _statement(part: str) -> LiteralString:
    """Drop the rest of the description: psycopg would look for arguments in it."""
    lines = part.splitlines()[1:]
    return "\n".join(line for line in lines if not line.startswith("--")).strip()
