"""A thread for what takes long about a document: the event loop answers everybody else meanwhile."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

RESTS = 3

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Worker:
    """Does one thing after the other.

    It rests for three times as long as it has worked: whoever sends nothing but new documents leaves most of
    Python's interpreter to the others.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "documents")
        self._rested_at = 0.0

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Call a function in the thread. Raises what it raises.

        Whoever stops waiting before their turn takes it back.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._call, function, *arguments)

    def _call(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        time.sleep(max(0.0, self._rested_at - time.monotonic()))
        began = time.thread_time()
        try:
            return function(*arguments)
        finally:
            self._rested_at = time.monotonic() + RESTS * (time.thread_time() - began)
