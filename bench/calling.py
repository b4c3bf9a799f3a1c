"""Requests to an application in this process, as a server would hand them in: no network, nothing but CPU."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp


@dataclass(frozen=True, slots=True)
class Call:
    """A request, ready to be made many times."""

    scope: dict[str, Any]
    body: bytes

    async def answer(self, app: ASGIApp) -> bytes:
        """Make it, and answer the body of what comes back."""
        parts: list[bytes] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": self.body, "more_body": False}

        async def send(sent: Any) -> None:
            parts.append(sent.get("body", b""))

        await app(dict(self.scope), receive, send)
        return b"".join(parts)


def call(method: str, url: str, *, token: str | None = None, body: bytes = b"") -> Call:
    """A request for a path with its query; `body` is JSON."""
    path, query = urlsplit(url).path, urlsplit(url).query
    headers = [(b"host", b"127.0.0.1:4000")]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    if body:
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 4_000),
    }
    return Call(scope, body)


async def spent(work: Callable[[], Awaitable[object]], times: int) -> float:
    """Microseconds of CPU for doing something once, threads included: the mean of so many times."""
    before = time.process_time()
    for _ in range(times):
        await work()
    return (time.process_time() - before) / times * 1e6
