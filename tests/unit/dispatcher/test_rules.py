"""What the dispatcher decides: money first, doubt is never called failure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dispatcher.providers.adapter import (
    Answer,
    Delivered,
    Facts,
    NotFound,
    NotSent,
    Refused,
    Unknown,
)
from services.dispatcher.rules import (
    BACKOFF_MS_MAX,
    INQUIRIES_MAX,
    Finish,
    Park,
    after_inquiry,
    after_send,
    backoff_ms,
    going_on,
    kind_of,
    reference_of,
    resend_window_of,
    tried,
)
from shared.contracts.limits import CLOCK_ERROR_MS
from shared.contracts.states import State

TIMEOUTS: Any = {"connect_timeout_ms": 1, "login_timeout_ms": 1, "answer_timeout_ms": 1}
NEITHER = Facts(name="X", **TIMEOUTS)
DEDUPES = Facts(name="X", dedupes_on_reference=True, dedupe_window_ms=1_000, **TIMEOUTS)
ASKABLE = Facts(name="X", inquiry=True, visible_after_ms=1_000, **TIMEOUTS)
NUMBERED = Facts(name="X", inquiry=True, reference_per_attempt=True, **TIMEOUTS)
ALL = [NEITHER, DEDUPES, ASKABLE, NUMBERED]

DELIVERED = Delivered(provider_reference="P1", raw="{}")
FINAL = Refused(reason="blocked", code="7", kind="final", raw="{}")
NUMBER = Refused(reason="no such number", code="6", kind="number", raw="{}")
RETRY = Refused(reason="busy", code="8", kind="retry", raw="{}")
HOLD = Refused(reason="empty wallet", code="9", kind="hold", raw="{}")
NOT_SENT = NotSent(reason="refused")
UNKNOWN = Unknown(reason="timeout")
NOT_FOUND = NotFound()
ANSWERS = [DELIVERED, FINAL, NUMBER, RETRY, HOLD, NOT_SENT, UNKNOWN, NOT_FOUND]


def sent(answer: Answer, facts: Facts, attempt: int = 1) -> Finish | Park:
    return after_send(answer, facts=facts, attempt=attempt, by="d#1", chance=0.5)


def asked(
    answer: Answer, facts: Facts, *, final: bool, resend: bool = True, attempt: int = 1
) -> Finish | Park:
    return after_inquiry(
        answer,
        final=final,
        facts=facts,
        attempt=attempt,
        by="d#1",
        chance=0.5,
        resend=resend,
    )


def ends(verdict: Finish | Park) -> str:
    return verdict.to if isinstance(verdict, Finish) else verdict.why


@pytest.mark.parametrize("facts", ALL)
@pytest.mark.parametrize(
    ("answer", "end"),
    [
        (DELIVERED, "succeeded"),
        (FINAL, "failed"),
        (NUMBER, "failed"),
        (RETRY, "no"),
        (HOLD, "hold"),
        (NOT_SENT, "not_sent"),
    ],
)
def test_what_is_definite_is_the_same_at_every_provider(
    answer: Answer, end: str, facts: Facts
) -> None:
    """Delivered ends it, a final no fails it; the rest waits."""
    assert ends(sent(answer, facts)) == end


def test_a_number_that_is_none_is_not_taken_to_another_provider() -> None:
    """A no that is this provider's own is; a yes, and doubt, never are."""
    on = {
        answer: going_on(sent(answer, NEITHER), mode="send")
        for answer in (FINAL, NUMBER, DELIVERED, UNKNOWN)
    }
    assert on == {FINAL: "refused", NUMBER: None, DELIVERED: None, UNKNOWN: None}


def test_doubt_at_a_provider_that_can_neither_is_unresolved_at_once() -> None:
    """Nothing could ever be sent again, and nobody asked."""
    verdict = sent(UNKNOWN, NEITHER)
    assert isinstance(verdict, Finish)
    assert verdict.to is State.UNRESOLVED


@pytest.mark.parametrize("facts", [DEDUPES, ASKABLE, NUMBERED])
def test_doubt_elsewhere_waits_for_another_send_or_a_question(facts: Facts) -> None:
    """The server decides which by the record."""
    assert ends(sent(UNKNOWN, facts)) == "unknown"


@pytest.mark.parametrize("facts", ALL)
@pytest.mark.parametrize("answer", [UNKNOWN, NOT_FOUND])
def test_doubt_is_never_failure(answer: Answer, facts: Facts) -> None:
    """No unknown answer of a send fails a topup."""
    assert ends(sent(answer, facts)) != "failed"


@pytest.mark.parametrize("answer", [FINAL, RETRY, NOT_FOUND])
def test_a_negative_before_the_quarantine_is_over_only_waits(answer: Answer) -> None:
    """What was sent may still arrive."""
    assert ends(asked(answer, ASKABLE, final=False)) == "not_found"


