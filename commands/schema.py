"""`schema`: print the GraphQL schema."""

from schema import graph


def schema() -> str:
    """Print the GraphQL schema in SDL, the same as schema/schema.graphql."""
    return graph.schema.as_str()
