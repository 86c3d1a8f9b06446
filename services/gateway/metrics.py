"""What the gateway counts and times; what each request counts is looked up once by its labels."""

from functools import cache
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

REQUESTS: Final = Counter(
    "topup_http_requests_total",
    "Requests of merchants and admins, by route, HTTP status and error code (ok: none).",
    ["route", "status", "code"],
)
ACCEPT_SECONDS: Final = Histogram(
    "topup_accept_duration_seconds",
    "From a topup request's arrival to its answer, whatever the answer; without those that asked "
    "to wait for the end.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ACCEPT_RETRIES: Final = Counter(
    "topup_accept_retries_total",
    "Accepts that were repeated with the same id: not_known (no answer) or refused.",
    ["why"],
)
LIMITER_FALLBACK: Final = Gauge(
    "topup_limiter_fallback",
    "1 while no ratelimiter answers and this gateway enforces its own share, else 0.",
)
KEYS_AGE_SECONDS: Final = Gauge(
    "topup_keys_age_seconds", "Since the ledger last confirmed the API keys held here."
)
KEYS_HELD: Final = Gauge("topup_keys_held", "API keys that this gateway knows and would accept.")
KEYS_REFUSED: Final = Counter(
    "topup_keys_refused_total",
    "Requests without a working key: none (no key), malformed (mistyped, cut off, or not ours), "
    "unknown (well formed: never drawn, revoked, ended, or its customer is disabled).",
    ["why"],
)
IN_FLIGHT: Final = Gauge(
    "topup_requests_in_flight",
    "Requests of merchants that are being answered here; at REQUESTS_MAX the next gets a 503.",
)
WAITERS: Final = Gauge(
    "topup_waiters", "Requests with `Prefer: wait` that wait here for the end of their topup."
)
VIEWERS: Final = Gauge(
    "topup_viewers", "Browsers and terminals that watch the live picture at this gateway."
)

requests: Final = cache(REQUESTS.labels)
