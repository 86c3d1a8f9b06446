"""`make bench-profile`: where the CPU goes, by process and function (RATE=0 COUNT=20000).

RATE=0 is saturation. py-spy samples one replica of each service while topups flow; a share is of
the time that the process was busy. Needs the right to look into other processes (root).
"""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.houses import House, ours
from bench.rounds import Round, Rounds

SAMPLES_PER_S: Final = 500
SHOWN: Final = 70
SECONDS_MAX: Final = 600
RECORD: Final = ("record", "--nonblocking", "--gil", "--format", "raw")
"""Only who holds the interpreter: on a busy machine those who wait for a core would be seen too."""
LOOKED_AT: Final = ("gateway-1", "dispatcher-1", "ledger-1", "ratelimiter-1")
PYSPY: Final = Path(sys.executable).with_name("py-spy")
_PLACE: Final = re.compile(r"^(?P<function>.*) \((?P<file>.*?)(:\d+)?\)$")


def main() -> None:
    """Profile once."""
    count, rate = int(os.environ.get("COUNT") or 20_000), float(os.environ.get("RATE") or 0)
    slots = os.environ.get("QUEUE_CONCURRENCY") or "200"
    with TemporaryDirectory(prefix="topup-profile-") as name:
        folder = Path(name)
        with ours(folder, QUEUE_CONCURRENCY=slots) as house:
            run = Rounds(house)
            run.run(1_000, what="warm")
            plain = run.run(count, rate=rate, what="constant" if rate else "saturation")
            sampled = _sampled(house, run, folder, count, rate)
        for title, one in (("without the profiler", plain), ("with it", sampled)):
            cpu = ", ".join(f"{kind} {s:.3f}" for kind, s in one.cpu.items())
            print(f"{title}: {one.booked_per_s:.0f}/s, CPU s per 1,000: {one.cpu_s:.2f} ({cpu})")
        for process in LOOKED_AT:
            kind = process.partition("-")[0]
            _print(process, folder / process, plain.cpu[kind])
            if keep := os.environ.get("KEEP"):
                Path(keep, process).write_bytes((folder / process).read_bytes())


def _sampled(house: House, run: Rounds, folder: Path, count: int, rate: float) -> Round:
    every = [*RECORD, "--rate", str(SAMPLES_PER_S), "--duration", str(SECONDS_MAX)]
    spies = [
        subprocess.Popen(
            [PYSPY, *every, "--output", folder / process, "--pid", str(house.pids[process])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for process in LOOKED_AT
    ]
    try:
        return run.run(count, rate=rate, what="constant" if rate else "saturation")
    finally:
        for spy in spies:
            spy.send_signal(signal.SIGINT)  # it then writes down what it has
            spy.wait(30)


def _print(process: str, raw: Path, cpu: float) -> None:
    """Print functions by the time in them and below, and by the time in them alone."""
    below, alone, total = Counter[str](), Counter[str](), 0
    for line in raw.read_text().splitlines():
        stack, _, counted = line.rpartition(" ")
        frames = [_short(frame) for frame in stack.split(";")]
        samples = int(counted)
        total += samples
        alone[frames[-1]] += samples
        for frame in set(frames):
            below[frame] += samples
    print(f"\n## {process}: {total} samples; {cpu:.3f} CPU s per 1,000 topups")
    for title, counts in (("with what it calls", below), ("alone", alone)):
        print(f"{title}:")
        for frame, seen in counts.most_common(SHOWN):
            share = seen / max(total, 1)
            print(f"  {share:6.1%} {share * cpu * 1_000:7.1f} µs  {frame}")


def _short(frame: str) -> str:
    found = _PLACE.match(frame)
    if found is None:
        return frame
    parts = Path(found["file"]).parts
    return f"{found['function']} ({'/'.join(parts[-3:])})"


if __name__ == "__main__":
    main()
