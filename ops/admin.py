"""The admin API as the commands ask it: one call, and what it refuses as one line."""

import asyncio
import os
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ops.connections import setting
from ops.errors import CommandFailed
from ops.supervisor.folder import data_folder, read_assignments

_SECONDS_MAX: Final = 15.0
_TYPED_WRONG: Final = frozenset({400, 401, 403, 404, 415, 422})
_NEEDED: Final = ("TOPUP_URL", "TOPUP_ADMIN_KEY")
_EXAMPLE: Final = "TOPUP_URL=http://127.0.0.1:8080 TOPUP_ADMIN_KEY=…"


def ask(method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401 - any JSON
    """Return the answer's JSON.

    Raises:
        CommandFailed: it was refused (2: what was typed is wrong), or nobody answers (1).
    """
    return _read(*_asked(method, path, body))


def fetch(path: str) -> bytes:
    """Return the file that is there; raises as `ask`."""
    status, answer = _asked("GET", path, None)
    if status != 200:  # noqa: PLR2004 - HTTP OK
        _read(status, answer)
    return answer


def access() -> tuple[str, str]:
    """Return the gateways' address and the admin key; raises CommandFailed where one is unknown."""
    known = dict(os.environ)
    if key := setting("TOPUP_ADMIN_KEY", os.environ):
        known["TOPUP_ADMIN_KEY"] = key
    if not known.get("TOPUP_URL"):  # the key of what runs here is for nobody else
        known = {**read_assignments(data_folder(os.environ).demo), **known}
    if not all(known.get(name) for name in _NEEDED):
        raise CommandFailed(
            "the gateways' address or the admin key is not known and nothing runs here: start it "
            f"with `make run`, or set both, for example {_EXAMPLE}"
        )
    return known["TOPUP_URL"].rstrip("/"), known["TOPUP_ADMIN_KEY"]


def _asked(method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, bytes]:
    url, key = access()
    return asyncio.run(_ask(method, url + path, key, body))


async def _ask(
    method: str, url: str, key: str, body: Mapping[str, Any] | None
) -> tuple[int, bytes]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_SECONDS_MAX)
    headers = {"x-admin-key": key, "content-type": "application/json"}
    data = None if body is None else msgspec.json.encode(body)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.request(
                method, url, data=data, headers=headers, allow_redirects=False
            ) as response,
        ):
            return response.status, await response.read()
    except (aiohttp.ClientError, ValueError, TimeoutError, OSError) as problem:
        raise CommandFailed(
            f"no gateway answers at {url.partition('/api/')[0]}: "
            f"{str(problem) or type(problem).__name__}"
        ) from None


def _read(status: int, answer: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        found = msgspec.json.decode(answer)
        refused = None if status < 400 else str(found["error"])  # noqa: PLR2004 - HTTP
    except (msgspec.MsgspecError, KeyError, TypeError, UnicodeError, RecursionError):
        raise CommandFailed(f"what answers there is no gateway of topup: HTTP {status}") from None
    if refused is not None:
        raise CommandFailed(" ".join(refused.split()), status=2 if status in _TYPED_WRONG else 1)
    return found
