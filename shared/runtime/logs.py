"""One line for each fact: JSON for machines, readable on a terminal; the instance on every line."""

import asyncio
import json
import logging
import sys
import time
from typing import Any, BinaryIO, Final

import msgspec
import structlog
from structlog.typing import EventDict

from shared.contracts.instants import timestamp

_encoder: Final = msgspec.json.Encoder(enc_hook=repr)


def configure(*, level: str, instance_id: str) -> None:
    """Send structlog and the standard library's warnings to stdout in one form."""

    def stamp(_logger: Any, method: str, event: EventDict) -> EventDict:  # noqa: ANN401 - as structlog has it
        event["instance"] = instance_id
        event["level"] = method
        event["timestamp"] = timestamp(time.time_ns() // 1_000_000)
        return event

    number = logging.getLevelNamesMapping()[level]
    shared: list[Any] = [stamp, structlog.processors.format_exc_info]
    lines = Lines(sys.stdout.buffer)  # one for all loggers: what they say keeps its order
    console = structlog.dev.ConsoleRenderer() if sys.stdout.isatty() else None
    structlog.configure(
        processors=[*shared, console or _in_json],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout) if console else lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            console or _in_json_text,
        ],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(number, logging.WARNING))


def _in_json(_logger: Any, _method: str, event: EventDict) -> bytes:  # noqa: ANN401 - as structlog has it
    """Render it; what the fast encoder has no form for (half a surrogate pair) the slow one has."""
    try:
        return _encoder.encode(event)
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(event, default=repr).encode()


def _in_json_text(logger: Any, method: str, event: EventDict) -> str:  # noqa: ANN401 - as structlog has it
    return _in_json(logger, method, event).decode()


class Lines:
    """Writes what one turn of the loop has said at its end, all at once; without a loop at once."""

    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._said: list[bytes] = []

    def msg(self, line: bytes) -> None:
        """Take one line, without its end."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._write([line])
            return
        if not self._said:
            loop.call_soon(self._flush)
        self._said.append(line)

    debug = info = warning = error = critical = msg

    def _flush(self) -> None:
        said, self._said = self._said, []
        self._write(said)

    def _write(self, lines: list[bytes]) -> None:
        self._output.write(b"\n".join([*lines, b""]))
        self._output.flush()
