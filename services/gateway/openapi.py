"""The API's description in OpenAPI 3.1, from the calls that are served and their structs.

msgspec writes JSON Schema 2020-12, which is what OpenAPI 3.1 speaks; here it is only laid out.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.gateway.calls import Answer, Call, Field
from shared.web.problems import PROBLEMS, ProblemDetails, Refused, said_code

ALWAYS: Final = (
    "invalid_request",
    "request_timeout",
    "too_large",
    "headers_too_large",
    "internal",
)
"""What a connection may be refused with before anybody knows which call it makes."""
FILE: Final = "application/octet-stream"
_REFERENCE: Final = "#/components/schemas/{name}"
_ERROR_TYPES: Final = (Refused, ProblemDetails)
_SECURITY: Final = {
    "customer": {
        "type": "apiKey",
        "in": "header",
        "name": "x-api-key",
        "description": "A customer's key. It names the customer, and has scopes.",
    },
    "admin": {
        "type": "apiKey",
        "in": "header",
        "name": "x-admin-key",
        "description": "An operator's key, or ADMIN_KEY; the admin API is off where there is none.",
    },
}
_ABOUT: Final = """
Top up mobile phones: nothing is lost, and nothing is paid twice.

- Repeat a request that got no answer, or a 5xx, with the same `Idempotency-Key`.
- Each refusal has the header `Error-Code`, and the body `{"success": false, "error": "…"}`, or
  `application/problem+json` (RFC 9457) for who prefers it in `Accept`.
- What is not described here is 404, or 405 for another method. `HEAD` goes wherever `GET` does.
- Answers may get more fields; ignore those that you do not know.
"""
_ALLOW: Final = Field(name="Allow", about="The methods that the path takes.", required=True)


def describe(calls: Sequence[Call], *, version: str) -> dict[str, Any]:
    """Return the document; every call is in it."""
    schemas = _Schemas(calls)
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "topup", "version": version, "description": _ABOUT.strip()},
        "servers": [{"url": "/", "description": "This gateway"}],
        "tags": [{"name": name} for name in dict.fromkeys(call.tag for call in calls)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "securitySchemes": _SECURITY,
            "responses": {
                "NotFound": _refusal(404, ("not_found",), (), schemas),
                "MethodNotAllowed": _refusal(405, ("method_not_allowed",), (_ALLOW,), schemas),
            },
        },
    }


class _Schemas:
    """The structs' schemas, each once; of what we answer, every field that is always there."""

    def __init__(self, calls: Sequence[Call]) -> None:
        sent = [call.body for call in calls if call.body is not None]
        told = [
            answer.body
            for call in calls
            for answer in call.answers.values()
            if isinstance(answer.body, type)
        ]
        self._types = list(dict.fromkeys([*sent, *told, *_ERROR_TYPES]))
        found, self.components = msgspec.json.schema_components(
            self._types, ref_template=_REFERENCE
        )
        self._references = dict(zip(self._types, found, strict=True))
        _, requests = msgspec.json.schema_components(sent, ref_template=_REFERENCE)
        for name, component in self.components.items():
            if name not in requests:
                _require_what_is_always_there(component)

    def of(self, body: type | Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the schema, or where it is."""
        return self._references[body] if isinstance(body, type) else body


def _require_what_is_always_there(component: dict[str, Any]) -> None:
    """Our encoders leave out what is unset, and nothing that has its default."""
    required = set(component.get("required", ()))
    properties: dict[str, dict[str, Any]] = component.get("properties", {})
    for name, schema in properties.items():
        if "default" in schema:
            required.add(name)
            del schema["default"]
    component["required"] = [name for name in properties if name in required]


def _operation(call: Call, schemas: _Schemas) -> dict[str, Any]:
    places = (("path", call.places), ("query", call.query), ("header", call.headers))
    operation: dict[str, Any] = {
        "operationId": call.name,
        "tags": [call.tag],
        "summary": call.about,
        "security": [{call.key: []}] if call.key else [],
        "parameters": [
            {"name": field.name, "in": place, **_said(field)}
            for place, fields in places
            for field in fields
        ],
        "responses": _responses(call, schemas),
    }
    if call.detail:
        operation["description"] = call.detail
    if call.file:
        operation["requestBody"] = {"required": True, "content": {FILE: {"schema": {}}}}
    if call.body is not None:
        media = {
            "schema": schemas.of(call.body),
            "examples": {
                name: {"summary": example.about, "value": example.value}
                for name, example in call.examples.items()
            },
        }
        operation["requestBody"] = {"required": True, "content": {"application/json": media}}
    return operation


def _responses(call: Call, schemas: _Schemas) -> dict[str, Any]:
    responses = {
        str(status): _answer(answer, schemas) for status, answer in sorted(call.answers.items())
    }
    by_status: dict[int, list[str]] = {}
    for code in (*ALWAYS, *call.refusals):
        by_status.setdefault(PROBLEMS[code].status, []).append(code)
    for status, codes in sorted(by_status.items()):
        if status not in call.answers:
            headers = call.refusal_headers.get(status, ())
            responses[str(status)] = _refusal(status, codes, headers, schemas)
    return responses


def _answer(answer: Answer, schemas: _Schemas) -> dict[str, Any]:
    described: dict[str, Any] = {"description": answer.about, "headers": _headers(answer.headers)}
    if answer.body is not None:
        described["content"] = {answer.media: {"schema": schemas.of(answer.body)}}
    return described


def _refusal(
    status: int, codes: Iterable[str], headers: Iterable[Field], schemas: _Schemas
) -> dict[str, Any]:
    titles = {said_code(code): PROBLEMS[code].title for code in codes}
    error_code = Field(
        name="Error-Code",
        about="What is wrong, for programs.",
        schema={"type": "string", "enum": list(titles)},
        required=True,
    )
    fields = [error_code, *headers, Field(name="X-Request-Id", about="Your x-request-id.")]
    if status in _RETRY_LATER:
        fields.append(_RETRY_AFTER)
    short, long = (schemas.of(kind) for kind in _ERROR_TYPES)
    return {
        "description": "; ".join(f"`{code}`: {title}" for code, title in titles.items()),
        "headers": _headers(fields),
        "content": {
            "application/json": {"schema": short},
            "application/problem+json": {"schema": long},
        },
    }


_RETRY_LATER: Final = frozenset({429, 503})
_RETRY_AFTER: Final = Field(
    name="Retry-After",
    about="Seconds after which it may succeed.",
    schema={"type": "string", "pattern": "^[0-9]+$"},
    example="1",
    required=True,
)


def _headers(fields: Iterable[Field]) -> dict[str, Any]:
    return {field.name: _said(field) for field in fields}


def _said(field: Field) -> dict[str, Any]:
    said: dict[str, Any] = {"description": field.about, "schema": dict(field.schema)}
    if field.required:
        said["required"] = True
    if field.example is not None:
        said["example"] = field.example
    return said
