"""The graph: its root types and the schema built from them. Importing this module does no I/O."""

from collections.abc import Mapping
from typing import Annotated, Any

import strawberry
from graphql import GraphQLInputObjectType, GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from resolvers import paging, reading
from resolvers.costs import MUTATION_COST
from schema.apps import AppMutations, AppQueries
from schema.base.connections import Node
from schema.base.scalars import SCALARS
from schema.customer_sessions import CustomerSessionMutations
from schema.customers import CustomerMutations, CustomerQueries
from schema.documents import DocumentMutations, DocumentQueries
from schema.events import EventQueries, SnapshotQueries
from schema.features import FeatureMutations
from schema.keys import ApiKeyMutations, ApiKeyQueries
from schema.license_changes import LicenseChangeMutations
from schema.licenses import LicenseMutations, LicenseQueries
from schema.pipeline.reading import read
from schema.pipeline.root_fields import root_field
from schema.search import SearchQueries
from schema.signing_keys import SigningKeyQueries
from schema.tiers import TierMutations
from schema.verification import VerificationQueries
from schema.viewer import ViewerQueries

_ABOUT = f"""Apps, their customers and their licenses.

**Keys.** Send an API key with every request: `Authorization: Bearer sk_live_…`. A secret key (`sk_`)
reads and writes. A public key (`pk_`) only reads. A restricted key (`rk_`) has the scopes that it
was given. A customer session (`cs_`) acts for one customer. `verifyLicense`, `verifyLicenses` and
`regenerateLicense` with a token need no key.

**Ids.** Every id is unique across all types, and its prefix shows the type: `app_`, `cus_`, `lic_`.
`node` and `nodes` look up any object by its id.

**History.** Every change is an event. `events` lists those of the account, of an app, of a customer, or of a
single object.

**Paging.** Lists are connections. Page forward with `first` and `after`, backward with `last` and
`before`: {paging.DEFAULT_SIZE} rows by default, {paging.MAX_SIZE} at most.

**Errors.** If the input of a mutation is wrong, `userErrors` lists the problems and nothing is changed.
All other errors are in `errors`, each with a code in `extensions.code`.

**Cost.** A request costs the largest number of objects that it could return. A connection counts its page
size once for each of `nodes` and `edges`. Costs of nested fields are multiplied by the number of parents.
`totalCount` adds 1, a mutation {MUTATION_COST}, and some searches add more. `extensions.cost` shows the cost
and the maximum. A request above the maximum is rejected before it runs."""


def _count(arguments: Mapping[str, Any]) -> int:
    reading.require_few(arguments["ids"])
    return len(arguments["ids"])


@strawberry.type(description="Read operations.")
class Query(
    EventQueries,
    DocumentQueries,
    ApiKeyQueries,
    ViewerQueries,
    SnapshotQueries,
    SearchQueries,
    VerificationQueries,
    LicenseQueries,
    CustomerQueries,
    SigningKeyQueries,
    AppQueries,
):
    @strawberry.field(description="The object with this id. Null if there is none.")
    async def node(
        self, info: strawberry.Info, id: Annotated[strawberry.ID, strawberry.argument("Id of the object.")]
    ) -> Node | None:
        return await read(info, reading.node, id)

    @strawberry.field(
        metadata=root_field(count=_count, most=reading.MAX_IDS),
        description="The objects with these ids, in the order of the ids. The list has null for each "
        "unknown id.",
    )
    async def nodes(
        self,
        info: strawberry.Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(f"Ids, at most {reading.MAX_IDS}.")],
    ) -> list[Node | None]:
        return await read(info, reading.nodes, ids)


@strawberry.type(description="Write operations. Each field succeeds or fails independently of the others.")
class Mutation(
    DocumentMutations,
    ApiKeyMutations,
    FeatureMutations,
    TierMutations,
    LicenseChangeMutations,
    LicenseMutations,
    CustomerSessionMutations,
    CustomerMutations,
    AppMutations,
):
    pass


schema = strawberry.Schema(query=Query, mutation=Mutation, config=StrawberryConfig(scalar_map=SCALARS))


def _with_one_of(schema: GraphQLSchema) -> GraphQLSchema:
    """Tell graphql-core which inputs are @oneOf, so that its own validation rules check them.

    Strawberry has its own rule for this, which fails if a fragment precedes the operation that uses it.
    """
    for type in schema.type_map.values():
        definition = type.extensions.get("strawberry-definition")
        if isinstance(type, GraphQLInputObjectType) and getattr(definition, "is_one_of", False):
            type.is_one_of = True
    return schema


# Strawberry has no public name for the schema of graphql-core.
graphql_schema: GraphQLSchema = _with_one_of(schema._schema)  # noqa: SLF001
graphql_schema.description = _ABOUT
"""The schema as graphql-core needs it, to validate and execute documents."""
