"""Prometheus is told of what runs, and of nothing else; never half a file."""

import json
from pathlib import Path
from typing import Any

from ops.supervisor.folder import Folder
from ops.supervisor.replica import Row, Status
from ops.supervisor.targets import Targets


def row(replica: str, port: int | None, state: Status = Status.READY) -> Row:
    service = replica.partition("-")[0]
    return Row(
        service=service, id=replica, pid=1, port=None, instance_port=port, state=state, restarts=0
    )


def written(folder: Folder) -> Any:
    return json.loads(folder.targets.read_text())


def test_each_replica_with_an_instance_port_is_a_target(tmp_path: Path) -> None:
    """With its service and its name; where it listens, an IPv6 address as URLs have it."""
    folder = Folder(tmp_path)
    targets = Targets(folder, {"gateway": "::1", "ledger": "127.0.0.1", "sandbox": "127.0.0.1"})
    targets.write([row("ledger-1", 9001), row("gateway-2", 9002), row("sandbox-1", None)])
    assert written(folder) == [
        {"targets": ["127.0.0.1:9001"], "labels": {"service": "ledger", "instance": "ledger-1"}},
        {"targets": ["[::1]:9002"], "labels": {"service": "gateway", "instance": "gateway-2"}},
    ]


def test_one_that_is_away_for_now_stays_and_one_that_is_gone_goes(tmp_path: Path) -> None:
    """A replica that backs off must be seen as down, not as none."""
    folder = Folder(tmp_path)
    targets = Targets(folder, {"ledger": "127.0.0.1"})
    for state, there in [
        (Status.STARTING, 1), (Status.BACKING_OFF, 1), (Status.DRAINING, 1), (Status.STOPPED, 0),
    ]:  # fmt: skip
        targets.write([row("ledger-1", 9001, state)])
        assert len(written(folder)) == there, state


def test_others_may_read_it_and_it_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Prometheus may be another user; a file that did not change is left alone."""
    folder = Folder(tmp_path)
    targets = Targets(folder, {"ledger": "127.0.0.1"})
    targets.write([row("ledger-1", 9001)])
    first = folder.targets.stat()
    assert first.st_mode & 0o777 == 0o644
    targets.write([row("ledger-1", 9001, Status.DRAINING)])
    assert folder.targets.stat().st_ino == first.st_ino
    targets.write([row("ledger-1", 9002)])
    assert folder.targets.stat().st_ino != first.st_ino
    assert [path.name for path in folder.targets.parent.iterdir()] == ["topup.json"]
