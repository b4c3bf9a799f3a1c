"""One line a request, and what every answer carries: the request's id, and that it is of the type it says."""

import re
import time

import structlog
import uuid_utils
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger("licensegraph.request")

_NO_SNIFFING = (b"x-content-type-options", b"nosniff")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")


class RequestLog:
    """Middleware: gives each request an id, answers it as X-Request-Id, and logs one line when it is done.

    Here, since nothing is answered past it, every answer gets X-Content-Type-Options too.

    The line never holds the query string (GET queries carry arguments), a header or a body.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        request_id = given.decode() if _REQUEST_ID.fullmatch(given) else str(uuid_utils.uuid4())
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] += ((b"x-request-id", request_id.encode()), _NO_SNIFFING)
            await send(message)

        started = time.perf_counter()
        structlog.contextvars.bind_contextvars(request=request_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            log.info(
                "request.answered",
                method=scope["method"],
                path=scope["path"],
                status=status,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
            )
            structlog.contextvars.unbind_contextvars("request")
