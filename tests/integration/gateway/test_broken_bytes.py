"""Broken bytes on the real listeners of gateway, ratelimiter and ledger: an answer, and no harm."""

import asyncio
import logging
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import pytest

from tests.fuzz.budget import EACH_S, SEED
from tests.fuzz.mutation import mutants, within
from tests.integration.gateway.house import House
from tests.integration.gateway.ledger_stand import CUSTOMER, MERCHANT, SECRET

pytestmark = [pytest.mark.integration, pytest.mark.fuzz]

END_S_MAX = 30.0
AT_ONCE = 8
ID = "019a0000-0000-7000-8000-000000000001"
BODY = b'{"phone": "5566374683", "amount": 10, "provider": "LATCOM"}'
STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3}) ")
REFUSALS = {400, 401, 403, 404, 405, 408, 413, 415, 422, 429, 431}
FINE = {100, 200, 202} | REFUSALS


def request(method: str, path: str, body: bytes = b"", *, chunked: bool = False) -> bytes:
    """Return a whole request."""
    head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {SECRET}\r\n"
    head += "content-type: application/json\r\n"
    if chunked:
        return f"{head}transfer-encoding: chunked\r\n\r\n".encode() + (
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        )
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


LIST = f"/api/{MERCHANT}/topups"
AT_THE_GATEWAY = [
    request("POST", f"/api/{MERCHANT}/topup", BODY),
    request("POST", f"/api/{MERCHANT}/topup", BODY, chunked=True),
    request("POST", f"/api/{MERCHANT}/topup", BODY) + request("GET", f"{LIST}/{ID}"),
    request("GET", f"{LIST}?status=failed&from=2026-11-23T00:00:00Z&limit=5")
    + request("GET", "/health"),
    request("GET", f"{LIST}.csv?provider=LATCOM"),
    request("GET", "/api/admin/queue-stats").replace(b"x-api-key", b"x-admin-key"),
    request("HEAD", "/health").replace(b"host: x", b"expect: 100-continue\r\nprefer: wait=0"),
]
AT_THE_RATELIMITER = [request("POST", "/check", b'{"gateway":"g9","checks":[["C",200],["D",1]]}')]
AT_THE_LEDGER = [
    request("GET", "/keys"),
    request("GET", "/totals"),
    request("GET", f"/topups/{ID}?customer_id={CUSTOMER}"),
    request(
        "GET",
        f"/topups?customer_id={CUSTOMER}&limit=9&status=queued&from_ms=0&to_ms=1795000000000"
        f"&after_ms=1795000000000&after_id={ID}&phone=%2B525566374683&provider=LATCOM",
    ),
    request("GET", f"/topups.csv?customer_id={CUSTOMER}&status=failed"),
    request("POST", "/keys/uses", b'{"last_used_at_ms":{"%b":1795000000000}}' % (b"a" * 64)),
]


async def told(port: int, data: bytes) -> list[int]:
    """Send the bytes and close that half; return the status of each answer, up to the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(END_S_MAX):
            return [int(status) for status in STATUS.findall(await reader.read())]
    except ConnectionError:
        return []  # it was refused, and closed, before all was sent
    finally:
        writer.close()


async def break_in(
    port: int, samples: Sequence[bytes], caplog: pytest.LogCaptureFixture, *, name: str
) -> None:
    """Send whole ones, then broken ones, several at once; nobody is told of our mistakes."""
    for sample in samples:
        asked = len(re.findall(rb" HTTP/1\.1\r\n", sample))
        assert len([one for one in await told(port, sample) if one != 100]) == asked, sample
    inputs = within(EACH_S, mutants(samples, name=name))
    while batch := [data for _, data in zip(range(AT_ONCE), inputs, strict=False)]:
        for data, statuses in zip(
            batch, await asyncio.gather(*(told(port, one) for one in batch)), strict=True
        ):
            assert FINE.issuperset(statuses), f"seed {SEED}: {statuses} for {data[:2_000]!r}"
        broken = [record for record in caplog.records if record.levelno >= logging.ERROR]
        assert not broken, f"seed {SEED}: {broken[0].getMessage()[:200]} for one of {batch!r:.9000}"
    assert await told(port, samples[0]) != []


async def test_broken_requests(
    home: House, whole: str, ledger: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each whole request has its answer, a broken one a refusal; never a 500, never a hang."""
    ports = {
        "gateway": (urlsplit(whole).port, AT_THE_GATEWAY),
        "ratelimiter": (home.ratelimiter_port, AT_THE_RATELIMITER),
        "ledger": (urlsplit(ledger).port, AT_THE_LEDGER),
    }
    for name, (port, samples) in ports.items():
        assert port is not None
        await break_in(port, samples, caplog, name=name)
