"""Log lines: one event a line on standard error, as ``key=value`` for people or as JSON for machines."""

import logging
import sys

import orjson
import structlog
from structlog.typing import EventDict, Processor


def configure(level: str, format: str) -> None:
    """Set up the logging of this process. `format` is ``console`` or ``json``.

    What libraries log through the standard library takes the same form, from warnings up.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True),
    ]
    written = _json() if format == "json" else _console()
    structlog.configure(
        processors=[*shared, *written],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
        )
    )
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler], force=True)


# Neither form shows the local variables of a traceback, as structlog would: a key may be among them.


def _json() -> list[Processor]:
    return [_EXCEPTION, structlog.processors.JSONRenderer(_write_json)]


def _write_json(event: EventDict, **_options: object) -> str:
    return orjson.dumps(event, default=repr).decode()


def _console() -> list[Processor]:
    return [_printable, _on_a_terminal()] if sys.stderr.isatty() else [_EXCEPTION, _printable, _LOGFMT]


# For files, and whoever gathers lines: https://brandur.org/logfmt
_EXCEPTION = structlog.processors.format_exc_info
_LOGFMT = structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"])


def _on_a_terminal() -> Processor:
    return structlog.dev.ConsoleRenderer(
        sort_keys=False,
        pad_event_to=0,
        pad_level=False,
        exception_formatter=structlog.dev.plain_traceback,
    )


def _printable(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal would obey: a path may hold line breaks and escape sequences."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = value.encode("unicode_escape").decode()
    return event
