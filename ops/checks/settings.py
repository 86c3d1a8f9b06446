"""Are the settings of every service readable; all errors at once."""

import importlib
from collections.abc import Iterable, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Final

import msgspec

import sandbox.settings
from ops.checks.finding import Finding
from ops.errors import CommandFailed
from ops.supervisor.plan import given
from shared.contracts.access import ACCESS, missing, set_up
from shared.contracts.errors import InvalidSettings
from shared.runtime.settings import load

_SERVICES: Final = ("gateway", "ratelimiter", "dispatcher", "ledger")
_GIVEN_AT_START: Final = {"PORT": "8080", "INSTANCE_PORT": "8081"}
_WIRED_TOGETHER: Final = {
    "RATELIMITER_URL": "http://127.0.0.1:8090",
    "LEDGER_URL": "http://127.0.0.1:8091",
}
_WIRED_AT_START: Final = {
    "REDIS_URL": "redis://127.0.0.1:6379",
    "LIMITER_REDIS_URL": "redis://127.0.0.1:6380",
    "DATABASE_URL": "postgresql://127.0.0.1:5432/topup",
    **_WIRED_TOGETHER,
}
_WIRED_TO_SANDBOX: Final = {
    **{access.url: "http://127.0.0.1:8092" for access in ACCESS.values()},
    **{name: "1" for access in ACCESS.values() for name in access.login},
}
_SECRET: Final = ("PASSWORD", "SECRET", "KEY", "_URL", "API", "UID", "CLIENT_ID")


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


def check_offered(environ: Mapping[str, str]) -> Iterable[Finding]:
    """Compare what gateways take with what dispatchers have the access of, where both are known."""
    lanes = set_up(partial(given, environ=environ))
    offered = (environ.get("PROVIDERS_OFFERED") or "").split(",")
    if not lanes or offered == [""]:
        return
    if orphans := [name for name in offered if name not in lanes]:
        found = (
            f"PROVIDERS_OFFERED has {', '.join(orphans)}, of which no access is set: topups wait"
        )
        yield Finding("providers", found, f"set the access, or PROVIDERS_OFFERED={','.join(lanes)}")
    else:
        yield Finding("providers", f"lanes for {', '.join(offered)}")


def refuse_wrong_settings(environ: Mapping[str, str]) -> None:
    """Load what all services and the sandbox will read, as if what `up` adds were there.

    Raises:
        CommandFailed: one line for each wrong variable.
    """
    real = any(given(access.url, environ) for access in ACCESS.values())
    problems = list(missing(partial(given, environ=environ))) if real else []
    wired = _WIRED_AT_START if real else {**_WIRED_AT_START, **_WIRED_TO_SANDBOX}
    complete = _completed(environ, wired)
    problems += [f.found for f in check_settings(complete) if f.remedy is not None]
    try:
        sandbox.settings.read(complete, instance_id="sandbox-1")
    except sandbox.settings.WrongSetting as problem:
        problems += str(problem).splitlines()
    _refuse(problems)


def refuse_wrong_replica(environ: Mapping[str, str]) -> None:
    """Load what the four services will read, as if they had each other's addresses.

    Raises:
        CommandFailed: one line for each wrong variable.
    """
    complete = _completed(environ, _WIRED_TOGETHER)
    _refuse([f.found for f in check_settings(complete) if f.remedy is not None])


def _completed(environ: Mapping[str, str], wired: Mapping[str, str]) -> dict[str, str]:
    ours = {n: value for n, value in wired.items() if not environ.get(f"{n}_FILE")}
    return {**ours, **{n: value for n, value in environ.items() if value}}


def _refuse(problems: Iterable[str]) -> None:
    first: dict[str, str] = {}
    for line in problems:
        first.setdefault(line.split(maxsplit=1)[0].removesuffix("_FILE"), line)
    if first:
        raise CommandFailed("\n".join(first.values()), status=2)


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
