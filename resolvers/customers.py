"""Customers: the people and organizations that buy licenses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, InstanceOf

from db import clock, customers, erasure, events, ids, licenses, signing_keys
from db.customers import CUSTOMER, Duplicate, StoredCustomer
from db.emails import email_key
from db.engine import Database, ReadSession, UniqueViolation, WriteSession
from db.events import EventType
from db.licenses import LICENSE
from db.shaping.selection import Fields, Selected
from db.types import fold, fold_optional
from resolvers import reading
from resolvers.apps import require_app
from resolvers.errors import Fault, FaultCode, Faults, unknown
from resolvers.inputs import (
    UNCHANGED,
    Changes,
    Email,
    ExternalId,
    Input,
    Metadata,
    Moment,
    OptionalName,
    check,
    is_slug,
    is_storable,
)
from resolvers.paging import FilterText
from resolvers.reading import Json, Shown
from resolvers.versions import Versions, require_version
from resolvers.viewer import Scope, Viewer

# Maps each unique column of a customer to the input field that determines the column's value.
_FIELD_BY_UNIQUE = {"email_key": "email", "external_id": "external_id"}


CreatedAfter = Annotated[Moment | None, Field(description="Created after this time (exclusive).")]
CreatedBefore = Annotated[Moment | None, Field(description="Created before this time (exclusive).")]


class CustomerFilters(Input):
    """Selects customers that meet all given conditions. Empty strings are ignored."""

    email: FilterText = Field(
        "",
        description="Text that the email contains. Case and whitespace around the text are ignored. There "
        "are no wildcards.",
    )
    external_id: FilterText = Field("", description="External id, exact match.")
    search: FilterText = Field(
        "",
        description="Text that the email or the name contains. Case is ignored. There are no wildcards.",
    )
    created_after: CreatedAfter = None
    created_before: CreatedBefore = None


class CreateCustomer(Input):
    """A new customer of an app."""

    email: Email
    name: OptionalName = None
    external_id: ExternalId = None
    metadata: Metadata = {}


class UpdateCustomer(Changes):
    """Changes to a customer. Fields left out keep their values. null clears any field except the email.

    Metadata is replaced as a whole.
    """

    email: Email = UNCHANGED
    name: OptionalName = UNCHANGED
    external_id: ExternalId = UNCHANGED
    metadata: Metadata = UNCHANGED


@dataclass(frozen=True, slots=True)
class SavedCustomer:
    """A stored customer, and whether this call created it.

    `shown` has the selected fields if the statement that found or created the customer returned them. If
    `shown` is None, the caller must read the fields.
    """

    id: str
    created: bool
    shown: Annotated[InstanceOf[Shown] | None, Field(exclude=True)] = None


@dataclass(frozen=True, slots=True)
class DeletedCustomer:
    """A deleted customer, and how many licenses were deleted with it."""

    id: str
    license_count: int


async def customer(viewer: Viewer, session: ReadSession, id: str, selected: Selected[Fields]) -> Json | None:
    """Return the customer with this id, or None."""
    return await reading.one(viewer, session, "Customer", "id", id, selected)


async def customer_of_viewer(viewer: Viewer, session: ReadSession, selected: Selected[Fields]) -> Json | None:
    """Return the customer that the viewer is, or None if the viewer is not a customer."""
    id = viewer.tenant.customer_id
    return None if id is None else await customer(viewer, session, id, selected)


async def customer_in_app(
    viewer: Viewer, session: ReadSession, app_slug: str, lookup: str, value: str, selected: Selected[Fields]
) -> tuple[bool, Json | None]:
    """Find a customer of an app. Return whether the account has the app, and the customer or None.

    `lookup` is the attribute that has this value: "id", "email" or "external_id".
    """
    return await reading.one_in_app(viewer, session, app_slug, "Customer", lookup, value, selected)


async def create_customer(
    viewer: Viewer,
    database: Database,
    app_slug: str,
    values: Mapping[str, object],
    selected: Selected[Fields] | None = None,
) -> SavedCustomer:
    """Add a customer to an app. `selected` has the fields to return.

    Raises Unauthenticated, Forbidden and Faults.
    """
    viewer.require(Scope.WRITE_CUSTOMERS)
    if selected is not None:
        reading.require_selected(viewer, "Customer", selected)
    given = check(CreateCustomer, values)
    made = await _insert_alone(viewer, database, app_slug, given, selected)
    if made is not None:
        return made
    async with database.write() as session:
        return SavedCustomer(await add_customer(viewer, session, app_slug, given), created=True)


async def add_customer(viewer: Viewer, session: WriteSession, app_slug: str, given: CreateCustomer) -> str:
    """Add a customer to an app, inside a transaction, and return its id. Raises Faults."""
    app_id = await require_app(viewer, session, app_slug)
    id = await _insert(viewer, session, app_id, given)
    if id is None:
        raise await _taken(session, app_id, _unique(given))
    return id


async def get_or_create_customer(
    viewer: Viewer,
    database: Database,
    app_slug: str,
    values: Mapping[str, object],
    selected: Selected[Fields] | None = None,
) -> SavedCustomer:
    """Return the customer with this email, or create one. An existing customer is not changed.

    Concurrent calls with the same email create only one customer. `selected` has the fields to return. Raises
    Unauthenticated, Forbidden and Faults.
    """
    viewer.require(Scope.WRITE_CUSTOMERS)
    given = check(CreateCustomer, values)
    # Try the two common cases first, with one statement each: the customer exists, or a new customer
    # conflicts with nothing.
    saved = await _find(viewer, database, app_slug, given.email, selected)
    saved = saved or await _insert_alone(viewer, database, app_slug, given, selected)
    if saved is not None:
        return saved
    async with database.write() as session:
        return await _get_or_add(viewer, session, app_slug, given)


async def _get_or_add(
    viewer: Viewer, session: WriteSession, app_slug: str, given: CreateCustomer
) -> SavedCustomer:
    key = email_key(given.email)
    app_id = await require_app(viewer, session, app_slug)
    while True:
        id = await _insert(viewer, session, app_id, given)
        if id is not None:
            return SavedCustomer(id, created=True)
        id = await customers.find_by_email(session, app_id, key)
        if id is not None:
            return SavedCustomer(id, created=False)
        # The email is free, so the external id was taken. If the external id is free now, the conflicting row
        # has just been deleted: try again.
        taken = await customers.taken(session, app_id, {"external_id": given.external_id})
        if taken:
            raise _faults_of(taken)


async def update_customer(
    viewer: Viewer,
    session: WriteSession,
    id: str,
    values: Mapping[str, object],
    if_version: Versions = None,
) -> str:
    """Change a customer and return its id. Raises Faults."""
    viewer.require(Scope.WRITE_CUSTOMERS)
    given = check(UpdateCustomer, values)
    found = await _require_customer(viewer, session, id)
    require_version(found, if_version)
    changes = given.changes()
    if not changes:
        return id
    if "email" in changes:
        changes["email_folded"] = fold(changes["email"])
        key = email_key(changes["email"])
        # Do not write an email key that has not changed: a duplicate keeps its special key until its email
        # changes.
        if key != found.email_key:
            changes["email_key"] = key
    if "name" in changes:
        changes["name_folded"] = fold_optional(changes["name"])
    changes["updated_at"] = clock.now()
    try:
        await events.change(
            session,
            viewer.actor,
            CUSTOMER,
            id,
            found.image,
            changes,
            EventType.CUSTOMER_UPDATED,
            unique=not changes.keys().isdisjoint(("email_key", "external_id")),
        )
    except UniqueViolation:
        unique = {name: changes[name] for name in _FIELD_BY_UNIQUE if name in changes}
        raise await _taken(session, found.app_id, unique, but=id) from None
    if "email_key" in changes:
        await customers.give_up_email(session, found)
    return id


async def delete_customer(
    viewer: Viewer, session: WriteSession, id: str, if_version: Versions = None, *, erase: bool = False
) -> DeletedCustomer:
    """Delete a customer and all its licenses. Raises Faults.

    With `erase`, its personal data is also removed from the log (`db.erasure`).
    """
    viewer.require(Scope.WRITE_CUSTOMERS)
    found = await _require_customer(viewer, session, id)
    require_version(found, if_version)
    if found.license_count:
        last_expiry = await licenses.last_expiry(session, id)
        await signing_keys.note_expiry(session, found.app_id, found.signing_generation, last_expiry)
    counted = {"license_count": found.license_count}
    cause = await events.record(session, viewer.actor, CUSTOMER, id, EventType.CUSTOMER_DELETED, more=counted)
    if found.license_count:
        await events.record_deletions(
            session,
            viewer.actor,
            LICENSE,
            "customer_id",
            id,
            EventType.LICENSE_DELETED,
            found.license_count,
            cause,
        )
    await customers.delete(session, id)
    await customers.give_up_email(session, found)
    if erase:
        await erasure.erase(session, id)
    return DeletedCustomer(id, found.license_count)


async def duplicates(session: ReadSession) -> Sequence[Duplicate]:
    """Return the customers whose emails equal those of older customers in the same app.

    Only a command uses this.
    """
    return await customers.duplicates(session)


async def _require_customer(viewer: Viewer, session: WriteSession, id: str) -> StoredCustomer:
    found = await customers.find_for_update(session, viewer.tenant, id) if is_storable(id) else None
    if found is None:
        raise unknown(id, "id")
    return found


async def _find(
    viewer: Viewer, database: Database, app_slug: str, email: str, selected: Selected[Fields] | None
) -> SavedCustomer | None:
    wanted = selected or Selected(())
    async with database.read() as reader:
        found = await reading.child_of_app(viewer, reader, app_slug, "Customer", "email", email, wanted)
    return None if found is None else SavedCustomer(found[0], created=False, shown=Shown(wanted, found[1]))


async def _insert_alone(
    viewer: Viewer,
    database: Database,
    app_slug: str,
    given: CreateCustomer,
    selected: Selected[Fields] | None,
) -> SavedCustomer | None:
    if not is_slug(app_slug):
        return None
    row = _row(given)
    wanted = selected if selected is not None and customers.can_be_returned(selected.selection) else None
    fields = () if wanted is None else wanted.selection
    json = await customers.insert_alone(database, viewer.tenant, viewer.actor, app_slug, row, fields)
    if json is None:
        return None
    return SavedCustomer(str(row["id"]), created=True, shown=None if wanted is None else Shown(wanted, json))


async def _insert(viewer: Viewer, session: WriteSession, app_id: str, given: CreateCustomer) -> str | None:
    row = _row(given)
    if not await customers.insert(session, {**row, "app_id": app_id}):
        return None
    id = str(row["id"])
    await events.record(session, viewer.actor, CUSTOMER, id, EventType.CUSTOMER_CREATED)
    return id


def _row(given: CreateCustomer) -> dict[str, object]:
    new = ids.new_id(ids.CUSTOMER)
    return {
        "id": new.id,
        "email": given.email,
        "email_folded": fold(given.email),
        "email_key": email_key(given.email),
        "name": given.name,
        "name_folded": fold_optional(given.name),
        "external_id": given.external_id,
        "metadata": given.metadata,
        "created_at": new.created_at,
        "updated_at": new.created_at,
    }


def _unique(given: CreateCustomer) -> dict[str, object]:
    return {"email_key": email_key(given.email), "external_id": given.external_id}


async def _taken(session: WriteSession, app_id: str, unique: Mapping[str, object], but: str = "") -> Faults:
    """Return the faults of a write that conflicts with another row. `but` is the id of a changed customer.

    If that row has been deleted in the meantime, every unique field that was given gets a fault.
    """
    taken = await customers.taken(session, app_id, unique, but) or dict.fromkeys(filter(unique.get, unique))
    return _faults_of(taken)


def _faults_of(taken: Mapping[str, str | None]) -> Faults:
    return Faults(
        Fault(FaultCode.TAKEN, "has already been taken", (_FIELD_BY_UNIQUE[name],), existing_id=id)
        for name, id in taken.items()
    )
