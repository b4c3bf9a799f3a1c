"""Logs why the store is unavailable: at most one line per second, for any number of failed requests."""

import asyncio
import traceback
from contextvars import Context
from pathlib import Path
from typing import TypeAlias

import structlog

from db.causes import Cause, cause_of
from db.engine import StoreUnavailable, driver_error
from resolvers.errors import Busy

INTERVAL_S = 1.0
KNOWN = 100  # the maximum number of waiting causes; about ten different causes exist

log = structlog.get_logger("licensegraph.unavailable")

_Told: TypeAlias = tuple[Cause, str | None]

_ROOT = Path(__file__).parents[1]
_BEFORE = len(f"{_ROOT}/")
_LAYERS = tuple(f"{_ROOT / layer}/" for layer in ("db", "resolvers", "asgi"))


class Unavailability:
    """Logs causes, and keeps those that have not been logged yet.

    The first cause is logged immediately, with the id of its request. Later causes are counted. Once per
    second, the cause that has waited longest is logged with its count.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Told, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, error: StoreUnavailable | Busy) -> None:
        """Log the cause of a response with status 503, or of an UNAVAILABLE error in a GraphQL response."""
        told = _told_of(error)
        loop = asyncio.get_running_loop()
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            _write(told, 1)
            self._wait(loop)
        elif told in self._waiting or len(self._waiting) < KNOWN:
            self._waiting[told] = self._waiting.get(told, 0) + 1

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        # The timer gets a new context, because its log line does not belong to the request that starts it.
        self._timer = loop.call_later(INTERVAL_S, self._go_on, loop, context=Context())

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiting:
            told = next(iter(self._waiting))
            _write(told, self._waiting.pop(told))
            self._wait(loop)


unavailability = Unavailability()
"""The instance of this process, shared by GraphQL and REST."""


def _told_of(error: StoreUnavailable | Busy) -> _Told:
    if isinstance(error, Busy):
        return Cause("Busy", None, str(error)), None
    cause = error if error.__cause__ is None else driver_error(error.__cause__)
    return cause_of(cause), _place_of(cause)


def _place_of(error: BaseException) -> str | None:
    """Return the function of ours in which the error arose, such as `db/connections.py take`.

    This is the innermost function of `_LAYERS` in the traceback, or None if there is none.
    """
    place = None
    for frame, _line in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename.startswith(_LAYERS):
            place = frame.f_code
    return None if place is None else f"{place.co_filename[_BEFORE:]} {place.co_name}"


def _write(told: _Told, times: int) -> None:
    cause, place = told
    facts = {"error": cause.error, "code": cause.code, "message": cause.message, "place": place}
    given = {name: value for name, value in facts.items() if value is not None}
    log.warning("store.unavailable", **given, times=times)
