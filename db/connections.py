"""Connections of the engine, kept checked out for one purpose: to read, to write, to tell the health.

Whoever waits for a row that is locked keeps a connection that writes, and so never one that reads. SQLAlchemy
opens, closes and replaces connections; statements go to the driver's own connection, for executing them
through the engine costs several times as much (docs/decisions.md).
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from db.deadlines import Deadlines, seconds_left

ResultRow: TypeAlias = tuple[Any, ...]

# A statement whose connection is lost so soon had not begun: the connection was lost before, unnoticed.
LOST_AT_ONCE_S = 0.1


class Driver(Protocol):
    """What the two databases do differently, by the driver's own connections. Errors are the driver's."""

    @property
    def dialect(self) -> Dialect:
        """How SQLAlchemy writes statements."""

    async def fetch(
        self, connection: Any, sql: str, arguments: Sequence[Any], deadline: float | None
    ) -> Sequence[ResultRow]:
        """Run a statement. Raises TimeoutError at the deadline; what runs then is for `interrupt` to end."""

    async def begin(self, connection: Any, deadlines: Deadlines) -> None:
        """Begin a transaction that writes."""

    def is_open(self, connection: Any) -> bool:
        """Whether a connection is not known to be lost."""

    async def load(
        self, connection: Any, table: str, columns: Sequence[str], rows: Sequence[ResultRow]
    ) -> None:
        """Append many rows the fastest way the database has."""

    async def clear(self, connection: Any) -> bool:
        """End what a connection runs, and its transaction. False: it cannot be used again."""

    def is_unavailable(self, error: BaseException) -> bool:
        """Whether an error says that the store failed, or not in time, and not the statement."""

    def is_unique_violation(self, error: BaseException) -> bool:
        """Whether an error says that a unique constraint refused a change."""


@dataclass(frozen=True, slots=True)
class Checkout:
    """One connection: SQLAlchemy's, and the driver's below it."""

    connection: AsyncConnection
    driver_connection: Any


class Connections:
    """At most `size` connections, opened when they are first needed; whoever finds none free waits."""

    def __init__(self, engine: AsyncEngine, driver: Driver, size: int) -> None:
        self._engine = engine
        self._driver = driver
        self._places = asyncio.Semaphore(size)
        self._free: list[Checkout] = []
        self._clearing: set[asyncio.Task[None]] = set()

    async def fetch(
        self, sql: str, arguments: Sequence[Any], deadline: float | None, *, may_repeat: bool = False
    ) -> Sequence[ResultRow]:
        """Run a statement that is a transaction of its own.

        With `may_repeat` it is sent once more if it had not begun when its connection was lost.
        """
        checkout = await self.take(deadline)
        sent = time.monotonic()
        try:
            rows = await self._driver.fetch(checkout.driver_connection, sql, arguments, deadline)
        except BaseException as error:
            self.give_back(checkout, error)
            is_lost = not self._driver.is_open(checkout.driver_connection)
            if not (may_repeat and is_lost and time.monotonic() - sent < LOST_AT_ONCE_S):
                raise
        else:
            self.give_back(checkout)
            return rows
        return await self.fetch(sql, arguments, deadline)

    async def take(self, deadline: float | None) -> Checkout:
        """A connection of one's own, to be given back. Raises TimeoutError at the deadline."""
        if self._places.locked():
            async with asyncio.timeout(seconds_left(deadline)):
                await self._places.acquire()
        else:
            await self._places.acquire()
        try:
            while self._free:
                checkout = self._free.pop()
                if self._driver.is_open(checkout.driver_connection):
                    return checkout
                await _drop(checkout)
            async with asyncio.timeout(seconds_left(deadline)):
                return await self._open()
        except BaseException:
            self._places.release()
            raise

    def give_back(self, checkout: Checkout, error: BaseException | None = None) -> None:
        """Let others have a connection: at once, unless an error has cut short what it was doing."""
        if error is None or not self.is_cut_short(error):
            self._free.append(checkout)
            self._places.release()
        else:
            self.clear(checkout)

    def clear(self, checkout: Checkout) -> None:
        """Let others have a connection when what it does has ended, its transaction rolled back."""
        clearing = asyncio.create_task(self._clear(checkout))
        self._clearing.add(clearing)
        clearing.add_done_callback(self._clearing.discard)

    async def close(self) -> None:
        """Close the connections that nobody has taken."""
        if self._clearing:
            await asyncio.wait(self._clearing)
        while self._free:
            await self._free.pop().connection.close()

    def is_cut_short(self, error: BaseException) -> bool:
        """Whether what raised this may be running still, or its connection is not fit for more."""
        return isinstance(error, asyncio.CancelledError) or self._driver.is_unavailable(error)

    async def _open(self) -> Checkout:
        try:
            connection = await self._engine.connect()
        except DBAPIError:  # the server may have ended it just as it began
            connection = await self._engine.connect()
        return Checkout(connection, (await connection.get_raw_connection()).driver_connection)

    async def _clear(self, checkout: Checkout) -> None:
        try:
            with suppress(Exception):
                if await self._driver.clear(checkout.driver_connection):
                    self._free.append(checkout)
                    return
            await _drop(checkout)
        finally:
            self._places.release()


async def _drop(checkout: Checkout) -> None:
    """Close a connection, whatever state it is in."""
    await checkout.connection.invalidate()
    await checkout.connection.close()
