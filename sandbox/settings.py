"""What the sandbox reads from the environment; it shares no code with what it stands against."""

import re
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

_SWITCH: Final = {"on": True, "1": True, "true": True, "off": False, "0": False, "false": False}
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_LATENCY: Final = re.compile(r"([0-9]{1,6})(?:-([0-9]{1,6}))?")
_DURATION: Final = re.compile(r"([0-9]{1,9})(ms|s|m|h)")
_PORT_MAX: Final = 65_535

ValueT = TypeVar("ValueT")


class WrongSetting(ValueError):
    """Variables cannot be read as they are; the text has one line for each."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What a login must bring; a part that is None is not looked at."""

    username: str | None = None
    password: str | None = None
    dist_api: str | None = None
    user_uid: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    api_key: str | None = None
    api_secret: str | None = None
    product_id: str | None = None

    def __repr__(self) -> str:
        """Keep the secrets out of whatever prints this."""
        return "Access(…)"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How this sandbox behaves."""

    host: str
    port: int
    instance_id: str
    latency_ms: tuple[int, int]
    dedupes: bool
    inquiry: bool
    token_life_ms: int
    latcom_timeout_ms: int  # what "after the timeout" is measured against
    reloadly_timeout_ms: int
    dtone_timeout_ms: int
    book: str | None
    tls_file: str | None
    access: Access


def read(environ: Mapping[str, str], *, instance_id: str) -> Settings:
    """Return the settings.

    Raises:
        WrongSetting: one line for each wrong variable, with what would do.
    """
    problems: list[str] = []

    def get(
        name: str, read_as: Callable[[str], ValueT], default: str, example: str | None = None
    ) -> ValueT:
        text = environ.get(name) or default
        try:
            return read_as(text)
        except ValueError as problem:
            would_do = default if example is None else example
            problems.append(f"{name} is {text!r}, {problem}; for example {name}={would_do}")
            return read_as(default)

    def secret(name: str) -> str | None:
        try:
            return _secret(name, environ)
        except ValueError as problem:
            problems.append(str(problem))
            return None

    settings = Settings(
        host=get("HOST", str, "127.0.0.1"),
        port=get("PORT", _port, "8090"),
        instance_id=environ.get("INSTANCE_ID") or instance_id,
        latency_ms=get("SANDBOX_LATENCY", _latency, "50-150"),
        dedupes=get("SANDBOX_DEDUPES", _switch, "off"),
        inquiry=get("SANDBOX_INQUIRY", _switch, "off"),
        token_life_ms=get("SANDBOX_TOKEN_LIFE", _duration, "5m"),
        latcom_timeout_ms=get("LATCOM_TIMEOUT", _duration, "45s"),
        reloadly_timeout_ms=get("RELOADLY_TIMEOUT", _duration, "45s"),
        dtone_timeout_ms=get("DTONE_TIMEOUT", _duration, "60s"),
        book=environ.get("SANDBOX_BOOK") or None,
        tls_file=get("SANDBOX_TLS_FILE", _pem, "", "/run/secrets/sandbox.pem") or None,
        access=_access(secret),
    )
    if problems:
        raise WrongSetting("\n".join(problems))
    return settings


def _access(secret: Callable[[str], str | None]) -> Access:
    return Access(
        username=secret("LATCOM_USERNAME"),
        password=secret("LATCOM_PASSWORD"),
        dist_api=secret("LATCOM_DIST_API"),
        user_uid=secret("LATCOM_USER_UID"),
        client_id=secret("RELOADLY_CLIENT_ID"),
        client_secret=secret("RELOADLY_CLIENT_SECRET"),
        api_key=secret("DTONE_API_KEY"),
        api_secret=secret("DTONE_API_SECRET"),
        product_id=secret("DTONE_PRODUCT_ID"),
    )


def _secret(name: str, environ: Mapping[str, str]) -> str | None:
    file = environ.get(f"{name}_FILE")
    if not file:
        return environ.get(name) or None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        raise ValueError(
            f"{name}_FILE is {file!r}, which cannot be read; for example {name}_FILE=/run/secrets/x"
        ) from None


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= _PORT_MAX:
        raise ValueError("not a port from 1 to 65535")
    return int(text)


def _pem(path: str) -> str:
    """Return the path of a file with a key and its certificate; empty for plain http."""
    if path:
        try:
            ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(path)
        except OSError as problem:
            raise ValueError(
                f"no PEM file of a key and a certificate ({problem.strerror})"
            ) from None
    return path


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise ValueError("neither on nor off")
    return _SWITCH[text.lower()]


def _latency(text: str) -> tuple[int, int]:
    found = _LATENCY.fullmatch(text)
    if found is None:
        raise ValueError("not milliseconds like 50 or 50-150")
    low = int(found[1])
    high = int(found[2] or low)
    if high < low:
        raise ValueError("a range that ends before it starts")
    return low, high


def _duration(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise ValueError("not a duration above 0")
    return int(found[1]) * _UNIT_MS[found[2]]
