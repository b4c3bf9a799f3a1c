"""What the two databases, `db.sqlite` and `db.postgresql`, have in common: how statements reach them."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Dialect

ResultRow: TypeAlias = tuple[Any, ...]

ConnectionHook: TypeAlias = Callable[[Any], object]
"""What is called with each new connection of the driver's, before it is used."""


class Transaction(Protocol):
    """A transaction that begins with its first statement."""

    @property
    def has_begun(self) -> bool:
        """Whether a statement has been run."""

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[ResultRow]:
        """Run one statement."""

    async def load(self, table: str, columns: Sequence[str], rows: Sequence[ResultRow]) -> None:
        """Append many rows the fastest way the database has. Values are written as they are stored."""

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A part of the transaction that is undone alone when it raises."""


class Store(Protocol):
    """A database by its driver. Nothing is opened before the first statement; errors are the driver's own."""

    on_connect: list[ConnectionHook]

    @property
    def dialect(self) -> Dialect:
        """How SQLAlchemy writes statements for it."""

    async def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[ResultRow]:
        """Run a statement that reads, outside of any transaction: one hop or one trip."""

    async def change(self, sql: str, arguments: Sequence[Any]) -> Sequence[ResultRow]:
        """Run a statement as a transaction of its own: one hop or one trip."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """One transaction, committed when its block ends and rolled back when the block raises."""

    def is_unavailable(self, error: BaseException) -> bool:
        """Whether this says that the store failed, and not the statement."""

    def is_unique_violation(self, error: BaseException) -> bool:
        """Whether a unique constraint refused a change."""

    async def close(self) -> None:
        """Close every connection."""
