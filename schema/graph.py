"""The graph: its roots and the schema made of them. Importing it does no I/O."""

from typing import Annotated

import strawberry
from graphql import GraphQLInputObjectType, GraphQLSchema
from strawberry.schema.config import StrawberryConfig

from resolvers import reading
from schema.apps import AppMutations, AppQueries
from schema.arguments import IdArgument
from schema.connections import Node
from schema.customers import CustomerMutations, CustomerQueries
from schema.features import FeatureMutations
from schema.licenses import LicenseMutations, LicenseQueries
from schema.reading import read
from schema.scalars import SCALARS
from schema.tiers import TierMutations
from schema.verification import VerificationQueries
from schema.viewer import ViewerQueries

IdsArgument = strawberry.argument(description=f"Global ids, at most {reading.MAX_IDS}.")


@strawberry.type(description="What can be asked.")
class Query(ViewerQueries, VerificationQueries, LicenseQueries, CustomerQueries, AppQueries):
    @strawberry.field(description="Anything by its id; null when there is nothing of this id.")
    async def node(self, info: strawberry.Info, id: Annotated[strawberry.ID, IdArgument]) -> Node | None:
        return await read(info, reading.node, id)

    @strawberry.field(description="Many things by id, in the order asked; null for each that is unknown.")
    async def nodes(
        self, info: strawberry.Info, ids: Annotated[list[strawberry.ID], IdsArgument]
    ) -> list[Node | None]:
        return await read(info, reading.nodes, ids)


@strawberry.type(description="What can be done. Each field is a transaction of its own.")
class Mutation(FeatureMutations, TierMutations, LicenseMutations, CustomerMutations, AppMutations):
    pass


schema = strawberry.Schema(query=Query, mutation=Mutation, config=StrawberryConfig(scalar_map=SCALARS))


def _tell_of_one_of(schema: GraphQLSchema) -> GraphQLSchema:
    """Have graphql-core know which inputs are @oneOf, so that its own rules judge them.

    Strawberry judges them by a rule of its own, which fails on a fragment that stands before its operation.
    """
    for type in schema.type_map.values():
        definition = type.extensions.get("strawberry-definition")
        if isinstance(type, GraphQLInputObjectType) and getattr(definition, "is_one_of", False):
            type.is_one_of = True
    return schema


# Strawberry has no public name for it.
graphql_schema: GraphQLSchema = _tell_of_one_of(schema._schema)  # noqa: SLF001
"""The same as graphql-core sees it: what documents are validated against and executed on."""
