"""Whatever a line says, it is one line of JSON."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import structlog

from shared.runtime.logs import configure


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.BytesIO]:
    """What goes to a standard output that is no terminal; afterwards all is as it was."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    output = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr("sys.stdout", output)
    configure(level="INFO", instance_id="gateway-1")
    assert isinstance(output.buffer, io.BytesIO)
    yield output.buffer
    structlog.reset_defaults()
    root.handlers[:] = before
    root.setLevel(level)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two\nlines", "two\nlines"),
        ("half a pair: \ud800", "half a pair: \ud800"),
        (2**70, 2**70),
        ({"of": object}, {"of": repr(object)}),
        (b"bytes", "Ynl0ZXM="),
    ],
)
def test_a_line_is_json_whatever_it_says(written: io.BytesIO, value: Any, shown: Any) -> None:
    structlog.get_logger().info("said", value=value)
    (line,) = written.getvalue().splitlines()
    found = json.loads(line)
    assert found["value"] == shown
    assert (found["event"], found["level"], found["instance"]) == ("said", "info", "gateway-1")


def test_what_is_below_the_level_is_not_written(written: io.BytesIO) -> None:
    structlog.get_logger().debug("said")
    assert written.getvalue() == b""


async def test_what_a_turn_of_the_loop_says_is_written_at_its_end(written: io.BytesIO) -> None:
    """In order, whichever module said it; a line costs no write of its own."""
    for name in "ab":
        structlog.get_logger(name).info(f"said by {name}")
    assert written.getvalue() == b""
    await asyncio.sleep(0)
    events = [json.loads(line)["event"] for line in written.getvalue().splitlines()]
    assert events == ["said by a", "said by b"]


def test_the_last_words_of_a_loop_are_written(written: io.BytesIO) -> None:
    """Also where it ends with an error."""

    async def ends() -> None:
        structlog.get_logger().error("broke")
        raise ValueError("over")

    with pytest.raises(ValueError, match="over"):
        asyncio.run(ends())
    assert json.loads(written.getvalue())["event"] == "broke"


async def test_what_a_thread_says_is_written_at_once(written: io.BytesIO) -> None:
    await asyncio.to_thread(structlog.get_logger().info, "said")
    assert json.loads(written.getvalue())["event"] == "said"


def test_a_moment_is_in_utc(written: io.BytesIO) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    structlog.get_logger().info("said")
    at = datetime.fromisoformat(json.loads(written.getvalue())["timestamp"])
    assert before <= at <= datetime.now(UTC)
