"""What a run is told: SEED, TOPUPS, MINUTES, FAULTS …; each wrong value is named."""

import re
import secrets
from collections.abc import Mapping
from typing import Final

import msgspec

from tests.chaos.schedule import KINDS, ON_A_CLUSTER, Kind

PROVIDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "neither": (),
    "inquiry": ("inquiry",),
    "dedupes": ("dedupes",),
}
SEED_MAX: Final = 1 << 32
DEADLINE_S: Final = "60"
TRICKS_MAX: Final = 10
LATENCY_MS: Final = "20-120"


class WrongSetting(ValueError):
    """A variable cannot be read; the text is the one line to print."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One run."""

    seed: int
    topups: int
    length_s: float
    each_s: float  # a fault each so many seconds, on average
    faults: tuple[str, ...]
    provider: str
    rest_s: float  # how long everything may take to come to rest
    deadline_s: float  # after which a topup that was not begun expires
    latency_ms: str  # the provider's, from-to
    tricks_times: int  # so many times as many of its tricks as usual
    cluster: bool  # the streams are on one, of three primaries and three replicas

    @property
    def known(self) -> Mapping[str, Kind]:
        """The kinds of faults that there are."""
        return kinds_of(cluster=self.cluster)

    @property
    def provider_kinds(self) -> tuple[str, ...]:
        """What the provider can do besides paying."""
        return PROVIDERS[self.provider]


def read(environ: Mapping[str, str]) -> Settings:
    """Return the run's settings; a seed of its own where none is given.

    Raises:
        WrongSetting: names the variable, its problem and an example.
    """
    seed = read_seed(environ)
    cluster = environ.get("CLUSTER") or "off"
    if cluster not in ("on", "off"):
        raise WrongSetting(f"CLUSTER is {cluster!r}, neither on nor off; for example CLUSTER=on")
    minutes = number("MINUTES", environ, "3", above=0.0)
    topups = int(number("TOPUPS", environ, str(int(minutes * 6_000)), above=0.0))
    provider = environ.get("PROVIDER") or sorted(PROVIDERS)[seed % len(PROVIDERS)]
    if provider not in PROVIDERS:
        known = ", ".join(PROVIDERS)
        raise WrongSetting(f"PROVIDER is {provider!r}, not one of {known}; for example neither")
    return Settings(
        seed=seed,
        topups=topups,
        length_s=minutes * 60,
        each_s=number("EACH", environ, "4", above=0.0),
        faults=_faults(environ.get("FAULTS") or "all", kinds_of(cluster=cluster == "on")),
        provider=provider,
        rest_s=number("REST", environ, "240", above=0.0),
        deadline_s=number("DEADLINE", environ, DEADLINE_S, above=0.0),
        latency_ms=_latency(environ.get("LATENCY") or LATENCY_MS),
        tricks_times=_tricks(environ.get("TRICKS") or "1"),
        cluster=cluster == "on",
    )


def kinds_of(*, cluster: bool) -> Mapping[str, Kind]:
    """Return the kinds of faults that can happen to streams on a cluster, or on one server."""
    return ON_A_CLUSTER if cluster else KINDS


def read_seed(environ: Mapping[str, str]) -> int:
    """Read SEED, a number or the digest of a commit; one is drawn where none is given.

    Raises:
        WrongSetting: it is neither.
    """
    text = environ.get("SEED") or str(secrets.randbelow(SEED_MAX))
    try:
        return int(text, 10) if text.isdigit() else int(text[:8], 16)
    except ValueError:
        raise WrongSetting(
            f"SEED is {text!r}, neither a number nor hexadecimal; for example SEED=42"
        ) from None


def _faults(text: str, kinds: Mapping[str, Kind]) -> tuple[str, ...]:
    """Read kinds, each of them for all of its targets (`kill`) or for one (`kill:ledger`)."""
    if text == "all":
        return tuple(kinds)
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names or ("",):
        kind, colon, target = name.partition(":")
        if kind not in kinds or (colon and target not in kinds[kind].targets):
            known = ", ".join(kinds[kind].targets if kind in kinds else kinds)
            raise WrongSetting(
                f"FAULTS holds {name!r}, known are {known}; "
                "for example FAULTS=kill,cut:ledger-valkey"
            )
    return names


def _tricks(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= TRICKS_MAX:
        raise WrongSetting(
            f"TRICKS is {text!r}, not a number from 1 to {TRICKS_MAX}; for example TRICKS=5"
        )
    return int(text)


def _latency(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", text):
        raise WrongSetting(
            f"LATENCY is {text!r}, not milliseconds from-to; for example LATENCY={LATENCY_MS}"
        )
    return text


def number(name: str, environ: Mapping[str, str], default: str, *, above: float) -> float:
    """Read a number.

    Raises:
        WrongSetting: it is none, or not above the bound.
    """
    text = environ.get(name) or default
    try:
        value = float(text)
    except ValueError:
        value = above
    if not above < value < float("inf"):
        raise WrongSetting(
            f"{name} is {text!r}, not a number above {above:g}; for example {name}={default}"
        )
    return value
