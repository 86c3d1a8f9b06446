"""Asks an instance whether it is ready, in as few bytes as HTTP allows."""

import asyncio

_ANSWER_S_MAX = 2.0


async def answers_ok(host: str, port: int, path: str) -> bool:
    """Whether GET gives status 200; no answer is a no."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(_ANSWER_S_MAX):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request.encode())
                status = await reader.readline()
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
    return status.split()[1:2] == [b"200"]
