"""What the ledger reads from the environment."""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from services.ledger.evidence import Signer
from shared.runtime.replica import (
    Partitions,
    Port,
    RedisUrl,
    Replicas,
    ReplicaSettings,
    environment_name,
)

DatabaseUrl = Annotated[
    str,
    msgspec.Meta(
        pattern="^postgres(ql)?://",
        description="a postgresql:// URL",
        examples=["postgresql://user:password@127.0.0.1:5432/topup"],
    ),
]
PoolSize = Annotated[int, msgspec.Meta(ge=2, le=1_000, examples=[100])]
WindowMs = Annotated[int, msgspec.Meta(ge=1_000, examples=["7d"])]
RetentionMs = Annotated[int, msgspec.Meta(ge=60_000, examples=["7d"])]


class MigrationSettings(msgspec.Struct, frozen=True, rename="upper"):
    """What a migration needs; with the password, the ledger's own role may log in."""

    database_url: DatabaseUrl
    ledger_password: str | None = None


class SeedSettings(msgspec.Struct, frozen=True, rename="upper"):
    """What making a customer needs: where it is kept, and where gateways hear of it."""

    database_url: DatabaseUrl
    redis_url: RedisUrl


class ReconcileSettings(msgspec.Struct, frozen=True, rename=environment_name):
    """For how long the gateways keep an idempotency key after its topup has ended."""

    idempotency_window_ms: WindowMs = 604_800_000


class LedgerSettings(ReplicaSettings, frozen=True, kw_only=True):
    """Streams, database, and the time zone of a day."""

    port: Port
    redis_url: RedisUrl
    redis_replicas: Replicas = 0
    database_url: DatabaseUrl
    database_pool_size: PoolSize = 100
    stream_partitions: Partitions = 1
    stream_retention_ms: RetentionMs = 604_800_000
    timezone: str = "America/Mexico_City"
    evidence_key: str | None = None

    def __post_init__(self) -> None:
        """Refuse a time zone that this machine does not know, and a key that is none."""
        if self.evidence_key is not None:
            try:
                Signer(self.evidence_key)
            except ValueError as problem:
                raise ValueError(f"EVIDENCE_KEY {problem}") from None
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"TIMEZONE is {self.timezone!r}, not a time zone known here; "
                "for example TIMEZONE=America/Mexico_City"
            ) from None