def test_after_the_quarantine_a_refusal_fails_and_never_heard_of_it_frees() -> None:
    """Then negatives count; a topup that never arrived may be sent again."""
    assert ends(asked(FINAL, ASKABLE, final=True)) == "failed"
    assert ends(asked(NOT_FOUND, ASKABLE, final=True)) == "not_found"


def test_without_resend_a_topup_that_never_arrived_is_left_to_people() -> None:
    """RESEND_AFTER_INQUIRY=off."""
    assert ends(asked(NOT_FOUND, ASKABLE, final=True, resend=False)) == "unresolved"


def test_a_provider_that_cannot_say_when_it_shows_has_no_negatives() -> None:
    """Its no is an answer, but only another question, and after many of those people decide."""
    blind = Facts(name="X", inquiry=True, **TIMEOUTS)
    assert ends(asked(FINAL, blind, final=True)) == "no_proof"
    assert ends(asked(NOT_FOUND, blind, final=True)) == "no_proof"
    assert ends(asked(NOT_FOUND, blind, final=True, attempt=INQUIRIES_MAX)) == "unresolved"


def test_a_refusal_of_a_reference_of_its_own_counts_where_absence_does_not() -> None:
    """It cannot be an older attempt's; but only once the quarantine is over."""
    assert ends(asked(FINAL, NUMBERED, final=False)) == "not_found"
    assert ends(asked(FINAL, NUMBERED, final=True)) == "failed"
    assert ends(asked(RETRY, NUMBERED, final=True)) == "not_found"
    assert ends(asked(NOT_FOUND, NUMBERED, final=True)) == "no_proof"


def test_a_reference_names_its_attempt_where_the_provider_has_room_for_it() -> None:
    """What is said of it is then said of that attempt."""
    assert reference_of(NUMBERED, "t", 7) == "t-7"
    assert reference_of(ASKABLE, "t", 7) == "t"


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_question_never_fails_a_topup_on_anything_but_a_late_refusal(
    answer: Answer, final: bool
) -> None:
    """Only a final refusal, asked after the quarantine, does."""
    failed = ends(asked(answer, ASKABLE, final=final)) == "failed"
    assert failed == (answer in {FINAL, NUMBER} and final)


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_waiting_grows_and_is_bounded(attempt: int, chance: float) -> None:
    """Half a second at least, a minute at most."""
    assert 500 <= backoff_ms(attempt, chance) <= BACKOFF_MS_MAX


def test_each_kind_has_its_name() -> None:
    """As the functions know them."""
    both = Facts(name="X", dedupes_on_reference=True, inquiry=True, **TIMEOUTS)
    assert [kind_of(facts) for facts in (NEITHER, ASKABLE, DEDUPES, both)] == [
        "neither",
        "inquiry",
        "dedupes",
        "dedupes+inquiry",
    ]


@pytest.mark.parametrize("raw", ["[" * 1_023 + "…", "[" * 500 + "]" * 500, '{"a":' * 200])
def test_evidence_that_is_nested_without_end_stays_text(raw: str) -> None:
    """No parser's stack decides whether an outcome gets into the books."""
    verdict = after_send(Unknown("broken", raw), facts=NEITHER, attempt=1, by="d", chance=0)
    assert isinstance(verdict, Finish)
    assert (verdict.to, verdict.evidence.raw) == (State.UNRESOLVED, raw)


def test_the_last_request_under_way_arrives_within_the_dedupe_window() -> None:
    """A lease that ends within the window is not enough: bytes arrive later, and clocks differ."""
    facts = Facts(name="X", dedupes_on_reference=True, dedupe_window_ms=600_000, **TIMEOUTS)
    assert resend_window_of(facts) + facts.answer_timeout_ms + CLOCK_ERROR_MS == 600_000
    assert resend_window_of(DEDUPES) == 0


@pytest.mark.parametrize("answer", ANSWERS)
def test_every_answer_can_be_kept_in_few_bytes(answer: Answer) -> None:
    """With the provider's own words; a long one is cut, and one that is JSON stays JSON."""
    kept = tried(answer, attempt=2, mode="send", by="d#1", elapsed_ms=7)
    assert (kept.attempt, kept.mode, kept.by, kept.elapsed_ms) == (2, "send", "d#1", 7)
    wordy = tried(
        Unknown(reason="?", raw="x" * 9_999), attempt=1, mode="send", by="d", elapsed_ms=0
    )
    assert len(wordy.raw) == 300
    assert wordy.raw.endswith("…")
    assert tried(RETRY, attempt=1, mode="send", by="d", elapsed_ms=0).raw == {}
