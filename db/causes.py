"""What may be told of an exception: its class, a code, and a message where that cannot hold a value.

Drivers quote what they were given: the DETAIL of PostgreSQL's errors holds rows, asyncpg's own errors hold
arguments, and the system's tell addresses. None of that belongs into a log.
"""

import errno
import os
import socket
import sqlite3
import ssl
from dataclasses import dataclass

import asyncpg

from db.postgresql import PostgresqlConnections
from db.sqlite import SqliteConnections


@dataclass(frozen=True, slots=True)
class Cause:
    """An exception without its values. `code` is a SQLSTATE, or SQLite's or the system's name of it."""

    error: str
    code: str | None = None
    message: str | None = None

    def __str__(self) -> str:
        code = f" {self.code}" if self.code else ""
        return f"{self.error}{code}: {self.message}" if self.message else f"{self.error}{code}"


def cause_of(error: BaseException) -> Cause:
    """What may be told of an exception, whichever it is."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    match error:
        case sqlite3.Error():
            # Where the store failed, SQLite names tables at most.
            message = str(error) if SqliteConnections.is_unavailable(error) else None
            return Cause(name, getattr(error, "sqlite_errorname", None), message)
        case asyncpg.PostgresError():
            # In those classes the server names itself, a lock or a limit; other messages quote values.
            is_told = error.args and PostgresqlConnections.is_unavailable(error)
            return Cause(name, error.sqlstate, str(error.args[0]) if is_told else None)
        case ssl.SSLError():
            return Cause(name, error.reason)
        case socket.gaierror():
            return Cause(name, None, error.strerror)
        case OSError(errno=int(number)) if number in errno.errorcode:
            return Cause(name, errno.errorcode[number], os.strerror(number))
        case _:
            return Cause(name)
