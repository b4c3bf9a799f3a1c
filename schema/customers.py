"""Customers in the graph."""

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Self

import strawberry

from resolvers import customers
from resolvers.customers import (
    CreateCustomer,
    CustomerFilters,
    DeletedCustomer,
    SavedCustomer,
    UpdateCustomer,
)
from resolvers.reading import Shown
from resolvers.viewer import Scope
from schema.base.connections import (
    After,
    Before,
    Connection,
    First,
    Last,
    Node,
    OrderDirection,
    answered_by_root,
)
from schema.base.inputs import if_version, input_of, required_version, values_of
from schema.base.payloads import Payload, mutate, mutate_alone, mutation, read_back
from schema.base.scalars import DateTime, JSONObject
from schema.events import (
    ABOUT_SNAPSHOT,
    Event,
    EventFilterArgument,
    EventOrderArgument,
    SnapshotTime,
    version_field,
)
from schema.licenses import License, LicenseFilterArgument, LicenseOrderArgument
from schema.pipeline.context import selected_below
from schema.pipeline.reading import read

if TYPE_CHECKING:
    from schema.apps import App


@strawberry.type(description="A person or an organization that buys licenses of an app.")
class Customer(Node):
    id: strawberry.ID = strawberry.field(description="Id, starting with cus_.")
    email: str = strawberry.field(
        description="Email address. Unique within the app. Case is ignored, and a domain in Punycode "
        "equals the same domain in Unicode."
    )
    name: str | None = strawberry.field(description="Display name, if there is one.")
    external_id: str | None = strawberry.field(
        description="Your own id for the customer, for example from a payment provider or CRM. Unique within "
        "the app."
    )
    metadata: JSONObject = strawberry.field(description="Custom data. {} if there is none.")
    created_at: DateTime = strawberry.field(description="When the customer was created.")
    updated_at: DateTime = strawberry.field(description="When the customer was last changed.")
    version: int = version_field()

    @strawberry.field(description=ABOUT_SNAPSHOT.format(noun="customer"))
    def snapshot(self, at: SnapshotTime) -> JSONObject | None:
        return answered_by_root()

    @strawberry.field(description="The app that the customer belongs to.")
    def app(self) -> Annotated["App", strawberry.lazy("schema.apps")]:
        return answered_by_root()

    @strawberry.field(description="Licenses of the customer.")
    def licenses(
        self,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
        filter: LicenseFilterArgument = strawberry.UNSET,
        order_by: LicenseOrderArgument = strawberry.UNSET,
    ) -> Connection[License]:
        return answered_by_root()

    @strawberry.field(
        description="Events of the customer and of the customer's licenses. Requires the scope READ_EVENTS."
    )
    def events(
        self,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
        filter: EventFilterArgument = strawberry.UNSET,
        order_by: EventOrderArgument = strawberry.UNSET,
    ) -> Connection[Event]:
        return answered_by_root()


@strawberry.input(one_of=True, description="Identifies one customer of an app. Give exactly one field.")
class CustomerRef:
    id: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="Id of the customer.")
    email: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Email address. Case and whitespace around the address are ignored. A domain in "
        "Punycode equals the same domain in Unicode.",
    )
    external_id: str | None = strawberry.field(
        default=strawberry.UNSET, description="External id, exact match."
    )


@input_of(CustomerFilters)
class CustomerFilter:
    pass


@strawberry.enum(description="What customers can be sorted by.")
class CustomerOrderField(Enum):
    CREATED_AT = strawberry.enum_value("created_at", description="When the customer was created.")
    EMAIL = strawberry.enum_value("email", description="Email, ignoring case, by Unicode code point.")
    NAME = strawberry.enum_value(
        "name",
        description="Display name, ignoring case, by Unicode code point. Customers without a name come last.",
    )


@strawberry.input(description="How to sort customers.")
class CustomerOrder:
    field: CustomerOrderField = strawberry.field(
        description="Value to sort by. Rows with equal values are sorted by id."
    )
    direction: OrderDirection = strawberry.field(
        default=OrderDirection.ASC, description="Ascending or descending."
    )


CustomerRefArgument = Annotated[CustomerRef, strawberry.argument(description="The customer to return.")]
CustomerFilterArgument = Annotated[
    CustomerFilter | None,
    strawberry.argument(description="Return only matching customers. By default, all are returned."),
]
CustomerOrderArgument = Annotated[
    CustomerOrder | None, strawberry.argument(description="Sort order. Newest first by default.")
]


@input_of(CreateCustomer)
class CreateCustomerInput:
    app_slug: str = strawberry.field(description="Slug of the app that the customer belongs to.")


@input_of(UpdateCustomer)
class UpdateCustomerInput:
    id: strawberry.ID = strawberry.field(description="Id of the customer to change.")
    if_version: int | None = if_version()


