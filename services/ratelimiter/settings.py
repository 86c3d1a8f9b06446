"""What the ratelimiter reads from the environment."""

from shared.runtime.addresses import CLUSTER
from shared.runtime.replica import Port, RedisUrl, ReplicaSettings, ServerUrl


class RatelimiterSettings(ReplicaSettings, frozen=True, kw_only=True):
    """Where to listen, and which Redis holds the windows."""

    port: Port
    redis_url: RedisUrl | None = None
    limiter_redis_url: ServerUrl | None = None

    def __post_init__(self) -> None:
        """Refuse to start without any Redis, and to keep windows where the money is replicated."""
        if self.limiter_redis_url is None and f"{CLUSTER}://" in (self.redis_url or ""):
            raise ValueError(
                "LIMITER_REDIS_URL is missing, and REDIS_URL is a cluster: the windows need a "
                "server of their own; for example LIMITER_REDIS_URL=redis://127.0.0.1:6380/0"
            )
        if self.limiter_redis_url is None and self.redis_url is None:
            raise ValueError(
                "LIMITER_REDIS_URL is missing, and REDIS_URL too; "
                "for example LIMITER_REDIS_URL=redis://127.0.0.1:6379/1"
            )

    @property
    def windows_url(self) -> str:
        """The Redis that holds the windows: the volatile one where there is one."""
        url = self.limiter_redis_url or self.redis_url
        assert url is not None, "checked at the start"
        return url
