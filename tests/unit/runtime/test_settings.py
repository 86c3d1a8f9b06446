"""Settings: every wrong variable is named at once, with what would do; no secret is repeated."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.settings import GatewaySettings
from services.ledger.settings import LedgerSettings
from shared.contracts.errors import InvalidSettings
from shared.runtime.addresses import problem_of
from shared.runtime.settings import load

GATEWAY = {
    "INSTANCE_PORT": "8081",
    "REDIS_URL": "redis://:secret@127.0.0.1:6379/0",
    "RATELIMITER_URL": "http://127.0.0.1:8090",
    "LEDGER_URL": "http://127.0.0.1:8091",
}
LEDGER = {
    "INSTANCE_PORT": "8081",
    "PORT": "8082",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "DATABASE_URL": "postgresql://topup:secret@127.0.0.1:5432/topup",
}


def refused(environ: dict[str, str]) -> list[str]:
    """Return the lines with which a gateway refuses to start."""
    with pytest.raises(InvalidSettings) as problem:
        load(GatewaySettings, {**GATEWAY, **environ})
    return str(problem.value).splitlines()


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("PORT", "80x", "PORT is '80x', not a port; for example PORT=8081"),
        ("PORT", "0", "PORT is '0', not a port; for example PORT=8081"),
        (
            "RATE_LIMIT_PER_MINUTE",
            "-1",
            (
                "RATE_LIMIT_PER_MINUTE is '-1', not a whole number from 0 to 1000000; "
                "for example RATE_LIMIT_PER_MINUTE=200"
            ),
        ),
        (
            "HEARTBEAT",
            "1h",
            "HEARTBEAT is '1h', not a duration from 50ms to 2s; for example HEARTBEAT=1s",
        ),
        (
            "KEY_STALE_MAX",
            "0s",
            "KEY_STALE_MAX is '0s', not a duration of 1s or more; for example KEY_STALE_MAX=15m",
        ),
        (
            "DELIVER_BEFORE",
            "soon",
            "DELIVER_BEFORE is 'soon', not a duration; for example DELIVER_BEFORE=10m",
        ),
        (
            "LOG_LEVEL",
            "loud",
            "LOG_LEVEL is not DEBUG, INFO, WARNING or ERROR; for example LOG_LEVEL=INFO",
        ),
        (
            "REDIS_URL",
            "redis+cluster://:secret@10.0.0.1:6379/0",
            (
                "REDIS_URL is not a redis:// or rediss:// URL of a server, or a redis+cluster:// "
                "or rediss+cluster:// URL of nodes of a cluster; "
                "for example REDIS_URL=redis://127.0.0.1:6379/0"
            ),
        ),
        (
            "LEDGER_URL",
            "here",
            (
                "LEDGER_URL is not an http:// or https:// URL; "
                "for example LEDGER_URL=http://127.0.0.1:8090"
            ),
        ),
    ],
)
def test_a_wrong_value_is_one_line(name: str, text: str, line: str) -> None:
    """It names the variable, what is wrong, and a value that would do."""
    assert refused({name: text}) == [line]


def test_all_wrong_values_are_named_at_once() -> None:
    """Nobody starts ten times to find ten mistakes."""
    lines = refused({"PORT": "x", "HEARTBEAT": "x", "REDIS_URL": "", "LEDGER_URL": "x"})
    assert [line.split()[0] for line in lines] == ["HEARTBEAT", "PORT", "REDIS_URL", "LEDGER_URL"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"\xff\xfe", "not UTF-8 text"),
        (None, "no such"),
    ],
)
def test_an_unreadable_secret_is_refused(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    """An empty file would be a key that every request without a key has."""
    path = tmp_path / "admin_key"
    if content is not None:
        path.write_bytes(content)
    (line,) = refused({"ADMIN_KEY_FILE": str(path)})
    assert line.startswith(f"ADMIN_KEY is to be read from {path}: {problem}")


def test_a_secret_comes_from_its_file(tmp_path: Path) -> None:
    """The newline that an editor leaves is no part of it."""
    path = tmp_path / "admin_key"
    path.write_text("secret\n")
    assert load(GatewaySettings, {**GATEWAY, "ADMIN_KEY_FILE": str(path)}).admin_key == "secret"
    assert "keep one of them" in refused({"ADMIN_KEY": "x", "ADMIN_KEY_FILE": str(path)})[0]


def test_a_time_zone_that_is_none_is_refused() -> None:
    """By the name of its variable, like all else."""
    with pytest.raises(InvalidSettings, match=r"^TIMEZONE is 'Mars/One'"):
        load(LedgerSettings, {**LEDGER, "TIMEZONE": "Mars/One"})


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "rediss://user:pa%40ss@redis.example",
        "redis://[::1]:6379",
        "redis+cluster://:pa%40ss@10.0.0.1:6379,10.0.0.2:6379",
        "postgresql://u:p@one:5432,two:5432/topup?target_session_attrs=primary",
        "postgresql:///topup?host=/run/postgresql",
        "https://provider.example/api/?x=a@b",
    ],
)
def test_a_url_that_can_be_read_is_taken(url: str) -> None:
    """Also with what only PostgreSQL knows: several hosts, or none."""
    assert problem_of(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "redis://:s3cret@127.0.0.1:port",
        "redis://:s3@cret@127.0.0.1:6379",
        "redis://:s3/cret@127.0.0.1:6379",
        "redis://:s3%cret@127.0.0.1:6379",
        "redis://:s3cret@127.0.0.1:70000",
        "redis://:[s3cret@127.0.0.1",
    ],
)
def test_a_url_that_cannot_be_read_is_not_repeated(url: str) -> None:
    """It holds a password, and a driver's own words would quote it, in part at least."""
    (line,) = refused({"REDIS_URL": url})
    assert line.startswith("REDIS_URL has ")
    assert "s3" not in line


@given(st.text("s3cret/@:%#?[] "))
def test_whatever_is_refused_in_a_url_is_not_repeated(password: str) -> None:
    """Whichever characters a password was pasted with."""
    assert "s3cret" not in (problem_of(f"redis://:{password}@127.0.0.1:6379") or "")
