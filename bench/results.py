"""All that one run of the bench found out."""

import msgspec

from bench.hops import Hops
from bench.rounds import Round
from bench.slow import Slow


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The load generator against a server that only answers; CPU in seconds per 1,000."""

    per_s: float
    generator_cpu: float
    server_cpu: float
    p50_ms: float  # at 500/s
    p99_ms: float


class Idle(msgspec.Struct, frozen=True, kw_only=True):
    """Before the first topup: shares of a core by kind, megabytes by process."""

    cores: dict[str, float]
    resident_mb: dict[str, float]


class Results(msgspec.Struct, kw_only=True):
    """In the order in which they came."""

    command: str
    machine: str
    versions: str
    calibration: Calibration
    idle: Idle | None = None
    hops: Hops | None = None
    rounds: list[Round] = []
    slow: list[Slow] = []
