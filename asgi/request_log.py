"""One line a request, and what every answer carries: the request's id, and that it is of the type it says."""

import re
import time

import structlog
import uuid_utils
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi import tracebacks
from asgi.logs import shortened

log = structlog.get_logger("licensegraph.request")

PATH_LENGTH = 200
OPERATION_LENGTH = 80
_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_RECORD = "licensegraph.record"


class Record:
    """What a request turns out to be. Who finds it out fills it in, and it goes into the request's line.

    `path` is written in place of the request's own, which may name a person: an operation sets the one that
    it is declared with. `operation` may be the caller's word, and is cut off behind `OPERATION_LENGTH`.
    """

    __slots__ = ("account", "key", "operation", "path")

    def __init__(self) -> None:
        self.account: str | None = None
        self.key: str | None = None
        self.operation: str | None = None
        self.path: str | None = None


def record_of(scope: Scope) -> Record:
    """The record of a request, by its scope or a copy of that."""
    state = scope.setdefault("state", {})
    record: Record | None = state.get(_RECORD)
    if record is None:
        record = state[_RECORD] = Record()
    return record


class RequestLog:
    """Middleware: gives each request an id, answers it as X-Request-Id, and logs one line when it is done.

    The line tells the method, the path, the operation, the ids of the key and of its account, and the address
    of the peer; never the query string (GET queries carry arguments), a header, a body, or a value in a path
    that an operation has. What nobody else has caught is logged, too, and answered with 500.

    Here, since nothing is answered past it, every answer gets X-Content-Type-Options too.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

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
        record = record_of(scope)
        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # a server that got it would log what it says
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
                **_known(scope, record),
            )
            structlog.contextvars.unbind_contextvars("request")


def _log_failure(error: Exception) -> None:
    log.error("request.failed", exception=tracebacks.of(error))


def _known(scope: Scope, record: Record) -> dict[str, str]:
    known: dict[str, str] = {}
    if record.operation is not None:
        known["operation"] = shortened(record.operation, OPERATION_LENGTH)
    if record.key is not None:
        known["key"] = record.key
    if record.account is not None:
        known["account"] = record.account
    if scope.get("client"):
        known["client"] = scope["client"][0]
    return known
