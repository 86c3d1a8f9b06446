"""A service's own password, put where a URL names its own user and no password.

So one secret, in one file, serves both the deployment that makes the user and the service.
"""

from collections.abc import Mapping
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from shared.contracts.errors import InvalidSettings
from shared.runtime.settings import text_of

SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)

_LOGINS: Final = ("redis_url", "limiter_redis_url", "database_url")


def with_password(settings: SettingsT, service: str, environ: Mapping[str, str]) -> SettingsT:
    """Return the settings with `<SERVICE>_PASSWORD` in the URLs of its own user.

    Raises:
        InvalidSettings: its file cannot be read, or is empty.
    """
    name = f"{service.upper()}_PASSWORD"
    try:
        password = text_of(name, environ)
    except ValueError as problem:
        raise InvalidSettings(
            f"{name} {problem}; for example {name}_FILE=/run/secrets/{service}"
        ) from None
    if password is None:
        return settings
    urls: dict[str, str | None] = {field: getattr(settings, field, None) for field in _LOGINS}
    filled = {field: _filled(url, service, password) for field, url in urls.items() if url}
    return msgspec.structs.replace(settings, **filled)


def _filled(url: str, service: str, password: str) -> str:
    parts = urlsplit(url)
    user, _, hosts = parts.netloc.rpartition("@")
    if user not in {f"topup-{service}", f"topup_{service}"}:
        return url
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{hosts}").geturl()
