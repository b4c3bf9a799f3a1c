"""Which root fields need no key, said where each is declared."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from graphql import GraphQLField

OpenIf: TypeAlias = Callable[[Mapping[str, Any]], bool]
"""Whether a field needs no key, given its arguments as graphql-core reads them."""

_NAME = "open_if"


def open_if(condition: OpenIf) -> dict[str, OpenIf]:
    """The metadata of a field that needs no key under a condition."""
    return {_NAME: condition}


def always(_arguments: Mapping[str, Any]) -> bool:
    """The condition of a field that never needs a key."""
    return True


def open_if_of(field: GraphQLField) -> OpenIf | None:
    """The condition under which a field needs no key; None: it always needs one."""
    condition: OpenIf | None = field.extensions["strawberry-definition"].metadata.get(_NAME)
    return condition
