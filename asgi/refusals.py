"""Requests that cannot be taken as HTTP: found by the protocol, and answered by a door in its own shape."""

from typing import Any

from starlette.types import Scope

_KEY = "refusal"


class HttpRefusal(Exception):
    """A request that no door looks into: its status, and what to tell the caller."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def refuse(state: dict[str, Any], refusal: HttpRefusal) -> None:
    """Have a request answered with a refusal. It may be in progress: who reads its body is told.

    `state` is its scope's, which is one and the same to everybody; the scope is copied on its way down.
    """
    state[_KEY] = refusal


def is_refused(scope: Scope) -> bool:
    """Whether a request is to be answered with a refusal, and not by a page."""
    return _KEY in scope.get("state", ())


def check(scope: Scope) -> None:
    """Raise the HttpRefusal of a request, if there is one. A door does it before anything else."""
    state = scope.get("state")
    if state and _KEY in state:
        raise state[_KEY]
