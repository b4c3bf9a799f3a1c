"""A server that fails where a request asks it to: the header `X-Fail` is `place:error`.

An error in one of `FUNCTIONS` quotes all arguments of the function. The note of the error and the errors in
its context quote them as well. Run this file as a program, with the arguments of `server.py`.
"""

import asyncio
import gc
import inspect
import logging
import sqlite3
import sys
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import asyncpg
from graphql import GraphQLError, Source
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

import asgi.authentication
import rest.operations
import schema.pipeline.documents
import schema.pipeline.endpoint
import schema.pipeline.pipeline
import server
from asgi.authentication import Authentication
from commands.command_line import main
from db.connections import Connections
from db.engine import Database, ReadSession, WriteSession
from db.postgresql import PostgresqlConnections
from db.short_reads import ShortReads
from db.sqlite import SqliteConnections
from resolvers import apps, customers, licenses, verification
from settings import Settings

SECRET = "zulu7"
"""A text that is part of every secret in the tests. No id contains it: ids have no `l` and no `u`."""

FUNCTIONS: dict[str, tuple[tuple[Any, str], ...]] = {
    "authentication": ((Authentication, "viewer_of"),),
    "body": ((asgi.authentication, "read_body"), (rest.operations, "read_body")),
    "json": ((schema.pipeline.endpoint, "parse_json"), (rest.operations, "parse_json")),
    "parsing": ((schema.pipeline.documents, "parse"),),
    "validation": ((schema.pipeline.documents, "validate"),),
    "plan": ((schema.pipeline.pipeline, "_planned_and_bound"),),
    "input": ((apps, "check"), (customers, "check"), (licenses, "check")),
    "token": ((verification, "claims_of"),),
    "reading": ((ReadSession, "rows"),),
    "writing": ((WriteSession, "execute"), (Database, "execute")),
    "connections": ((Connections, "fetch"), (Connections, "take")),
    "driver": ((SqliteConnections, "run"), (PostgresqlConnections, "run"), (ShortReads, "fetch")),
    "answer": ((schema.pipeline.endpoint, "_response"), (rest.operations, "problem_of")),
}
BESIDE = ("task", "callback", "thread", "finalizer", "library")
"""Places outside of the request. If one of these fails, the request itself succeeds."""


def _unique(quoted: str) -> Exception:
    error = asyncpg.UniqueViolationError(quoted)
    error.detail = f"Key (email)=({quoted}) already exists."
    assert isinstance(error, Exception)
    return error


ERRORS: dict[str, Callable[[str], Exception]] = {
    "runtime": RuntimeError,
    "key": KeyError,
    "system": lambda quoted: OSError(5, quoted, quoted),
    "timeout": TimeoutError,
    "argument": asyncpg.InterfaceError,
    "unique": _unique,
    "sqlite": sqlite3.IntegrityError,
    "graphql": lambda quoted: GraphQLError(quoted, source=Source(quoted), positions=[0]),
    "group": lambda quoted: ExceptionGroup(quoted, [ValueError(quoted), KeyError(quoted)]),
}

_failing: ContextVar[tuple[str, str]] = ContextVar("failing", default=("", ""))


def raised(kind: str, quoted: str) -> Exception:
    """Return an exception that quotes a text wherever it can: in its message, its note and its context."""
    try:
        try:
            raise LookupError(quoted)
        except LookupError:
            raise ValueError(quoted) from UnicodeDecodeError("utf-8", quoted.encode(), 0, 1, quoted)
    except ValueError as context:
        error = ERRORS[kind](quoted)
        error.__context__ = context
        error.add_note(quoted)
        return error


def failing(place: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function so that it fails if the current request's X-Fail header names `place`."""

    def fail(*given: Any) -> None:
        where, kind = _failing.get()
        if where == place:
            raise raised(kind, f"{SECRET} {given!r}")

    if inspect.iscoroutinefunction(function):

        async def called_async(*given: Any, **named: Any) -> Any:
            fail(given, named)
            return await function(*given, **named)

        return called_async

    def called(*given: Any, **named: Any) -> Any:
        fail(given, named)
        return function(*given, **named)

    return called


class Finalizer:
    def __del__(self) -> None:
        raise raised("runtime", SECRET)


def fail_beside(place: str, kind: str) -> None:
    """Cause an error outside of the request, in one of the places in `BESIDE`."""
    error = raised(kind, SECRET)

    async def in_task(_given: str) -> None:
        raise error

    def in_callback(_given: object) -> None:
        raise error

    match place:
        case "task":
            asyncio.ensure_future(in_task(SECRET))  # noqa: RUF006  (the error must stay unhandled)
        case "callback":
            asyncio.get_running_loop().call_soon(in_callback, [SECRET])
        case "thread":
            thread = threading.Thread(target=in_callback, args=(SECRET,), name=SECRET)
            thread.start()
            thread.join()
        case "finalizer":
            Finalizer()
        case "library":
            logging.getLogger("somewhere").error("it has %s", SECRET, exc_info=error, stack_info=True)
            logging.getLogger("elsewhere").error(error)
            logging.getLogger("nowhere").error("%d", SECRET)


class Failing:
    """Middleware that causes the failure that a request's X-Fail header names."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        place, _, kind = dict(scope.get("headers", ())).get(b"x-fail", b"").decode().partition(":")
        _failing.set((place, kind))
        await self._app(scope, receive, send)
        if place in BESIDE:
            fail_beside(place, kind)
            await asyncio.sleep(0)
            gc.collect()


def create_app(settings: Settings | None = None) -> Starlette:
    app = _create_app(settings)
    assert app.middleware_stack is not None
    app.middleware_stack = Failing(app.middleware_stack)
    return app


if __name__ == "__main__":
    for place, functions in FUNCTIONS.items():
        for owner, name in functions:
            setattr(owner, name, failing(place, getattr(owner, name)))
    _create_app, server.create_app = server.create_app, create_app
    main(sys.argv[1:])
