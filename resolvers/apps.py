"""Apps: the products that a vendor sells licenses for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from db import accounts, apps, clock, events, ids, signing_keys
from db.apps import APP
from db.engine import Database, ReadSession, WriteSession
from db.events import EventType
from db.shaping.selection import Connection, Fields, Selected
from db.types import fold
from resolvers import reading
from resolvers.errors import BAD_KEY, FaultCode, Faults, Forbidden, Unauthenticated, fault, unknown
from resolvers.inputs import (
    UNCHANGED,
    URL_LENGTH,
    Changes,
    Description,
    Input,
    Name,
    Slug,
    Text,
    Unchanged,
    UnchangedSlug,
    check,
    empty_is_none,
    invalid,
    is_slug,
)
from resolvers.keyring import Algorithm, Keyring, NewSigningKey
from resolvers.purge import begin_soon
from resolvers.reading import Json
from resolvers.signing_keys import FIRST_GENERATION, make_next_keys_soon, row_of
from resolvers.versions import Versions, require_version
from resolvers.viewer import Scope, Viewer


def _webhook_url(url: str, info: ValidationInfo) -> str:
    allow_http = bool(info.context and info.context["http_webhooks"])
    try:
        parts = urlsplit(url)
        is_absolute = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_absolute = False
    if not is_absolute or any(character.isspace() for character in url):
        raise invalid("must be an absolute URL")
    if parts.scheme != "https" and not (allow_http and parts.scheme == "http"):
        raise invalid(
            "must be an absolute http or https URL" if allow_http else "must be an absolute https URL"
        )
    return url


WebhookUrl = Annotated[
    Annotated[
        Text,
        Field(max_length=URL_LENGTH, json_schema_extra={"format": "uri"}),
        AfterValidator(_webhook_url),
    ]
    | None,
    BeforeValidator(empty_is_none),
    Field(
        description=f"URL for license events, at most {URL_LENGTH:,} characters. The server stores the URL, "
        "but does not send events yet. It must be an absolute https URL. An http URL is accepted if the "
        "server allows http. An empty URL becomes null."
    ),
]


def _algorithm(name: object) -> object:
    found = next((each for each in Algorithm if each.jwa == name), None)
    if found is None and name is not None:
        raise invalid(f"must be one of: {', '.join(each.jwa for each in Algorithm)}")
    return found


SigningAlgorithm = Annotated[
    Algorithm,
    BeforeValidator(_algorithm),
    WithJsonSchema(
        {"type": "string", "enum": [each.jwa for each in Algorithm], "default": Algorithm.RS256.jwa}
    ),
    Field(description="Algorithm that signs the app's tokens. It cannot be changed later."),
]


UnchangedAlgorithm = Annotated[
    Unchanged,
    Field(
        description="Algorithm that signs the app's tokens. Any value other than the current one is refused.",
        json_schema_extra={"enum": [each.jwa for each in Algorithm]},
    ),
]


class CreateApp(Input):
    """A new app."""

    name: Name
    slug: Slug
    description: Description = None
    webhook_url: WebhookUrl = None
    signing_algorithm: SigningAlgorithm = Algorithm.RS256


class UpdateApp(Changes):
    """Changes to an app. Fields left out keep their values. null clears a description or webhook URL."""

    slug: UnchangedSlug = UNCHANGED
    signing_algorithm: UnchangedAlgorithm = UNCHANGED
    name: Name = UNCHANGED
    description: Description = UNCHANGED
    webhook_url: WebhookUrl = UNCHANGED


@dataclass(frozen=True, slots=True)
class DeletedApp:
    """A deleted app, and how many customers and licenses were deleted with it."""

    id: str
    customer_count: int
    license_count: int


async def app(viewer: Viewer, session: ReadSession, slug: str, selected: Selected[Fields]) -> Json | None:
    """Return the app with this slug, or None."""
    return await reading.one(viewer, session, "App", "slug", slug, selected)


async def app_by_id(viewer: Viewer, session: ReadSession, id: str, selected: Selected[Fields]) -> Json | None:
    """Return the app with this id, or None."""
    return await reading.one(viewer, session, "App", "id", id, selected)


async def all_apps(viewer: Viewer, session: ReadSession, selected: Selected[Connection]) -> Json:
    """Return a page of the account's apps."""
    return await reading.connection(viewer, session, selected)


async def field_of_app(
    viewer: Viewer, session: ReadSession, slug: str, selected: Selected[Connection]
) -> tuple[bool, Json | None]:
    """Find an app by its slug. Return whether the app exists, and the value of one of its fields."""
    return await reading.field_of(viewer, session, "App", "slug", slug, selected)


