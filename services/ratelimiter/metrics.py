"""What the ratelimiter counts and times."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

CHECKS: Final = Counter(
    "topup_limit_checks_total", "Places asked for, by whether one was free.", ["verdict"]
)
ALLOWED: Final = CHECKS.labels("allowed")
REFUSED: Final = CHECKS.labels("refused")
BATCH_CHECKS: Final = Histogram(
    "topup_limit_batch_checks",
    "Checks in one round trip to Redis.",
    buckets=(0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096),
)
TAKE_SECONDS: Final = Histogram(
    "topup_limit_take_duration_seconds",
    "One round trip to Redis for a batch.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1),
)
GATEWAYS: Final = Gauge("topup_limit_gateways", "Gateways heard of in the last 10 seconds.")
