"""Apps: what a vendor sells licenses for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema

from db import apps, clock, ids, signing_keys
from db.engine import Database, ReadSession, WriteSession
from db.types import fold
from resolvers import reading
from resolvers.errors import FaultCode, Faults, fault, unknown
from resolvers.inputs import (
    URL_LENGTH,
    Description,
    Input,
    Name,
    Slug,
    Text,
    UnchangedSlug,
    check,
    empty_is_none,
    invalid,
    is_slug,
)
from resolvers.keyring import Algorithm, NewSigningKey
from resolvers.purge import begin_soon
from resolvers.reading import FieldShape, Json, Shape
from resolvers.signing_keys import FIRST_GENERATION, row_of
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
]


class CreateApp(Input):
    """A new app."""

    name: Name
    slug: Slug
    description: Description = None
    webhook_url: WebhookUrl = None
    signing_algorithm: SigningAlgorithm = Algorithm.RS256


class UpdateApp(Input):
    """Changes to an app: a field left out is unchanged, null clears it. The slug never changes."""

    slug: UnchangedSlug = ""
    name: Name = ""
    description: Description = None
    webhook_url: WebhookUrl = None


@dataclass(frozen=True, slots=True)
class DeletedApp:
    """What went with an app."""

    id: str
    customer_count: int
    license_count: int


async def app(viewer: Viewer, session: ReadSession, slug: str, shape: Shape) -> Json | None:
    """The app of this slug, or None."""
    return await reading.one(viewer, session, "App", "slug", slug, shape)


async def app_by_id(viewer: Viewer, session: ReadSession, id: str, shape: Shape) -> Json | None:
    """The app of this id, or None."""
    return await reading.one(viewer, session, "App", "id", id, shape)


async def all_apps(viewer: Viewer, session: ReadSession, shape: FieldShape) -> Json:
    """A page of the account's apps."""
    return await reading.connection(viewer, session, shape)


async def field_of_app(
    viewer: Viewer, session: ReadSession, slug: str, shape: FieldShape
) -> tuple[bool, Json | None]:
    """One field of the app of this slug: whether there is such an app, and the field's value."""
    return await reading.field_of(viewer, session, "App", "slug", slug, shape)


async def create_app(viewer: Viewer, database: Database, values: Mapping[str, object]) -> str:
    """Make an app with its first signing key, and answer its id. Raises Faults."""
    viewer.require(Scope.WRITE)
    given = check(CreateApp, values, _context(viewer))
    # A key takes up to seconds to make: it is made before the transaction begins, and not for nothing.
    async with database.read() as reader:
        if await apps.is_taken(reader, viewer.account_id, given.slug):
            raise _slug_taken()
    key = await viewer.policy.keyring.make(given.signing_algorithm)
    async with database.write() as session:
        return await add_app(viewer, session, given, key)


async def add_app(viewer: Viewer, session: WriteSession, given: CreateApp, key: NewSigningKey) -> str:
    """Add an app with its first signing key, inside a transaction, and answer its id. Raises Faults."""
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
    return new.id


async def update_app(viewer: Viewer, session: WriteSession, slug: str, values: Mapping[str, object]) -> str:
    """Change the app of this slug and answer its id. Raises Faults."""
    viewer.require(Scope.WRITE)
    given = check(UpdateApp, values, {**_context(viewer), "slug": slug})
    changes = given.model_dump(include=given.model_fields_set - {"slug"})
    if "name" in changes:
        changes["name_folded"] = fold(changes["name"])
    if changes:
        changes["updated_at"] = clock.now()
        id = await apps.update(session, viewer.account_id, slug, changes) if is_slug(slug) else None
    else:
        id = await apps.find(session, viewer.account_id, slug) if is_slug(slug) else None
    if id is None:
        raise unknown(slug, "slug")
    return id


async def delete_app(viewer: Viewer, database: Database, slug: str) -> DeletedApp:
    """Delete the app of this slug with all its customers and licenses. Raises Faults.

    Nobody finds them any more. The slug stays the account's, which may use it again. The rows go afterwards:
    see `resolvers.purge`.
    """
    viewer.require(Scope.WRITE)
    async with database.write() as session:
        id = await apps.find_for_update(session, viewer.account_id, slug) if is_slug(slug) else None
        if id is None:
            raise unknown(slug, "slug")
        totals = await apps.totals(session, id)
        await apps.disown(session, viewer.account_id, slug, id)
    begin_soon(database)
    return DeletedApp(id, totals.customers, totals.licenses)


async def require_app(viewer: Viewer, session: WriteSession, slug: str) -> str:
    """The id of the app of this slug, which stays until the transaction ends. Raises Faults."""
    id = await apps.find(session, viewer.account_id, slug) if is_slug(slug) else None
    if id is None:
        raise unknown(slug, "app_slug")
    return id


def _slug_taken() -> Faults:
    return fault(FaultCode.TAKEN, "has already been taken", "slug")


def _context(viewer: Viewer) -> dict[str, object]:
    return {"http_webhooks": viewer.policy.http_webhooks}
