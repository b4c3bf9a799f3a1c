"""Customers at /api/v1."""

from collections.abc import Iterable
from datetime import datetime
from itertools import product
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import Field
from starlette.responses import Response

from db.shaping.selection import Fields, Scalar, Selected
from resolvers import customer_sessions, customers
from resolvers.costs import MUTATION_COST
from resolvers.customer_sessions import CustomerSessionTerms, TtlSeconds
from resolvers.customers import (
    CreateCustomer,
    CreatedAfter,
    CreatedBefore,
    CustomerFilters,
    SavedCustomer,
    UpdateCustomer,
)
from resolvers.inputs import Input, RequiredText
from resolvers.reading import Json
from resolvers.viewer import Scope
from rest import envelopes, snapshots
from rest.apps import APP, APPS, read_page, require_app
from rest.envelopes import (
    ABOUT_META,
    Answer,
    AnyMeta,
    JsonResponse,
    Versioned,
    cost_of,
    fields_of,
    with_version,
)
from rest.errors import not_found
from rest.numeric_strings import NUMERIC
from rest.operations import Call, operation
from rest.paging import TRUE_OR_FALSE, WITH_PLUS, PageQuery
from rest.snapshots import AsOfQuery

CUSTOMERS = f"{APP}/customers"
CUSTOMER = f"{CUSTOMERS}/{{id}}"


class Customer(Versioned):
    """A person or an organization that buys licenses of an app."""

    id: str = Field(description="Id, starting with cus_.")
    email: str = Field(
        description="Email address. Unique within the app. Case is ignored, and a domain in Punycode "
        "equals the same domain in Unicode."
    )
    name: str | None = Field(description="Display name, if there is one.")
    external_id: str | None = Field(
        description="Your own id for the customer, for example from a payment provider or CRM. Unique within "
        "the app."
    )
    metadata: dict[str, Any] = Field(description="Custom data. {} if there is none.")
    created_at: datetime = Field(description="When the customer was created.")


class CustomerAnswer(Answer):
    """One customer."""

    data: Customer = Field(description="The customer.")


class CustomerPage(Answer):
    """A page of customers."""

    data: list[Customer] = Field(description="Customers on this page.")
    meta: AnyMeta = Field(description=ABOUT_META)


class CustomersQuery(CustomerFilters, PageQuery):
    """Selects customers that meet all given conditions. An empty condition is ignored."""

    noun: ClassVar[str] = "Customer"

    created_after: Annotated[CreatedAfter, WITH_PLUS] = None
    created_before: Annotated[CreatedBefore, WITH_PLUS] = None


class DeletionQuery(Input):
    """What is deleted besides the customer and its licenses."""

    erase: Annotated[bool | None, TRUE_OR_FALSE] = Field(
        None,
        description="true also removes the personal data (email, name, external id, metadata) from all "
        "events of the customer and its licenses. This cannot be undone.",
    )


Sought: TypeAlias = Annotated[RequiredText, Field(json_schema_extra={"minLength": 1})]


class EmailQuery(Input):
    """The customer to return."""

    email: Sought = Field(
        description="Email address. Case and whitespace around the address are ignored. A domain in "
        "Punycode equals the same domain in Unicode."
    )


class ExternalIdQuery(Input):
    """The customer to return."""

    external_id: Sought = Field(description="External id, exact match.")


class CustomerSession(Answer):
    """A session of one customer, for a page where the customer sees their licenses."""

    token: str = Field(description="The session's key, starting with cs_. It is shown only this once.")
    expires_at: datetime = Field(description="When the session ends.")


class CustomerSessionAnswer(Answer):
    """A new session."""

    data: CustomerSession = Field(description="The session.")


class NewCustomerSession(CustomerSessionTerms):
    """How long a session lasts, and what it may do."""

    ttl_seconds: Annotated[TtlSeconds, NUMERIC] = customer_sessions.USUAL_S


_FIELDS = fields_of(Customer)
_ONE = with_version(_FIELDS)
_ID = (Scalar("id", "id"),)


