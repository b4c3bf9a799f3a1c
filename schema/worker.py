"""A thread for what takes long about a document: the event loop answers everybody else meanwhile."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar, TypeVarTuple

from resolvers.errors import Busy

MOST_WAITING = 32

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Worker:
    """Does one thing after the other, for no more than `MOST_WAITING` callers at a time."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "documents")
        self._waiting = 0

    async def run(self, function: Callable[[*Ts], T], *arguments: *Ts) -> T:
        """Call a function in the thread. Raises what it raises, and Busy.

        Whoever stops waiting before their turn takes it back.
        """
        if self._waiting >= MOST_WAITING:
            raise Busy("Too many documents are being read.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
        finally:
            self._waiting -= 1
