"""The two spellings of a name: camelCase in the graph, snake_case below it."""

import re


def camel_case(name: str) -> str:
    """Return the GraphQL name of a Python name."""
    return re.sub(r"_([a-z])", lambda match: match[1].upper(), name)


def snake_case(name: str) -> str:
    """Return the Python name of a GraphQL name."""
    return re.sub(r"[A-Z]", lambda match: "_" + match[0].lower(), name)
