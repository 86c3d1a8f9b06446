"""Are the settings of every service readable; all errors at once."""

import importlib
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Final

import msgspec

import sandbox.settings
from ops.checks.finding import Finding
from ops.errors import CommandFailed
from ops.supervisor.plan import given
from shared.contracts.errors import InvalidSettings
from shared.runtime.settings import load

_SERVICES: Final = ("gateway", "ratelimiter", "dispatcher", "ledger")
_GIVEN_AT_START: Final = {"PORT": "8080", "INSTANCE_PORT": "8081"}
_LOGIN: Final = ("LATCOM_USERNAME", "LATCOM_PASSWORD", "LATCOM_DIST_API", "LATCOM_USER_UID")
_WIRED_AT_START: Final = {
    "REDIS_URL": "redis://127.0.0.1:6379",
    "LIMITER_REDIS_URL": "redis://127.0.0.1:6380",
    "DATABASE_URL": "postgresql://127.0.0.1:5432/topup",
    "RATELIMITER_URL": "http://127.0.0.1:8090",
    "LEDGER_URL": "http://127.0.0.1:8091",
    "LATCOM_URL": "http://127.0.0.1:8092",
    **dict.fromkeys(_LOGIN, "drawn"),
}
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


def refuse_wrong_settings(environ: Mapping[str, str]) -> None:
    """Load what all services and the sandbox will read, as if what `up` adds were there.

    Raises:
        CommandFailed: one line for each wrong variable.
    """
    wired = {n: value for n, value in _WIRED_AT_START.items() if not environ.get(f"{n}_FILE")}
    complete = {**wired, **{n: value for n, value in environ.items() if value}}
    problems = list(_no_login(environ))
    problems += [f.found for f in check_settings(complete) if f.remedy is not None]
    try:
        sandbox.settings.read(complete, instance_id="sandbox-1")
    except sandbox.settings.WrongSetting as problem:
        problems += str(problem).splitlines()
    first: dict[str, str] = {}
    for line in problems:
        first.setdefault(line.split(maxsplit=1)[0].removesuffix("_FILE"), line)
    if first:
        raise CommandFailed("\n".join(first.values()), status=2)


def _no_login(environ: Mapping[str, str]) -> Iterable[str]:
    """At a provider of the user's own, logins drawn for the sandbox would only be refused."""
    missing = [name for name in _LOGIN if not given(name, environ)]
    if given("LATCOM_URL", environ) and missing:
        yield f"{', '.join(missing)} must be set where LATCOM_URL is; for example {missing[0]}=…"


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