def require_creation(viewer: Viewer) -> None:
    """Raise Unauthenticated or Forbidden unless the viewer may create apps."""
    viewer.require(Scope.WRITE_CATALOG)
    if viewer.tenant.app_ids is not None:
        raise Forbidden("This key is limited to some apps, so it cannot create apps.")


async def create_app(
    viewer: Viewer, database: Database, keyring: Keyring, values: Mapping[str, object]
) -> str:
    """Create an app with its first signing key and return its id. Raises Faults.

    Raises Busy if the key cannot be created in time, and Unauthenticated if the account has been removed.
    """
    require_creation(viewer)
    given = check(CreateApp, values, _context(viewer))
    # Creating a key can take seconds. This is therefore done before the transaction, and only if the slug is
    # free.
    async with database.read() as reader:
        if await apps.is_taken(reader, viewer.account_id, given.slug):
            raise _slug_taken()
    key = await keyring.make(given.signing_algorithm)
    async with database.write() as session:
        if not await accounts.is_there(session, viewer.account_id):
            raise Unauthenticated(BAD_KEY)  # the account and its keys have been removed in the meantime
        id = await add_app(viewer, session, given, key)
    await database.after_commit(make_next_keys_soon)
    return id


async def add_app(viewer: Viewer, session: WriteSession, given: CreateApp, key: NewSigningKey) -> str:
    """Add an app with its first signing key, inside a transaction, and return its id. Raises Faults."""
    new = ids.new_id(ids.APP)
    row = {
        "id": new.id,
        "account_id": viewer.account_id,
        "slug": given.slug,
        "name": given.name,
        "name_folded": fold(given.name),
        "description": given.description,
        "webhook_url": given.webhook_url,
        "signing_algorithm": given.signing_algorithm.value,
        "created_at": new.created_at,
        "updated_at": new.created_at,
    }
    if not await apps.add(session, row):
        raise _slug_taken()
    await signing_keys.insert(session, row_of(key, new.id, FIRST_GENERATION))
    await events.record(session, viewer.actor, APP, new.id, EventType.APP_CREATED)
    return new.id


async def update_app(
    viewer: Viewer,
    session: WriteSession,
    slug: str,
    values: Mapping[str, object],
    if_version: Versions = None,
) -> str:
    """Change the app with this slug and return its id. Raises Faults."""
    viewer.require(Scope.WRITE_CATALOG)
    found = await apps.find_for_update(session, viewer.tenant, slug) if is_slug(slug) else None
    algorithm = None if found is None else Algorithm(found.signing_algorithm).jwa
    unchanged = {"slug": slug, "signing_algorithm": algorithm}
    changes = check(UpdateApp, values, _context(viewer) | unchanged).changes()
    if found is None:
        raise unknown(slug, "slug")
    require_version(found, if_version)
    if "name" in changes:
        changes["name_folded"] = fold(changes["name"])
    changes["updated_at"] = clock.now()
    await events.change(session, viewer.actor, APP, found.id, found.image, changes, EventType.APP_UPDATED)
    return found.id


async def delete_app(
    viewer: Viewer, database: Database, slug: str, if_version: Versions = None
) -> DeletedApp:
    """Delete the app with this slug and all its customers and licenses. Raises Faults.

    From then on, no request finds the app, its customers or its licenses. The slug stays reserved for the
    account, which may use it for a new app. The rows are deleted later, by `resolvers.purge`.
    """
    viewer.require(Scope.WRITE_CATALOG)
    async with database.write() as session:
        found = await apps.find_for_update(session, viewer.tenant, slug) if is_slug(slug) else None
        if found is None:
            raise unknown(slug, "slug")
        require_version(found, if_version)
        totals = await apps.totals(session, found.id)
        counted = {"customer_count": totals.customers, "license_count": totals.licenses}
        await events.record(session, viewer.actor, APP, found.id, EventType.APP_DELETED, more=counted)
        await apps.disown(session, viewer.account_id, slug, found.id)
    await database.after_commit(begin_soon)
    return DeletedApp(found.id, totals.customers, totals.licenses)


async def require_app(viewer: Viewer, session: WriteSession, slug: str) -> str:
    """Return the id of the app with this slug. Raises Faults.

    The app is locked: it cannot be deleted until the transaction ends.
    """
    id = await apps.find_for_key_share(session, viewer.tenant, slug) if is_slug(slug) else None
    if id is None:
        raise unknown(slug, "app_slug")
    return id


def _slug_taken() -> Faults:
    return fault(FaultCode.TAKEN, "has already been taken", "slug")


def _context(viewer: Viewer) -> dict[str, object]:
    return {"http_webhooks": viewer.policy.http_webhooks}
