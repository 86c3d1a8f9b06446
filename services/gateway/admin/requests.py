"""What an operator asks of the admin API: a query as a struct, or a named refusal."""

from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from services.gateway.refusals import Misunderstood

AskedT = TypeVar("AskedT", bound=msgspec.Struct)


def read_query(request: Request, kind: type[AskedT], *, example: str) -> AskedT:
    """Return the query's parameters.

    Raises:
        Misunderstood: one is unknown, comes twice, is empty or is wrong; the text names it.
    """
    given: dict[str, Any] = {}
    known = [field.encode_name for field in msgspec.structs.fields(kind)]
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise Misunderstood(
                f"parameter {name[:32]!r} is not known here; known: {', '.join(known)}; "
                f"for example {example}"
            )
        if name in given or not value or not value.isprintable():
            problem = "is given twice" if name in given else "is empty or cannot be printed"
            raise Misunderstood(f"{name} {problem}; for example {example}")
        given[name] = value
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as problem:
        raise Misunderstood(f"{problem}; for example {example}") from None
