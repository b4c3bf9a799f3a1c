"""Apps at /api/v1."""

from datetime import datetime
from typing import ClassVar

from pydantic import Field
from starlette.responses import Response

from db.shaping.selection import Connection, Scalar, Selected
from resolvers import apps
from resolvers.apps import CreateApp, UpdateApp
from resolvers.costs import MUTATION_COST, SIGNING_KEY_COST
from resolvers.reading import Json
from resolvers.viewer import Scope
from rest import envelopes, snapshots
from rest.envelopes import ABOUT_META, BASE, Answer, AnyMeta, Versioned, cost_of, fields_of, with_version
from rest.errors import not_found
from rest.operations import Call, operation
from rest.paging import PageQuery, cost_of_page
from rest.snapshots import AsOfQuery

APPS = f"{BASE}/apps"
APP = f"{APPS}/{{slug}}"


class App(Versioned):
    """A product that a vendor sells licenses for."""

    id: str = Field(description="Id, starting with app_.")
    name: str = Field(description="Display name.")
    slug: str = Field(description="Name used in URLs and tokens, unique on this server. It never changes.")
    description: str | None = Field(description="Description, if there is one.")
    webhook_url: str | None = Field(
        description="URL for license events, if there is one. The server stores the URL, but does not send "
        "events yet."
    )
    public_key_pem: str = Field(
        description="Current public key for verifying tokens, as PEM (SubjectPublicKeyInfo)."
    )
    created_at: datetime = Field(description="When the app was created.")


class AppAnswer(Answer):
    """One app."""

    data: App = Field(description="The app.")


class AppPage(Answer):
    """A page of apps."""

    data: list[App] = Field(description="Apps on this page.")
    meta: AnyMeta = Field(description=ABOUT_META)


class AppsQuery(PageQuery):
    """Selects a page of apps."""

    noun: ClassVar[str] = "App"


_FIELDS = fields_of(App)
_ONE = with_version(_FIELDS)
_ID = (Scalar("id", "id"),)


@operation("GET", APPS, scope=Scope.READ, query=AppsQuery, cost=None, answers={200: AppPage})
async def list_apps(call: Call) -> Response:
    """List apps. Returns the apps of the account that the key can reach, newest first."""
    selected = call.checked(AppsQuery, call.query).selection(_FIELDS)
    call.spend(cost_of_page(selected))
    async with call.database.read() as session:
        return envelopes.page(await apps.all_apps(call.viewer, session, selected))


@operation(
    "POST",
    APPS,
    scope=Scope.WRITE_CATALOG,
    reads=Scope.READ,
    check_viewer=apps.require_creation,
    body=CreateApp,
    cost=SIGNING_KEY_COST + cost_of(_FIELDS),
    answers={201: AppAnswer},
)
async def create_app(call: Call) -> Response:
    """Create an app. The app also gets its first signing key.

    An API key that is limited to some apps cannot create apps.
    """
    apps.require_creation(call.viewer)
    values = await call.body()
    await apps.create_app(call.viewer, call.database, call.keyring, values)
    slug = values["slug"]
    return envelopes.created(await _require(call, slug, _ONE), call.location(f"{APPS}/{slug}"))


async def require_app(call: Call) -> None:
    """Raise Problem unless the app in the path exists and the viewer can reach it."""
    await _require(call, call.path["slug"], _ID)


@operation(
    "GET",
    APP,
    scope=Scope.READ,
    query=AsOfQuery,
    check_first=require_app,
    cost=cost_of(_FIELDS),
    answers={200: AppAnswer},
)
async def get_app(call: Call) -> Response:
    """Get an app by its slug. An app that the key cannot reach counts as not found."""
    as_of = call.checked(AsOfQuery, call.query).as_of
    if as_of is not None:
        return await snapshots.of_app(call, as_of)
    return envelopes.one(await _require(call, call.path["slug"], _ONE))


@operation(
    "PUT PATCH",
    APP,
    scope=Scope.WRITE_CATALOG,
    reads=Scope.READ,
    body=UpdateApp,
    check_first=require_app,
    conditional=True,
    cost=MUTATION_COST + cost_of(_FIELDS),
    answers={200: AppAnswer},
)
async def update_app(call: Call) -> Response:
    """Change an app. PUT and PATCH do the same: fields left out keep their values."""
    if_version = call.if_version
    values = await call.body()
    async with call.database.write() as session:
        await apps.update_app(call.viewer, session, call.path["slug"], values, if_version)
    return envelopes.one(await _require(call, call.path["slug"], _ONE))


@operation(
    "DELETE",
    APP,
    scope=Scope.WRITE_CATALOG,
    check_first=require_app,
    conditional=True,
    cost=MUTATION_COST,
    answers={204: None},
)
async def delete_app(call: Call) -> Response:
    """Delete an app. This also permanently deletes its customers, licenses, tiers and features."""
    await apps.delete_app(call.viewer, call.database, call.path["slug"], call.if_version)
    return envelopes.nothing()


async def page_in_app(call: Call, selected: Selected[Connection]) -> Response:
    """Return a response with one page of a connection of the app in the path.

    Raises Problem and RateLimited.
    """
    return envelopes.page(await read_page(call, selected))


async def read_page(call: Call, selected: Selected[Connection]) -> Json:
    """Return one page of a connection of the app in the path. Raises Problem and RateLimited."""
    call.spend(1 + cost_of_page(selected))
    async with call.database.read() as session:
        has_app, page = await apps.field_of_app(call.viewer, session, call.path["slug"], selected)
    return found_in_app("page", has_app, page)


def found_in_app(what: str, has_app: bool, found: Json | None) -> Json:
    """Return an object that was found in an app. Raises Problem if the object or the app does not exist."""
    if found is None:
        raise not_found(what if has_app else "app")
    return found


async def _require(call: Call, slug: str, fields: tuple[Scalar, ...]) -> Json:
    async with call.database.read() as session:
        app = await apps.app(call.viewer, session, slug, Selected(fields))
    if app is None:
        raise not_found("app")
    return app
