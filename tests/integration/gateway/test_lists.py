"""Lists of topups, as pages and as files: what was sold, as the real ledger has it."""

import asyncio
import csv
import io
import itertools
import socket
from typing import Any

import aiohttp
import psycopg
import pytest

from services.ledger.store import Past
from shared.bus.lanes import Lanes
from shared.bus.topups import Topups
from shared.contracts.acts import act_by
from shared.contracts.peers import TopupQuery
from shared.runtime.redis import Client
from tests.integration.gateway.house import PLAIN, Answer, House
from tests.integration.gateway.ledger_stand import MERCHANT, SECRET, api_key

pytestmark = pytest.mark.integration

LIST = f"/api/{MERCHANT}/topups"
PIECE = b"x" * 65_536


async def get(home: House, url: str, **headers: str) -> Answer:
    """Ask as the merchant does."""
    return await home.ask("GET", url, headers={"x-api-key": SECRET, **headers})


async def sell(home: House, gateway: str, count: int, **fields: Any) -> list[str]:
    """Make so many topups and wait until they are listed; return their ids, newest first."""
    ids = [(await home.post(gateway, PLAIN | fields)).json["topup_id"] for _ in range(count)]

    async def listed() -> bool:
        found = await get(home, f"{gateway}{LIST}?limit=100")
        return set(ids) <= {one["topup_id"] for one in found.json["data"]}

    await home.until(listed)
    return ids[::-1]


async def test_what_a_merchant_sends_along_comes_back_everywhere(home: House, whole: str) -> None:
    """Product, reference and metadata: in the 202, alone, in the list and in the file."""
    sent = {"product": "XOOM_10_MXN", "reference": "=cmd|4711", "metadata": {"till": [3, "ñ"]}}
    accepted = (await home.post(whole, PLAIN | sent)).json
    assert accepted.items() >= sent.items()
    assert (await home.show(whole, accepted["topup_id"])).json == accepted

    async def listed() -> bool:
        return accepted in (await get(home, f"{whole}{LIST}")).json["data"]

    await home.until(listed)
    file = await get(home, f"{whole}{LIST}.csv")
    lines = csv.DictReader(io.StringIO(file.body.decode(), newline=""))
    (line,) = [line for line in lines if line["topup_id"] == accepted["topup_id"]]
    assert line["reference"] == "'=cmd|4711"
    assert line["metadata"] == '{"till":[3,"ñ"]}'
    assert line["phone"] == "'+525566374683"
    assert line["amount"] == "10.00"
    assert line["accepted_at"] == accepted["accepted_at"]


async def test_the_link_to_the_next_page_leads_through_the_list(home: House, whole: str) -> None:
    """Newest first, each once; the last page has no link."""
    ids = await sell(home, whole, 7, phone="5512345678")
    url = f"{LIST}?phone=+525512345678&limit=3&status=queued"
    pages = []
    while url:
        answer = await get(home, whole + url)
        assert answer.status == 200
        pages.append([one["topup_id"] for one in answer.json["data"]])
        link = answer.headers.get("link", "")
        assert answer.json["has_more"] == bool(link) == bool(answer.json["next_cursor"])
        url = link.partition(">")[0].removeprefix("<")
        assert not link or link.endswith('; rel="next"')
    assert pages == [ids[:3], ids[3:6], ids[6:]]


async def test_a_cursor_belongs_to_its_customer_and_filters(home: House, whole: str) -> None:
    """With others it is refused, with the field and what would do."""
    await sell(home, whole, 2)
    first = (await get(home, f"{whole}{LIST}?limit=1")).json
    for changed in ("&status=queued", "&provider=LATCOM", "x"):
        url = f"{whole}{LIST}?limit=1&cursor={first['next_cursor']}{changed}"
        refused = await get(home, url, accept="application/problem+json")
        assert (refused.status, refused.code) == (400, "invalid_request")
        assert refused.headers["content-type"] == "application/problem+json"
        assert "next_cursor" in refused.json["detail"]


@pytest.mark.parametrize("path", [LIST, f"{LIST}.csv"])
async def test_who_may_not_read_is_told_so(home: House, path: str) -> None:
    """No key, another merchant's path, a key that may only write, another method."""
    home.ledger.keys += [
        api_key("writer", scopes=["topup:write"]),
        api_key("other", customer_id="OTHER", merchant="other"),
    ]
    gateway = await home.gateway()
    told = {
        secret: (await home.ask("GET", gateway + path, headers={"x-api-key": secret})).status
        for secret in ("", "writer", "other")
    }
    assert told == {"": 401, "writer": 403, "other": 403}
    refused = await home.ask("POST", gateway + path, headers={"x-api-key": SECRET})
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", [LIST, f"{LIST}.csv"])
async def test_without_the_ledger_nothing_is_listed(home: House, gateway: str, path: str) -> None:
    """503, not an empty list; and wrong parameters are wrong all the same."""
    home.ledger.silent = True
    answer = await get(home, gateway + path)
    assert (answer.status, answer.code) == (503, "unavailable")
    assert (await get(home, f"{gateway}{path}?status=x")).status == 400


