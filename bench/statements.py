"""Records the statements that the application runs when it is called in the same process."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias
from unittest.mock import patch

from sqlalchemy import ClauseElement

from db.engine import Database, ReadSession, WriteSession
from db.statements import Query

Values: TypeAlias = Mapping[str, object]

_ENTRY_POINTS = ((ReadSession, "rows"), (WriteSession, "execute"), (Database, "execute"))


@contextmanager
def noted() -> Iterator[list[tuple[Query, Values]]]:
    """Record the statements that sessions run within the block, in order, with their values.

    BEGIN, COMMIT and the statements that triggers run are not included.
    """
    ran: list[tuple[Query, Values]] = []

    def noting(run: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def noted(
            session: ReadSession | WriteSession | Database,
            statement: Query | ClauseElement,
            values: Values | None = None,
            then: Query | None = None,
        ) -> Any:
            if isinstance(statement, Query):
                query = statement
            else:
                # a Database only runs compiled queries
                assert not isinstance(session, Database)
                query = session.database.statements.compile(statement)
            ran.append((query, values or {}))
            if then is None:
                return await run(session, statement, values or {})
            ran.append((then, values or {}))
            return await run(session, statement, values or {}, then)

        return noted

    with ExitStack() as patches:
        for session, name in _ENTRY_POINTS:
            patches.enter_context(patch.object(session, name, noting(getattr(session, name))))
        yield ran
