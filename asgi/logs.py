"""Logging: one event per line on standard error, as ``key=value`` for people or as JSON for programs.

The only parts of a request in a log line are those that `asgi.request_log` lists. Exceptions are therefore
logged without their messages (`asgi.tracebacks`), and messages of libraries without their arguments.
"""

import json
import logging
import re
import sys
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson
import structlog
from structlog.typing import EventDict, Processor

from asgi import tracebacks
from db import clock
from resolvers.keys import without_tokens

LIBRARY_TEXT_LENGTH = 300

_BRACKET = re.compile(r"[(<\[{]")


def configure(level: str, format: str) -> None:
    """Set up the logging of this process. `format` is ``console`` or ``json``.

    This format also applies to warnings and errors that libraries log through the standard library, and to
    uncaught exceptions in threads and finalizers.
    """
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add_timestamp,
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
    # otherwise, a record that cannot be formatted is printed with its arguments
    logging.raiseExceptions = False
    threading.excepthook = _log_thread
    sys.unraisablehook = _log_unraisable


def _add_timestamp(_logger: object, _method: str, event: EventDict) -> EventDict:
    event["timestamp"] = _timestamp(int(time.time()))
    return event


@lru_cache(1)
def _timestamp(second: int) -> str:
    """Return a time as text. structlog's own processor formats it again for each line, which takes 2 µs."""
    return clock.as_text(datetime.fromtimestamp(second, UTC))


def _of_library(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Reduce a library's log record to its unformatted message and its exception.

    Only the first line is kept, up to its first bracket. The rest may contain values: asyncio prints tasks
    with their exceptions, and callbacks with their arguments. The first line of uvicorn's messages is kept
    completely, because it says why the server did not start.
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
    """Return the first `length` characters of a text, followed by an ellipsis if the text is longer."""
    return text if len(text) <= length else f"{text[:length]}…"


def _json() -> list[Processor]:
    return [_EXCEPTION, structlog.processors.JSONRenderer(_write_json), _without_tokens]


def _write_json(event: EventDict, **_options: object) -> str:
    try:
        return orjson.dumps(event, default=_named).decode()
    except TypeError:  # a path may hold lone surrogates, which are not UTF-8
        return json.dumps(event, default=_named)


def _named(value: Any) -> str:
    return type(value).__qualname__


def _console() -> list[Processor]:
    if sys.stderr.isatty():
        return [_printable, _EXCEPTION, _on_a_terminal(), _without_tokens]
    return [_EXCEPTION, _logfmt, _without_tokens]


_EXCEPTION = structlog.processors.ExceptionRenderer(tracebacks.of_info)
_FIRST = ("timestamp", "level", "event")
_PLAIN = re.compile(r'[^\s"=\\\x00-\x1f\x7f-\U0010ffff]+')


def _logfmt(_logger: object, _method: str, event: EventDict) -> str:
    """Format an event for files and log collectors: https://brandur.org/logfmt.

    For a request's log line, structlog's own renderer takes 7 µs, and this one takes 2 µs.
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


def _without_tokens(_logger: object, _method: str, line: Any) -> Any:
    """Mask keys in a line: a client may have put one into a path or into the name of an operation."""
    return without_tokens(line)


def _on_a_terminal() -> Processor:
    return structlog.dev.ConsoleRenderer(sort_keys=False, pad_event_to=0, pad_level=False)


def _printable(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Escape control characters: a path may contain line breaks and terminal escape sequences."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = _escaped(value)
    return event


def _escaped(text: str) -> str:
    return text.encode("unicode_escape").decode()
