"""What a call is: the path it is reached by, and all that its description says of it."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec

Schema = Mapping[str, Any]
"""JSON Schema 2020-12."""

TEXT: Final[Schema] = MappingProxyType({"type": "string"})


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A header, or a parameter of a path or a query."""

    name: str
    about: str
    schema: Schema = TEXT
    example: Any = None
    required: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a call answers with one status; `body` is a struct, a schema, or nothing."""

    about: str
    body: type | Schema | None = None
    media: str = "application/json"
    headers: tuple[Field, ...] = ()
    example: Any = None


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A body that really works where the sandbox is the provider."""

    about: str
    value: Mapping[str, Any]


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call; a path's parts in braces are its parameters, each with its `Field`."""

    name: str
    method: str  # the only one that the path takes, besides HEAD for GET
    path: str
    tag: str
    about: str
    detail: str = ""
    key: Literal["customer", "admin"] | None = None
    places: tuple[Field, ...] = ()
    query: tuple[Field, ...] = ()
    headers: tuple[Field, ...] = ()
    body: type | None = None
    file: bool = False  # the body is a file as it is, application/octet-stream
    examples: Mapping[str, Example] = {}
    answers: Mapping[int, Answer]
    refusals: tuple[str, ...] = ()  # codes of `shared.web.problems`, besides those of every call
    refusal_headers: Mapping[int, tuple[Field, ...]] = {}
