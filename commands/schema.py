"""`schema`: print the GraphQL schema."""

from schema import graph


def schema() -> str:
    """Print the GraphQL schema in its definition language, as schema/schema.graphql holds it."""
    return graph.schema.as_str()
