"""What stands on an operator's screens: readable, in place, and harmless to the terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.screens.events import Wanted, as_line, event_of
from ops.screens.figures import Figures, Flow, Sold
from ops.screens.status import as_text
from ops.screens.words import age, money, plain, stamp, volume
from shared.bus.queue import Counts, LaneFigures, Queue, Replica
from shared.bus.reader import Entry
from shared.contracts.events import Evidence, TopupRequested, encode
from shared.contracts.peers import Totals

AT_MS = 1_795_000_000_123
ID = "0195f000-0000-7000-8000-000000000001"
ZONE = "America/Mexico_City"


def entry(stream: str, **fields: bytes) -> Entry:
    """Return an entry of one second after the topup was accepted."""
    body = TopupRequested(
        customer_id="ACME\x1b[2J",
        phone="+525512345678",
        country="MX",
        amount_minor=1_050,
        currency="MXN",
        provider="LATCOM",
        product="XOOM_10_MXN",
    )
    common = {"id": ID.encode(), "body": encode(body), "at": b"%d" % AT_MS}
    return Entry(f"topup:{{0}}:{stream}", f"{AT_MS + 1_000}-0", {**common, **fields})


def outcome(state: bytes, seq: bytes = b"1", reason: bytes = b"") -> Entry:
    """Return an outcome's entry."""
    evidence = encode(Evidence(provider_reference="P1"))
    return entry("outcomes", state=state, seq=seq, reason=reason, evidence=evidence)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.44, "0.4 s"),
        (42, "42 s"),
        (192, "3 min 12 s"),
        (18_180, "5 h 03 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_an_age_is_said_in_two_units_at_most(seconds: float, said: str) -> None:
    """Enough to act on."""
    assert age(seconds) == said


def test_amounts_and_moments_are_said_in_full() -> None:
    """With all decimals; of a currency that nobody sells here in minor units."""
    assert volume({"USD": 300, "MXN": 49_000}) == "490.00 MXN, 3.00 USD"
    assert volume({}) == "-"
    assert money(5, "XXX") == "5 minor XXX"
    assert stamp(AT_MS) == "2026-11-18T11:06:40.123Z"


@given(st.text())
def test_no_text_of_others_commands_the_terminal(text: str) -> None:
    """A provider's words cannot clear the screen."""
    assert plain(text).isprintable()


def test_each_entry_is_one_event() -> None:
    """Accepted, back on its lane, settled, resolved; phones masked, names harmless."""
    events = [
        event_of(entry("requests:LATCOM")),
        event_of(entry("requests:LATCOM", again=b"1")),
        event_of(outcome(b"unresolved", reason=b"no_answer")),
        event_of(outcome(b"succeeded", seq=b"2", reason=b"resolved")),
    ]
    assert [(event.event, event.status) for event in events] == [
        ("accepted", "queued"),
        ("woken", "queued"),
        ("settled", "unresolved"),
        ("resolved", "succeeded"),
    ]
    assert events[2].took_ms == 1_000
    lines = [as_line(event, timezone=ZONE) for event in events]
    assert all(line.isprintable() and "12345" not in line for line in lines)
    assert lines[2] == (
        f"05:06:41.123  unresolved   {ID}  ACME\ufffd[2J  LATCOM  10.50 MXN  +52********78"
        "  no_answer  after 1.0 s"
    )


def test_an_entry_that_nobody_can_read_is_told_too() -> None:
    """It stops nobody who looks."""
    event = event_of(Entry("topup:{0}:outcomes", f"{AT_MS}-0", {"id": b"\xff"}))
    assert event.event == "unreadable"
    assert "unreadable" in as_line(event, timezone=ZONE)
    assert Wanted().fits(event)
    assert not Wanted(statuses=["failed"]).fits(event)


def test_filters_combine() -> None:
    """Each must fit; within one any value does."""
    event = event_of(outcome(b"failed", reason=b"refused"))
    assert Wanted(providers=["LATCOM"], statuses=["succeeded", "failed"]).fits(event)
    assert not Wanted(providers=["LATCOM"], statuses=["succeeded"]).fits(event)
    assert not Wanted(customers=["OTHER"], statuses=["failed"]).fits(event)


def figures(number: int) -> Figures:
    """Return figures with numbers of one size everywhere."""
    lane = LaneFigures(
        state="probing", reason="x" * 200, since_ms=AT_MS - 10**8, until_ms=AT_MS, waiting=number
    )
    replica = Replica(
        service="dispatcher",
        id="d" * 80,
        active=min(number, 10_000),
        concurrency=10_000,
        silent_ms=3_599_000,
    )
    totals = Totals(
        total_transactions=number,
        revenue={"MXN": number, "USD": number},
        today_transactions=number,
        today_volume={"MXN": number},
        unresolved_transactions=number,
        unresolved_volume={"MXN": number},
    )
    return Figures(
        at_ms=AT_MS,
        timezone=ZONE,
        flow=Flow(
            queue=Queue(counts=Counts(waiting=number), lanes={"LATCOM": lane}, replicas=[replica]),
            durability="at risk",
        ),
        sold=Sold(totals=totals, unresolved_since_ms=AT_MS - 3_600_000),
        unknown={},
    )


def test_the_screen_stands_still() -> None:
    """80 columns, and the same columns whether a thing is counted in ones or in millions."""
    small, large = (as_text(figures(number)).splitlines() for number in (1, 1_000_000))
    assert max(map(len, small + large)) <= 80
    assert len(small) == len(large)
    for one, other in zip(small, large, strict=True):
        assert len(one) == len(other) or "MXN" in one, f"{one}\n{other}"


def test_what_is_unknown_is_said_to_be() -> None:
    """Never a nought where nobody could be asked."""
    dark = Figures(at_ms=AT_MS, timezone=ZONE, flow=None, sold=None, unknown={"redis": "away"})
    assert as_text(dark).count("unknown") == 5
