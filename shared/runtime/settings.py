"""Reads a frozen settings struct from the environment; every wrong value is named, all at once."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from shared.contracts.errors import InvalidSettings
from shared.runtime.addresses import problem_of

SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)

_DURATION: Final = re.compile(r"([0-9]{1,15})(ms|s|m|h|d)")
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
            text = text_of(field.encode_name, environ)
            if text is not None:
                values[field.encode_name] = _read(field, text)
            elif field.required:
                problems.append(f"{field.encode_name} is missing; for example {_example(field)}")
        except ValueError as problem:
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


def text_of(name: str, environ: Mapping[str, str]) -> str | None:
    """Return the variable's text, or what the file of `NAME_FILE` holds; empty counts as not set.

    Raises:
        ValueError: both are set, or the file cannot be read.
    """
    value = environ.get(name) or None
    file = environ.get(f"{name}_FILE") or None
    if value is not None and file is not None:
        raise ValueError(f"is set, and {name}_FILE too: keep one of them")
    return value if file is None else _secret(file)


def _secret(file: str) -> str:
    """Return what the file holds; nothing in it is no secret, and would be matched by nothing."""
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        problem = error.strerror or type(error).__name__
        raise ValueError(f"is to be read from {file}: {problem.lower()}") from None
    except UnicodeDecodeError:
        raise ValueError(f"is to be read from {file}: not UTF-8 text") from None
    if not text:
        raise ValueError(f"is to be read from {file}: it is empty")
    return text


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
        read = msgspec.convert(value, field.type, strict=False)
    except msgspec.ValidationError:
        raise ValueError(_refused(field, text)) from None
    wrong_url = problem_of(text) if field.encode_name.endswith("_URL") else None
    if wrong_url is not None:
        raise ValueError(wrong_url)
    return read


def _refused(field: msgspec.structs.FieldInfo, text: str) -> str:
    """Say what would be right; only numbers are repeated, since any text may be a secret."""
    meta, in_ms = _meta(field), field.name.endswith("_ms")
    if meta.ge is None and meta.description is not None:
        return f"is not {meta.description}"
    if meta.description is not None:
        return f"is {text!r}, not {meta.description}"
    low, high = (None if b is None else _bound(b, in_ms=in_ms) for b in (meta.ge, meta.le))
    kind = "a duration" if in_ms else "a whole number"
    if high is not None:
        return f"is {text!r}, not {kind} from {low} to {high}"
    return f"is {text!r}, not {kind} of {low} or more" if low else f"is {text!r}, not {kind}"


def _bound(value: float, *, in_ms: bool) -> str:
    return _written(int(value)) if in_ms else str(value)


def _written(duration_ms: int) -> str:
    """Write a duration as it would be typed: 60000 as 1m."""
    name, size = max(
        ((name, size) for name, size in _UNIT_MS.items() if duration_ms % size == 0),
        key=lambda unit: unit[1] if duration_ms else 0,
    )
    return f"{duration_ms // size}{name}"


def _meta(field: msgspec.structs.FieldInfo) -> msgspec.Meta:
    """Return the field's declared constraints, also those of `Thing | None`."""
    for kind in (field.type, *getattr(field.type, "__args__", ())):
        for meta in getattr(kind, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta):
                return meta
    return msgspec.Meta()


def _unwrapped(kind: Any) -> Any:  # noqa: ANN401 - any type form
    return getattr(kind, "__origin__", kind)


def _example(field: msgspec.structs.FieldInfo) -> str:
    """Return the first example of the field's Meta, else its default."""
    name, default = field.encode_name, field.default
    if examples := _meta(field).examples:
        return f"{name}={examples[0]}"
    if isinstance(default, bool):
        return f"{name}={'on' if default else 'off'}"
    if isinstance(default, int) and field.name.endswith("_ms"):
        return f"{name}={_written(default)}"
    return f"{name}={default}" if isinstance(default, str | int) else f"{name}=…"
