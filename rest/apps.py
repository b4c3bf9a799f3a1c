"""Apps at /api/v1."""

from datetime import datetime
from typing import TypeVar

from pydantic import Field
from starlette.responses import Response

from db.shaping.selection import Scalar, Values
from resolvers import apps
from resolvers.apps import CreateApp, UpdateApp
from resolvers.errors import Faults
from resolvers.inputs import Input, check
from resolvers.reading import FieldShape, Json, Shape
from resolvers.viewer import Scope
from rest import envelopes
from rest.envelopes import BASE, Answer, Meta, fields_of
from rest.errors import not_found
from rest.operations import Call, operation
from rest.paging import PageQuery, page_shape

APPS = f"{BASE}/apps"
APP = f"{APPS}/{{slug}}"

Q = TypeVar("Q", bound=Input)


class App(Answer):
    """An app: what a vendor sells licenses for."""

    id: str
    name: str
    slug: str
    description: str | None
    webhook_url: str | None
    public_key_pem: str = Field(description="The current public key, by which tokens verify.")
    created_at: datetime


class AppAnswer(Answer):
    """One app."""

    data: App


class AppPage(Answer):
    """A page of apps."""

    data: list[App]
    meta: Meta


_FIELDS = fields_of(App)
_ID = (Scalar("id", "id"),)


@operation("GET", APPS, scope=Scope.READ, query=PageQuery, answers={200: AppPage})
async def list_apps(call: Call) -> Response:
    """List the account's apps, newest first."""
    shape = page_shape(check(PageQuery, call.query), "apps", "App", _FIELDS)
    async with call.database.read() as session:
        return envelopes.page(await apps.all_apps(call.viewer, session, shape))


@operation("POST", APPS, scope=Scope.WRITE, body=CreateApp, answers={201: AppAnswer})
async def create_app(call: Call) -> Response:
    """Create an app, and its first signing key."""
    values = await call.body()
    await apps.create_app(call.viewer, call.database, values)
    slug = values["slug"]
    return envelopes.created(await _require(call, slug, _FIELDS), f"{APPS}/{slug}")


@operation("GET", APP, scope=Scope.READ, answers={200: AppAnswer})
async def get_app(call: Call) -> Response:
    """Get an app."""
    return envelopes.one(await _require(call, call.path["slug"], _FIELDS))


@operation("PUT PATCH", APP, scope=Scope.WRITE, body=UpdateApp, answers={200: AppAnswer})
async def update_app(call: Call) -> Response:
    """Change an app. Keys left out are unchanged, null clears; the slug never changes."""
    await require_app(call)
    values = await call.body()
    async with call.database.write() as session:
        await apps.update_app(call.viewer, session, call.path["slug"], values)
    return envelopes.one(await _require(call, call.path["slug"], _FIELDS))


@operation("DELETE", APP, scope=Scope.WRITE, answers={204: None})
async def delete_app(call: Call) -> Response:
    """Delete an app with all its customers, licenses, tiers and features, for good."""
    await apps.delete_app(call.viewer, call.database, call.path["slug"])
    return envelopes.nothing()


async def require_app(call: Call) -> None:
    """Return if there is the app that the path names. Raises Problem."""
    await _require(call, call.path["slug"], _ID)


async def query_in_app(call: Call, model: type[Q]) -> Q:
    """The query's parameters. An app that is not there is told before anything about them. Raises Faults."""
    try:
        return check(model, call.query)
    except Faults:
        await require_app(call)
        raise


async def page_in_app(call: Call, shape: FieldShape) -> Response:
    """A page of what the app that the path names has of a noun. Raises Problem."""
    async with call.database.read() as session:
        has_app, page = await apps.field_of_app(call.viewer, session, call.path["slug"], shape)
    return envelopes.page(found_in_app("page", has_app, page))


def found_in_app(what: str, has_app: bool, found: Json | None) -> Json:
    """What was found in an app, if there is the app. Raises Problem for what is not there."""
    if found is None:
        raise not_found(what if has_app else "app")
    return found


async def _require(call: Call, slug: str, fields: tuple[Scalar, ...]) -> Json:
    async with call.database.read() as session:
        app = await apps.app(call.viewer, session, slug, Shape(fields, Values()))
    if app is None:
        raise not_found("app")
    return app
