"""Log lines: one event a line on standard error, as ``key=value`` for people or as JSON for machines.

No line holds what a request brought but for its path, which `asgi.request_log` bounds, and its id. So
exceptions are written without their messages (`asgi.tracebacks`), and of what libraries log the text, but
not the values that belong into it.
"""

import json
import logging
import re
import sys
import threading
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor

from asgi import tracebacks

LIBRARY_TEXT_LENGTH = 300

_BRACKET = re.compile(r"[(<\[{]")


def configure(level: str, format: str) -> None:
    """Set up the logging of this process. `format` is ``console`` or ``json``.

    What libraries log through the standard library takes the same form, from warnings up, and so does what
    Python itself writes of exceptions that nobody catches in a thread or in a finalizer.
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
            foreign_pre_chain=[_of_library, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *written],
            use_get_message=False,
        )
    )
    logging.basicConfig(level=max(threshold, logging.WARNING), handlers=[handler], force=True)
    logging.raiseExceptions = False  # it would print the values that a line failed for
    threading.excepthook = _log_thread
    sys.unraisablehook = _log_unraisable


def _of_library(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Keep of a library's line the text as it stands in its code, and its exception.

    What follows the first line, or a bracket in it, is mostly written by `repr`: asyncio tells so of tasks
    with their exceptions, and of callbacks with their arguments. uvicorn hands on why we did not start.
    """
    record: logging.LogRecord = event["_record"]
    text = record.msg if isinstance(record.msg, str) else type(record.msg).__qualname__
    text = text.partition("\n")[0]
    if record.name != "uvicorn.error":
        text = _BRACKET.split(text, 1)[0].rstrip()
    event["event"] = shortened(text, LIBRARY_TEXT_LENGTH)
    event["logger"] = record.name
    event.pop("stack_info", None)
    return event


def _log_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is not SystemExit:
        structlog.get_logger("licensegraph").error("thread.failed", exc_info=failed.exc_value)


def _log_unraisable(failed: "sys.UnraisableHookArgs") -> None:
    structlog.get_logger("licensegraph").error("finalizer.failed", exc_info=failed.exc_value)


def shortened(text: str, length: int) -> str:
    """A text, cut off behind so many characters, which an ellipsis says."""
    return text if len(text) <= length else f"{text[:length]}…"


def _json() -> list[Processor]:
    return [_EXCEPTION, structlog.processors.JSONRenderer(_write_json)]


def _write_json(event: EventDict, **_options: object) -> str:
    try:
        return orjson.dumps(event, default=_named).decode()
    except TypeError:  # a path may hold lone surrogates, which are not UTF-8
        return json.dumps(event, default=_named)


def _named(value: Any) -> str:
    return type(value).__qualname__


def _console() -> list[Processor]:
    if sys.stderr.isatty():
        return [_printable, _EXCEPTION, _on_a_terminal()]
    return [_EXCEPTION, _logfmt]


_EXCEPTION = structlog.processors.ExceptionRenderer(tracebacks.of_info)
_FIRST = ("timestamp", "level", "event")
_PLAIN = re.compile(r'[^\s"=\\\x00-\x1f\x7f-\U0010ffff]+')


def _logfmt(_logger: object, _method: str, event: EventDict) -> str:
    """For files, and whoever gathers lines: https://brandur.org/logfmt.

    structlog's own takes 7 µs for the line of a request, this one 2.
    """
    first = {name: event.pop(name) for name in _FIRST if name in event}
    return " ".join([f"{name}={_logfmt_value(value)}" for name, value in {**first, **event}.items()])


def _logfmt_value(value: object) -> str:
    text = value if type(value) is str else str(value)
    if _PLAIN.fullmatch(text):
        return text
    is_quoted = not text or any(sign in text for sign in ' "=')
    if not text.isprintable():
        text = _escaped(text)
    elif is_quoted:
        text = text.replace("\\", "\\\\")
    return '"{}"'.format(text.replace('"', '\\"')) if is_quoted else text


def _on_a_terminal() -> Processor:
    return structlog.dev.ConsoleRenderer(sort_keys=False, pad_event_to=0, pad_level=False)


def _printable(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal would obey: a path may hold line breaks and escape sequences."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = _escaped(value)
    return event


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode()
