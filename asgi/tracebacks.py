"""Tracebacks without values: which exceptions came of which, and where, but not what they say.

A message may quote what a request brought: GraphQLError prints the document, pydantic and the drivers print
values. So a message is written only where `db.causes` says that it holds none; notes never are.
"""

import traceback
from types import TracebackType

from db.causes import cause_of

_FRAMES = 50  # the last ones: of a recursion without end there are a thousand
_EXCEPTIONS = 20

_HEADING = "Traceback (most recent call last):\n"
_CAUSED = "\nThe above exception was the direct cause of the following exception:\n\n"
_MET = "\nDuring handling of the above exception, another exception occurred:\n\n"


def of(error: BaseException) -> str:
    """The traceback of an exception and of those that it came of, the first one first."""
    return "".join(_lines(error, set())).rstrip("\n")


def of_info(exc_info: tuple[type[BaseException], BaseException, TracebackType | None]) -> str:
    """The same of what `sys.exc_info` answers, as structlog hands it on."""
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