@strawberry.input(description="The customer to delete.")
class DeleteCustomerInput:
    id: strawberry.ID = strawberry.field(description="Id of the customer to delete.")
    if_version: int | None = if_version()
    erase: bool = strawberry.field(
        default=False,
        description="Also remove the personal data (email, name, external id, metadata) from all events of "
        "the customer and its licenses. This cannot be undone. The events stay, with `erased: true`.",
    )


@strawberry.type
class _CustomerPayload(Payload):
    customer_id: strawberry.Private[str | None] = None
    shown: strawberry.Private[Shown | None] = None

    @strawberry.field(description="The customer after the mutation. Null if there are userErrors.")
    def customer(self, info: strawberry.Info) -> Customer | None:
        return read_back(info, customers.customer, self.customer_id, shown=self.shown)


@strawberry.type(description="Result of createCustomer.")
class CreateCustomerPayload(_CustomerPayload):
    @classmethod
    def of(cls, outcome: SavedCustomer) -> Self:
        return cls(customer_id=outcome.id, shown=outcome.shown)


@strawberry.type(description="Result of getOrCreateCustomer.")
class GetOrCreateCustomerPayload(_CustomerPayload):
    created: bool = strawberry.field(default=False, description="True if this call created the customer.")

    @classmethod
    def of(cls, outcome: SavedCustomer) -> Self:
        return cls(customer_id=outcome.id, shown=outcome.shown, created=outcome.created)


@strawberry.type(description="Result of updateCustomer.")
class UpdateCustomerPayload(_CustomerPayload):
    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(customer_id=outcome)


@strawberry.type(description="Result of deleteCustomer.")
class DeleteCustomerPayload(Payload):
    deleted_customer_id: strawberry.ID | None = strawberry.field(
        default=None, description="Id of the deleted customer. Null if there are userErrors."
    )
    deleted_license_count: int = strawberry.field(
        default=0, description="Number of licenses deleted with the customer."
    )

    @classmethod
    def of(cls, outcome: DeletedCustomer) -> Self:
        return cls(deleted_customer_id=strawberry.ID(outcome.id), deleted_license_count=outcome.license_count)


@strawberry.type
class CustomerQueries:
    @strawberry.field(description="The customer with this id. Null if there is none.")
    async def customer(
        self, info: strawberry.Info, id: Annotated[strawberry.ID, strawberry.argument("Id of the customer.")]
    ) -> Customer | None:
        return await read(info, customers.customer, id)


@strawberry.type
class CustomerMutations:
    @mutation(description="Create a customer.")
    async def create_customer(
        self,
        info: strawberry.Info,
        input: Annotated[CreateCustomerInput, strawberry.argument("The customer to create.")],
    ) -> CreateCustomerPayload | None:
        resolver = partial(customers.create_customer, selected=next(iter(selected_below(info)), None))
        return await mutate_alone(
            info,
            CreateCustomerPayload,
            resolver,
            input.app_slug,
            values_of(input),
            scope=Scope.WRITE_CUSTOMERS,
        )

    @mutation(
        description="Return the customer with this email, or create one. An existing customer is not "
        "changed. Concurrent calls with the same email create only one customer."
    )
    async def get_or_create_customer(
        self,
        info: strawberry.Info,
        input: Annotated[CreateCustomerInput, strawberry.argument("The customer to find or create.")],
    ) -> GetOrCreateCustomerPayload | None:
        resolver = partial(customers.get_or_create_customer, selected=next(iter(selected_below(info)), None))
        return await mutate_alone(
            info,
            GetOrCreateCustomerPayload,
            resolver,
            input.app_slug,
            values_of(input),
            scope=Scope.WRITE_CUSTOMERS,
        )

    @mutation(description="Change a customer.")
    async def update_customer(
        self,
        info: strawberry.Info,
        input: Annotated[UpdateCustomerInput, strawberry.argument("The customer and its new values.")],
    ) -> UpdateCustomerPayload | None:
        return await mutate(
            info,
            UpdateCustomerPayload,
            customers.update_customer,
            input.id,
            values_of(input),
            required_version(input),
            scope=Scope.WRITE_CUSTOMERS,
        )

    @mutation(description="Permanently delete a customer and all licenses of the customer.")
    async def delete_customer(
        self,
        info: strawberry.Info,
        input: Annotated[DeleteCustomerInput, strawberry.argument("The customer to delete.")],
    ) -> DeleteCustomerPayload | None:
        resolver = partial(customers.delete_customer, erase=input.erase)
        return await mutate(
            info,
            DeleteCustomerPayload,
            resolver,
            input.id,
            required_version(input),
            scope=Scope.WRITE_CUSTOMERS,
        )
