"""The application that answers every path but /graphql."""

import orjson
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from asgi.authentication import Authentication
from db.engine import Database
from rest.openapi import document
from rest.operations import Door, Endpoint
from rest.routes import OPERATIONS_BY_PATH


def rest_app(database: Database, authentication: Authentication, *, max_body_bytes: int) -> ASGIApp:
    """The ASGI application of REST. Paths it does not know are answered too, in its own envelope."""
    door = Door(database, authentication, max_body_bytes, orjson.dumps(document()))
    routes = [
        Route(path + slash, Endpoint(door, operations))
        for path, operations in OPERATIONS_BY_PATH.items()
        for slash in ("", "/")
    ]
    return Router(routes, default=Endpoint(door), redirect_slashes=False)
