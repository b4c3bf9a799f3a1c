"""Logs one line per request, and adds X-Request-Id and X-Content-Type-Options to every response."""

import re
import time

import structlog
import uuid_utils
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi import tracebacks
from asgi.clients import UNKNOWN, Clients
from asgi.logs import shortened
from resolvers.viewer import REQUEST_ID

log = structlog.get_logger("licensegraph.request")

PATH_LENGTH = 200
OPERATION_LENGTH = 80
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_RECORD = "licensegraph.record"


class Record:
    """Facts about a request for its log line. Each fact is set by the code that determines it.

    `path` is the pattern of a REST operation's route. It is logged instead of the request's path, which may
    identify a person. `operation` may be a name from the caller, so it is cut after `OPERATION_LENGTH`
    characters. `ignored_parameters` are the names of query parameters that a REST operation ignored. Limits
    count by `client`, too.
    """

    __slots__ = ("account", "client", "ignored_parameters", "key", "operation", "path")

    def __init__(self) -> None:
        self.account: str | None = None
        self.client = UNKNOWN
        self.ignored_parameters: str | None = None
        self.key: str | None = None
        self.operation: str | None = None
        self.path: str | None = None


def record_of(scope: Scope) -> Record:
    """Return the record of a request. `scope` may be a copy of the request's scope."""
    state = scope.setdefault("state", {})
    record: Record | None = state.get(_RECORD)
    if record is None:
        record = state[_RECORD] = Record()
    return record


class RequestLog:
    """Middleware that gives each request an id, returns it as X-Request-Id, and logs one line at the end.

    If the request has a valid X-Request-Id, this id is kept. From the request, the line has the method, the
    path, the operation, the ids of the key and its account, the names of ignored query parameters, and the
    client's address (`asgi.clients`). It never has the query string (GET queries contain arguments), any
    other header, a body, or a value in the path of a known route. An uncaught exception is logged as well,
    and the response then has the status 500, unless it has already begun. This middleware also adds
    X-Content-Type-Options, because every response passes through it.
    """

    def __init__(self, app: ASGIApp, clients: Clients | None = None) -> None:
        self._app = app
        self._clients = clients or Clients()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else str(uuid_utils.uuid4())
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += ((b"x-request-id", request_id.encode()), _NO_SNIFFING)
            await send(message)

        started = time.perf_counter()
        structlog.contextvars.bind_contextvars(request=request_id)
        REQUEST_ID.set(request_id)
        record = record_of(scope)
        record.client = self._clients.of(scope)
        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # otherwise the server would log the exception with its message
            _log_failure(error)
            if not status:
                await Response(status_code=500)(scope, receive, send_with_id)
        finally:
            log.info(
                "request.answered",
                method=scope["method"] if scope["method"] in _METHODS else "other",
                path=record.path or shortened(scope["path"], PATH_LENGTH),
                status=status or 500,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
                **_known(record),
            )
            structlog.contextvars.unbind_contextvars("request")


def _log_failure(error: Exception) -> None:
    log.error("request.failed", exception=tracebacks.of(error))


def _known(record: Record) -> dict[str, str]:
    known: dict[str, str] = {}
    if record.operation is not None:
        known["operation"] = shortened(record.operation, OPERATION_LENGTH)
    if record.key is not None:
        known["key"] = record.key
    if record.account is not None:
        known["account"] = record.account
    if record.ignored_parameters is not None:
        known["ignored_parameters"] = record.ignored_parameters
    if record.client.address is not None:
        known["client"] = record.client.address
    return known
