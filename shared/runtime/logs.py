"""One line for each fact: JSON for machines, readable on a terminal; the instance on every line."""

import json
import logging
import sys
from typing import Any, Final

import msgspec
import structlog
from structlog.typing import EventDict

_encoder: Final = msgspec.json.Encoder(enc_hook=repr)


def configure(*, level: str, instance_id: str) -> None:
    """Send structlog and the standard library's warnings to stdout in one form."""

    def name_instance(_logger: Any, _method: str, event: EventDict) -> EventDict:  # noqa: ANN401 - as structlog has it
        event["instance"] = instance_id
        return event

    number = logging.getLevelNamesMapping()[level]
    shared: list[Any] = [
        name_instance,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    console = structlog.dev.ConsoleRenderer() if sys.stdout.isatty() else None
    structlog.configure(
        processors=[*shared, console or _in_json],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout)
        if console
        else structlog.BytesLoggerFactory(sys.stdout.buffer),
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
