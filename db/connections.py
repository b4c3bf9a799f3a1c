"""Connections for reads, scans, writes and health checks, which stay checked out of the engine's pool.

A write that waits for a locked row holds a write connection, so the write never blocks reads. SQLAlchemy
opens, closes and replaces these connections. Statements are sent on the driver's own connection
(docs/decisions.md).
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

Statement: TypeAlias = tuple[str, Sequence[Any]]
"""The text of a statement and its arguments."""

# If a connection turns out to be lost within this time after a statement was sent, we assume that the
# connection was already lost before, and that the statement has not begun.
LOST_AT_ONCE_S = 0.1


class Connections(ABC):
    """At most `size` connections, each opened when it is first needed. If none is free, callers wait.

    Connections, and the errors of statements, are the driver's own. If a deadline passes, methods raise
    TimeoutError or, if a lock was not free in time, the driver's error.
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
        """Run a statement on a connection that the caller has taken."""

    @abstractmethod
    async def begin(self, connection: Any, deadlines: Deadlines) -> None:
        """Begin a transaction for writing."""

    @abstractmethod
    async def load(
        self, connection: Any, table: str, columns: Sequence[str], rows: Sequence[ResultRow]
    ) -> None:
        """Append many rows in the fastest way that the database has."""

    @abstractmethod
    def is_open(self, connection: Any) -> bool:
        """Return whether a connection is open, as far as the driver knows."""

    @abstractmethod
    async def end_all(self, connection: Any) -> bool:
        """End a connection's statement and transaction.

        Returns False if the connection must be closed instead.
        """

    @staticmethod
    @abstractmethod
    def is_unavailable(error: BaseException) -> bool:
        """Return whether an error means that the database, not the statement, failed or was too slow."""

    @staticmethod
    @abstractmethod
    def is_unique_violation(error: BaseException) -> bool:
        """Return whether an error means that a change breaks a unique constraint."""

    async def fetch(
        self, sql: str, arguments: Sequence[Any], deadline: float | None, *, may_repeat: bool = False
    ) -> Sequence[ResultRow]:
        """Run a statement in a transaction of its own.

        With `may_repeat`, the statement is sent again if the connection was lost before the statement began.
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
        # The other free connections may be lost too. Each of them is tried once, and then a new connection.
        return await self.fetch(sql, arguments, deadline, may_repeat=bool(self._free))

    async def fetch_both(
        self, first: Statement, second: Statement, deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run a statement in a transaction of its own, and return its rows.

        If there are rows, the second statement runs in the same transaction.
        """
        connection = await self.take(deadline)
        try:
            rows = await self.run_alone(connection, first, second, deadline)
        except BaseException as error:
            self.give_back(connection, error)
            raise
        self.give_back(connection)
        return rows

    async def run_both(
        self, connection: Any, first: Statement, second: Statement, deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run a statement in the caller's transaction and, if it returns rows, a second one."""
        rows = await self.run(connection, *first, deadline)
        if rows:
            await self.run(connection, *second, deadline)
        return rows

    async def run_alone(
        self, connection: Any, first: Statement, second: Statement, deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run two statements like `fetch_both`, on a connection that the caller has taken."""
        await self.begin(connection, Deadlines(deadline, deadline))
        try:
            rows = await self.run_both(connection, first, second, deadline)
        except Exception as error:
            if not self.is_cut_short(error):
                await self.run(connection, "ROLLBACK", (), deadline)
            raise
        await self.run(connection, "COMMIT", (), deadline)
        return rows

    async def take(self, deadline: float | None) -> Any:
        """Return a connection that only the caller may use, until `give_back` or `clear`."""
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
        """Free a connection: immediately, or through `clear` if the error interrupted its statement."""
        if error is not None and self.is_cut_short(error):
            self.clear(connection)
        else:
            self._free.append(connection)
            self._places.release()

    def clear(self, connection: Any) -> None:
        """Free a connection as soon as its statement has ended and its transaction is rolled back."""
        clearing = asyncio.create_task(self._clear(connection))
        self._clearing.add(clearing)
        clearing.add_done_callback(self._clearing.discard)

    def is_cut_short(self, error: BaseException) -> bool:
        """Return whether, after this error, the statement may still be running or the connection unusable."""
        return isinstance(error, asyncio.CancelledError) or self.is_unavailable(error)

    async def close(self) -> None:
        """Close the free connections, after waiting for those that are being cleared."""
        if self._clearing:
            await asyncio.wait(self._clearing)
        while self._free:
            await self._checked_out.pop(self._free.pop()).close()

    async def _open(self) -> Any:
        try:
            checked_out = await self._engine.connect()
        except DBAPIError:  # the server may have just closed the connection
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
