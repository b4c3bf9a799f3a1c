"""Customers in the graph."""

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Self

import strawberry

from resolvers import customers
from resolvers.customers import DeletedCustomer, SavedCustomer
from resolvers.inputs import EMAIL_LENGTH, EXTERNAL_ID_LENGTH, NAME_LENGTH
from resolvers.reading import Shown
from schema.arguments import IdArgument, InputArgument, values_of
from schema.connections import (
    After,
    Before,
    Connection,
    First,
    Last,
    Node,
    OrderDirection,
    answered_by_root,
)
from schema.context import shapes_below
from schema.licenses import License, LicenseFilterArgument, LicenseOrderArgument
from schema.payloads import Payload, mutate, mutate_alone, read_back
from schema.reading import read
from schema.scalars import DateTime, JSONObject

if TYPE_CHECKING:
    from schema.apps import App


@strawberry.type(description="A person or an organization that buys licenses of an app.")
class Customer(Node):
    id: strawberry.ID = strawberry.field(description="Global id, cus_…")
    email: str = strawberry.field(description="Email address, unique in its app whatever the letter case.")
    name: str | None = strawberry.field(description="Name, if one was given.")
    external_id: str | None = strawberry.field(
        description="The caller's own id (payment provider, CRM), unique in its app when present."
    )
    metadata: JSONObject = strawberry.field(description="Custom data; {} when none was given.")
    created_at: DateTime = strawberry.field(description="When the customer was added.")
    updated_at: DateTime = strawberry.field(description="When it was last changed.")

    @strawberry.field(description="The app it is a customer of.")
    def app(self) -> Annotated["App", strawberry.lazy("schema.apps")]:
        return answered_by_root()

    @strawberry.field(description="The customer's licenses.")
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


@strawberry.input(one_of=True, description="A way to name one customer of an app: exactly one of these.")
class CustomerRef:
    id: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="By id.")
    email: str | None = strawberry.field(
        default=strawberry.UNSET, description="By email, whatever the letter case."
    )
    external_id: str | None = strawberry.field(
        default=strawberry.UNSET, description="By external id, exactly."
    )


@strawberry.input(
    description="Which customers; all conditions given must hold. An empty text is no condition."
)
class CustomerFilter:
    email: str | None = strawberry.field(
        default=strawberry.UNSET, description="Part of the email, any letter case, taken literally."
    )
    external_id: str | None = strawberry.field(
        default=strawberry.UNSET, description="Exactly this external id."
    )
    search: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Part of the email or of the name, any letter case, taken literally.",
    )
    created_after: DateTime | None = strawberry.field(
        default=strawberry.UNSET, description="Added after this moment, exclusive."
    )
    created_before: DateTime | None = strawberry.field(
        default=strawberry.UNSET, description="Added before this moment, exclusive."
    )


@strawberry.enum(description="What customers can be ordered by.")
class CustomerOrderField(Enum):
    CREATED_AT = strawberry.enum_value("created_at", description="When the customer was added.")
    EMAIL = strawberry.enum_value("email", description="Email, by code point of its folded letters.")
    NAME = strawberry.enum_value(
        "name", description="Name, by code point of its folded letters; none comes last."
    )


