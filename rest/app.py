"""The application that answers every path but /graphql."""

import re
from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from asgi.authentication import Authentication
from db.engine import Database
from rest.openapi import written
from rest.operations import Door, Endpoint
from rest.routes import OPERATIONS_BY_PATH


def rest_app(database: Database, authentication: Authentication, *, max_body_bytes: int) -> ASGIApp:
    """The ASGI application of REST. Paths it does not know are answered too, in its own envelope."""
    door = Door(database, authentication, max_body_bytes, written())
    endpoints = {path: Endpoint(door, operations) for path, operations in OPERATIONS_BY_PATH.items()}
    return _Paths(endpoints, unknown=Endpoint(door))


class _Paths:
    """Leads a request to the endpoint of its path, with or without a slash at the end.

    The first path that matches is taken, all of them being one regular expression: Starlette's router tries
    one after the other in Python, which took longer than anything else about a short request.
    """

    def __init__(self, endpoints: Mapping[str, ASGIApp], unknown: ASGIApp) -> None:
        self._endpoints = tuple(endpoints.values())
        self._unknown = unknown
        # Each path is a group that is named for its number, and so are the parameters in it.
        self._paths = re.compile(
            "|".join(f"(?P<_{number}>{_pattern(path, number)}/?)" for number, path in enumerate(endpoints))
        )
        self._parameters = tuple(re.findall(r"{(\w+)}", path) for path in endpoints)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._paths.fullmatch(scope["path"])
        if found is None or found.lastgroup is None:
            await self._unknown(scope, receive, send)
            return
        number = int(found.lastgroup[1:])
        scope["path_params"] = {name: found[f"{name}_{number}"] for name in self._parameters[number]}
        await self._endpoints[number](scope, receive, send)


def _pattern(path: str, number: int) -> str:
    return re.sub(r"{(\w+)}", rf"(?P<\1_{number}>[^/]+)", path.replace(".", r"\."))
