"""The entry point: `create_app` for ASGI servers, and the command line."""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from multiprocessing import parent_process
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi import logs, refusals
from asgi.abandonment import Abandonment
from asgi.authentication import Authentication
from asgi.clients import Clients
from asgi.cors import AllowedOrigins, Cors
from asgi.limits import RateLimits
from asgi.pages import DOCS_PATHS, GRAPHQL_PATHS, Pages, is_for_pages
from asgi.request_log import RequestLog
from commands.limits import limits_of, policy_of, rates_of
from commands.serve import count_no_memory, log_unknown_variables
from commands.supervisor import end_with_supervisor, is_first_worker
from db.causes import cause_of
from db.deadlines import Timeouts
from db.engine import Database, StoreUnavailable, driver_error
from db.postgresql import PoolerFound
from db.revisions import UnfitDatabase, refusing_unfit, require_current
from resolvers.idempotency import forgetting
from resolvers.keyring import Keyring, MasterKeyError
from resolvers.license_seen import noting
from resolvers.master_key import unlock
from resolvers.projector import projecting
from resolvers.purge import purging
from resolvers.retention import forgetting_events
from resolvers.signing_keys import make_missing, making_next_keys
from resolvers.usage import Ledger, keeping
from rest.app import rest_app
from schema import graphiql
from schema.graph import graphql_schema
from schema.pipeline.endpoint import GraphQLEndpoint
from settings import Settings, read_settings

log = structlog.get_logger(__name__)

SWITCH_INTERVAL_S = 0.0005
"""How long a worker thread can hold Python's interpreter lock while the event loop waits for the lock."""

WEB = Path(__file__).parent / "web" / "dist"
"""The folder in which `make web` publishes the dashboard, GraphiQL and the REST documentation."""


def create_app(settings: Settings | None = None) -> Starlette:
    """Create the application. Its database is `app.state.database`, which is opened at startup.

    Its rate limits are `app.state.limits`. Startup creates a master key for a new database, unless one is
    configured. Startup fails if the database is not up to date, or if its master key is missing or wrong.

    If `settings` is None, as when an ASGI server calls this function, the process is also set up
    (`_set_up_process`): for example, settings are read, logging is configured, and a worker process will exit
    when its supervisor is gone.
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
            await allowed.read()
            async with (
                keeping(ledger),
                purging(database),
                projecting(database, settings.expiring_days),
                forgetting_events(database, settings.event_days),
                making_next_keys(database, keyring),
                forgetting(database, settings.idempotency_hours),
                noting(database) if settings.note_verifications else nullcontext(),
                graphql.running(checks_documents=is_first_worker()),
            ):
                yield
        finally:
            keyring.close()
            await database.close()

    ledger = Ledger(database)
    clients = Clients(settings.trusted_proxies)
    limits = RateLimits(rates_of(settings), ledger)
    authentication = Authentication(database, policy_of(settings), limits)
    has_cors = settings.cors_origins != "off"
    allowed = _allowed_origins(database, settings)
    graphql = GraphQLEndpoint(
        graphql_schema,
        database,
        keyring,
        authentication,
        limits=limits_of(settings),
        introspection=settings.introspection,
    )
    rest = rest_app(
        database,
        keyring,
        authentication,
        max_body_bytes=settings.max_body_bytes,
        path_prefix=settings.path_prefix,
        cors=has_cors,
    )
    pages = Pages(WEB, graphiql=graphiql.PAGE, missing=rest, path_prefix=settings.path_prefix)
    app = Starlette(lifespan=lifespan)
    # Starlette's own middleware is not used, because our handlers respond to every path and every error.
    router: ASGIApp = _Router(graphql, rest, pages, app.router)
    app.middleware_stack = Cors(
        RequestLog(
            Abandonment(_PathPrefix(settings.path_prefix, router) if settings.path_prefix else router),
            clients,
        ),
        allowed,
        route_of=lambda path: rest.route_of(path.removeprefix(settings.path_prefix)),
        clients=clients,
        sends_headers=has_cors,
    )
    app.state.database = database
    app.state.limits = limits
    return app


class _Router:
    """Dispatches a request to GraphQL, to REST, or to the pages.

    Startup and shutdown are left to Starlette's router, `lifespan`.
    """

    def __init__(self, graphql: ASGIApp, rest: ASGIApp, pages: ASGIApp, lifespan: ASGIApp) -> None:
        self._graphql = graphql
        self._rest = rest
        self._pages = pages
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._lifespan(scope, receive, partial(_shortened, send))
            return
        path: str = scope["path"]
        if path.startswith("/api/") and path not in DOCS_PATHS:
            await self._rest(scope, receive, send)
        elif refusals.of(scope) is None and is_for_pages(scope):
            await self._pages(scope, receive, send)
        elif path in GRAPHQL_PATHS:
            await self._graphql(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


class _PathPrefix:
    """Middleware that strips a path prefix from requests. Requests without the prefix pass unchanged.

    This way, the server works behind proxies that strip the prefix and behind proxies that keep it.
    """

    def __init__(self, prefix: str, app: ASGIApp) -> None:
        self._prefix = prefix
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path: str = scope["path"]
            if path == self._prefix:
                # Without the trailing slash, a browser would resolve relative URLs against the parent path.
                await RedirectResponse(f"{path.rpartition('/')[2]}/", 308)(scope, receive, send)
                return
            if path.startswith(f"{self._prefix}/"):
                scope = {**scope, "path": path.removeprefix(self._prefix), "root_path": self._prefix}
        await self._app(scope, receive, send)


def _set_up_process() -> Settings:
    """Set up a process that only serves, and return its settings. Raises InvalidSettings."""
    end_with_supervisor()
    count_no_memory()
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    # Imported objects are never freed, so the garbage collector skips them. Full collections are rare: each
    # one walks all cached documents, which stops the process for a tenth of a second, and requests leave
    # almost no garbage.
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 500)
    settings = read_settings()
    logs.configure(settings.log_level, settings.log_format)
    if parent_process() is None:  # otherwise this is a worker, and `serve` has already logged them
        log_unknown_variables()
    return settings


async def _shortened(send: Send, message: Message) -> None:
    """Send a lifespan message. If startup failed, the reason is shortened to one line.

    The traceback of an unexpected error is logged.
    """
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


def _allowed_origins(database: Database, settings: Settings) -> AllowedOrigins:
    match settings.cors_origins:
        case "*":
            return AllowedOrigins(database, every=True)
        case "off":
            return AllowedOrigins(database)
        case origins:
            return AllowedOrigins(database, origins)


if __name__ == "__main__":
    from commands.command_line import main

    main(sys.argv[1:])
