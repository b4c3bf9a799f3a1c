"""Requests of a page to the graph: record them, hold them back, or respond in place of the server."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Page, Request, Route

from tests.web.chromium import PATIENCE

GRAPH = "**/graphql"


@dataclass(frozen=True, slots=True)
class GraphRequest:
    """One request to the graph."""

    operation: str | None
    variables: Mapping[str, Any]
    request: Request

    @property
    def sent_at(self) -> float:
        """When the browser sent the request, in seconds since 1970. Unknown until the response starts."""
        at = self.request.timing["startTime"]
        assert at > 0, "the response has not started yet"
        return at / 1_000


@contextmanager
def requests(page: Page) -> Iterator[list[GraphRequest]]:
    """Record the page's requests to the graph within the block, in the order in which they are sent."""
    sent: list[GraphRequest] = []

    def listen(request: Request) -> None:
        if _asks_graph(request):
            sent.append(_parsed(request))

    page.on("request", listen)
    try:
        yield sent
    finally:
        page.remove_listener("request", listen)


class Held:
    """Requests that wait until the test lets them through."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._waiting: list[tuple[GraphRequest, Route]] = []

    @property
    def waiting(self) -> list[GraphRequest]:
        """The requests that are held, oldest first."""
        return [request for request, _ in self._waiting]

    def wait_for(self, count: int) -> None:
        """Wait until `count` requests are held.

        Raises AssertionError if more are held, or if fewer are held after `PATIENCE` seconds.
        """
        deadline = time.monotonic() + PATIENCE
        while len(self._waiting) < count and time.monotonic() < deadline:
            self._page.wait_for_timeout(20)
        assert len(self._waiting) == count, f"{len(self._waiting)} requests are held, instead of {count}"

    def release(self, index: int = 0) -> None:
        """Let one request through, the oldest by default, and wait for its response."""
        request, route = self._waiting.pop(index)
        with self._page.expect_response(lambda response: response.request == request.request):
            route.continue_()

    def hold(self, route: Route) -> None:
        self._waiting.append((_parsed(route.request), route))

    def release_all(self) -> None:
        while self._waiting:
            self._waiting.pop(0)[1].continue_()


@contextmanager
def held(page: Page, operation: str | None = None) -> Iterator[Held]:
    """Hold back the page's requests to the graph, or only those of one operation. Let all through at the end.

    A test can then decide when responses arrive and in which order, without waiting for a slow server.
    """
    holding = Held(page)
    with _routed(page, operation, holding.hold):
        yield holding
        holding.release_all()


@contextmanager
def answered(
    page: Page,
    status: int,
    code: str,
    *,
    operation: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Respond to the page's requests to the graph with an error, in place of the server.

    For example, `answered(page, 429, "RATE_LIMITED")`. If an operation is given, only its requests get the
    error.
    """
    body = {"errors": [{"message": f"answered by the test: {code}", "extensions": {"code": code}}]}

    def answer(route: Route) -> None:
        route.fulfill(status=status, json=body, headers=dict(headers or {}))

    with _routed(page, operation, answer):
        yield


@contextmanager
def _routed(page: Page, operation: str | None, handle: Any) -> Iterator[None]:
    def handler(route: Route) -> None:
        if not _asks_graph(route.request) or operation not in {None, _parsed(route.request).operation}:
            route.fallback()
        else:
            handle(route)

    page.route(GRAPH, handler)
    try:
        yield
    finally:
        page.unroute(GRAPH, handler)


def _asks_graph(request: Request) -> bool:
    return request.method == "POST" and request.url.partition("?")[0].endswith("/graphql")


def _parsed(request: Request) -> GraphRequest:
    body = json.loads(request.post_data or "{}")
    return GraphRequest(body.get("operationName"), body.get("variables") or {}, request)
