"""What the gateway reads from the environment."""

from typing import Annotated

import msgspec

from shared.contracts.catalogue import OFFERS
from shared.contracts.limits import WAITERS_MAX, WAITING_MAX
from shared.runtime.replica import HttpUrl, Partitions, Port, RedisUrl, Replicas, ReplicaSettings

Limit = Annotated[int, msgspec.Meta(ge=0, le=1_000_000, examples=[200])]
WindowMs = Annotated[int, msgspec.Meta(ge=1_000, examples=["7d"])]
DeliverMs = Annotated[int, msgspec.Meta(ge=1_000, examples=["10m"])]
AdminKey = Annotated[
    str,
    msgspec.Meta(
        pattern="^[!-~]+$",
        description="visible ASCII without spaces",
        examples=["Visible-ASCII_4711"],
    ),
]
SessionKey = Annotated[
    str,
    msgspec.Meta(
        pattern="^[!-~]{32,}$",
        description="32 or more visible ASCII characters without spaces",
        examples=["what-openssl-rand-hex-32-prints-you"],
    ),
]
Requests = Annotated[int, msgspec.Meta(ge=1, le=WAITING_MAX - WAITERS_MAX, examples=[1_000])]
Connections = Annotated[int, msgspec.Meta(ge=1, le=1_000_000, examples=[12_000])]
Backlog = Annotated[int, msgspec.Meta(ge=1, le=100_000_000, examples=[200_000])]
Offered = Annotated[
    str,
    msgspec.Meta(
        pattern=f"^({'|'.join(OFFERS)})(,({'|'.join(OFFERS)}))*$",
        description=f"one or more of {', '.join(OFFERS)} with commas between them",
        examples=[",".join(OFFERS)],
    ),
]
StaleMs = Annotated[int, msgspec.Meta(ge=1_000, examples=["15m"])]


class GatewaySettings(ReplicaSettings, frozen=True, kw_only=True):
    """Where to listen, whom to ask, and what merchants may do."""

    port: Port = 8080
    redis_url: RedisUrl
    redis_replicas: Replicas = 0
    ratelimiter_url: HttpUrl
    ledger_url: HttpUrl
    providers: Offered = msgspec.field(default="LATCOM", name="PROVIDERS_OFFERED")
    resolve_alone: bool = False
    admin_key: AdminKey | None = None  # none: the admin API is off
    session_key: SessionKey | None = None  # none: there is no page at /admin
    rate_limit_per_minute: Limit = 200
    stream_partitions: Partitions = 1
    idempotency_window_ms: WindowMs = 604_800_000
    deliver_before_ms: DeliverMs = 600_000
    key_stale_max_ms: StaleMs = 900_000
    requests_max: Requests = 1_000
    connections_max: Connections = 12_000
    lane_waiting_max: Backlog = 200_000
