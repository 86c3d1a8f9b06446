"""The image by itself: who it runs as, what is in it, and that it needs no disk."""

import json
import re
import time

import pytest

from tests.containers.engine import Engine
from tests.containers.images import ROOT, Images

pytestmark = pytest.mark.containers

HARDENED = ("--rm", "--read-only", "--cap-drop", "ALL", "--network", "none")


def test_it_runs_as_nobody_in_particular(docker_engine: Engine, images: Images) -> None:
    """A number that a cluster can check, no capabilities, and nothing of ours that it may write."""
    config = json.loads(docker_engine.docker("inspect", images.topup))[0]["Config"]
    assert config["User"] == "10001:10001"
    assert config["Labels"]["org.opencontainers.image.title"] == "topup"
    assert config["Labels"]["org.opencontainers.image.revision"] not in ("", "unknown")
    assert config["Healthcheck"]["Test"][0] == "CMD"
    look = "find / -xdev -writable ! -type l ! -path '/proc/*' ! -path '/tmp' ! -path '/var/tmp'"
    look += " ! -path '/dev/*' ! -path '/run/lock' 2>/dev/null; true"
    found = docker_engine.docker("run", *HARDENED, "--entrypoint", "sh", images.topup, "-c", look)
    assert found == ""


def test_nothing_that_builds_is_in_it(docker_engine: Engine, images: Images) -> None:
    """No compiler, no installer, no cache, no wheel."""
    look = "command -v gcc cc make pip pip3 uv hatchling git curl wget; "
    look += "find / -xdev ( -name '*.whl' -o -name 'pip' -o -name '.cache' ) 2>/dev/null"
    look = look.replace("( ", "\\( ").replace(" )", " \\)") + "; true"
    found = docker_engine.docker("run", *HARDENED, "--entrypoint", "sh", images.topup, "-c", look)
    assert found == ""


def test_it_needs_no_disk(docker_engine: Engine, images: Images) -> None:
    """Without any place to write, the command works and a service names what it lacks."""
    assert "serve" in docker_engine.docker("run", *HARDENED, images.topup)
    for service in ("gateway", "dispatcher", "ratelimiter", "ledger", "all"):
        done = docker_engine.run(
            "docker", "run", *HARDENED, images.topup, "serve", service, check=False
        )
        assert done.returncode == 2, done
        assert "REDIS_URL is missing" in done.stderr
        assert "Traceback" not in done.stderr


def test_its_size_is_the_one_that_the_documents_state(
    docker_engine: Engine, images: Images
) -> None:
    """What it adds to its base, to ten megabytes."""
    size, base = (
        json.loads(docker_engine.docker("inspect", name))[0]["Size"]
        for name in (images.topup, "topup-test/base")
    )
    told = re.search(r"adds (\d+) MB to its base", (ROOT / "docs" / "deploy.md").read_text())
    assert told is not None
    assert abs((size - base) / 1_000_000 - int(told[1])) < 10, (size - base) / 1_000_000


def test_a_stop_while_it_waits_counts(docker_engine: Engine, images: Images) -> None:
    """As process 1, which the kernel lets be deaf, with a server that is away: it ends at once."""
    environ = ["-e", "REDIS_URL=redis://127.0.0.1:1"]
    hardened = [word for word in HARDENED if word != "--rm"]
    ident = docker_engine.docker(
        "run", "-d", *hardened, *environ, images.topup, "serve", "ratelimiter"
    )
    deadline = time.monotonic() + 30
    while not docker_engine.docker("logs", ident):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    docker_engine.docker("stop", "-t", "20", ident)
    state = json.loads(docker_engine.docker("inspect", ident))[0]["State"]
    docker_engine.docker("rm", ident)
    assert state["ExitCode"] == 0, state
