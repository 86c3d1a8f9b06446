"""What the gateway reads from the environment."""

from typing import Annotated

import msgspec

from shared.web.replica import Port, ReplicaSettings

RedisUrl = Annotated[
    str, msgspec.Meta(pattern="^rediss?://", examples=["redis://127.0.0.1:6379/0"])
]
HttpUrl = Annotated[str, msgspec.Meta(pattern="^https?://", examples=["http://127.0.0.1:8090"])]
Limit = Annotated[int, msgspec.Meta(ge=0, le=1_000_000, examples=[200])]
Partitions = Annotated[int, msgspec.Meta(ge=1, le=4_096, examples=[1])]
WindowMs = Annotated[int, msgspec.Meta(ge=1_000, examples=["7d"])]
DeliverMs = Annotated[int, msgspec.Meta(ge=1_000, examples=["10m"])]
StaleMs = Annotated[int, msgspec.Meta(ge=1_000, examples=["15m"])]


class GatewaySettings(ReplicaSettings, frozen=True, kw_only=True):
    """Where to listen, whom to ask, and what merchants may do."""

    port: Port = 8080
    redis_url: RedisUrl
    ratelimiter_url: HttpUrl
    ledger_url: HttpUrl
    admin_key: str | None = None  # none: the admin API is off
    rate_limit_per_minute: Limit = 200
    stream_partitions: Partitions = 1
    idempotency_window_ms: WindowMs = 604_800_000
    deliver_before_ms: DeliverMs = 600_000
    key_stale_max_ms: StaleMs = 900_000
