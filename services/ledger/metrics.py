"""What the ledger counts and times."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

ENTRIES: Final = Counter(
    "topup_ledger_entries_total",
    "Stream entries by kind (request, outcome, act) and what they were to the books "
    "(new, known, aside: contradicts them, dead: cannot be read).",
    ["kind", "result"],
)
SET_ASIDE: Final = Counter(
    "topup_ledger_set_aside_total",
    "Entries that contradict what is booked; each one needs a person: see table set_aside.",
)
BATCH_ENTRIES: Final = Histogram(
    "topup_ledger_batch_entries",
    "Stream entries in one transaction.",
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
)
BOOK_SECONDS: Final = Histogram(
    "topup_ledger_book_duration_seconds",
    "One transaction that books a batch, with its commit.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
QUERY_SECONDS: Final = Histogram(
    "topup_ledger_query_duration_seconds",
    "One question of a gateway, by path.",
    ["query"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
LAG_SECONDS: Final = Gauge(
    "topup_ledger_lag_seconds",
    "Age of the oldest entry in the batch that was booked last.",
)
CLAIMED: Final = Counter(
    "topup_ledger_claimed_entries_total", "Entries taken over from ledgers that were silent."
)
TRIMMED: Final = Counter(
    "topup_ledger_trimmed_entries_total", "Entries dropped from the streams after the retention."
)
LIMBO: Final = Gauge(
    "topup_limbo_minor_units",
    "Money that is unresolved, in minor units, by currency and by how long (1h: up to an hour, 1d, "
    "7d, older); every ledger tells the same.",
    ["currency", "age"],
)
VERIFIED: Final = Gauge(
    "topup_streams_verified",
    "1 while the partition is known to have all that is in the books, else 0: nothing starts.",
    ["partition"],
)
