"""The supervisor's own door answers a line, whatever is in it, and stays open."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from ops.supervisor.control import Answer, List, Request, Scale, listen, serve
from tests.fuzz.budget import EACH_S, SEED
from tests.fuzz.mutation import mutants, within

pytestmark = pytest.mark.fuzz

LINES = [msgspec.json.encode(List()), msgspec.json.encode(Scale({"gateway": 2, "ledger": 1}))]
DEEP = b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


async def handle(request: Request) -> Answer:
    """Do nothing, with success."""
    assert isinstance(request, List | Scale)
    return Answer()


async def ask(path: Path, line: bytes) -> Answer:
    """Return what is answered to these bytes and the end of the line."""
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(line + b"\n")
    async with asyncio.timeout(20):
        answer = await reader.readline()
    writer.close()
    return msgspec.json.decode(answer, type=Answer)


async def test_broken_lines_are_refused(tmp_path: Path) -> None:
    """In one line; and the next one who asks is served."""
    path = tmp_path / "s"
    async with await serve(listen(path), handle):
        assert (await ask(path, DEEP)).refusal is not None
        for data in within(EACH_S, mutants(LINES, name="control")):
            answer = await ask(path, data.replace(b"\n", b""))
            assert answer.refusal is None or answer.refusal, f"seed {SEED}: {data[:2_000]!r}"
        assert (await ask(path, LINES[0])).refusal is None
