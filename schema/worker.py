"""A thread for what takes long about a document: the event loop answers everybody else meanwhile."""

import asyncio
import gc
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
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, _without_old_garbage, function, *arguments)
        finally:
            self._waiting -= 1


def _without_old_garbage(function: Callable[[*Ts], T], *arguments: *Ts) -> T:
    """Call a function, and collect at once the garbage that it leaves, which is much.

    graphql-core's visitors know themselves, and through them the document. Collected in the middle, what is
    still needed grows old, and is garbage later that only a full collection finds: it stops everything for
    tenths of a second.
    """
    gc.disable()
    try:
        return function(*arguments)
    finally:
        gc.enable()
        gc.collect(0)
