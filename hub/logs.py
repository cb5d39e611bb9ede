"""Logs as one JSON object a line. Only fields on the allow-list are ever written, so a person's data cannot slip in."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import orjson
import structlog

# Redacting by pattern misses what nobody thought of; naming what may pass cannot.
ALLOWED_FIELDS = frozenset(
    "event level timestamp logger run sync segment destination connector purpose batch people rows attempt attempts "
    "status cause kind code error_type seq watermark duration_ms method path request_id port url version worker "
    "notice channel accepted unchanged rejected entered left size phase reason_code".split()
)
# Reveals where in our code an unexpected error came from; frames carry no values.
ALLOWED_WHEN_FAILING = frozenset({"where"})


def configure_logs(level: str = "info") -> None:
    """Send structlog and the standard library's loggers to standard error as JSON lines."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_allowed,
            structlog.processors.JSONRenderer(serializer=_as_text),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryHandler()], force=True)


def keep_allowed(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Drop every field that is not on the list, and turn what remains into one short line."""
    allowed = ALLOWED_FIELDS | ALLOWED_WHEN_FAILING
    return {name: _one_line(value) for name, value in event.items() if name in allowed}


def where(error: BaseException) -> str:
    """The innermost line of our own code that an unexpected error passed through, as `module:line`, without values."""
    place, trace = "unknown", error.__traceback__
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in {"hub", "connectors"}:
            place = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _one_line(value: Any) -> Any:
    if isinstance(value, int | float | bool) or value is None:
        return value
    return "".join(char if char.isprintable() else " " for char in str(value))[:500]


def _as_text(event: dict[str, Any], **_: Any) -> str:
    return orjson.dumps(event).decode()


class _LibraryHandler(logging.Handler):
    """Libraries log what they like, values included: keep who spoke and how loud, not what was said."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(record.levelno, "library message", logger=record.name)
