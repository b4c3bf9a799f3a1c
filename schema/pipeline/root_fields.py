"""What a root field declares in addition to its type: whether it needs a key, and what it costs.

The module that declares the field passes `root_field(...)` as the `metadata` of the Strawberry field.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from graphql import GraphQLField

from asgi.limits import Quota
from db.shaping.selection import Fields
from resolvers.costs import MUTATION_COST

Condition: TypeAlias = Callable[[Mapping[str, Any]], bool]
Count: TypeAlias = Callable[[Mapping[str, Any]], int]
# A Condition and a Count get the arguments of a field by name, as coerced by graphql-core.

_NAME = "root_field"

KEY_ARGUMENT = "idempotencyKey"
"""The argument of every mutation that identifies a call, however often it is sent."""


@dataclass(frozen=True, slots=True)
class RootField:
    """The declaration of a root field.

    `open_if` returns True if the field needs no key with these arguments. If `open_if` is None, the field
    always needs a key. `may_show` returns True if a request without a key may select these fields of an
    object that a statement returns. If `may_show` is None, such a request may select no such object. `quota`
    is the limit that the field counts toward if `open_if` returns True. `cost` is the cost of a mutation.
    `count` returns how many objects the arguments request, and raises BadUserInput. `most` is the largest
    number that `count` returns.
    """

    open_if: Condition | None = None
    may_show: Callable[[Fields], bool] | None = None
    cost: int = MUTATION_COST
    count: Count | None = None
    quota: Quota | None = None
    most: int = 1


def always(_arguments: Mapping[str, Any]) -> bool:
    """Return True: the `open_if` of a field that never needs a key."""
    return True


def root_field(
    *,
    open_if: Condition | None = None,
    may_show: Callable[[Fields], bool] | None = None,
    cost: int = MUTATION_COST,
    count: Count | None = None,
    most: int = 1,
    quota: Quota | None = None,
) -> dict[str, RootField]:
    """Return the metadata for a field (see `RootField`)."""
    return {_NAME: RootField(open_if, may_show, cost, count, quota, most)}


_DEFAULT = RootField()


def declared(field: GraphQLField) -> RootField:
    """Return what a root field declares."""
    found: RootField = field.extensions["strawberry-definition"].metadata.get(_NAME, _DEFAULT)
    return found
