"""The folder `.topup`: what one run leaves for the next, and for the commands that look at it."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from ops.errors import CommandFailed


class Folder(Struct, frozen=True):
    """The names in the data folder; `ready` makes it."""

    root: Path

    @property
    def lock(self) -> Path:
        """Held by the supervisor as long as it lives."""
        return self.root / "lock"

    @property
    def state(self) -> Path:
        """What runs, and where the servers are; holds passwords."""
        return self.root / "state.json"

    @property
    def socket(self) -> Path:
        """Where the supervisor listens to the other commands."""
        return self.root / "control.sock"

    @property
    def targets(self) -> Path:
        """Where Prometheus finds the replicas; no secret."""
        return self.root / "targets" / "topup.json"

    @property
    def demo(self) -> Path:
        """The demo's keys, to be read by a shell."""
        return self.root / "demo.env"

    @property
    def evidence_key(self) -> Path:
        """The private key that evidence is signed with, drawn at the first run."""
        return self.root / "evidence.pem"

    def password(self, service: str) -> Path:
        """The password of one service, drawn at the first run."""
        return self.root / "passwords" / service

    @property
    def logs(self) -> Path:
        """One file an instance."""
        return self.root / "logs"

    def log(self, instance: str) -> Path:
        """The log of one instance."""
        return self.logs / f"{instance}.log"

    def ready(self) -> None:
        """Make it: others may pass through to what is theirs, and read nothing of ours.

        Raises:
            CommandFailed: it cannot be made, or nothing can be written there.
        """
        try:
            self.root.mkdir(mode=0o711, parents=True, exist_ok=True)
            for private in (self.logs, self.root / "passwords"):
                private.mkdir(mode=0o700, exist_ok=True)
            write_private(self.root / "writable", "")
            (self.root / "writable").unlink()
        except OSError as error:
            problem = (error.strerror or str(error)).lower()
            raise CommandFailed(
                f"the data folder {self.root} cannot be used ({problem}): mend it, or name "
                "another, for example TOPUP_DATA_DIR=.topup-2 make run"
            ) from None


def data_folder(environ: Mapping[str, str]) -> Folder:
    """Return the folder of TOPUP_DATA_DIR, else `.topup` here."""
    return Folder(Path(environ.get("TOPUP_DATA_DIR") or ".topup").absolute())


def write_private(path: Path, text: str) -> None:
    """Replace the file in one step, readable by us alone."""
    write_whole(path, text, mode=0o600)


def write_whole(path: Path, text: str, *, mode: int) -> None:
    """Replace the file in one step: nobody ever reads half of it."""
    making = path.with_name(f"{path.name}.new")
    making.unlink(missing_ok=True)
    with os.fdopen(os.open(making, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as out:
        out.write(text)
    making.rename(path)


def read_assignments(path: Path) -> dict[str, str]:
    """Return the NAME=value lines of a file; none when it is not there."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
