"""Are the settings of every service readable; all errors at once."""

import importlib
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Final

import msgspec

from ops.checks.finding import Finding
from shared.contracts.errors import InvalidSettings
from shared.runtime.settings import load

_SERVICES: Final = ("gateway", "ratelimiter", "dispatcher", "ledger")
_GIVEN_AT_START: Final = {"PORT": "8080", "INSTANCE_PORT": "8081"}
_SECRET: Final = ("PASSWORD", "KEY", "_URL", "API", "UID")


def check_settings(environ: Mapping[str, str]) -> Iterable[Finding]:
    """Load each service's settings as its start would."""
    for service in _SERVICES:
        kind = _settings_of(service)
        if kind is None:
            continue
        try:
            load(kind, {**_GIVEN_AT_START, **environ})
        except InvalidSettings as problem:
            for line in str(problem).splitlines():
                yield Finding(f"settings of {service}", line, "correct the variable and start anew")
        else:
            yield Finding(f"settings of {service}", _shown(kind, environ))


def _settings_of(service: str) -> type[msgspec.Struct] | None:
    name = f"services.{service}.settings"
    if find_spec(f"services.{service}") is None or find_spec(name) is None:
        return None
    module = importlib.import_module(name)
    kind: type[msgspec.Struct] = getattr(module, f"{service.capitalize()}Settings")
    return kind


def _shown(kind: type[msgspec.Struct], environ: Mapping[str, str]) -> str:
    """Return what differs from the defaults; a secret only as being set."""
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    said = [f"{n}={_masked(n, environ[n])}" for n in names if environ.get(n)]
    said += [f"{n}_FILE={environ[f'{n}_FILE']}" for n in names if environ.get(f"{n}_FILE")]
    return ", ".join(said) or "all as they come"


def _masked(name: str, value: str) -> str:
    return "(set)" if any(part in name for part in _SECRET) else value
