"""Counts the statements that really reach the driver.

SQLAlchemy's own events would not do: it holds the connections, and the drivers run the statements. So SQLite
itself reports what it runs, and of asyncpg the protocol is wrapped, since its query loggers leave out BEGIN
and COMMIT.
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

_TRANSACTION = {"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"}
_OF_FTS5 = "'main'."
_CHANGE = {"INSERT", "UPDATE", "DELETE", "REPLACE"}
# The ways in which asyncpg sends a statement, and the argument that tells which.
_SENDERS = {"query": "query", "bind_execute": "state", "bind_execute_many": "state", "bind": "state"}


class Recording(list[str]):
    """The statements of a block in the order they were sent.

    Kept apart: `transactions`, the BEGINs and COMMITs, and `authentications`, which look for a request's key
    unless it was seen just before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.transactions: list[str] = []
        self.authentications: list[str] = []

    def add(self, statement: str) -> None:
        """Take note of a statement, among those it belongs to."""
        if _verb(statement) in _TRANSACTION:
            self.transactions.append(statement)
        elif "WHERE keys.digest" in statement:
            self.authentications.append(statement)
        else:
            self.append(statement)


class Statements:
    """Records what databases send. A database must be watched before it connects for the first time."""

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

        if database.is_sqlite:
            self._short[database._readers._path] = database

    @contextmanager
    def recorded(self, database: Database) -> Iterator[Recording]:
        """Record what a watched database sends while the block runs."""
        recording = Recording()
        self._recordings[database].append(recording)
        try:
            yield recording
        finally:
            # By identity: recordings that hold the same statements are equal.
            self._recordings[database] = [
                each for each in self._recordings[database] if each is not recording
            ]

    def wrap_drivers(self, patch: pytest.MonkeyPatch) -> None:
        """Have connections tell what they send, until the patch is undone."""
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
            # FTS5 reports the statements by which it reads and writes the tables it keeps its index in.
            if statement.startswith("--") or _OF_FTS5 in statement:
                return
            # Triggers, and so cascades too, report the statement that set them off once more.
            nonlocal previous
            again, previous = statement == previous and _verb(statement) in _CHANGE, statement
            if not again:
                self._note(database, statement)

        connection.set_trace_callback(trace)

    def _note(self, database: Database, statement: str) -> None:
        for recording in self._recordings[database]:
            recording.add(statement)


def assert_one(sent: Recording) -> None:
    """One statement was sent, however long it took: of SQLite it may have been tried as a short one first."""
    assert len(set(sent)) == 1
    assert len(sent) <= 2


def _verb(statement: str) -> str:
    return statement.split(None, 1)[0].rstrip(";").upper() if statement.strip() else ""
