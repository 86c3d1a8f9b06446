"""Stream entries as the functions write them, and whole lives of topups made of them."""

import msgspec
from hypothesis import strategies as st

from services.ledger.entries import Outcome, Request, read_outcome, read_request
from shared.contracts.events import Evidence, TopupRequested, encode
from shared.contracts.states import State

AT_MS = 1_795_000_000_000


def topup_id(number: int) -> str:
    """Return the id of a topup."""
    return f"0195f000-0000-7000-8000-{number:012x}"


def request_fields(
    number: int, *, amount_minor: int = 1_000, at_ms: int = AT_MS
) -> dict[str, bytes]:
    """Return the fields of a lane's entry."""
    body = TopupRequested(
        customer_id=f"C{number % 3}",
        phone="+525512345678",
        country="MX",
        amount_minor=amount_minor,
        currency="MXN" if number % 2 else "USD",
        provider="LATCOM",
        product="XOOM_10_MXN",
        metadata={"order": number},
    )
    return {"id": topup_id(number).encode(), "body": encode(body), "at": b"%d" % (at_ms + number)}


def outcome_fields(
    number: int, state: State, *, seq: int = 1, amount_minor: int = 1_000
) -> dict[str, bytes]:
    """Return the fields of an outcome's entry."""
    return {
        **request_fields(number, amount_minor=amount_minor),
        "seq": b"%d" % seq,
        "state": state.value.encode(),
        "reason": b"" if state is State.SUCCEEDED else b"refused",
        "evidence": encode(Evidence(provider_reference=f"P{number}", raw={"n": number}, attempt=1)),
    }


def request(number: int, *, amount_minor: int = 1_000) -> Request:
    """Return a request as the ledger reads it."""
    return read_request("0-1", request_fields(number, amount_minor=amount_minor))


def outcome(number: int, state: State, *, seq: int = 1, amount_minor: int = 1_000) -> Outcome:
    """Return an outcome as the ledger reads it."""
    entry = f"{AT_MS + 1_000 * seq + number * 700_000}-0"
    return read_outcome(entry, outcome_fields(number, state, seq=seq, amount_minor=amount_minor))


class Life(msgspec.Struct, frozen=True):
    """One topup: its amount, and the states it was settled in."""

    amount_minor: int
    states: tuple[State, ...]


def lives() -> st.SearchStrategy[Life]:
    """Draw a topup that is open, settled, or was resolved."""
    final = st.sampled_from([State.SUCCEEDED, State.FAILED])
    states = st.one_of(
        st.just(()),
        st.tuples(st.sampled_from([State.SUCCEEDED, State.FAILED, State.UNRESOLVED])),
        st.tuples(st.just(State.UNRESOLVED), final),
    )
    return st.builds(Life, st.integers(1, 10**12), states)


def entries_of(number: int, life: Life) -> list[Request | Outcome]:
    """Return all entries of one topup."""
    return [
        request(number, amount_minor=life.amount_minor),
        *(
            outcome(number, state, seq=seq, amount_minor=life.amount_minor)
            for seq, state in enumerate(life.states, 1)
        ),
    ]
