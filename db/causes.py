"""What may be logged about an exception: its class, a code, and a message that never contains values.

Drivers quote their input: the DETAIL of PostgreSQL's errors contains rows, and asyncpg's own errors contain
arguments. The operating system's errors contain addresses. None of these values belong in a log.
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
    """What may be logged about an exception.

    `code` is a SQLSTATE, the name of a SQLite or system error, or the reason of a TLS error.
    """

    error: str
    code: str | None = None
    message: str | None = None

    def __str__(self) -> str:
        code = f" {self.code}" if self.code else ""
        return f"{self.error}{code}: {self.message}" if self.message else f"{self.error}{code}"


def cause_of(error: BaseException) -> Cause:
    """Return what may be logged about an exception."""
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    match error:
        case sqlite3.Error():
            # If the database failed, and not the statement, SQLite's message may contain names of tables, but
            # no values.
            message = str(error) if SqliteConnections.is_unavailable(error) else None
            return Cause(name, getattr(error, "sqlite_errorname", None), message)
        case asyncpg.PostgresError():
            # If the database failed, the message names the server, a lock or a limit. Other messages may
            # quote values.
            is_safe = error.args and PostgresqlConnections.is_unavailable(error)
            return Cause(name, error.sqlstate, str(error.args[0]) if is_safe else None)
        case ssl.SSLError():
            return Cause(name, error.reason)
        case socket.gaierror():
            return Cause(name, None, error.strerror)
        case OSError(errno=int(number)) if number in errno.errorcode:
            return Cause(name, errno.errorcode[number], os.strerror(number))
        case _:
            return Cause(name)
