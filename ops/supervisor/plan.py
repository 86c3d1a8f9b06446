"""What runs on one machine: each service, how many, after what, and what it is told. All data."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from shared.contracts.access import ACCESS
from shared.runtime.settings import parse_duration_ms

HOST: Final = "127.0.0.1"
PORT: Final = 8080
REPLICAS_MAX: Final = 64

_ACCESS: Final = tuple(name for access in ACCESS.values() for name in access.variables)
_DRAIN: Final = "60s"
_BEYOND_DRAIN_S: Final = 15.0
_LOGINS: Final = tuple(name for access in ACCESS.values() for name in access.login)


class Service(Struct, frozen=True, kw_only=True):
    """One kind of process; `after` names the steps that must be done before it starts."""

    name: str
    module: str
    count: int
    after: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    """The addresses and secrets it gets; no other service gets one that is not named there."""
    port: Literal["public", "shared"] | None = None
    """Where it serves others: the one public port, a port that its replicas share, or nowhere."""
    has_instance_port: bool = True
    ready_path: str = "/readyz"
    scales: bool = True


# From who answers to who asks: drained from the last to the first, and the servers after them.
SERVICES: Final = (
    Service(
        name="sandbox",
        module="sandbox",
        count=1,
        told=_LOGINS,
        port="shared",
        has_instance_port=False,
        ready_path="/health",
        scales=False,  # its book is its own memory
    ),
    Service(
        name="ratelimiter",
        module="services.ratelimiter",
        count=1,
        after=("valkey", "valkey-limits"),
        told=("REDIS_URL", "LIMITER_REDIS_URL", "RATELIMITER_PASSWORD"),
        port="shared",
    ),
    Service(
        name="ledger",
        module="services.ledger",
        count=1,
        after=("functions", "migrations"),
        told=("REDIS_URL", "DATABASE_URL", "LEDGER_PASSWORD", "EVIDENCE_KEY"),
        port="shared",
    ),
    Service(
        name="dispatcher",
        module="services.dispatcher",
        count=3,
        after=("functions", "sandbox"),
        told=("REDIS_URL", "DISPATCHER_PASSWORD", "LEDGER_URL", *_ACCESS),
    ),
    Service(
        name="gateway",
        module="services.gateway",
        count=3,
        after=("functions", "ratelimiter", "ledger", "customer"),
        told=(
            *("REDIS_URL", "RATELIMITER_URL", "LEDGER_URL", "PROVIDERS_OFFERED"),
            *("GATEWAY_PASSWORD", "ADMIN_KEY", "SESSION_KEY"),
        ),
        port="public",
    ),
)


class Task(Struct, frozen=True, kw_only=True):
    """A command that must succeed once before what comes after it starts."""

    name: str
    arguments: tuple[str, ...]
    after: tuple[str, ...]
    told: tuple[str, ...]
    reads_seed: bool = False


TASKS: Final = (
    Task(
        name="functions",
        arguments=("-m", "shared.bus", "migrate"),
        after=("valkey",),
        told=("REDIS_URL",),
    ),
    Task(
        name="migrations",
        arguments=("-m", "services.ledger", "migrate"),
        after=("postgres",),
        told=("DATABASE_URL", "LEDGER_PASSWORD"),
    ),
    Task(
        name="customer",
        arguments=("-m", "services.ledger", "seed-demo"),
        after=("functions", "migrations"),
        told=("DATABASE_URL", "REDIS_URL"),
        reads_seed=True,
    ),
)


class Plan(Struct, frozen=True):
    """All that one supervisor runs besides the servers."""

    services: tuple[Service, ...] = SERVICES
    tasks: tuple[Task, ...] = TASKS


_TOLD: Final = frozenset(name for part in (*SERVICES, *TASKS) for name in part.told)
_OURS: Final = frozenset({"PORT", "INSTANCE_PORT", "INSTANCE_ID", "OPEN_ON_EOF_FD"})
_SETTINGS: Final = frozenset(
    {
        "CONNECTIONS_MAX",
        "DATABASE_POOL_SIZE",
        "DELIVER_BEFORE",
        "IDEMPOTENCY_WINDOW",
        "LANE_WAITING_MAX",
        "QUEUE_CONCURRENCY",
        "BREAKER_FAILURES",
        "BREAKER_HOLD",
        "RATE_LIMIT_PER_MINUTE",
        "REDIS_REPLICAS",
        "REQUESTS_MAX",
        "STREAM_PARTITIONS",
        "STREAM_RETENTION",
        "TIMEZONE",
    }
)


def for_this_machine(plan: Plan, environ: Mapping[str, str]) -> Plan:
    """Leave the sandbox out where a real provider is named: then only what is named has a lane."""
    if not any(given(access.url, environ) for access in ACCESS.values()):
        return plan
    return replace(plan, services=tuple(s for s in plan.services if s.name != "sandbox"))


def told_to_commands(wiring: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the other commands must know to look at what runs."""
    everything = environment(tuple(_TOLD), wiring, environ)
    wanted = _TOLD - {f"{service.name.upper()}_PASSWORD" for service in SERVICES} | _SETTINGS
    return {n: value for n, value in everything.items() if n.removesuffix("_FILE") in wanted}


def given(name: str, environ: Mapping[str, str]) -> bool:
    """Whether the user set the variable, itself or as NAME_FILE."""
    return bool(environ.get(name) or environ.get(f"{name}_FILE"))


def environment(
    told: tuple[str, ...], wiring: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return a child's environment: the user's own, and of addresses and secrets only its own."""
    result = {
        name: value
        for name, value in environ.items()
        if name not in _OURS
        and (name.removesuffix("_FILE") not in _TOLD or name.removesuffix("_FILE") in told)
    }
    ours = {
        variable: wiring[variable]
        for name in told
        for variable in (name, f"{name}_FILE")
        if variable in wiring and not given(name, environ)
    }
    return result | ours | {"PYTHONUNBUFFERED": "1"}


def patience_of(environ: Mapping[str, str]) -> float:
    """Return for how many seconds a replica may drain, before it is ended."""
    return parse_duration_ms(environ.get("DRAIN_TIMEOUT") or _DRAIN) / 1_000 + _BEYOND_DRAIN_S


def host_of(service: Service, environ: Mapping[str, str]) -> str:
    """Return where it listens: only the public port follows HOST."""
    return (environ.get("HOST") or HOST) if service.port == "public" else HOST


def reachable(host: str) -> str:
    """Return the address at which a listener on this host answers this machine."""
    return {"0.0.0.0": HOST, "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound


def in_url(address: str) -> str:
    """Return the address as a URL has it."""
    return f"[{address}]" if ":" in address else address
