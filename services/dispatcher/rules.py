"""What follows from a provider's answer: how a topup ends, or why and until when it waits."""

from typing import Any, Final, Literal

import msgspec

# The contract is frozen structs without I/O; an answer is what these rules are about.
from services.dispatcher.providers.adapter import (
    Answer,
    Delivered,
    Facts,
    NotFound,
    NotSent,
    Refused,
    Unknown,
)
from shared.contracts.events import Evidence
from shared.contracts.limits import quarantine_ms, resend_window_ms
from shared.contracts.states import Reason, State
from shared.contracts.tries import RAW_CHARACTERS_MAX, Try

Mode = Literal["send", "inquire", "inquire_final"]
Kind = Literal["neither", "inquiry", "dedupes", "dedupes+inquiry"]
Why = Literal["no", "not_sent", "unasked", "unknown", "not_found", "no_proof", "hold"]
"""`no_proof`: a no to a question, which does not count, but is an answer of the lane's."""

BACKOFF_FIRST_MS: Final = 1_000
BACKOFF_MS_MAX: Final = 60_000
INQUIRIES_MAX: Final = 100
"""After so many questions without an answer people decide, on evidence."""
LANE_REASON_CHARACTERS_MAX: Final = 200
NESTING_MAX: Final = 64
"""No honest answer is deeper; a parser's stack ends somewhere, and the ledger's with it."""


class Finish(msgspec.Struct, frozen=True, kw_only=True):
    """The attempt settles its topup."""

    to: State
    reason: str = ""
    evidence: Evidence
    only_here: bool = False  # refused here; another provider may say something else


class Park(msgspec.Struct, frozen=True, kw_only=True):
    """The topup waits, for another try or another question.

    `lane_reason` is what people read of a lane that this holds, where it says more than `reason`.
    """

    why: Why
    delay_ms: int
    reason: Reason
    lane_reason: str = ""


def reference_of(facts: Facts, topup_id: str, attempt: int) -> str:
    """Return what the provider calls this attempt's send."""
    return f"{topup_id}-{attempt}" if facts.reference_per_attempt else topup_id


def kind_of(facts: Facts) -> Kind:
    """Say what may be done about a send in doubt."""
    if facts.dedupes_on_reference:
        return "dedupes+inquiry" if facts.inquiry else "dedupes"
    return "inquiry" if facts.inquiry else "neither"


def quarantine_of(facts: Facts) -> int:
    """Return how long after a lost send's lease no negative about it is believed."""
    return quarantine_ms(
        user_timeout_ms=facts.answer_timeout_ms, visible_after_ms=facts.visible_after_ms or 0
    )


def resend_window_of(facts: Facts) -> int:
    """Return how long after its first send a topup in doubt may be sent again; 0 is never."""
    return resend_window_ms(
        dedupe_window_ms=facts.dedupe_window_ms or 0, user_timeout_ms=facts.answer_timeout_ms
    )


def backoff_ms(attempt: int, chance: float) -> int:
    """Return how long to wait after this attempt; `chance` in [0, 1) spreads the crowd."""
    full = min(BACKOFF_FIRST_MS * 2 ** min(attempt - 1, 16), BACKOFF_MS_MAX)
    return int(full * (0.5 + chance / 2))


def after_send(
    answer: Answer, *, facts: Facts, attempt: int, by: str, chance: float
) -> Finish | Park:
    """Decide what becomes of a topup whose paying request ended like this."""
    delay = backoff_ms(attempt, chance)
    match answer:
        case Delivered():
            return Finish(to=State.SUCCEEDED, evidence=_evidence(answer, attempt, by))
        case Refused(kind="final" | "number"):
            return Finish(
                to=State.FAILED,
                reason=Reason.REFUSED,
                evidence=_evidence(answer, attempt, by),
                only_here=answer.kind == "final",
            )
        case Refused(kind="retry"):
            return Park(why="no", delay_ms=delay, reason=Reason.PROVIDER_BUSY)
        case Refused():
            return _held(answer)
        case NotSent():
            return Park(why="not_sent", delay_ms=delay, reason=Reason.NOT_SENT)
        case Unknown() | NotFound():
            if kind_of(facts) == "neither":
                return _unresolved(Reason.NO_ANSWER, answer, attempt, by)
            return Park(why="unknown", delay_ms=delay, reason=Reason.NO_ANSWER)


def going_on(verdict: Finish | Park, *, mode: str) -> str | None:
    """Return why another lane may have the topup after this end of an own send, if one may.

    Only a definite no speaks here; the record knows whether anything else is in doubt, and how
    often this lane was tried.
    """
    if mode != "send":
        return None
    match verdict:
        case Finish(to=State.FAILED, only_here=True):
            return "refused"
        case Park(why="no" | "not_sent" | "hold"):
            return verdict.why
        case _:
            return None


