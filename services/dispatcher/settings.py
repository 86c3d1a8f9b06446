"""What the dispatcher reads from the environment."""

from typing import Annotated

import msgspec

from shared.contracts.access import ACCESS, missing, set_up
from shared.contracts.limits import WAITING_MAX
from shared.runtime.replica import Partitions, RedisUrl, Replicas, ReplicaSettings

Concurrency = Annotated[int, msgspec.Meta(ge=1, le=WAITING_MAX, examples=[20])]
Failures = Annotated[int, msgspec.Meta(ge=0, le=10_000, examples=[5])]
HoldMs = Annotated[int, msgspec.Meta(ge=100, le=60_000, examples=["5s"])]
StallMs = Annotated[int, msgspec.Meta(ge=1_000, le=60_000, examples=["15s"])]
WindowMs = Annotated[int, msgspec.Meta(ge=1_000, examples=["7d"])]
ProviderTimeoutMs = Annotated[int, msgspec.Meta(ge=100, le=300_000, examples=["45s"])]
ProviderUrl = Annotated[
    str,
    msgspec.Meta(
        pattern="^https?://",
        description="an http:// or https:// URL",
        examples=["https://provider.example"],
    ),
]
ProductId = Annotated[
    int, msgspec.Meta(ge=1, le=2**31 - 1, description="a product's number", examples=[20153])
]


class DispatcherSettings(ReplicaSettings, frozen=True, kw_only=True):
    """Streams, slots, the bound on pauses, and the providers' access."""

    redis_url: RedisUrl
    redis_replicas: Replicas = 0
    stream_partitions: Partitions = 1
    queue_concurrency: Concurrency = 20
    breaker_failures: Failures = 5
    breaker_hold_ms: HoldMs = 5_000
    stall_ms: StallMs = 15_000
    idempotency_window_ms: WindowMs = 604_800_000
    resend_after_inquiry: bool = True
    latcom_url: ProviderUrl = ""  # of a provider's access nothing is set: it has no lane
    latcom_username: str = ""
    latcom_password: str = ""
    latcom_dist_api: str = ""
    latcom_user_uid: str = ""
    latcom_timeout_ms: ProviderTimeoutMs = 45_000
    latcom_token_life_ms: ProviderTimeoutMs = 240_000
    reloadly_url: ProviderUrl = ""
    reloadly_auth_url: ProviderUrl = "https://auth.reloadly.com"
    reloadly_client_id: str = ""
    reloadly_client_secret: str = ""
    reloadly_timeout_ms: ProviderTimeoutMs = 45_000
    dtone_url: ProviderUrl = ""
    dtone_api_key: str = ""
    dtone_api_secret: str = ""
    dtone_product_id: ProductId | None = None
    dtone_timeout_ms: ProviderTimeoutMs = 60_000
    sandbox_dedupes: bool = False
    sandbox_inquiry: bool = False

    def __post_init__(self) -> None:
        """Refuse half an access, and a dispatcher without a lane."""
        if problems := [*missing(self._is_set)]:
            raise ValueError("\n".join(problems))
        if not self.lanes:
            urls = ", ".join(access.url for access in ACCESS.values())
            raise ValueError(
                f"{urls}: none is set, so there is no lane; for example "
                "LATCOM_URL=https://provider.example and its logins"
            )

    @property
    def lanes(self) -> list[str]:
        """Return the providers that can be sent to."""
        return set_up(self._is_set)

    def _is_set(self, variable: str) -> bool:
        return bool(getattr(self, variable.lower()))
