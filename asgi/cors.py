"""CORS: lets pages of allowed origins read the responses (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi import refusals
from asgi.clients import Clients
from asgi.refusals import HttpRefusal, WebSocketRefusal
from asgi.request_log import RequestLog, record_of
from db.engine import Database, StoreUnavailable
from resolvers.origins import is_among, live_origins

FRESH_S = 1.0
"""How long the origins of the keys are used before they are read again."""
PATIENCE_S = 0.1
"""How long a request waits for the origins of the keys. Then the ones that were read last are used."""

RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]

_ALLOW_ORIGIN = b"access-control-allow-origin"
_EXPOSED_HEADERS = (
    b"X-Request-Id, Read-After, Retry-After, RateLimit, RateLimit-Policy, X-RateLimit-Limit, "
    b"X-RateLimit-Remaining, X-RateLimit-Reset, Idempotency-Replayed, ETag, Location"
)
_EXPOSED = (b"access-control-expose-headers", _EXPOSED_HEADERS)
_PREFLIGHT = (
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"Authorization, Content-Type, Idempotency-Key, If-Match, Read-After, X-Request-Id",
    ),
    (b"access-control-max-age", b"7200"),
)
_OURS = {_ALLOW_ORIGIN, _EXPOSED[0]}

ANY_ORIGIN: RawHeaders = ((_ALLOW_ORIGIN, b"*"), _EXPOSED)
"""The headers of responses that pages of any origin may read. They are the same for every request."""

log = structlog.get_logger("licensegraph.cors")


class AllowedOrigins:
    """The origins of the settings, and those of all live keys of the installation.

    The origins of the keys are read at startup, and after that only when a request needs them, at most once
    per `FRESH_S` seconds. If the database does not respond, the ones that were read last are used.
    """

    def __init__(self, database: Database, configured: Collection[str] = (), *, every: bool = False) -> None:
        """`configured` are the origins of the settings. `every` allows every origin."""
        self.every = every
        self._database = database
        self._configured = frozenset(configured)
        self._of_keys: frozenset[str] = frozenset()
        self._fresh_until = float("-inf")
        self._reading: asyncio.Task[None] | None = None
        self._reading_since = 0.0

    async def allows(self, origin: bytes) -> bool:
        """Return whether pages of this origin, as it is in the header, may read responses."""
        text = origin.decode("latin-1")
        if self.every or is_among(text, self._configured):
            return True
        if time.monotonic() >= self._fresh_until:
            await self._wait_for_reading()
        return is_among(text, self._of_keys)

    async def read(self) -> None:
        """Read the origins of the keys. If the database does not respond, keep the last ones."""
        asked_at = time.monotonic()
        try:
            async with self._database.read() as session:
                self._of_keys = await live_origins(session)
        except StoreUnavailable:
            pass  # requests that need the database report this
        except Exception:
            log.exception("cors.failed")
        self._fresh_until = asked_at + FRESH_S

    async def _wait_for_reading(self) -> None:
        if self._reading is None or self._reading.done():
            self._reading_since = time.monotonic()
            # A task, because other requests wait for it too, and it goes on if this request is cancelled.
            self._reading = asyncio.create_task(self.read())
        patience = self._reading_since + PATIENCE_S - time.monotonic()
        if patience > 0:
            await asyncio.wait({self._reading}, timeout=patience)


@dataclass(frozen=True, slots=True)
class Route:
    """What CORS needs to know about a path: its pattern for the log, and whether it needs no key.

    Pages of any origin may read the responses of a path that needs no key.
    """

    pattern: str
    any_origin: bool


class Cors:
    """The outermost middleware. It adds the headers of CORS to responses, and responds to preflights.

    Only requests with an Origin are handled here. A WebSocket handshake from another site gets a 403, unless
    the site's origin is allowed. Preflights are logged here, with the client that `clients` finds. `app` logs
    its own requests. `route_of` returns the route of a path, or None. If `sends_headers` is false, a proxy
    does the work of CORS: no headers are added here, and a preflight goes to `app` like any other request.
    """

    def __init__(
        self,
        app: ASGIApp,
        allowed: AllowedOrigins,
        *,
        route_of: Callable[[str], Route | None],
        clients: Clients,
        sends_headers: bool = True,
    ) -> None:
        self._app = app
        self._preflights = RequestLog(_respond_to_preflight, clients)
        self._allowed = allowed
        self._route_of = route_of
        self._sends_headers = sends_headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origins = [value for name, value in scope["headers"] if name == b"origin"]
        if not origins:
            await self._app(scope, receive, send)
            return
        origin = origins[0] if len(origins) == 1 else None
        if isinstance(refusals.of(scope), WebSocketRefusal):
            await self._check_handshake(scope, origin)
        if not self._sends_headers:
            await self._app(scope, receive, send)
            return
        app = self._app
        more: RawHeaders = (_EXPOSED,)
        route = self._route_of(scope["path"])
        allow_origin = await self._allow_origin(origin, route)
        if _is_preflight(scope):
            app, more = self._preflights, _PREFLIGHT
            record_of(scope).path = None if route is None else route.pattern
        headers = () if allow_origin is None else ((_ALLOW_ORIGIN, allow_origin), *more)
        varies = allow_origin is not None or app is self._app

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _with(message["headers"], headers, varies=varies)
            await send(message)

        await app(scope, receive, send_with_headers)

    async def _allow_origin(self, origin: bytes | None, route: Route | None) -> bytes | None:
        """Return the value of Access-Control-Allow-Origin, or None if the origin is not allowed."""
        if self._allowed.every or (route is not None and route.any_origin):
            return b"*"
        return origin if origin is not None and await self._allowed.allows(origin) else None

    async def _check_handshake(self, scope: Scope, origin: bytes | None) -> None:
        """Refuse a WebSocket handshake with 403 if it comes from another site whose origin is not allowed.

        Browsers do not apply CORS to WebSockets.
        """
        if origin is not None and (_is_same_host(origin, scope) or await self._allowed.allows(origin)):
            return
        refusals.refuse(
            scope["state"], HttpRefusal(403, "Pages of this origin cannot open a WebSocket here.")
        )


def _is_preflight(scope: Scope) -> bool:
    """Return whether a request with an origin is a preflight.

    A preflight gets its response even if the server is too busy for the request that follows. That request
    gets a 503 that the page can read.
    """
    if scope["method"] != "OPTIONS":
        return False
    refusal = refusals.of(scope)
    return (refusal is None or refusal.status == 503) and any(
        name == b"access-control-request-method" for name, _ in scope["headers"]
    )


async def _respond_to_preflight(scope: Scope, receive: Receive, send: Send) -> None:
    await Response(status_code=204)(scope, receive, send)


def _with(before: RawHeaders, ours: RawHeaders, *, varies: bool) -> RawHeaders:
    """Return a response's headers, with the CORS headers replaced by ours.

    All Vary headers become one, which also names Origin if `varies` is true.
    """
    vary = [value for name, value in before if name.lower() == b"vary"]
    headers = [
        (name, value) for name, value in before if name.lower() not in _OURS and name.lower() != b"vary"
    ]
    if varies:
        vary.append(b"Origin")
    if vary:
        headers.append((b"vary", b", ".join(vary)))
    headers += ours
    return headers


def _is_same_host(origin: bytes, scope: Scope) -> bool:
    """Return whether an origin has the host of the request. The scheme may differ, because of proxies."""
    scheme, _, host = origin.partition(b"://")
    default = b":443" if scheme == b"https" else b":80"
    asked = next((value for name, value in scope["headers"] if name == b"host"), b"").lower()
    return asked in {host, host + default}
