"""`topup top`: the operators' live picture, in a terminal."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from ops.errors import CommandFailed

if TYPE_CHECKING:
    import aiohttp
    from rich.live import Live

    from services.gateway.page.frames import Frame

_PATH: Final = "/api/admin/events"
_AGAIN_S: Final = 1.0
_SILENT_S_MAX: Final = 10.0
_EVENT_BYTES_MAX: Final = 4 * 1024 * 1024
_REFUSED: Final = frozenset({401, 403, 404})


def top() -> None:
    """Show how it goes, each second, as the page /admin does; until Ctrl-C.

    It asks a gateway at TOPUP_URL with TOPUP_ADMIN_KEY, or those of what runs here.
    """
    from rich.live import Live

    from ops.admin import access

    if not sys.stdout.isatty():
        raise CommandFailed(
            "topup top needs a terminal; for programs there is, for example: topup status --json",
            status=2,
        )
    url, key = access()
    with Live(auto_refresh=False, screen=True) as live:
        asyncio.run(_show(live, url, key))


async def _show(live: "Live", url: str, key: str) -> None:
    """Go on for ever: what cannot be asked now is asked again, beside the last that was seen."""
    import aiohttp
    from rich.text import Text

    from ops.screens.top import picture

    last: Frame | None = None
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5, sock_read=_SILENT_S_MAX)
    session = aiohttp.ClientSession(timeout=timeout, read_bufsize=_EVENT_BYTES_MAX)
    async with session:
        while True:
            problem = "the gateway ends the picture"
            try:
                async for frame in _frames(session, url, key):
                    last = frame
                    live.update(picture(frame), refresh=True)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as lost:
                problem = str(lost) or type(lost).__name__
            said = f"connection lost: {problem}; trying again"
            shown = Text(said) if last is None else picture(last, lost=said)
            live.update(shown, refresh=True)
            await asyncio.sleep(_AGAIN_S)


async def _frames(session: "aiohttp.ClientSession", url: str, key: str) -> AsyncIterator["Frame"]:
    """Yield frames until the gateway ends them; raises CommandFailed where it never will."""
    import msgspec

    from services.gateway.page.frames import Frame

    async with session.get(url + _PATH, headers={"x-admin-key": key}) as response:
        if response.status in _REFUSED:
            raise CommandFailed((await response.json())["error"], status=2)
        response.raise_for_status()
        name = b""
        async for line in response.content:
            if line.startswith(b"event: "):
                name = line.removeprefix(b"event: ").strip()
            elif line.startswith(b"data: ") and name == b"frame":
                yield msgspec.json.decode(line.removeprefix(b"data: "), type=Frame)
