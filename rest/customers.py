"""Customers at /api/v1."""

from datetime import datetime
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field
from starlette.responses import Response

from db.shaping.selection import Scalar, Values
from resolvers import customers
from resolvers.customers import CreateCustomer, SavedCustomer, UpdateCustomer
from resolvers.errors import FaultCode
from resolvers.inputs import Input, Text, invalid
from resolvers.reading import Json, Shape
from resolvers.viewer import Scope
from rest import envelopes
from rest.apps import APP, APPS, page_in_app, query_in_app, require_app
from rest.envelopes import Answer, Meta, fields_of
from rest.errors import not_found
from rest.operations import Call, operation
from rest.paging import FilterText, PageQuery, page_shape

CUSTOMERS = f"{APP}/customers"
CUSTOMER = f"{CUSTOMERS}/{{id}}"


class Customer(Answer):
    """A person or an organization that buys licenses of an app."""

    id: str
    email: str
    name: str | None
    external_id: str | None
    metadata: dict[str, Any]
    created_at: datetime


class CustomerAnswer(Answer):
    """One customer."""

    data: Customer


class CustomerPage(Answer):
    """A page of customers."""

    data: list[Customer]
    meta: Meta


class CustomersQuery(PageQuery):
    """Which customers. All conditions given must hold; an empty one is none."""

    email: FilterText = Field("", description="Part of the email, in any letter case, taken literally.")
    external_id: FilterText = Field("", description="Exactly this external id.")


def _not_empty(text: str) -> str:
    if not text:
        raise invalid("can't be blank", FaultCode.BLANK)
    return text


Sought: TypeAlias = Annotated[Text, AfterValidator(_not_empty), Field(json_schema_extra={"minLength": 1})]


class EmailQuery(Input):
    """Which customer."""

    email: Sought = Field(description="The email, in any letter case.")


class ExternalIdQuery(Input):
    """Which customer."""

    external_id: Sought = Field(description="The external id, exactly.")


_FIELDS = fields_of(Customer)
_ID = (Scalar("id", "id"),)


@operation("GET", CUSTOMERS, scope=Scope.READ_CUSTOMERS, query=CustomersQuery, answers={200: CustomerPage})
async def list_customers(call: Call) -> Response:
    """List the customers of an app, newest first."""
    query = await query_in_app(call, CustomersQuery)
    return await page_in_app(call, page_shape(query, "customers", "Customer", _FIELDS))


@operation("POST", CUSTOMERS, scope=Scope.WRITE, body=CreateCustomer, answers={201: CustomerAnswer})
async def create_customer(call: Call) -> Response:
    """Create a customer."""
    await require_app(call)
    values = await call.body()
    made = await customers.create_customer(call.viewer, call.database, call.path["slug"], values, _shape())
    return await _saved(call, made)


@operation(
    "POST",
    f"{CUSTOMERS}/get-or-create",
    scope=Scope.WRITE,
    body=CreateCustomer,
    answers={200: CustomerAnswer, 201: CustomerAnswer},
)
async def get_or_create_customer(call: Call) -> Response:
    """Find the customer of this email, who is answered unchanged, or create one."""
    await require_app(call)
    values = await call.body()
    slug = call.path["slug"]
    saved = await customers.get_or_create_customer(call.viewer, call.database, slug, values, _shape())
    return await _saved(call, saved)


@operation(
    "GET",
    f"{CUSTOMERS}/by-email",
    scope=Scope.READ_CUSTOMERS,
    query=EmailQuery,
    answers={200: CustomerAnswer},
)
async def get_customer_by_email(call: Call) -> Response:
    """Get the customer of this email."""
    email = (await query_in_app(call, EmailQuery)).email
    # A plus sign that the caller forgot to encode has come in as a space, which no email holds.
    for tried in dict.fromkeys((email, email.replace(" ", "+"))):
        customer = await _find(call, "email", tried)
        if customer is not None:
            return envelopes.one(customer)
    raise not_found("customer")


@operation(
    "GET",
    f"{CUSTOMERS}/by-external-id",
    scope=Scope.READ_CUSTOMERS,
    query=ExternalIdQuery,
    answers={200: CustomerAnswer},
)
async def get_customer_by_external_id(call: Call) -> Response:
    """Get the customer of this external id."""
    query = await query_in_app(call, ExternalIdQuery)
    return envelopes.one(await _require(call, "external_id", query.external_id))


@operation("GET", CUSTOMER, scope=Scope.READ_CUSTOMERS, answers={200: CustomerAnswer})
async def get_customer(call: Call) -> Response:
    """Get a customer."""
    return envelopes.one(await _require(call, "id", call.path["id"]))


@operation("PUT PATCH", CUSTOMER, scope=Scope.WRITE, body=UpdateCustomer, answers={200: CustomerAnswer})
async def update_customer(call: Call) -> Response:
    """Change a customer. Keys left out are unchanged, null clears (but for the email)."""
    await _require(call, "id", call.path["id"], _ID)
    values = await call.body()
    async with call.database.write() as session:
        id = await customers.update_customer(call.viewer, session, call.path["id"], values)
    return envelopes.one(await _require(call, "id", id))


@operation("DELETE", CUSTOMER, scope=Scope.WRITE, answers={204: None})
async def delete_customer(call: Call) -> Response:
    """Delete a customer with all licenses, for good."""
    # A customer of another app is not found here, though the resolver would find it.
    await _require(call, "id", call.path["id"], _ID)
    async with call.database.write() as session:
        await customers.delete_customer(call.viewer, session, call.path["id"])
    return envelopes.nothing()


async def _saved(call: Call, saved: SavedCustomer) -> Response:
    customer = await _require(call, "id", saved.id) if saved.shown is None else saved.shown.json
    if not saved.created:
        return envelopes.one(customer)
    return envelopes.created(customer, f"{APPS}/{call.path['slug']}/customers/{saved.id}")


async def _require(call: Call, lookup: str, value: str, fields: tuple[Scalar, ...] = _FIELDS) -> Json:
    customer = await _find(call, lookup, value, fields)
    if customer is None:
        raise not_found("customer")
    return customer


async def _find(call: Call, lookup: str, value: str, fields: tuple[Scalar, ...] = _FIELDS) -> Json | None:
    async with call.database.read() as session:
        has_app, customer = await customers.customer_in_app(
            call.viewer, session, call.path["slug"], lookup, value, _shape(fields)
        )
    if not has_app:
        raise not_found("app")
    return customer


def _shape(fields: tuple[Scalar, ...] = _FIELDS) -> Shape:
    return Shape(fields, Values())
