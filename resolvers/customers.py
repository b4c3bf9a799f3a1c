"""Customers: who bought."""

from collections.abc import Mapping
from dataclasses import dataclass

from db import clock, customers, ids, licenses, signing_keys
from db.customers import StoredCustomer
from db.engine import Database, ReadSession, UniqueViolation, WriteSession
from db.shaping.selection import Values
from db.types import fold, fold_optional
from resolvers import reading
from resolvers.apps import require_app
from resolvers.errors import Fault, FaultCode, Faults, fault, unknown
from resolvers.inputs import Email, ExternalId, Input, Metadata, OptionalName, check, is_slug, is_storable
from resolvers.reading import Json, Shape, Shown
from resolvers.viewer import Scope, Viewer

# Each unique column of a customer, and the input field it is made from.
_FIELD_BY_UNIQUE = {"email_folded": "email", "external_id": "external_id"}


class CreateCustomer(Input):
    """A new customer of an app."""

    email: Email
    name: OptionalName = None
    external_id: ExternalId = None
    metadata: Metadata = {}


class UpdateCustomer(Input):
    """Changes to a customer: a field left out is unchanged, null clears it (but for the email)."""

    email: Email = ""
    name: OptionalName = None
    external_id: ExternalId = None
    metadata: Metadata = {}


@dataclass(frozen=True, slots=True)
class SavedCustomer:
    """A customer that is stored, and whether this call made it.

    `shown` is what the caller wanted of it, where that came along.
    """

    id: str
    created: bool
    shown: Shown | None = None


@dataclass(frozen=True, slots=True)
class DeletedCustomer:
    """What went with a customer."""

    id: str
    license_count: int


async def customer(viewer: Viewer, session: ReadSession, id: str, shape: Shape) -> Json | None:
    """The customer of this id, or None."""
    return await reading.one(viewer, session, "Customer", "id", id, shape)


async def customer_in_app(
    viewer: Viewer, session: ReadSession, app_slug: str, lookup: str, value: str, shape: Shape
) -> tuple[bool, Json | None]:
    """The customer of an app by `lookup`: "id", "email" or "external_id".

    Answers whether there is such an app, and the customer or None.
    """
    return await reading.one_in_app(viewer, session, app_slug, "Customer", lookup, value, shape)


async def create_customer(
    viewer: Viewer,
    database: Database,
    app_slug: str,
    values: Mapping[str, object],
    shape: Shape | None = None,
) -> SavedCustomer:
    """Add a customer to an app. `shape` is what is wanted of it. Raises Forbidden and Faults."""
    viewer.require(Scope.WRITE)
    if shape is not None:
        reading.require_shape(viewer, "Customer", shape)
    given = check(CreateCustomer, values)
    made = await _insert_alone(viewer, database, app_slug, given, shape)
    if made is not None:
        return made
    async with database.write() as session:
        return SavedCustomer(await add_customer(viewer, session, app_slug, given), created=True)


async def add_customer(viewer: Viewer, session: WriteSession, app_slug: str, given: CreateCustomer) -> str:
    """Add a customer to an app, inside a transaction, and answer the id. Raises Faults."""
    app_id = await require_app(viewer, session, app_slug)
    id = await _insert(session, app_id, given)
    if id is None:
        raise await _taken(session, app_id, _unique(given))
    return id


async def get_or_create_customer(
    viewer: Viewer,
    database: Database,
    app_slug: str,
    values: Mapping[str, object],
    shape: Shape | None = None,
) -> SavedCustomer:
    """The customer of this email, unchanged, or a new one. Any number of calls at once make one customer.

    `shape` is what is wanted of it. Raises Forbidden and Faults.
    """
    viewer.require(Scope.WRITE)
    given = check(CreateCustomer, values)
    # Mostly the customer is there, or there is room: neither needs more than a statement.
    saved = await _find(viewer, database, app_slug, given.email, shape)
    saved = saved or await _insert_alone(viewer, database, app_slug, given, shape)
    if saved is not None:
        return saved
    async with database.write() as session:
        return await _get_or_add(viewer, session, app_slug, given)


