"""A statement that came over HTTP: compared as the command does, told in one answer."""

import asyncio
import datetime as dt
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from services.ledger.database import Database
from services.ledger.statements.classes import Class
from services.ledger.statements.comparison import Comparison, Reconciliation
from services.ledger.statements.errors import UnreadableStatement
from services.ledger.statements.layout import layout_of
from services.ledger.statements.reading import Day
from services.ledger.statements.reports import row_of, summary
from shared.contracts.catalogue import offer_of
from shared.contracts.errors import UnknownProvider
from shared.contracts.instants import timestamp
from shared.contracts.statements import DIFFERENCES_MAX, Compare, Compared, Comparing
from shared.runtime.clock import Clock


class Statements:
    """Compares one statement at a time: it takes a processor, and gateways' questions go first."""

    def __init__(self, database: Database, clock: Clock, *, timezone: str) -> None:
        self._database = database
        self._clock = clock
        self._timezone = timezone
        self._one = asyncio.Lock()

    async def compare(self, asked: Compare, content: bytes) -> Comparing:
        """Return what it is to the books; changes nothing.

        Raises:
            psycopg.Error, OSError: the books cannot be read, or there is no place for the file.
        """
        async with self._one:
            try:
                return Comparing(found=await self._compared(asked, content))
            except (UnreadableStatement, UnknownProvider) as problem:
                return Comparing(problem=str(problem))

    async def _compared(self, asked: Compare, content: bytes) -> Compared:
        provider = offer_of(asked.provider).provider
        layout = layout_of(provider)
        day = Day(_date(asked.day), layout.timezone or self._timezone)
        with TemporaryDirectory(prefix="statement-") as folder:
            path = Path(folder) / asked.file
            await asyncio.to_thread(path.write_bytes, content)
            comparison = Comparison(provider, path, layout, day)
            await comparison.read_file()
            result = await comparison.run(self._database, now_ms=self._clock.now_ms())
        return await asyncio.to_thread(_told, result)


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise UnreadableStatement(f"{text} is no day") from None


def _told(result: Reconciliation) -> Compared:
    told: dict[str, Any] = msgspec.to_builtins(summary(result), str_keys=True)
    return msgspec.convert(
        {
            **told,
            "differences": list(islice(_differences(result), DIFFERENCES_MAX)),
            "differences_count": _count(result),
            "ends": [
                {
                    "topup_id": one.topup_id,
                    "to": one.to.value,
                    "evidence": one.evidence,
                    "asked_at": None if one.asked_at_ms is None else timestamp(one.asked_at_ms),
                }
                for one in result.resolves
            ],
        },
        Compared,
    )


def _differences(result: Reconciliation) -> Iterator[Any]:
    for found in result.findings():
        if found.kind is not Class.MATCHED:
            yield msgspec.to_builtins(row_of(result, found))


def _count(result: Reconciliation) -> int:
    return sum(found.kind is not Class.MATCHED for found in result.findings())
