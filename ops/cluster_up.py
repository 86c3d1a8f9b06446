"""`make cluster`: all of `make run`, with the streams on a Valkey Cluster of this machine.

Three primaries and three replicas in the data folder; one that dies is started again, as whoever
runs a cluster would. They outlast `topup up`, and end when it has drained.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from ops.errors import CommandFailed
from ops.supervisor.folder import data_folder
from ops.valkey_cluster import ValkeyCluster

LOOK_S: Final = 0.5
USUAL: Final = {"STREAM_PARTITIONS": "12", "REDIS_REPLICAS": "1"}


def main() -> int:
    """Return what `topup up` ended with."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # `topup up` drains; we wait for it
    folder = data_folder(os.environ).root
    print(f"starting three primaries and three replicas in {folder / 'cluster'} …", flush=True)
    cluster = ValkeyCluster(folder / "cluster")
    try:
        return _run(cluster)
    finally:
        cluster.stop()


def _run(cluster: ValkeyCluster) -> int:
    environ = {**USUAL, **os.environ, "REDIS_URL": cluster.url}
    program = [str(Path(sys.executable).with_name("topup")), "up"]
    with subprocess.Popen(program, env=environ) as up:
        signal.signal(signal.SIGTERM, lambda *_: up.terminate())
        while True:
            try:
                return up.wait(LOOK_S)
            except subprocess.TimeoutExpired:
                cluster.revive()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (CommandFailed, ChildProcessError, TimeoutError) as problem:
        sys.stderr.write(f"topup: {problem}\n")
        sys.exit(1)