@strawberry.input(description="The order of customers.")
class CustomerOrder:
    field: CustomerOrderField = strawberry.field(description="What to order by; the id breaks ties.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


CustomerRefArgument = Annotated[CustomerRef, strawberry.argument(description="Which customer.")]
CustomerFilterArgument = Annotated[
    CustomerFilter | None, strawberry.argument(description="Only some customers.")
]
CustomerOrderArgument = Annotated[
    CustomerOrder | None, strawberry.argument(description="The order; newest first when left out.")
]


@strawberry.input(description="A new customer.")
class CreateCustomerInput:
    app_slug: str = strawberry.field(description="The app it is to be a customer of.")
    email: str = strawberry.field(description=f"Email address, at most {EMAIL_LENGTH} characters.")
    name: str | None = strawberry.field(
        default=strawberry.UNSET, description=f"Name, at most {NAME_LENGTH} characters."
    )
    external_id: str | None = strawberry.field(
        default=strawberry.UNSET, description=f"The caller's own id, at most {EXTERNAL_ID_LENGTH} characters."
    )
    metadata: JSONObject | None = strawberry.field(default=strawberry.UNSET, description="Custom data.")


@strawberry.input(description="Changes to a customer. A field left out is unchanged, null clears it.")
class UpdateCustomerInput:
    id: strawberry.ID = strawberry.field(description="The customer.")
    email: str | None = strawberry.field(default=strawberry.UNSET, description="Email; cannot be cleared.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="Name.")
    external_id: str | None = strawberry.field(default=strawberry.UNSET, description="The caller's own id.")
    metadata: JSONObject | None = strawberry.field(
        default=strawberry.UNSET, description="Custom data, replaced as a whole."
    )


@strawberry.input(description="Which customer to delete.")
class DeleteCustomerInput:
    id: strawberry.ID = strawberry.field(description="The customer.")


@strawberry.type
class _CustomerPayload(Payload):
    customer_id: strawberry.Private[str | None] = None
    shown: strawberry.Private[Shown | None] = None

    @strawberry.field(description="The customer as it is now; null when there are userErrors.")
    def customer(self, info: strawberry.Info) -> Customer | None:
        return read_back(info, customers.customer, self.customer_id, shown=self.shown)


@strawberry.type(description="What createCustomer did.")
class CreateCustomerPayload(_CustomerPayload):
    @classmethod
    def of(cls, outcome: SavedCustomer) -> Self:
        return cls(customer_id=outcome.id, shown=outcome.shown)


@strawberry.type(description="What getOrCreateCustomer did.")
class GetOrCreateCustomerPayload(_CustomerPayload):
    created: bool = strawberry.field(default=False, description="Whether this very call made the customer.")

    @classmethod
    def of(cls, outcome: SavedCustomer) -> Self:
        return cls(customer_id=outcome.id, shown=outcome.shown, created=outcome.created)


@strawberry.type(description="What updateCustomer did.")
class UpdateCustomerPayload(_CustomerPayload):
    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(customer_id=outcome)


@strawberry.type(description="What deleteCustomer did.")
class DeleteCustomerPayload(Payload):
    deleted_customer_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id that is gone; null when there are userErrors."
    )
    deleted_license_count: int = strawberry.field(default=0, description="How many licenses went with it.")

    @classmethod
    def of(cls, outcome: DeletedCustomer) -> Self:
        return cls(deleted_customer_id=strawberry.ID(outcome.id), deleted_license_count=outcome.license_count)


@strawberry.type
class CustomerQueries:
    @strawberry.field(description="The customer of this id; null when there is none.")
    async def customer(
        self, info: strawberry.Info, id: Annotated[strawberry.ID, IdArgument]
    ) -> Customer | None:
        return await read(info, customers.customer, id)


@strawberry.type
class CustomerMutations:
    @strawberry.mutation(description="Add a customer to an app.")
    async def create_customer(
        self, info: strawberry.Info, input: Annotated[CreateCustomerInput, InputArgument]
    ) -> CreateCustomerPayload | None:
        resolver = partial(customers.create_customer, shape=next(iter(shapes_below(info)), None))
        return await mutate_alone(info, CreateCustomerPayload, resolver, input.app_slug, values_of(input))

    @strawberry.mutation(
        description="The customer of this email, unchanged, or a new one. Many calls at once make one."
    )
    async def get_or_create_customer(
        self, info: strawberry.Info, input: Annotated[CreateCustomerInput, InputArgument]
    ) -> GetOrCreateCustomerPayload | None:
        resolver = partial(customers.get_or_create_customer, shape=next(iter(shapes_below(info)), None))
        return await mutate_alone(
            info, GetOrCreateCustomerPayload, resolver, input.app_slug, values_of(input)
        )

    @strawberry.mutation(description="Change a customer.")
    async def update_customer(
        self, info: strawberry.Info, input: Annotated[UpdateCustomerInput, InputArgument]
    ) -> UpdateCustomerPayload | None:
        return await mutate(
            info, UpdateCustomerPayload, customers.update_customer, input.id, values_of(input)
        )

    @strawberry.mutation(description="Delete a customer with all licenses, for good.")
    async def delete_customer(
        self, info: strawberry.Info, input: Annotated[DeleteCustomerInput, InputArgument]
    ) -> DeleteCustomerPayload | None:
        return await mutate(info, DeleteCustomerPayload, customers.delete_customer, input.id)
