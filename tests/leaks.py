"""What no log may hold: keys, passwords, tokens, whole phones; found in files and in lines."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import structlog

_KEY: Final = re.compile(r"\b(?:topup|operator)_[0-9A-Za-z]{33,}\b|-----BEGIN [A-Z ]*KEY-----")
_BEARER: Final = re.compile(r"(?i)\b(?:bearer|basic) [\w.+/=-]{8,}")
_PHONE: Final = re.compile(r"(?<![\w.*-])\+?(?:[2-9]\d{9}|52\d{10})(?![\w.-])")
"""As in Mexico; ten digits from 1 on are the seconds in Valkey's own log."""
_SECRET: Final = re.compile(r"KEY|PASSWORD|SECRET|USER_UID|DIST_API")
LINES: Final[list[str]] = []
"""What this process has logged that it should not have."""


def leaks_in(text: str, secrets: Iterable[str] = ()) -> Iterator[str]:
    """Yield what a text holds and should not."""
    for pattern in (_KEY, _BEARER, _PHONE):
        yield from (found[0] for found in pattern.finditer(text))
    yield from (secret for secret in secrets if secret in text)


def secrets_of(folder: Path) -> set[str]:
    """Return what a run in this data folder was told that is nobody else's business."""
    told: dict[str, str] = {}
    state = folder / "state.json"
    if state.exists():
        told |= json.loads(state.read_text())["environment"]
    for line in (folder / "demo.env").read_text().splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        told[name] = value
    found = {value for name, value in told.items() if _SECRET.search(name)}
    found |= {unquote(urlsplit(value).password or "") for value in told.values() if "://" in value}
    return {secret for secret in found if len(secret) >= 8 and "\n" not in secret}


def check_logs(folder: Path) -> None:
    """Insist that no log of a run, of a service or a server, tells a secret or a phone."""
    secrets = secrets_of(folder)
    assert secrets, "a run has secrets"
    for path in sorted((folder / "logs").glob("*.log*")):
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            found = list(leaks_in(line, secrets))
            assert not found, f"{path.name}:{number} tells {found}: {line[:300]}"


def listen() -> None:
    """Look at every line that this process logs from now on."""
    processors = structlog.get_config()["processors"]
    if _look not in processors:
        processors.insert(0, _look)


def _look(_logger: Any, _method: str, event: Any) -> Any:
    told = " ".join(f"{name}={value}" for name, value in event.items())
    if any(True for _ in leaks_in(told)):
        LINES.append(told)
    return event
