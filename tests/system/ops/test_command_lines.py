"""A bad command line gets one line that says what would do; never a traceback."""

import pytest

from shared.runtime.instance import product_version
from tests.system.ops.conftest import Run

pytestmark = pytest.mark.system


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["fly"], 'Unknown command "fly"'),
        (["ps", "--xml"], "--xml"),
        (["up", "now"], "now"),
        (["scale"], "topup scale dispatcher=5"),
        (["scale", "dispatcher"], "'dispatcher' is not SERVICE=COUNT"),
        (["scale", "dispatcher=many"], "dispatcher=many is not a count"),
        (["scale", "dispatcher=-1"], "dispatcher=-1 is not a count"),
        (["scale", "dispatcher=²"], "dispatcher=² is not a count"),
        (["scale", "dispatcher=" + "9" * 500], "is not a count, 0 or more"),
        (["scale", "dispatcher=2", "dispatcher=3"], "dispatcher is there twice"),
        (["scale", "=2"], "'=2' is not SERVICE=COUNT"),
        (["serve"], "SERVICE"),
        (["serve", "cashier"], "topup serve gateway"),
        (["logs", "--tail", "few"], "--tail"),
        (["logs", "--tail=-1"], "--tail '-1' is not a count from 0 to 100000"),
        (["logs", "--tail", "few"], "for example: topup logs dispatcher --tail 50"),
        (["migrate", "now"], "topup migrate takes no 'now'. For example: topup migrate"),
        (["replay", "--from", "yesterday"], "--from 2026-11-23T22:00:00-06:00"),
        (["replay", "--to", "2026-11-23T10:00:00"], "neither a time with its offset"),
        (["replay", "--from", "2026-11-24", "--to", "2026-11-23"], "is not before"),
        (["replay", "--topup", "42"], "is not the id of a topup"),
        (["replay", "--provider", "NOBODY"], "only LATCOM"),
        (["replay", "--file", "none.jsonl.gz"], "none.jsonl.gz cannot be read: No such file"),
        (["replay", "--file", "docs"], "docs cannot be read: Is a directory"),
        (["replay", "--file", "README.md"], "README.md: it is no gzip file"),
        (["replay", "--fast"], "--fast"),
        (["export"], "FILE"),
        (["export", "november.csv"], "does not end in .jsonl.gz"),
        (["export", "no/folder/all.jsonl.gz"], "is in no folder"),
    ],
)
def test_wrong_usage(run: Run, words: list[str], problem: str) -> None:
    """Status 2, on standard error alone."""
    done = run.topup(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_replica_of_all_roles_names_all_that_is_missing(run: Run) -> None:
    """Each variable once, before anything starts."""
    done = run.topup("serve", "all")
    assert (done.returncode, done.stdout) == (2, "")
    told = [line.removeprefix("topup: ").split()[0] for line in done.stderr.splitlines()]
    assert told == ["REDIS_URL", "LIMITER_REDIS_URL", "DATABASE_URL"]


def test_the_version_is_the_one_that_health_shows(run: Run) -> None:
    """Whoever reports a fault reads either."""
    assert run.topup("--version").stdout.strip() == product_version()


@pytest.mark.parametrize("words", [[], ["--help"], ["ledger"], ["customers"], ["keys"]])
def test_help_fits_a_terminal(run: Run, words: list[str]) -> None:
    """One line a command, each of them whole."""
    done = run.topup(*words, COLUMNS="80")
    assert done.returncode == 0
    assert done.stderr == ""
    commands = done.stdout.partition("Commands:\n")[2].splitlines()
    assert commands
    assert all(line.startswith("  ") and ": " in line for line in commands if line)


@pytest.mark.parametrize(
    "words",
    [
        ["ps"],
        ["ps", "--json"],
        ["scale", "gateway=2"],
        ["logs"],
        ["doctor"],
        ["migrate"],
        ["replay"],
        ["export", "all.jsonl.gz"],
    ],
)
def test_nothing_runs(run: Run, words: list[str]) -> None:
    """Status 1, and how to start."""
    done = run.topup(*words)
    assert done.returncode == 1
    assert "make run" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_doctor_names_all_wrong_settings_at_once(run: Run) -> None:
    """Nobody has to start ten times to find ten mistakes."""
    done = run.topup(
        "doctor",
        REDIS_URL="redis://127.0.0.1:1/0",
        DATABASE_URL="postgresql://127.0.0.1:1/topup",
        QUEUE_CONCURRENCY="many",
        STREAM_PARTITIONS="0",
    )
    assert done.returncode == 1
    for name in ("QUEUE_CONCURRENCY", "STREAM_PARTITIONS", "REDIS_URL", "DATABASE_URL"):
        assert name in done.stdout
    assert "Traceback" not in done.stderr
