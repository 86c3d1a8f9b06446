"""Holds what a gateway answers against what its own /openapi.json says of it."""

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

OF_HTTP = {"content-type", "content-length", "connection", "transfer-encoding"}
ADDRESS = "urn:openapi"


class NotDescribed(AssertionError):
    """An answer that the description does not allow."""


class Description:
    """One document; it is strict: a field or a header that it does not name is wrong."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        for schema in document["components"]["schemas"].values():
            if "properties" in schema:
                schema["additionalProperties"] = False
        self._registry = Registry().with_resource(
            ADDRESS, Resource.from_contents(document, default_specification=DRAFT202012)
        )
        self._validators: dict[str, Draft202012Validator] = {}

    def check(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        """Insist that the whole answer is described."""
        self.check_head(method, path, status, headers)
        media = {name.lower(): value for name, value in headers.items()}.get("content-type", "")
        self._check_body(method, path, status, media, body)

    def check_head(self, method: str, path: str, status: int, headers: Mapping[str, str]) -> None:
        """Insist that the status and each header are described."""
        said = {name.lower(): value for name, value in headers.items()}
        response = self._response(method, path, status)
        described = response.get("headers", {})
        for name, header in described.items():
            value = said.pop(name.lower(), None)
            if value is not None:
                self._check(header["schema"], value, f"{method} {path} {status} {name}")
            elif header.get("required"):
                raise NotDescribed(f"{method} {path} {status} lacks the header {name}")
        if set(said) - OF_HTTP:
            raise NotDescribed(f"{method} {path} {status} has also {set(said) - OF_HTTP}")

    def _check_body(self, method: str, path: str, status: int, media: str, body: bytes) -> None:
        """Insist that the body is of a described type and form."""
        response = self._response(method, path, status)
        if method == "HEAD" or "content" not in response:
            if body:
                raise NotDescribed(f"{method} {path} {status} has a body")
            return
        for described, content in response["content"].items():
            if re.fullmatch(
                re.escape(described).replace(r"\*", "[^;]+") + "(; charset=utf-8)?", media
            ):
                value = json.loads(body) if "json" in media else body.decode()
                self._check(content["schema"], value, f"{method} {path} {status}")
                return
        raise NotDescribed(f"{method} {path} {status} is {media}")

    def _response(self, method: str, path: str, status: int) -> dict[str, Any]:
        found = self._call(path)
        wanted = "get" if method == "HEAD" else method.lower()
        components = self.document["components"]["responses"]
        if found is None:
            responses = {"404": components["NotFound"]}
        elif wanted not in found:
            responses = {"405": components["MethodNotAllowed"]}
        else:
            responses = found[wanted]["responses"]
        if str(status) not in responses:
            raise NotDescribed(f"{method} {path} answers {status}; described: {[*responses]}")
        response: dict[str, Any] = responses[str(status)]
        return response

    def _call(self, path: str) -> dict[str, Any] | None:
        asked = [unquote(part) for part in path.split("/")]
        plainest = sorted(self.document["paths"].items(), key=lambda one: one[0].count("{"))
        for template, call in plainest:  # a path without parameters is meant before one with them
            parts = template.split("/")
            if len(parts) == len(asked) and all(
                part.startswith("{") or part == given
                for part, given in zip(parts, asked, strict=True)
            ):
                found: dict[str, Any] = call
                return found
        return None

    def _check(self, schema: dict[str, Any], value: Any, where: str) -> None:
        key = json.dumps(schema, sort_keys=True)
        if key not in self._validators:
            text = key.replace('"$ref": "#/', f'"$ref": "{ADDRESS}#/')
            self._validators[key] = Draft202012Validator(
                json.loads(text),
                registry=self._registry,
                format_checker=Draft202012Validator.FORMAT_CHECKER,
            )
        for problem in self._validators[key].iter_errors(value):
            raise NotDescribed(f"{where}: {problem.json_path} {problem.message}")