@operation(
    "GET",
    CUSTOMERS,
    scope=Scope.READ_CUSTOMERS,
    query=CustomersQuery,
    check_first=require_app,
    cost=None,
    answers={200: CustomerPage},
)
async def list_customers(call: Call) -> Response:
    """List customers. Returns the customers of an app, newest first."""
    query = call.checked(CustomersQuery, call.query)
    pages = []
    for email, external_id in product(_readings_of_email(query.email), _readings(query.external_id)):
        reading = query
        if (email, external_id) != (query.email, query.external_id):
            reading = query.model_copy(update={"email": email, "external_id": external_id})
        page = await read_page(call, reading.selection(_FIELDS))
        if not envelopes.is_empty(page):
            return envelopes.page(page)
        pages.append(page)
    return envelopes.page(pages[0])


@operation(
    "POST",
    CUSTOMERS,
    scope=Scope.WRITE_CUSTOMERS,
    reads=Scope.READ_CUSTOMERS,
    body=CreateCustomer,
    check_first=require_app,
    cost=MUTATION_COST + cost_of(_FIELDS),
    answers={201: CustomerAnswer},
)
async def create_customer(call: Call) -> Response:
    """Create a customer. The email and the external id must be unique within the app."""
    values = await call.body()
    made = await customers.create_customer(call.viewer, call.database, call.path["slug"], values, _selected())
    return await _saved(call, made)


@operation(
    "POST",
    f"{CUSTOMERS}/get-or-create",
    scope=Scope.WRITE_CUSTOMERS,
    reads=Scope.READ_CUSTOMERS,
    body=CreateCustomer,
    check_first=require_app,
    cost=MUTATION_COST + cost_of(_FIELDS),
    answers={200: CustomerAnswer, 201: CustomerAnswer},
)
async def get_or_create_customer(call: Call) -> Response:
    """Find or create a customer. An existing customer with this email is returned unchanged.

    The status is 201 if a customer was created, and 200 if not.
    """
    values = await call.body()
    slug = call.path["slug"]
    saved = await customers.get_or_create_customer(call.viewer, call.database, slug, values, _selected())
    return await _saved(call, saved)


@operation(
    "GET",
    f"{CUSTOMERS}/by-email",
    scope=Scope.READ_CUSTOMERS,
    query=EmailQuery,
    check_first=require_app,
    cost=1 + cost_of(_FIELDS),
    answers={200: CustomerAnswer},
)
async def get_customer_by_email(call: Call) -> Response:
    """Get a customer by email. An email is unique within an app."""
    query = call.checked(EmailQuery, call.query)
    return await _one_of(call, "email", _readings_of_email(query.email))


@operation(
    "GET",
    f"{CUSTOMERS}/by-external-id",
    scope=Scope.READ_CUSTOMERS,
    query=ExternalIdQuery,
    check_first=require_app,
    cost=1 + cost_of(_FIELDS),
    answers={200: CustomerAnswer},
)
async def get_customer_by_external_id(call: Call) -> Response:
    """Get a customer by external id. An external id is unique within an app."""
    query = call.checked(ExternalIdQuery, call.query)
    return await _one_of(call, "external_id", _readings(query.external_id))


async def require_customer(call: Call) -> None:
    """Raise Problem unless the app in the path has the customer in the path."""
    await _require(call, "id", call.path["id"], _ID)


@operation(
    "GET",
    CUSTOMER,
    scope=Scope.READ_CUSTOMERS,
    query=AsOfQuery,
    check_first=require_customer,
    cost=1 + cost_of(_FIELDS),
    answers={200: CustomerAnswer},
)
async def get_customer(call: Call) -> Response:
    """Get a customer by id. A customer of another app counts as not found."""
    as_of = call.checked(AsOfQuery, call.query).as_of
    if as_of is not None:
        return await snapshots.in_app(call, "Customer", as_of)
    return envelopes.one(await _require(call, "id", call.path["id"]))


@operation(
    "PUT PATCH",
    CUSTOMER,
    scope=Scope.WRITE_CUSTOMERS,
    reads=Scope.READ_CUSTOMERS,
    body=UpdateCustomer,
    conditional=True,
    cost=MUTATION_COST + cost_of(_FIELDS),
    answers={200: CustomerAnswer},
)
async def update_customer(call: Call) -> Response:
    """Change a customer. PUT and PATCH do the same: fields left out keep their values."""
    await require_customer(call)
    if_version = call.if_version
    values = await call.body()
    async with call.database.write() as session:
        id = await customers.update_customer(call.viewer, session, call.path["id"], values, if_version)
    return envelopes.one(await _require(call, "id", id))