def after_inquiry(  # noqa: PLR0913 - an answer, and all that it is weighed with
    answer: Answer,
    *,
    final: bool,
    facts: Facts,
    attempt: int,
    by: str,
    chance: float,
    resend: bool,
) -> Finish | Park:
    """Decide on the answer to a question about a send in doubt.

    `final`: the question was put after the quarantine, so that a negative counts.
    """
    delay = backoff_ms(attempt, chance)
    negative = _may_count(answer, facts)
    match answer:
        case Delivered():
            return Finish(to=State.SUCCEEDED, evidence=_evidence(answer, attempt, by))
        case Refused(kind="hold"):
            return _held(answer)
        case Refused(kind="final" | "number") if final and negative:
            return Finish(
                to=State.FAILED, reason=Reason.REFUSED, evidence=_evidence(answer, attempt, by)
            )
        case _ if final and negative and not resend:
            return _unresolved(Reason.NEVER_ARRIVED, answer, attempt, by)
        case _ if negative:
            return Park(
                why="not_found",
                delay_ms=0 if final else delay,
                reason=Reason.NEVER_ARRIVED if final else Reason.NOT_FOUND_YET,
            )
        case _ if attempt >= INQUIRIES_MAX:
            return _unresolved(Reason.NO_ANSWER, answer, attempt, by)
        case _:
            why: Why = "no_proof" if isinstance(answer, NotFound | Refused) else "unknown"
            return Park(why=why, delay_ms=delay, reason=Reason.NO_ANSWER)


def after_asking(
    answer: Answer, *, may_deny: bool, facts: Facts, attempt: int, by: str
) -> Finish | None:
    """Decide on the answer to a question about an unresolved topup; None: people go on deciding.

    `may_deny`: it was put after the quarantine of the one send in doubt, so that a no counts.
    "Never heard of it" is no answer here: nothing is ever sent again.
    """
    match answer:
        case Delivered():
            return Finish(to=State.SUCCEEDED, evidence=_evidence(answer, attempt, by))
        case Refused(kind="final" | "number") if may_deny and _may_count(answer, facts):
            return Finish(
                to=State.FAILED, reason=Reason.REFUSED, evidence=_evidence(answer, attempt, by)
            )
        case _:
            return None


def tried(answer: Answer, *, attempt: int, mode: str, by: str, elapsed_ms: int) -> Try:
    """Return what is kept of an attempt whose answer settles nothing."""
    raw = getattr(answer, "raw", "") or getattr(answer, "reason", "")
    if len(raw) > RAW_CHARACTERS_MAX:
        raw = raw[: RAW_CHARACTERS_MAX - 1] + "…"
    return Try(
        attempt=attempt,
        mode=mode,
        answer=_NAMES[type(answer)],
        code=getattr(answer, "code", None),
        raw=_readable(raw),
        by=by,
        elapsed_ms=elapsed_ms,
    )


_NAMES: Final[dict[type[Answer], str]] = {
    Delivered: "delivered",
    Refused: "refused",
    NotSent: "not_sent",
    Unknown: "unknown",
    NotFound: "not_found",
}


ANSWERS: Final = (*_NAMES.values(), "busy", "account")


def named(answer: Answer) -> str:
    """Return what metrics and logs call it: of a refusal, whose matter it is."""
    match answer:
        case Refused(kind="retry"):
            return "busy"
        case Refused(kind="hold"):
            return "account"
        case _:
            return _NAMES[type(answer)]


def _may_count(answer: Answer, facts: Facts) -> bool:
    """Tell whether a no to a question is one at all, once the quarantine is over.

    "Never heard of it" needs a provider that says how soon it shows what arrived. "That one was
    refused" does not where each attempt has a reference of its own; where it has not, the refusal
    may be an older attempt's.
    """
    match answer:
        case NotFound():
            return facts.visible_after_ms is not None
        case Refused():
            return facts.visible_after_ms is not None or facts.reference_per_attempt
        case _:
            return False


def _held(answer: Refused) -> Park:
    said = f"account refused: {answer.code}: {answer.reason}"
    return Park(
        why="hold",
        delay_ms=0,
        reason=Reason.LANE_HELD,
        lane_reason=said[:LANE_REASON_CHARACTERS_MAX],
    )


def _unresolved(reason: Reason, answer: Answer, attempt: int, by: str) -> Finish:
    return Finish(to=State.UNRESOLVED, reason=reason, evidence=_evidence(answer, attempt, by))


def _evidence(answer: Answer, attempt: int, by: str) -> Evidence:
    return Evidence(
        provider_reference=getattr(answer, "provider_reference", None),
        code=getattr(answer, "code", None),
        raw=_readable(getattr(answer, "raw", "") or getattr(answer, "reason", "")),
        by=by,
        attempt=attempt,
    )


def _readable(raw: str) -> Any:  # noqa: ANN401 - any JSON
    """Return JSON as what it is: smaller, and easier on whoever reads it, than JSON in a text."""
    if raw.count("[") + raw.count("{") > NESTING_MAX:
        return raw
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return raw or None
