"""The way in: `create_app` for ASGI servers, and the command line."""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi import logs, refusals
from asgi.abandonment import Abandonment
from asgi.authentication import Authentication
from asgi.pages import ASSETS, GRAPHQL_PATHS, Pages, wants_page
from asgi.request_log import RequestLog
from commands.serve import count_no_memory
from commands.supervisor import end_with_supervisor
from db.causes import cause_of
from db.deadlines import Timeouts
from db.engine import Database, StoreUnavailable, driver_error
from db.postgresql import PoolerFound
from db.revisions import UnfitDatabase, refusing_unfit, require_current
from resolvers.keyring import Keyring, MasterKeyError
from resolvers.master_key import unlock
from resolvers.purge import purging
from resolvers.signing_keys import make_missing
from resolvers.viewer import Policy
from rest.app import rest_app
from schema import graphiql
from schema.door import GraphQLDoor
from schema.limits import Limits
from settings import Settings, read_settings

log = structlog.get_logger(__name__)

SWITCH_INTERVAL_S = 0.0005
"""How long a thread that computes, of those beside the event loop's, keeps Python's interpreter from it."""

WEB = Path(__file__).parent / "web" / "dist"
"""Where `make web` puts the dashboard and GraphiQL."""


def create_app(settings: Settings | None = None) -> Starlette:
    """Make the application. Its database is `app.state.database`; nothing is opened before it is started.

    It does not start without the master key. Without settings, as a server calls it, it reads them, sets up
    logging, and has a worker end with its supervisor; with settings, all that is the caller's.
    """
    if settings is None:
        settings = _set_up_process()
    timeouts = Timeouts(settings.statement_timeout_s, settings.lock_timeout_s)
    database = Database(
        settings.database_url.get_secret_value(),
        pool_size=settings.pool_size,
        timeouts=timeouts,
        pooled=settings.transaction_pooling,
    )
    keyring = Keyring(rsa_bits=settings.rsa_bits, issuer=settings.issuer, timeouts=timeouts)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            await require_current(database)
            async with refusing_unfit():
                made = await unlock(
                    keyring, database, given=settings.master_key, file=settings.master_key_file
                )
                if made is not None:
                    log.warning("master_key.made", file=str(made))
                await make_missing(database, keyring)
            async with purging(database):
                yield
        finally:
            keyring.close()
            await database.close()

    policy = Policy(
        public_keys_read_customers=settings.public_keys_read_customers,
        http_webhooks=settings.http_webhooks,
        rotation_limit=settings.rotation_limit,
        keyring=keyring,
    )
    authentication = Authentication(database, policy)
    graphql = GraphQLDoor(
        database, authentication, limits=_limits(settings), introspection=settings.introspection
    )
    rest = rest_app(database, authentication, max_body_bytes=settings.max_body_bytes)
    pages = Pages(WEB, graphiql=graphiql.PAGE, missing=rest)
    app = Starlette(lifespan=lifespan)
    # Of Starlette's own stack nothing is wanted: the doors answer every path and every failure themselves.
    doors: ASGIApp = _Doors(graphql, rest, pages, app.router)
    app.middleware_stack = RequestLog(
        Abandonment(_Below(settings.path_prefix, doors) if settings.path_prefix else doors)
    )
    app.state.database = database
    return app


class _Doors:
    """Leads a request to its door: the graph's, REST's, or the pages' for what a browser shows."""

    def __init__(self, graphql: ASGIApp, rest: ASGIApp, pages: ASGIApp, lifespan: ASGIApp) -> None:
        self._graphql = graphql
        self._rest = rest
        self._pages = pages
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._lifespan(scope, receive, partial(_said_plainly, send))
            return
        path: str = scope["path"]
        if path.startswith("/api/"):
            await self._rest(scope, receive, send)
        elif not refusals.is_refused(scope) and (path.startswith(ASSETS) or wants_page(scope)):
            await self._pages(scope, receive, send)
        elif path in GRAPHQL_PATHS:
            await self._graphql(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


class _Below:
    """Middleware: takes requests below a path as if it were not there, and as ever those beside it.

    So it does not matter whether a proxy takes the path away before it hands a request on.
    """

    def __init__(self, prefix: str, app: ASGIApp) -> None:
        self._prefix = prefix
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            if path == self._prefix:
                # To a browser, addresses in a page would begin beside the path and not below it.
                await RedirectResponse(f"{path.rpartition('/')[2]}/", 308)(scope, receive, send)
                return
            if path.startswith(f"{self._prefix}/"):
                scope = {**scope, "path": path.removeprefix(self._prefix), "root_path": self._prefix}
        await self._app(scope, receive, send)


def _set_up_process() -> Settings:
    """Set up a process that does nothing but serve, and read its settings. Raises InvalidSettings."""
    end_with_supervisor()
    count_no_memory()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # What has been imported stays, and need not be looked at each time. A full collection looks at all that
    # is kept of documents and stops the process for a tenth of a second; requests leave it next to nothing.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 500)
    settings = read_settings()
    logs.configure(settings.log_level, settings.log_format)
    return settings


async def _said_plainly(send: Send, message: Message) -> None:
    """Have the server write one line, where a traceback would tell the operator no more."""
    error = sys.exception()
    if message["type"] == "lifespan.startup.failed" and error is not None:
        match error:
            case StoreUnavailable(__cause__=BaseException() as cause):
                said = f"{error}: {cause_of(driver_error(cause))}"
            case MasterKeyError() | PoolerFound() | UnfitDatabase() | StoreUnavailable():
                said = str(error)
            case _:
                log.error("start.failed", exc_info=error)
                said = f"the server cannot start: {type(error).__name__}"
        message = {**message, "message": said}
    await send(message)


def _limits(settings: Settings) -> Limits:
    return Limits(
        max_tokens=settings.max_tokens,
        max_depth=settings.max_depth,
        max_aliases=settings.max_aliases,
        max_root_fields=settings.max_root_fields,
        max_cost=settings.max_cost,
        max_body_bytes=settings.max_body_bytes,
    )


if __name__ == "__main__":
    from commands.command_line import main

    main(sys.argv[1:])
