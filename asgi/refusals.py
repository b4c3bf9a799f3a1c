"""Refused requests: the protocol or middleware marks them, and GraphQL or REST responds in its own format."""

from typing import Any

from starlette.types import Scope

_KEY = "refusal"


class HttpRefusal(Exception):
    """The request is rejected before it is processed, with this status and message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class WebSocketRefusal(HttpRefusal):
    """The request is a WebSocket handshake, and the server does not support WebSockets."""

    def __init__(self) -> None:
        super().__init__(400, "WebSockets are not supported.")


def refuse(state: dict[str, Any], refusal: HttpRefusal) -> None:
    """Mark a request as rejected. If the request is in progress, reading its body raises the refusal.

    `state` is the scope's `state`. Middleware copies the scope, but all copies share the same `state`.
    """
    state[_KEY] = refusal


def of(scope: Scope) -> HttpRefusal | None:
    """Return the refusal of a request, or None. A request that has one gets an error, never a page."""
    refusal: HttpRefusal | None = scope.get("state", {}).get(_KEY)
    return refusal


def check(scope: Scope) -> None:
    """Raise the request's HttpRefusal, if it has one. GraphQL and REST do this before anything else."""
    refusal = of(scope)
    if refusal is not None:
        raise refusal
