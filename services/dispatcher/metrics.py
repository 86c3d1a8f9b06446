"""What the dispatcher counts and times; what each topup counts is looked up once by its labels."""

from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

ATTEMPTS: Final = Counter(
    "topup_attempts_total",
    "Attempts that ended, sends and questions, by what the provider said.",
    ["provider", "answer"],
)
QUESTIONS: Final = Counter(
    "topup_questions_total",
    "Questions about unresolved topups, by what the provider said.",
    ["provider", "answer"],
)
PROVIDER_CALL_SECONDS: Final = Histogram(
    "topup_provider_call_duration_seconds",
    "How long one call to a provider took, logins included.",
    ["provider"],
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 7, 10, 15, 20, 30, 60, 90),
)
SETTLE_SECONDS: Final = Histogram(
    "topup_settle_duration_seconds",
    "From a topup's accept to its outcome.",
    ["provider", "state"],
    buckets=(0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 900, 3600),
)
IN_FLIGHT: Final = Gauge(
    "topup_in_flight_topups", "Topups that this replica has in flight.", ["provider"]
)
LANE_OPEN: Final = Gauge(
    "topup_lane_open", "1 while the lane is open, 0 while it is held or probing.", ["provider"]
)
BEGIN_REPLIES: Final = Counter(
    "topup_begin_replies_total",
    "Entries of a lane by what `begin` answered: send, inquire, busy, held, settled and so on.",
    ["provider", "reply"],
)
MOVED: Final = Counter(
    "topup_moved_total",
    "Topups with provider AUTO that went on to another lane after an attempt, by why: refused, no "
    "(busy), not_sent, hold.",
    ["provider", "to", "why"],
)
CLAIMED: Final = Counter(
    "topup_claimed_entries_total", "Lane entries taken over from silent dispatchers.", ["provider"]
)
BURIED: Final = Counter(
    "topup_buried_entries_total", "Lane entries that could not be read.", ["provider"]
)

attempts: Final = cache(ATTEMPTS.labels)
begin_replies: Final = cache(BEGIN_REPLIES.labels)
call_seconds: Final = cache(PROVIDER_CALL_SECONDS.labels)
settle_seconds: Final = cache(SETTLE_SECONDS.labels)