@operation(
    "DELETE",
    CUSTOMER,
    scope=Scope.WRITE_CUSTOMERS,
    conditional=True,
    query=DeletionQuery,
    check_first=require_customer,
    cost=MUTATION_COST,
    answers={204: None},
)
async def delete_customer(call: Call) -> Response:
    """Delete a customer. This also permanently deletes all licenses of the customer."""
    # The resolver would also delete a customer of another app of the account. Require that the customer is in
    # this app.
    await require_customer(call)
    query, if_version = call.checked(DeletionQuery, call.query), call.if_version
    async with call.database.write() as session:
        await customers.delete_customer(
            call.viewer, session, call.path["id"], if_version, erase=bool(query.erase)
        )
    return envelopes.nothing()


@operation(
    "POST",
    f"{CUSTOMER}/sessions",
    scope=Scope.WRITE_CUSTOMERS,
    reads=Scope.READ_CUSTOMERS,
    check_viewer=customer_sessions.require_creation,
    body=NewCustomerSession,
    body_optional=True,
    cost=MUTATION_COST,
    answers={201: CustomerSessionAnswer},
    located=False,
)
async def create_customer_session(call: Call) -> Response:
    """Create a session of a customer. Its token is a key that only reads this customer and their licenses.

    If the session has `read_tokens`, its token can also regenerate these licenses. Lists and all other
    changes return 403. The key that creates the session needs `write_customers`, `read` and `read_customers`,
    and also `read_tokens` if the session has it. A customer has at most 100 sessions: one more ends the
    oldest.
    """
    customer_sessions.require_creation(call.viewer)
    await require_customer(call)
    values = await call.body()
    async with call.database.write() as session:
        made = await customer_sessions.create_customer_session(call.viewer, session, call.path["id"], values)
    answer = CustomerSessionAnswer(data=CustomerSession(token=made.token, expires_at=made.expires_at))
    return JsonResponse(answer.model_dump_json(), 201)


def _readings(value: str) -> Iterable[str]:
    """Return the possible meanings of a query value: a space may be an unencoded plus sign."""
    return dict.fromkeys((value, value.replace(" ", "+")))


def _readings_of_email(value: str) -> Iterable[str]:
    """Return the possible meanings of an email in a query: a space may be an unencoded plus sign.

    The email is also tried without the spaces at its ends, which may be there by mistake.
    """
    stripped = value.strip()
    return dict.fromkeys((stripped, value.replace(" ", "+"), stripped.replace(" ", "+")))


async def _one_of(call: Call, lookup: str, values: Iterable[str]) -> Response:
    """Look up a customer by each value in turn, and return a response with the first customer found.

    Raises Problem if none is found.
    """
    for value in values:
        customer = await _find(call, lookup, value)
        if customer is not None:
            return envelopes.one(customer)
    raise not_found("customer")


async def _saved(call: Call, saved: SavedCustomer) -> Response:
    customer = await _require(call, "id", saved.id) if saved.shown is None else saved.shown.json
    if not saved.created:
        return envelopes.one(customer)
    return envelopes.created(customer, call.location(f"{APPS}/{call.path['slug']}/customers/{saved.id}"))


async def _require(call: Call, lookup: str, value: str, fields: tuple[Scalar, ...] = _ONE) -> Json:
    customer = await _find(call, lookup, value, fields)
    if customer is None:
        raise not_found("customer")
    return customer


async def _find(call: Call, lookup: str, value: str, fields: tuple[Scalar, ...] = _ONE) -> Json | None:
    async with call.database.read() as session:
        has_app, customer = await customers.customer_in_app(
            call.viewer, session, call.path["slug"], lookup, value, _selected(fields)
        )
    if not has_app:
        raise not_found("app")
    return customer


def _selected(fields: tuple[Scalar, ...] = _ONE) -> Selected[Fields]:
    return Selected(fields)
