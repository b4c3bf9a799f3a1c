"""The viewer in the graph: the sender of the request, and what its key may do."""

from collections.abc import Callable, Mapping
from typing import Any

import strawberry

from asgi.limits import Budget as KeyBudget
from db import clock
from resolvers import customers, keys
from resolvers.keys import Identity
from schema.base.connections import answered_by_root
from schema.base.scalars import DateTime
from schema.customers import Customer
from schema.events import changes_cursor_field
from schema.keys import KeyKind, Scope
from schema.pipeline.context import context_of
from schema.pipeline.reading import PlainObject, read_plain


@strawberry.type(
    description="Points of an API key. Each request costs points, which come back at a constant rate. If the "
    "limit is off, all numbers are 0."
)
class Budget:
    capacity: int = strawberry.field(description="Largest number of points that the key can have.")
    available: int = strawberry.field(
        description="Points that are available now. The most that this request can cost is already taken."
    )
    restore_rate: int = strawberry.field(description="Points that come back per second.")


@strawberry.type(description="The sender of the request, identified by its API key.")
class Viewer:
    account_name: str = strawberry.field(description="Name of the account that the key belongs to.")
    key_id: strawberry.ID | None = strawberry.field(description="Id of the key, starting with key_.")
    key_name: str | None = strawberry.field(description="Display name of the key, if it has one.")
    key_kind: KeyKind = strawberry.field(description="Kind of the key.")
    key_last4: str = strawberry.field(description="Last four characters of the key.")
    is_limited_to_apps: bool = strawberry.field(
        description="Whether the key can only reach some apps of the account. Such a key cannot create apps."
    )
    scopes: list[Scope] = strawberry.field(description="Permissions of the key, in the order of Scope.")
    budget: Budget = strawberry.field(description="Points that the key can spend on requests.")
    history_since: DateTime = strawberry.field(
        description="Since when events are kept. Older events are removed, or were never written."
    )
    changes_cursor: str = changes_cursor_field()

    @strawberry.field(description="The customer of a customer session. Null for all other keys.")
    def customer(self) -> Customer | None:
        return answered_by_root()


@strawberry.type
class ViewerQueries:
    @strawberry.field(description="The API key of this request, and its permissions.")
    async def viewer(self, info: strawberry.Info) -> Viewer:
        budget = PlainObject(lambda _: context_of(info).meter.budget, _BUDGET)
        return await read_plain(
            info,
            {**_FIELDS, "budget": budget},
            keys.identify,
            below={"customer": customers.customer_of_viewer},
        )


_BUDGET: Mapping[str, Callable[[KeyBudget], Any]] = {
    "capacity": lambda budget: budget.capacity,
    "available": lambda budget: budget.available_now(),
    "restoreRate": lambda budget: budget.per_second,
    "__typename": lambda _: "Budget",
}

_FIELDS: Mapping[str, Callable[[Identity], Any]] = {
    "accountName": lambda found: found.account_name,
    "keyId": lambda found: found.key_id,
    "keyName": lambda found: found.key_name,
    "keyKind": lambda found: found.key_kind.name,
    "keyLast4": lambda found: found.key_last4,
    "isLimitedToApps": lambda found: found.is_limited_to_apps,
    "scopes": lambda found: [scope.name for scope in found.scopes],
    "historySince": lambda found: clock.as_text(found.history_since),
    "changesCursor": lambda found: found.changes_cursor,
    "__typename": lambda _: "Viewer",
}
