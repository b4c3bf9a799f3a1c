"""The viewer in the graph: who asks, and what its key allows."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import strawberry

from resolvers import keys
from resolvers.keys import Identity
from schema.reading import read_plain


@strawberry.enum(description="What a key is for.")
class KeyKind(Enum):
    SECRET = strawberry.enum_value("SECRET", description="It reads and writes, and is to be kept secret.")
    PUBLIC = strawberry.enum_value("PUBLIC", description="It reads, and may be shown to anybody.")


@strawberry.enum(description="Something that a key allows.")
class Scope(Enum):
    READ = strawberry.enum_value("READ", description="Read apps, tiers, features and licenses.")
    READ_CUSTOMERS = strawberry.enum_value("READ_CUSTOMERS", description="Read customers.")
    READ_TOKENS = strawberry.enum_value(
        "READ_TOKENS", description="Read the tokens of licenses, which are null otherwise."
    )
    WRITE = strawberry.enum_value("WRITE", description="Every mutation.")


@strawberry.type(description="Who asks: the key of the request.")
class Viewer:
    account_name: str = strawberry.field(description="Name of the account that the key belongs to.")
    key_kind: KeyKind = strawberry.field(description="What the key is for.")
    key_last4: str = strawberry.field(description="The last four characters of the key.")
    scopes: list[Scope] = strawberry.field(description="All that the key allows, in the order of Scope.")


@strawberry.type
class ViewerQueries:
    @strawberry.field(description="Who asks: what the key of this request is, and what it allows.")
    async def viewer(self, info: strawberry.Info) -> Viewer:
        return await read_plain(info, _FIELDS, keys.identify)


_FIELDS: Mapping[str, Callable[[Identity], Any]] = {
    "accountName": lambda found: found.account_name,
    "keyKind": lambda found: found.key_kind.name,
    "keyLast4": lambda found: found.key_last4,
    "scopes": lambda found: [scope.name for scope in found.scopes],
    "__typename": lambda _: "Viewer",
}
