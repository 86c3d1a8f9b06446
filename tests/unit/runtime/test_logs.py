"""Whatever a line says, it is one line of JSON."""

import io
import json
import logging
from collections.abc import Iterator
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
