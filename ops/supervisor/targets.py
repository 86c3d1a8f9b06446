"""Tells Prometheus which replicas there are: a file of targets, anew as they come and go."""

from collections.abc import Mapping, Sequence

import msgspec

from ops.supervisor.folder import Folder, write_whole
from ops.supervisor.plan import in_url
from ops.supervisor.replica import Row, Status

READABLE = 0o644
"""Prometheus may be another user; who runs where is no secret."""


class Target(msgspec.Struct, frozen=True):
    """Replicas with the same labels, as file_sd_configs has it."""

    targets: list[str]
    labels: dict[str, str]


class Targets:
    """The file in one data folder, written when something has changed; `hosts` is by service."""

    def __init__(self, folder: Folder, hosts: Mapping[str, str]) -> None:
        self._folder = folder
        self._hosts = hosts
        self._written: list[Target] | None = None

    def write(self, rows: Sequence[Row]) -> None:
        """Name every replica that is there, also one that is starting or backs off.

        Raises:
            OSError: it cannot be written.
        """
        targets = [
            Target(
                [f"{in_url(self._hosts[row.service])}:{row.instance_port}"],
                {"service": row.service, "instance": row.id},
            )
            for row in rows
            if row.instance_port is not None and row.state is not Status.STOPPED
        ]
        if targets == self._written:
            return
        self._folder.targets.parent.mkdir(mode=0o755, exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(targets), indent=2).decode()
        write_whole(self._folder.targets, text, mode=READABLE)
        self._written = targets