async def _get_or_add(
    viewer: Viewer, session: WriteSession, app_slug: str, given: CreateCustomer
) -> SavedCustomer:
    email = fold(given.email)
    app_id = await require_app(viewer, session, app_slug)
    while True:
        id = await _insert(session, app_id, given)
        if id is not None:
            return SavedCustomer(id, created=True)
        id = await customers.find_by_email(session, app_id, email)
        if id is not None:
            return SavedCustomer(id, created=False)
        # The email is free, so the external id is taken, unless what stood in the way has just been
        # deleted: then there is room now.
        if given.external_id and await customers.taken(session, app_id, {"external_id": given.external_id}):
            raise fault(FaultCode.TAKEN, "has already been taken", "external_id")


async def update_customer(
    viewer: Viewer, session: WriteSession, id: str, values: Mapping[str, object]
) -> str:
    """Change a customer and answer the id. Raises Faults."""
    viewer.require(Scope.WRITE)
    given = check(UpdateCustomer, values)
    found = await _require_customer(viewer, session, id)
    changes = given.model_dump(include=given.model_fields_set)
    if not changes:
        return id
    if "email" in changes:
        changes["email_folded"] = fold(changes["email"])
    if "name" in changes:
        changes["name_folded"] = fold_optional(changes["name"])
    try:
        await customers.update(session, id, changes | {"updated_at": clock.now()})
    except UniqueViolation:
        unique = {name: changes[name] for name in _FIELD_BY_UNIQUE if name in changes}
        raise await _taken(session, found.app_id, unique, but=id) from None
    return id


async def delete_customer(viewer: Viewer, session: WriteSession, id: str) -> DeletedCustomer:
    """Delete a customer with all licenses. Raises Faults."""
    viewer.require(Scope.WRITE)
    found = await _require_customer(viewer, session, id)
    if found.license_count:
        last_expiry = await licenses.last_expiry(session, id)
        await signing_keys.note_expiry(session, found.app_id, found.signing_generation, last_expiry)
    await customers.delete(session, id)
    return DeletedCustomer(id, found.license_count)


async def _require_customer(viewer: Viewer, session: WriteSession, id: str) -> StoredCustomer:
    found = await customers.find_for_update(session, viewer.account_id, id) if is_storable(id) else None
    if found is None:
        raise unknown(id, "id")
    return found


async def _find(
    viewer: Viewer, database: Database, app_slug: str, email: str, shape: Shape | None
) -> SavedCustomer | None:
    wanted = shape or Shape((), Values())
    async with database.read() as reader:
        found = await reading.child_of_app(viewer, reader, app_slug, "Customer", "email", email, wanted)
    return None if found is None else SavedCustomer(found[0], created=False, shown=Shown(wanted, found[1]))


async def _insert_alone(
    viewer: Viewer, database: Database, app_slug: str, given: CreateCustomer, shape: Shape | None
) -> SavedCustomer | None:
    if not is_slug(app_slug):
        return None
    row = _row(given)
    wanted = shape if shape is not None and customers.can_be_returned(shape.fields) else None
    fields = () if wanted is None else wanted.fields
    json = await customers.insert_alone(database, viewer.account_id, app_slug, row, fields)
    if json is None:
        return None
    return SavedCustomer(str(row["id"]), created=True, shown=None if wanted is None else Shown(wanted, json))


async def _insert(session: WriteSession, app_id: str, given: CreateCustomer) -> str | None:
    row = _row(given)
    return str(row["id"]) if await customers.insert(session, {**row, "app_id": app_id}) else None


def _row(given: CreateCustomer) -> dict[str, object]:
    new = ids.new_id(ids.CUSTOMER)
    return {
        "id": new.id,
        "email": given.email,
        "email_folded": fold(given.email),
        "name": given.name,
        "name_folded": fold_optional(given.name),
        "external_id": given.external_id,
        "metadata": given.metadata,
        "created_at": new.created_at,
        "updated_at": new.created_at,
    }


def _unique(given: CreateCustomer) -> dict[str, object]:
    return {"email_folded": fold(given.email), "external_id": given.external_id}


async def _taken(session: WriteSession, app_id: str, unique: Mapping[str, object], but: str = "") -> Faults:
    """The faults of a refused write. What stood in its way may be gone already: then all are named."""
    taken = await customers.taken(session, app_id, unique, but) or [name for name in unique if unique[name]]
    return Faults(
        Fault(FaultCode.TAKEN, "has already been taken", (_FIELD_BY_UNIQUE[name],)) for name in taken
    )
