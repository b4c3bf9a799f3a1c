"""Connections of the engine, each kept checked out for one purpose: reads, scans, writes or the health.

A write that waits for a locked row keeps a write connection, and so never blocks a read. SQLAlchemy opens,
closes and replaces connections; statements go to the driver's own connection (docs/decisions.md).
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, TypeAlias

from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db.deadlines import Deadlines, seconds_left

ResultRow: TypeAlias = tuple[Any, ...]

# A statement whose connection is lost so soon had not begun: the connection was lost before, unnoticed.
LOST_AT_ONCE_S = 0.1


class Connections(ABC):
    """At most `size` connections, opened when they are first needed; whoever finds none free waits.

    A connection is handed out as the driver has it, and so are the driver's errors. Whatever takes a
    deadline raises TimeoutError there.
    """

    dialect: ClassVar[Dialect]

    def __init__(self, engine: AsyncEngine, size: int) -> None:
        self._engine = engine
        self._places = asyncio.Semaphore(size)
        self._free: list[Any] = []
        self._checked_out: dict[Any, AsyncConnection] = {}
        self._clearing: set[asyncio.Task[None]] = set()

    @abstractmethod
    async def run(
        self, connection: Any, sql: str, arguments: Sequence[Any], deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run a statement on a connection that was taken."""

    @abstractmethod
    async def begin(self, connection: Any, deadlines: Deadlines) -> None:
        """Begin a transaction that writes."""

    @abstractmethod
    async def load(
        self, connection: Any, table: str, columns: Sequence[str], rows: Sequence[ResultRow]
    ) -> None:
        """Append many rows the fastest way the database has."""

    @abstractmethod
    def is_open(self, connection: Any) -> bool:
        """Whether a connection is not known to be lost."""

    @abstractmethod
    async def end_all(self, connection: Any) -> bool:
        """End what a connection runs, and its transaction. False: it cannot be used again."""

    @staticmethod
    @abstractmethod
    def is_unavailable(error: BaseException) -> bool:
        """Whether an error says that the store failed, or not in time, and not the statement."""

    @staticmethod
    @abstractmethod
    def is_unique_violation(error: BaseException) -> bool:
        """Whether an error says that a unique constraint refused a change."""

    async def fetch(
        self, sql: str, arguments: Sequence[Any], deadline: float | None, *, may_repeat: bool = False
    ) -> Sequence[ResultRow]:
        """Run a statement that is a transaction of its own.

        With `may_repeat` it is sent once more if it had not begun when its connection was lost.
        """
        connection = await self.take(deadline)
        sent = time.monotonic()
        try:
            rows = await self.run(connection, sql, arguments, deadline)
        except BaseException as error:
            self.give_back(connection, error)
            is_lost = not self.is_open(connection) and time.monotonic() - sent < LOST_AT_ONCE_S
            if not (may_repeat and is_lost):
                raise
        else:
            self.give_back(connection)
            return rows
        return await self.fetch(sql, arguments, deadline)

    async def take(self, deadline: float | None) -> Any:
        """A connection of one's own, until it is given back or cleared."""
        if self._places.locked():
            async with asyncio.timeout(seconds_left(deadline)):
                await self._places.acquire()
        else:
            await self._places.acquire()
        try:
            while self._free:
                connection = self._free.pop()
                if self.is_open(connection):
                    return connection
                await self._drop(connection)
            async with asyncio.timeout(seconds_left(deadline)):
                return await self._open()
        except BaseException:
            self._places.release()
            raise

    def give_back(self, connection: Any, error: BaseException | None = None) -> None:
        """Let others have a connection: at once, unless an error has cut short what it was doing."""
        if error is not None and self.is_cut_short(error):
            self.clear(connection)
        else:
            self._free.append(connection)
            self._places.release()

    def clear(self, connection: Any) -> None:
        """Let others have a connection when what it does has ended, its transaction rolled back."""
        clearing = asyncio.create_task(self._clear(connection))
        self._clearing.add(clearing)
        clearing.add_done_callback(self._clearing.discard)

    def is_cut_short(self, error: BaseException) -> bool:
        """Whether what raised this may be running still, or its connection is not fit for more."""
        return isinstance(error, asyncio.CancelledError) or self.is_unavailable(error)

    async def close(self) -> None:
        """Close the connections that nobody has taken."""
        if self._clearing:
            await asyncio.wait(self._clearing)
        while self._free:
            await self._checked_out.pop(self._free.pop()).close()

    async def _open(self) -> Any:
        try:
            checked_out = await self._engine.connect()
        except DBAPIError:  # the server may have ended it just as it began
            checked_out = await self._engine.connect()
        connection = (await checked_out.get_raw_connection()).driver_connection
        self._checked_out[connection] = checked_out
        return connection

    async def _clear(self, connection: Any) -> None:
        try:
            with suppress(Exception):
                if await self.end_all(connection):
                    self._free.append(connection)
                    return
            await self._drop(connection)
        finally:
            self._places.release()

    async def _drop(self, connection: Any) -> None:
        checked_out = self._checked_out.pop(connection)
        await checked_out.invalidate()
        await checked_out.close()
