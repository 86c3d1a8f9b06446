"""Reads a frozen settings struct from the environment; every wrong value is named, all at once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from shared.contracts.errors import InvalidSettings

SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)

_DURATION: Final = re.compile(r"(\d+)(ms|s|m|h|d)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SWITCH: Final = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}


def load(kind: type[SettingsT], environ: Mapping[str, str]) -> SettingsT:
    """Return the settings; a field reads the variable of its encoded name, or `NAME_FILE`.

    A field whose name ends in `_ms` is a duration (`45s`, `10m`, `7d`); a bool is `on` or `off`.

    Raises:
        InvalidSettings: one line for each wrong or missing variable.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for field in msgspec.structs.fields(kind):
        try:
            text = _text(field.encode_name, environ)
            if text is not None:
                values[field.encode_name] = _read(field, text)
            elif field.required:
                problems.append(f"{field.encode_name} is missing; for example {_example(field)}")
        except (ValueError, OSError) as problem:
            problems.append(f"{field.encode_name} {problem}; for example {_example(field)}")
    if problems:
        raise InvalidSettings("\n".join(problems))
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as problem:  # what __post_init__ refuses
        raise InvalidSettings(str(problem)) from problem


def parse_duration_ms(text: str) -> int:
    """Return the milliseconds of `45s`, `10m`, `7d`.

    Raises:
        ValueError: not of that form.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise ValueError(f"is {text!r}, not a duration")
    return int(found[1]) * _UNIT_MS[found[2]]


def _text(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the variable's text; empty counts as not set."""
    value = environ.get(name) or None
    file = environ.get(f"{name}_FILE") or None
    if value is not None and file is not None:
        raise ValueError(f"is set, and {name}_FILE too: keep one of them")
    return Path(file).read_text(encoding="utf-8").strip() if file is not None else value


def _read(field: msgspec.structs.FieldInfo, text: str) -> Any:  # noqa: ANN401 - typed by convert
    if field.name.endswith("_ms"):
        value: Any = parse_duration_ms(text)
    elif _unwrapped(field.type) is bool:
        if text.lower() not in _SWITCH:
            raise ValueError(f"is {text!r}, neither on nor off")
        return _SWITCH[text.lower()]
    else:
        value = text
    try:
        return msgspec.convert(value, field.type, strict=False)
    except msgspec.ValidationError as problem:
        raise ValueError(f"is wrong: {str(problem).lower()}") from None


def _unwrapped(kind: Any) -> Any:  # noqa: ANN401 - any type form
    return getattr(kind, "__origin__", kind)


def _example(field: msgspec.structs.FieldInfo) -> str:
    """Return the first example of the field's Meta, else its default."""
    for meta in getattr(field.type, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.examples:
            return f"{field.encode_name}={meta.examples[0]}"
    if field.default is not msgspec.NODEFAULT:
        value = f"{field.default}ms" if field.name.endswith("_ms") else field.default
        return f"{field.encode_name}={value}"
    return f"{field.encode_name}=…"
