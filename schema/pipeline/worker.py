"""A thread for slow work on documents. The event loop stays free for other requests."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from resolvers.errors import Busy

MOST_WAITING = 32
WAIT_S = 10
RESTS = 3

TOO_MANY = "Too many documents are being read."

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Worker:
    """Runs one call at a time.

    At most `MOST_WAITING` callers wait for their results, each for at most `WAIT_S` seconds.

    After each call, the worker pauses for `RESTS` times the processor time that the call took. Clients that
    send nothing but new documents therefore leave most of the interpreter's time to other clients.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "documents")
        self._rested_at = 0.0
        self._waiting = 0

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Call a function in the thread. Raises what the function raises, and Busy.

        If the caller is cancelled before its turn, the function is not called.
        """
        if self._waiting >= MOST_WAITING:
            raise Busy(TOO_MANY)
        self._waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._thread, self._call, function, *arguments)
        except TimeoutError:
            raise Busy(TOO_MANY) from None
        finally:
            self._waiting -= 1

    def _call(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        time.sleep(max(0.0, self._rested_at - time.monotonic()))
        began = time.thread_time()
        try:
            return function(*arguments)
        finally:
            self._rested_at = time.monotonic() + RESTS * (time.thread_time() - began)
