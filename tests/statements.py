"""Records the statements that really reach the driver.

SQLAlchemy's events are not enough, because SQLAlchemy only holds the connections and our code runs statements
directly on the drivers. Instead, SQLite itself reports the statements that it runs. For PostgreSQL, asyncpg's
protocol is wrapped, because asyncpg's query loggers leave out BEGIN and COMMIT.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from asyncpg.protocol import Protocol
from sqlalchemy import event

from db import sqlite
from db.engine import Database
from db.sqlite import SqliteReaders

_TRANSACTION = {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"}
_OF_FTS5 = "'main'."
_CHANGE = {"INSERT", "UPDATE", "DELETE", "REPLACE"}
# The methods of asyncpg that send a statement, each with the name of the argument that is the statement.
_SENDERS = {"query": "query", "bind_execute": "state", "bind_execute_many": "state", "bind": "state"}


class Recording(list[str]):
    """The statements that a block sent, in order.

    Two kinds of statements are kept separately: `transactions` holds the statements that begin and end
    transactions, and `authentications` holds the lookups of the requests' keys. A key that was just
    looked up is not looked up again, because lookups are cached for a short time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transactions: list[str] = []
        self.authentications: list[str] = []

    def add(self, statement: str) -> None:
        """Add a statement to the list that it belongs to."""
        if _verb(statement) in _TRANSACTION:
            self.transactions.append(statement)
        elif "keys.previous_digest =" in statement:
            self.authentications.append(statement)
        else:
            self.append(statement)


class Statements:
    """Records the statements sent through `Database` objects. Call `watch` before the first connection."""

    def __init__(self) -> None:
        self._recordings: dict[Database, list[Recording]] = {}
        self._databases: WeakKeyDictionary[Protocol, Database] = WeakKeyDictionary()
        self._short: dict[str, Database] = {}

    def watch(self, database: Database) -> None:
        """Watch all connections that the database will open."""
        self._recordings[database] = []

        @event.listens_for(database.engine.sync_engine, "connect")
        def connected(adapted: Any, _record: object) -> None:
            driver_connection = adapted.driver_connection
            raw = driver_connection._conn if database.is_sqlite else driver_connection
            self._connected(database, raw)

        readers = database._readers
        if isinstance(readers, SqliteReaders):
            self._short[readers._path] = database

    @contextmanager
    def recorded(self, database: Database) -> Iterator[Recording]:
        """Record the statements that a watched database sends while the block runs."""
        recording = Recording()
        self._recordings[database].append(recording)
        try:
            yield recording
        finally:
            # Compare by identity, because recordings with the same statements are equal.
            self._recordings[database] = [
                each for each in self._recordings[database] if each is not recording
            ]

    def wrap_drivers(self, patch: pytest.MonkeyPatch) -> None:
        """Make connections report the statements that they send, until the patch is undone."""
        connect = sqlite.connect_short

        def connect_short(path: str) -> Any:
            connection = connect(path)
            if path in self._short:
                self._connected(self._short[path], connection)
            return connection

        patch.setattr(sqlite, "connect_short", connect_short)
        for name, argument in _SENDERS.items():
            patch.setattr(Protocol, name, self._wrapped(getattr(Protocol, name), argument))

    def _wrapped(self, send: Callable[..., Any], argument: str) -> Callable[..., Any]:
        def sending(protocol: Protocol, *arguments: Any, **named: Any) -> Any:
            database = self._databases.get(protocol)
            if database is not None:
                sent = named[argument] if argument in named else arguments[0]
                self._note(database, sent if isinstance(sent, str) else sent.query)
            return send(protocol, *arguments, **named)

        return sending

    def _connected(self, database: Database, connection: Any) -> None:
        if not database.is_sqlite:
            self._databases[connection._protocol] = database
            return
        previous = ""

        def trace(statement: str) -> None:
            # FTS5 also reports the statements with which it reads and writes its own index tables.
            if statement.startswith("--") or _OF_FTS5 in statement:
                return
            # When a trigger or cascade runs, SQLite reports the original statement again.
            nonlocal previous
            again, previous = statement == previous and _verb(statement) in _CHANGE, statement
            if not again:
                self._note(database, statement)

        connection.set_trace_callback(trace)

    def _note(self, database: Database, statement: str) -> None:
        for recording in self._recordings[database]:
            recording.add(statement)


def assert_one(sent: Recording) -> None:
    """Assert that one statement was sent.

    On SQLite, the statement may appear twice: first as a short read, then again in a thread.
    """
    assert len(set(sent)) == 1
    assert len(sent) <= 2


def _verb(statement: str) -> str:
    return statement.split(None, 1)[0].rstrip(";").upper() if statement.strip() else ""
