"""The ASGI application for REST, and for paths that nothing else serves: they get a 404."""

import re
from collections.abc import Mapping

from starlette.types import Receive, Scope, Send

from asgi.authentication import Authentication
from asgi.cors import Route
from db.engine import Database
from resolvers.keyring import Keyring
from rest.openapi import written
from rest.operations import Endpoint, Services
from rest.routes import OPERATIONS_BY_PATH


def rest_app(
    database: Database,
    keyring: Keyring,
    authentication: Authentication,
    *,
    max_body_bytes: int,
    path_prefix: str = "",
    cors: bool = True,
) -> "RestApp":
    """Return the ASGI application for REST. Unknown paths get a 404 in the same envelope as other errors.

    `path_prefix` is the path under which callers reach the server. In responses, every path of this server
    begins with it. If `cors` is false, no response has headers of CORS.
    """
    document = written(path_prefix)
    services = Services(database, keyring, authentication, max_body_bytes, document, path_prefix, cors)
    endpoints = {path: Endpoint(services, operations) for path, operations in OPERATIONS_BY_PATH.items()}
    return RestApp(endpoints, unknown=Endpoint(services))


class RestApp:
    """Routes a request to the endpoint of its path, with or without a slash at the end.

    All paths are one regular expression, and the first path that matches is used. Starlette's router tries
    one path after another in Python, which took longer than any other part of a short request.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint], unknown: Endpoint) -> None:
        self._endpoints = tuple(endpoints.values())
        self._unknown = unknown
        # Each path is a group whose name contains the index of the path. The names of its parameters' groups
        # end in the same index.
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

    def route_of(self, path: str) -> Route | None:
        """Return the route of a path, or None if no operation has the path."""
        found = self._paths.fullmatch(path)
        if found is None or found.lastgroup is None:
            return None
        return self._endpoints[int(found.lastgroup[1:])].route


def _pattern(path: str, number: int) -> str:
    return re.sub(r"{(\w+)}", rf"(?P<\1_{number}>[^/]+)", path.replace(".", r"\."))
