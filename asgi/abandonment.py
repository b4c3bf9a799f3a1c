"""Cancels requests whose client has disconnected, including their work in the database.

A server that is shutting down also cancels its requests. These requests get a 503, unless their response has
begun.
"""

import asyncio
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asgi.refusals import HttpRefusal, refuse
from db import deadlines

PATIENCE_S = 0.05
"""How long a request runs before the server checks that its client is still connected.

Most requests finish earlier.
"""

CLIENT_CLOSED_REQUEST = 499  # only for the log; the client is gone


class Abandonment:
    """Middleware that starts the deadlines of each request, and cancels requests whose client is gone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        watched = _Watched(receive)
        has_begun = False

        async def send_watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                watched.end()  # after a complete response, ASGI servers report a disconnect
            await send(message)

        token = deadlines.arrive()
        try:
            await self._app(scope, watched, send_watched)
        except (asyncio.CancelledError, ClientDisconnect) as gone:
            if isinstance(gone, asyncio.CancelledError):
                if not watched.is_abandoned:
                    if not has_begun:
                        await self._refuse(scope, receive, send_watched)
                    raise
                watched.task.uncancel()
            if not has_begun:
                await Response(status_code=CLIENT_CLOSED_REQUEST)(scope, receive, send)
        finally:
            deadlines.forget(token)
            watched.end()

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        refuse(
            scope.setdefault("state", {}), HttpRefusal(503, "The server is shutting down. Try again later.")
        )
        await self._app(scope, receive, send)


class _Watched:
    """A request's `receive`. After `PATIENCE_S`, it reads one message ahead, to notice a disconnect."""

    def __init__(self, receive: Receive) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task: asyncio.Task[Any] = task
        self.is_abandoned = False
        self._receive = receive
        self._loop = asyncio.get_running_loop()
        self._ahead: asyncio.Future[Message] | None = None
        self._last: Message | None = None
        self._timer = self._loop.call_later(PATIENCE_S, self._look)

    async def __call__(self) -> Message:
        if self._last is not None:
            message, self._last = self._last, None
        elif self._ahead is None:
            message = await self._receive()
        else:
            message = await self._ahead
            self._ahead = None
            self._timer = self._loop.call_later(PATIENCE_S, self._look)
        return message

    def end(self) -> None:
        """Stop watching for a disconnect."""
        self._timer.cancel()
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    def _look(self) -> None:
        if self._ahead is None:
            self._ahead = asyncio.ensure_future(self._receive())
            self._ahead.add_done_callback(self._looked)

    def _looked(self, ahead: "asyncio.Future[Message]") -> None:
        if ahead.cancelled() or ahead.exception() is not None or ahead is not self._ahead:
            return
        message = ahead.result()
        if message["type"] == "http.disconnect":
            self.is_abandoned = True
            self.task.cancel()
        elif not message.get("more_body", False):
            # The body is complete. The only message that can follow is the disconnect.
            self._last, self._ahead = message, None
            self._look()