async def test_a_file_says_what_it_is(home: House, gateway: str) -> None:
    """Its type, a name to save it under, and the request it answers."""
    answer = await get(home, f"{gateway}{LIST}.csv", **{"x-request-id": "r-1"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith('attachment; filename="topups-20')
    assert disposition.endswith('Z.csv"')
    assert answer.headers["x-request-id"] == "r-1"
    assert answer.body == b"topup_id\r\n"


async def test_a_file_that_breaks_off_has_no_end(home: House, gateway: str) -> None:
    """Half a file can't be taken for a whole one."""
    home.ledger.file_pieces = [b"topup_id\r\n", PIECE, b"", PIECE]
    with pytest.raises(aiohttp.ClientPayloadError):
        await get(home, f"{gateway}{LIST}.csv")


async def test_a_file_whose_pages_cannot_be_read_breaks_off_too(
    home: House, whole: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away in the middle of it."""
    ids = await sell(home, whole, 3)
    monkeypatch.setattr("services.ledger.lists.PAGE_MAX", 1)
    read = Past.topups

    async def read_twice(past: Past, query: TopupQuery) -> Any:
        if query.after_id in ids[1:]:
            raise psycopg.OperationalError("the connection is lost")
        return await read(past, query)

    monkeypatch.setattr(Past, "topups", read_twice)
    with pytest.raises(aiohttp.ClientPayloadError):
        await get(home, f"{whole}{LIST}.csv")


async def test_a_list_that_takes_too_long_is_given_up_in_the_database_too(
    home: House, whole: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503; nothing goes on for somebody who waits no longer."""
    monkeypatch.setattr("services.ledger.store.PAGE_S_MAX", 0.3)
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("LOCK TABLE topups IN ACCESS EXCLUSIVE MODE")
        answer = await get(home, f"{whole}{LIST}")
        assert (answer.status, answer.code) == (503, "unavailable")

        async def nobody_reads() -> bool:
            found = await connection.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() "
                "AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE '%LIMIT%'"
            )
            return await found.fetchone() is None

        await home.until(nobody_reads)
    assert (await get(home, f"{whole}{LIST}")).status == 200


async def test_a_client_that_stops_reading_stops_the_ledger(home: House, gateway: str) -> None:
    """What nobody takes is not fetched; and once the client leaves, the file is let go."""
    home.ledger.file_pieces = itertools.repeat(PIECE)
    async with asyncio.timeout(20):
        async with home.session.get(f"{gateway}{LIST}.csv", headers={"x-api-key": SECRET}):
            given = 0
            while given != home.ledger.pieces_given or not given:
                given = home.ledger.pieces_given
                await asyncio.sleep(0.3)
            assert given * len(PIECE) < 32_000_000, "kernels hold some, we hold nothing"

        async def let_go() -> bool:
            return home.ledger.files_open == 0

        await home.until(let_go)


async def test_a_client_that_takes_nothing_for_long_is_cut_off(
    home: House, gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not keep a file, and a place among them, for ever."""
    monkeypatch.setattr("shared.web.connection.TAKE_S", 0.2)
    home.ledger.file_pieces = itertools.repeat(PIECE)
    async with home.session.get(f"{gateway}{LIST}.csv", headers={"x-api-key": SECRET}) as answer:

        async def cut_off() -> bool:
            return home.ledger.pieces_given > 0 and home.ledger.files_open == 0

        await home.until(cut_off)
        with pytest.raises(aiohttp.ClientError):
            await answer.read()


async def test_a_client_that_takes_little_by_little_is_served(
    home: House, gateway: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slow is not silent: however long it takes until there is room for more."""
    monkeypatch.setattr("shared.web.connection.TAKE_S", 1.0)
    home.ledger.file_pieces = itertools.repeat(PIECE)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        host, _, port = gateway.removeprefix("http://").partition(":")
        await loop.sock_connect(client, (host, int(port)))
        asked = f"GET {LIST}.csv HTTP/1.1\r\nhost: h\r\nx-api-key: {SECRET}\r\n\r\n"
        await loop.sock_sendall(client, asked.encode())
        until = loop.time() + 2.5
        while loop.time() < until:
            await loop.sock_recv(client, 16_384)
            await asyncio.sleep(0.05)
        assert home.ledger.files_open == 1


async def test_a_customer_has_two_files_at_once(home: House, gateway: str) -> None:
    """A third is refused until one has ended."""
    home.ledger.file_pieces = itertools.repeat(PIECE)
    url, headers = f"{gateway}{LIST}.csv", {"x-api-key": SECRET}
    async with home.session.get(url, headers=headers) as first:
        assert first.status == 200
        async with home.session.get(url, headers=headers) as second:
            assert second.status == 200
            third = await get(home, url)
            assert (third.status, third.code) == (503, "unavailable")
            assert "2 files" in third.json["error"]
    home.ledger.file_pieces = [b"topup_id\r\n"]

    async def admitted() -> bool:
        return (await get(home, url)).status == 200

    await home.until(admitted)


async def test_a_held_lane_is_told_in_lists_too(home: House, whole: str, redis: Client) -> None:
    """As it is for a topup alone."""
    (topup_id,) = await sell(home, whole, 1)
    await Lanes(redis, Topups(redis, partitions=1, window_ms=60_000)).hold(
        "LATCOM", act=act_by("ops", why="strike")
    )
    found = (await get(home, f"{whole}{LIST}?status=waiting")).json["data"]
    told = {one["topup_id"]: one["reason"] for one in found}
    assert told[topup_id] == "lane_held"
