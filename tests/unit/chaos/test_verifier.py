"""The verifier sees each way to break a promise, and nothing where all is well."""

from collections.abc import Callable

import msgspec
import pytest

from tests.chaos.merchant import Sale
from tests.chaos.sources import Booked, Paid, Sources, Streams, Told
from tests.chaos.verifier import COLUMNS, verify

KEY, ID = "1-1", "0195f000-0000-7000-8000-000000000001"
OTHER = "0195f000-0000-7000-8000-000000000002"
CHARGED = {"available": -1_000, "charged": 1_000, "cost": -1_000, "payable": 1_000}


def all_is_well() -> Sources:
    """One topup that was sold, paid and booked."""
    return Sources(
        merchant={
            KEY: Told(
                sale=Sale(KEY, "5566374683", 10),
                ids=[ID],
                asked=2,
                states=["queued", "succeeded"],
                at_last="succeeded",
            )
        },
        providers={
            "LATCOM": {ID: Paid(asked=1, paid=1, refused=0, amount_cents=1_000)},
            "RELOADLY": {},
        },
        ledger={
            ID: Booked(
                key=KEY,
                amount_minor=1_000,
                status="succeeded",
                outcomes=[(1, "succeeded", None)],
                balance=dict(CHARGED),
                provider="LATCOM",
            )
        },
        streams=Streams(
            records={ID: "succeeded"},
            requested={ID},
            outcomes={ID: ["succeeded"]},
            counters={"accepted": 1, "succeeded": 1},
            pending={"requests dispatcher": 0},
            parked=[],
            lanes={"LATCOM": {"state": "open"}},
            dead=[],
            settled_ms={ID: 2},
            accepted_ms={ID: 1},
        ),
        deadline_ms=60_000,
    )


def booked(sources: Sources, **changes: object) -> None:
    """Change what the ledger says."""
    sources.ledger[ID] = msgspec.structs.replace(sources.ledger[ID], **changes)


def paid(sources: Sources, **changes: object) -> None:
    """Change what the provider says."""
    book = sources.providers["LATCOM"]
    book[ID] = msgspec.structs.replace(book[ID], **changes)


def moved(sources: Sources, *, paid_too: int = 0, refused: int = 1) -> None:
    """Let several have it: the first was asked in vain, the second has paid."""
    sale = msgspec.structs.replace(sources.merchant[KEY].sale, provider="AUTO")
    told(sources, sale=sale)
    paid(sources, paid=paid_too, refused=refused)
    second = Paid(asked=1, paid=1, refused=0, amount_cents=1_000)
    sources.providers["RELOADLY"][ID] = second
    booked(sources, provider="RELOADLY")


def told(sources: Sources, **changes: object) -> None:
    """Change what the merchant heard."""
    sources.merchant[KEY] = msgspec.structs.replace(sources.merchant[KEY], **changes)


BROKEN: dict[str, tuple[str, Callable[[Sources], object]]] = {
    "accepted and not booked": ("lost", lambda s: s.ledger.pop(ID)),
    "accepted and not on the stream": ("lost", lambda s: s.streams.requested.clear()),
    "never heard of": ("lost", lambda s: told(s, ids=[])),
    "booked without an outcome": ("lost", lambda s: s.streams.outcomes.clear()),
    "paid twice by the provider": ("paid twice", lambda s: paid(s, paid=2)),
    "paid by two": ("paid twice", lambda s: moved(s, paid_too=1)),
    "sent on without a no": ("went on in doubt", lambda s: moved(s, refused=0)),
    "sent to another than was named": (
        "never asked for",
        lambda s: s.providers["RELOADLY"].update({ID: s.providers["LATCOM"].pop(ID)}),
    ),
    "booked for another than was paid": ("told wrong", lambda s: booked(s, provider="RELOADLY")),
    "two topups for one key": ("paid twice", lambda s: told(s, ids=[ID, OTHER])),
    "two topups in the books": (
        "paid twice",
        lambda s: s.ledger.update({OTHER: s.ledger[ID]}),
    ),
    "booked for nobody": ("never asked for", lambda s: booked(s, key="unknown")),
    "sent for nobody": (
        "never asked for",
        lambda s: s.providers["LATCOM"].update({OTHER: s.providers["LATCOM"][ID]}),
    ),
    "told failed, and paid": ("told wrong", lambda s: told(s, states=[], at_last="failed")),
    "failed for no reason": (
        "told wrong",
        lambda s: booked(s, status="failed"),
    ),
    "told paid, and not": ("told wrong", lambda s: paid(s, paid=0)),
    "another amount on the wire": ("told wrong", lambda s: paid(s, amount_cents=999)),
    "another amount in the books": ("told wrong", lambda s: booked(s, amount_minor=999)),
    "told and booked differ": ("told wrong", lambda s: booked(s, status="unresolved")),
    "a dead letter": ("told wrong", lambda s: s.streams.dead.append({"id": ID, "reason": "x"})),
    "an end that changed": (
        "changed its end",
        lambda s: told(s, states=["failed", "succeeded"]),
    ),
    "a doubt that was forgotten": (
        "changed its end",
        lambda s: told(s, states=["unresolved", "queued"]),
    ),
    "a second outcome after an end": (
        "changed its end",
        lambda s: booked(s, outcomes=[(1, "failed", None), (2, "succeeded", None)]),
    ),
    "postings that do not fit": ("out of balance", lambda s: booked(s, balance={"held": 1})),
    "counters that do not fit": (
        "out of balance",
        lambda s: s.streams.counters.update(succeeded=2),
    ),
    "still pending": ("not at rest", lambda s: s.streams.pending.update(x=1)),
    "still parked": ("not at rest", lambda s: s.streams.parked.append(ID)),
    "a lane that stays held": (
        "not at rest",
        lambda s: s.streams.lanes.update(LATCOM={"state": "held"}),
    ),
    "still open": ("not at rest", lambda s: told(s, states=[], at_last="queued")),
}


def test_what_is_well_is_found_well() -> None:
    """No violation, or nobody would look at the next one."""
    assert verify(all_is_well()) == []


def test_what_went_on_after_a_no_is_well() -> None:
    """Paid by the second, refused by the first."""
    sources = all_is_well()
    moved(sources)
    assert verify(sources) == []


@pytest.mark.parametrize("how", BROKEN)
def test_each_broken_promise_is_seen(how: str) -> None:
    """In its own column of the verdict."""
    column, break_it = BROKEN[how]
    sources = all_is_well()
    break_it(sources)
    assert column in {violation.column for violation in verify(sources)}


def test_every_column_can_be_broken() -> None:
    """A column that nothing can fill proves nothing."""
    assert {column for column, _ in BROKEN.values()} == set(COLUMNS)
