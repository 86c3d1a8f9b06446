"""Stream entries as the books take them, with those that nobody can read aside."""

from collections.abc import Iterable
from typing import Final

import msgspec
import psycopg
from psycopg import errors

from services.ledger.chain import read_act
from services.ledger.entries import Outcome, Request, Unreadable, read_outcome, read_request
from shared.bus.reader import Entry
from shared.bus.records import place
from shared.contracts.acts import Act
from shared.contracts.streams import brings_acts, brings_outcomes

UNBOOKABLE: Final = (
    psycopg.DataError,
    psycopg.IntegrityError,
    errors.ProgramLimitExceeded,
    errors.StatementTooComplex,
)
"""What the database refuses because of the content: that would fail for ever."""


class Sheet(msgspec.Struct):
    """A batch as the books and the audit take it, and what nobody can read with the reasons.

    `reached` is the highest entry id of each stream of topups.
    """

    reached: dict[str, str] = {}
    requests: list[Request] = []
    outcomes: list[Outcome] = []
    acts: list[Act] = []
    unreadable: list[tuple[Entry, str]] = []


def read_sheet(entries: Iterable[Entry]) -> Sheet:
    """Return what the entries say; an entry is told by the stream that it lies on."""
    sheet = Sheet()
    for entry in entries:
        if not brings_acts(entry.stream):
            before = sheet.reached.get(entry.stream, entry.id)
            sheet.reached[entry.stream] = max(before, entry.id, key=place)
        try:
            if brings_acts(entry.stream):
                sheet.acts.append(read_act(entry.fields))
            elif brings_outcomes(entry.stream):
                sheet.outcomes.append(read_outcome(entry.id, entry.fields))
            else:
                sheet.requests.append(read_request(entry.id, entry.fields))
        except Unreadable as problem:
            sheet.unreadable.append((entry, str(problem)))
    return sheet
