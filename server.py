"""The way in: `create_app` for ASGI servers, and the command line."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi import logs
from asgi.authentication import Authentication
from asgi.request_log import RequestLog
from db.engine import Database
from resolvers.purge import purging
from resolvers.viewer import Policy
from rest.app import rest_app
from schema.door import GraphQLDoor
from schema.limits import Limits
from settings import Settings, read_settings


def create_app(settings: Settings | None = None) -> Starlette:
    """Make the application. Its database is `app.state.database`; nothing is opened before it is started.

    Without settings, as a server calls it, it reads them and sets up logging; with settings, logging is
    the caller's.
    """
    if settings is None:
        settings = read_settings()
        logs.configure(settings.log_level, settings.log_format)
    database = Database(settings.database_url.get_secret_value(), pool_size=settings.pool_size)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with purging(database):
            yield
        await database.close()

    policy = Policy(
        public_keys_read_customers=settings.public_keys_read_customers,
        http_webhooks=settings.http_webhooks,
    )
    authentication = Authentication(database, policy)
    graphql = GraphQLDoor(
        database, authentication, limits=_limits(settings), introspection=settings.introspection
    )
    rest = rest_app(database, authentication, max_body_bytes=settings.max_body_bytes)
    app = Starlette(lifespan=lifespan)
    # Of Starlette's own stack nothing is wanted: both doors answer every path and every failure themselves.
    app.middleware_stack = RequestLog(_Doors(graphql, rest, app.router))
    app.state.database = database
    return app


class _Doors:
    """Leads a request to its door: /graphql to the graph, every other path to REST."""

    def __init__(self, graphql: ASGIApp, rest: ASGIApp, lifespan: ASGIApp) -> None:
        self._graphql = graphql
        self._rest = rest
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["path"] in {"/graphql", "/graphql/"} and scope["type"] == "http":
            await self._graphql(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


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
