"""What the ledger counts and times, and what it sees of streams and lanes as it looks on.

Of these every ledger tells the same: take the highest.
"""

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
    "Age of the oldest entry in the batch that was booked last, when it was booked.",
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
UNBOOKED_AGE_SECONDS: Final = Gauge(
    "topup_ledger_unbooked_age_seconds",
    "Age of the oldest entry of any stream that is not booked yet; 0: all are. Unlike the lag, it "
    "grows while nothing is booked at all.",
)

DATABASE_WAIT_SECONDS: Final = Histogram(
    "topup_database_wait_duration_seconds",
    "From asking for a connection to PostgreSQL to having one.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2),
)
DATABASE_USE_SECONDS: Final = Histogram(
    "topup_database_use_duration_seconds",
    "For how long a connection was lent: what the database took, and we between its answers.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30),
)
CONNECTIONS_MAX: Final = Gauge(
    "topup_database_connections_max", "Connections that may be open: DATABASE_POOL_SIZE."
)
CONNECTIONS: Final = Gauge("topup_database_connections", "Connections that are open.")
CONNECTIONS_IN_USE: Final = Gauge(
    "topup_database_connections_in_use", "Open connections that are lent just now."
)
CONNECTION_WAITERS: Final = Gauge(
    "topup_database_waiters", "Who waits for a connection just now; after 2 s they give up."
)

OLDEST_UNFINISHED_AGE_SECONDS: Final = Gauge(
    "topup_oldest_unfinished_age_seconds",
    "Age, since its accept, of the oldest topup of a lane that has not ended; 0: there is none. "
    "Looked for among the first 100 that are unread, at work, and due.",
    ["provider"],
)
LANE_TOPUPS: Final = Gauge(
    "topup_lane_topups", "Topups on a lane: queued, active or waiting.", ["provider", "state"]
)
UNREAD: Final = Gauge(
    "topup_stream_unread_entries",
    "Entries that a group has not read; NaN where the server cannot tell.",
    ["stream", "group"],
)
PENDING: Final = Gauge(
    "topup_stream_pending_entries",
    "Entries that a group has read and not acknowledged.",
    ["stream", "group"],
)
CONSERVATION_ERROR: Final = Gauge(
    "topup_conservation_error",
    "Topups accepted, less those in all states, by the streams' own counters: never anything but "
    "0.",
)
STREAMS_DURABLE: Final = Gauge(
    "topup_streams_durable",
    "1 while an answered write is on the disks it must be on; 0: a crash may lose accepted topups; "
    "NaN where the server keeps its settings secret.",
)
STREAMS_WRITABLE: Final = Gauge(
    "topup_streams_writable", "1 while the streams' Valkey takes writes, else 0."
)
MEMORY_USED_BYTES: Final = Gauge(
    "topup_streams_memory_used_bytes", "Memory that the streams' Valkey has taken for data."
)
MEMORY_MAX_BYTES: Final = Gauge(
    "topup_streams_memory_max_bytes",
    "Memory that it may take: its maxmemory, else its machine's.",
)
DISK_FREE_BYTES: Final = Gauge(
    "topup_streams_disk_free_bytes",
    "Room on the disk of the streams' Valkey; NaN where that is on another machine than this.",
)
DISK_SIZE_BYTES: Final = Gauge(
    "topup_streams_disk_size_bytes", "Size of that disk; NaN as with its room."
)
VERIFIED: Final = Gauge(
    "topup_streams_verified",
    "1 while the partition is known to have all that is in the books, else 0: nothing starts.",
    ["partition"],
)
