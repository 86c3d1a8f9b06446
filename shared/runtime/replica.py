"""What every replica reads from the environment, whichever service it is of."""

from typing import Annotated

import msgspec

from shared.contracts.limits import HEARTBEAT_MS_MAX

Port = Annotated[int, msgspec.Meta(ge=1, le=65_535, description="a port", examples=[8081])]
Partitions = Annotated[int, msgspec.Meta(ge=1, le=4_096, examples=[1])]
Replicas = Annotated[int, msgspec.Meta(ge=0, le=16, examples=[1])]
RedisUrl = Annotated[
    str,
    msgspec.Meta(
        pattern="^(rediss?://.*|rediss?[+]cluster://[^/?]+/?([?].*)?)$",
        description=(
            "a redis:// or rediss:// URL of a server, or a redis+cluster:// or rediss+cluster:// "
            "URL of nodes of a cluster"
        ),
        examples=["redis://127.0.0.1:6379/0", "redis+cluster://10.0.0.1:6379,10.0.0.2:6379"],
    ),
]
ServerUrl = Annotated[
    str,
    msgspec.Meta(
        pattern="^rediss?://",
        description="a redis:// or rediss:// URL of a server",
        examples=["redis://127.0.0.1:6380/0"],
    ),
]
HttpUrl = Annotated[
    str,
    msgspec.Meta(
        pattern="^https?://",
        description="an http:// or https:// URL",
        examples=["http://127.0.0.1:8090"],
    ),
]
HeartbeatMs = Annotated[int, msgspec.Meta(ge=50, le=HEARTBEAT_MS_MAX, examples=["1s"])]
DrainMs = Annotated[int, msgspec.Meta(ge=0, examples=["60s"])]
LogLevel = Annotated[
    str,
    msgspec.Meta(
        pattern="^(DEBUG|INFO|WARNING|ERROR)$",
        description="DEBUG, INFO, WARNING or ERROR",
        examples=["INFO"],
    ),
]
Environment = Annotated[
    str,
    msgspec.Meta(
        pattern="^[a-z]{1,32}$", description="a word of small letters", examples=["production"]
    ),
]


def environment_name(field: str) -> str:
    """Return the variable that a settings field reads: `lease_ms` reads `LEASE`."""
    return field.removesuffix("_ms").upper()


class ReplicaSettings(msgspec.Struct, frozen=True, kw_only=True, rename=environment_name):
    """What every service reads from the environment."""

    host: str = "127.0.0.1"
    instance_port: Port
    log_level: LogLevel = "INFO"
    environment: Environment = "development"
    heartbeat_ms: HeartbeatMs = 1_000
    drain_timeout_ms: DrainMs = 60_000
    crash_at: str | None = None
    open_on_eof_fd: int | None = None  # the public port opens when this pipe is closed
