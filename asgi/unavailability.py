"""Why requests are answered that the store is unavailable: a line a second at most, however many they are."""

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
KNOWN = 100  # causes that wait for their turn: there are some ten kinds

log = structlog.get_logger("licensegraph.unavailable")

_Told: TypeAlias = tuple[Cause, str | None]

_ROOT = Path(__file__).parents[1]
_BEFORE = len(f"{_ROOT}/")
_LAYERS = tuple(f"{_ROOT / layer}/" for layer in ("db", "resolvers", "asgi"))


class Unavailability:
    """What is still to be told of.

    The first cause is written at once, with the id of its request. Those of the second that follows are
    counted; then one of them is written, the one that has waited longest first, and so on.
    """

    def __init__(self) -> None:
        self._waiting: dict[_Told, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, error: StoreUnavailable | Busy) -> None:
        """Log why a request is answered with 503, or a part of it with UNAVAILABLE."""
        told = _told_of(error)
        loop = asyncio.get_running_loop()
        if self._timer is None or self._loop is not loop:
            self._loop = loop
            _write(told, 1)
            self._wait(loop)
        elif told in self._waiting or len(self._waiting) < KNOWN:
            self._waiting[told] = self._waiting.get(told, 0) + 1

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        # In a context of its own: what is written then is not of the request that sets the timer.
        self._timer = loop.call_later(INTERVAL_S, self._go_on, loop, context=Context())

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if self._waiting:
            told = next(iter(self._waiting))
            _write(told, self._waiting.pop(told))
            self._wait(loop)


unavailability = Unavailability()
"""The one of the process, for both doors."""


def _told_of(error: StoreUnavailable | Busy) -> _Told:
    if isinstance(error, Busy):
        return Cause("Busy", None, str(error)), None
    cause = error if error.__cause__ is None else driver_error(error.__cause__)
    return cause_of(cause), _place_of(cause)


def _place_of(error: BaseException) -> str | None:
    """The last function of ours that an error came through, as `db/connections.py take`."""
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
