"""Who this replica is: its instance id, the owner name of this life, its memory and its age."""

import os
import secrets
import socket
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import msgspec

from shared.contracts.ids import owner_of


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One life of one replica."""

    service: str
    id: str
    boot_id: str  # 16 hex characters, drawn at each start
    started: float  # on the monotonic clock

    @property
    def owner(self) -> str:
        """The owner of work and the consumer's name."""
        return owner_of(self.id, self.boot_id)


def identify(service: str, environ: Mapping[str, str], *, started: float) -> Instance:
    """Name this replica: as told, else by its platform, else by host and process."""
    told = environ.get("INSTANCE_ID") or f"{service}-{place_of(environ)}"
    return Instance(service=service, id=told, boot_id=secrets.token_hex(8), started=started)


def place_of(environ: Mapping[str, str]) -> str:
    """Return what no other replica has at this moment: its platform's name, or host and process."""
    platform = environ.get("RAILWAY_REPLICA_ID") or environ.get("POD_NAME")
    return platform or f"{socket.gethostname()}-{os.getpid()}"


def memory_megabytes() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000


def product_version() -> str:
    """Return the version of the installed distribution."""
    return version("topup")
