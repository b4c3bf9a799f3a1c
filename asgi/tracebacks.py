"""Tracebacks without values: the chain of exceptions and their frames, but not their messages.

A message may quote a request: GraphQLError prints the document, pydantic and the drivers print values. A
message is therefore kept only if `db.causes` knows that it has no values. Notes are never kept.
"""

import traceback
from types import TracebackType

from db.causes import cause_of

_FRAMES = 50  # the maximum per exception, because infinite recursion has a thousand
_EXCEPTIONS = 20

_HEADING = "Traceback (most recent call last):\n"
_CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
_MET = "\nDuring handling of the above exception, another exception occurred:\n\n"


def of(error: BaseException) -> str:
    """Return the tracebacks of an exception and of its causes, with the earliest exception first."""
    return "".join(_lines(error, set())).rstrip("\n")


def of_info(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """Return the traceback for a `sys.exc_info()` tuple, as structlog passes it."""
    return of(exc_info[1])


def _lines(error: BaseException, seen: set[int]) -> list[str]:
    seen.add(id(error))
    lines: list[str] = []
    if len(seen) <= _EXCEPTIONS:
        before, said = error.__cause__, _CAUSED
        if before is None and not error.__suppress_context__:
            before, said = error.__context__, _MET
        if before is not None and id(before) not in seen:
            lines += [*_lines(before, seen), said]
    if error.__traceback__ is not None:
        lines += [_HEADING, *traceback.extract_tb(error.__traceback__, limit=-_FRAMES).format()]
    lines.append(f"{cause_of(error)}\n")
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            if len(seen) <= _EXCEPTIONS and id(each) not in seen:
                inner = "".join(_lines(each, seen)).splitlines()
                lines += [f"  | {line}\n" for line in inner]
    return lines
