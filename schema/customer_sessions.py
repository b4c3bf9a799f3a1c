"""Customer sessions in the graph."""

from typing import Annotated, Self

import strawberry

from resolvers import customer_sessions, customers
from resolvers.customer_sessions import USUAL_S, CustomerSessionTerms
from resolvers.viewer import Scope
from schema.base.inputs import input_of, values_of
from schema.base.payloads import Payload, mutate, mutation, read_back
from schema.base.scalars import DateTime
from schema.customers import Customer
from schema.keys import Scope as ScopeName


@strawberry.type(description="A session of one customer, for a page where the customer sees their licenses.")
class CustomerSession:
    token: str = strawberry.field(
        description="The session's token, starting with cs_live_. It is never shown again."
    )
    expires_at: DateTime = strawberry.field(description="When the session expires.")
    customer_id: strawberry.Private[str]

    @strawberry.field(description="The customer whose session it is.")
    def customer(self, info: strawberry.Info) -> Customer:
        return read_back(info, customers.customer, self.customer_id)


@input_of(CustomerSessionTerms)
class CreateCustomerSessionInput:
    """The customer, and what the session may do."""

    customer_id: strawberry.ID = strawberry.field(description="Id of the customer.")
    ttl_seconds: int = USUAL_S
    scopes: list[ScopeName] | None


@strawberry.type(description="Result of createCustomerSession.")
class CreateCustomerSessionPayload(Payload):
    session: CustomerSession | None = strawberry.field(
        default=None, description="The new session. Null if there are userErrors."
    )

    @classmethod
    def of(cls, outcome: customer_sessions.CustomerSession) -> Self:
        return cls(
            session=CustomerSession(
                token=outcome.token, expires_at=outcome.expires_at, customer_id=outcome.customer_id
            )
        )


@strawberry.type
class CustomerSessionMutations:
    @mutation(
        description="Create a session of one customer. The session can read this customer, their licenses "
        "with tiers and features, some fields of the app, and nothing else. It ends after ttlSeconds, or "
        "earlier if the customer is deleted, or if the key that created it expires or is revoked. A customer "
        "has at most 100 sessions: creating another one ends the oldest. The key of the request needs "
        "WRITE_CUSTOMERS, READ and READ_CUSTOMERS."
    )
    async def create_customer_session(
        self,
        info: strawberry.Info,
        input: Annotated[
            CreateCustomerSessionInput, strawberry.argument("The customer, and what the session may do.")
        ],
    ) -> CreateCustomerSessionPayload | None:
        values = values_of(input)
        if isinstance(input.scopes, list):
            values["scopes"] = [scope.name.lower() for scope in input.scopes]
        return await mutate(
            info,
            CreateCustomerSessionPayload,
            customer_sessions.create_customer_session,
            input.customer_id,
            values,
            scope=Scope.WRITE_CUSTOMERS,
        )
