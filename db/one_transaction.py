"""One transaction for everything that an operation writes, however many blocks the operation has."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeAlias

from sqlalchemy.sql.selectable import Select

from db.engine import AfterCommit, Database, ReadSession, ResultRow, WriteSession, done
from db.statements import Query

First: TypeAlias = Callable[[WriteSession], Awaitable[object]]
BeforeApart: TypeAlias = Callable[[], Awaitable[object]]


class OneTransaction(Database):
    """A database whose writing blocks are parts of one transaction. Use it in an `async with`.

    The transaction begins with the first block that writes, and then `first` runs in it. It is committed when
    the `async with` ends, and rolled back if an exception leaves it. Blocks that read before it begins use
    the usual connections. Later ones read inside the transaction, so they see what it has written. Work
    that is not part of the transaction (`apart`) waits for `before_apart`.
    """

    def __init__(self, database: Database, first: First, before_apart: BeforeApart) -> None:
        # Everything else is shared with `database`, so its constructor is not called.
        vars(self).update(vars(database))
        self.recorded = self._note_events
        self._database = database
        self._first = first
        self._before_apart = before_apart
        self._stack = AsyncExitStack()
        self._session: WriteSession | None = None
        self._has_failed = False
        self._later: list[AfterCommit] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.__aexit__(type, error, traceback)
        for work in () if error is not None else self._later:
            await done(work, self._database)

    @property
    def has_begun(self) -> bool:
        """Whether a block has written."""
        return self._session is not None

    def read(self) -> ReadSession:
        """Return a session for reading: inside the transaction, if it has begun."""
        return self._database.read() if self._session is None else _ReadInside(self._session)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[WriteSession]:
        """Open a block that writes inside the transaction. If it fails, the transaction cannot go on."""
        assert not self._has_failed, "an earlier block of this transaction has failed"
        try:
            if self._session is None:
                session = await self._stack.enter_async_context(self._database.write())
                await self._first(session)
                self._session = session
            yield self._session
        except BaseException:
            self._has_failed = True
            raise

    async def execute(
        self, query: Query, values: Mapping[str, object], then: Query | None = None
    ) -> Sequence[ResultRow]:
        """Run a writing statement inside the transaction, and return its rows.

        If there are rows, `then` runs too.
        """
        async with self.write() as session:
            return await session.rows(query, values, then)

    async def apart(self) -> Database:
        """Return the database whose blocks are transactions of their own, for work that may be done again."""
        await self._before_apart()
        return self._database

    async def after_commit(self, work: AfterCommit) -> None:
        """Do some work once the transaction is committed."""
        self._later.append(work)

    def _note_events(self) -> None:
        assert self._session is not None
        self._session.has_events = True


class _ReadInside(ReadSession):
    """Reads inside a transaction."""

    def __init__(self, session: WriteSession) -> None:
        self.database = session.database
        self._session = session

    async def rows(self, query: Query | Select[Any], values: Mapping[str, object]) -> Sequence[ResultRow]:
        """Return all rows of a query."""
        if not isinstance(query, Query):
            query = self.database.statements.compile(query)
        return await self._session.rows(query, values)
