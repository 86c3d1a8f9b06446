"""Every bound that two parts must agree on, and the relations between them."""

from typing import Final

BATCH_MAX: Final = 256
WAITING_MAX: Final = 20_000
"""Callers that may wait for one shared round trip: as many as the settings let in, or more."""
WAITERS_MAX: Final = 10_000
"""Who waits at one gateway for the end of a topup; all of them may look at once when it came."""
BODY_BYTES_MAX: Final = 16 * 1024
DEAD_PAYLOAD_BYTES_MAX: Final = 4 * BODY_BYTES_MAX
SILENT_MS: Final = 5_000
ALIVE_FORGET_MS: Final = 3_600_000
CLOCK_ERROR_MS: Final = 60_000
CHECK_TIMEOUT_MS: Final = 250
LANE_TRIES: Final = 2
"""So often a lane that is busy or not reached is tried where another one may have the topup."""
LEASE_SPARE_MS: Final = 2_000
HEARTBEAT_MS_MAX: Final = 2_000
KEYS_RENEW_S: Final = 60
"""A gateway asks the ledger for all keys that often, whatever it was told meanwhile."""
KEYS_ANNOUNCED_MAX: Final = 10_000
"""Announcements kept: what a gateway missed beyond that, it has from the ledger."""
DEAD_RETENTION_MS: Final = 90 * 86_400_000
"""What was put aside for people stays until they have dealt with it, and so long at least."""
assert WAITING_MAX > WAITERS_MAX + BATCH_MAX, "who has waited long must not be refused a look"
assert 2 * HEARTBEAT_MS_MAX < SILENT_MS, "two lost beats must not look like death"


def lease_ms(*, connect_ms: int, login_ms: int, answer_ms: int, stall_ms: int) -> int:
    """Return how long one attempt may own a topup.

    Half of it outlasts a connect and a stopped process, however short the answer's timeout is.
    """
    lease = 2 * (connect_ms + login_ms + answer_ms) + stall_ms
    return max(lease, 2 * (connect_ms + stall_ms) + LEASE_SPARE_MS)


def quarantine_ms(*, user_timeout_ms: int, visible_after_ms: int) -> int:
    """Return how long after a lease's end a lost send may still come to light."""
    return user_timeout_ms + visible_after_ms + CLOCK_ERROR_MS


def resend_window_ms(*, dedupe_window_ms: int, user_timeout_ms: int) -> int:
    """Return how long after its first send a lease may end that sends the same reference again.

    The request may be under way for a while after that; the provider must still know it then.
    """
    return max(dedupe_window_ms - user_timeout_ms - CLOCK_ERROR_MS, 0)
