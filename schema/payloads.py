"""Payloads: what a mutation answers, and the one way every mutation runs."""

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Concatenate, Self, TypeVar

import strawberry

from db.engine import Database, ReadSession, WriteSession
from resolvers.errors import Fault, Faults
from resolvers.reading import Json, Shown
from resolvers.viewer import Scope, Viewer
from schema.context import context_of, shape_of
from schema.names import camel_case
from schema.reading import finished, read


@strawberry.enum(description="What is wrong with an input, for clients to branch on.")
class UserErrorCode(Enum):
    BLANK = strawberry.enum_value("BLANK", description="Required, and empty or null.")
    INVALID = strawberry.enum_value("INVALID", description="Not of the form it must have.")
    TOO_LONG = strawberry.enum_value("TOO_LONG", description="Longer or larger than it may be.")
    TAKEN = strawberry.enum_value("TAKEN", description="Must be unique, and another has it.")
    NOT_FOUND = strawberry.enum_value("NOT_FOUND", description="Names something that does not exist.")
    IN_USE = strawberry.enum_value("IN_USE", description="Cannot be deleted while others refer to it.")
    WRONG_STATE = strawberry.enum_value("WRONG_STATE", description="Not possible in the state it is in.")


P = TypeVar("P", bound="Payload")


@strawberry.type(description="Something about an input that the caller can mend.")
class UserError:
    code: UserErrorCode = strawberry.field(description="What is wrong.")
    message: str = strawberry.field(description="The same for people; it continues the field's name.")
    field: list[str] | None = strawberry.field(
        description="The path to the field inside the input; null when it is the input as a whole."
    )


@strawberry.type
class Payload:
    user_errors: list[UserError] = strawberry.field(
        default_factory=list, description="Why nothing was changed; empty when all was done."
    )

    @classmethod
    def of(cls, outcome: Any) -> Self:
        """The payload of what a resolver answered."""
        raise NotImplementedError


async def mutate(
    info: strawberry.Info,
    payload: type[P],
    resolver: Callable[Concatenate[Viewer, WriteSession, ...], Awaitable[Any]],
    *arguments: object,
    scope: Scope | None = Scope.WRITE,
) -> P:
    """As `mutate_alone`, for a resolver that runs inside one transaction."""

    async def in_transaction(viewer: Viewer, database: Database) -> Any:
        async with database.write() as session:
            return await resolver(viewer, session, *arguments)

    return await mutate_alone(info, payload, in_transaction, scope=scope)


async def mutate_alone(
    info: strawberry.Info,
    payload: type[P],
    resolver: Callable[Concatenate[Viewer, Database, ...], Awaitable[Any]],
    *arguments: object,
    scope: Scope | None = Scope.WRITE,
) -> P:
    """Run a resolver that opens its own sessions; what the caller can mend comes back as userErrors.

    `scope` is what the viewer's key must allow; None: that is for the resolver to say.
    """
    context = context_of(info)
    if scope is not None:
        # The resolver says so too. Here it keeps the door to the one writer shut to those who may not write.
        context.viewer.require(scope)
    try:
        outcome = await resolver(context.viewer, context.database, *arguments)
    except Faults as refused:
        return payload(user_errors=[_user_error(fault) for fault in refused.faults])
    return payload.of(outcome)


def read_back(
    info: strawberry.Info,
    resolver: Callable[Concatenate[Viewer, ReadSession, ...], Awaitable[Json | None]],
    id: str | None,
    viewer: Viewer | None = None,
    shown: Shown | None = None,
) -> Any:
    """The object a payload is about, by the same read as everywhere; None when nothing was done.

    `viewer` is who reads it; None: who asks. `shown` is what the mutation has read already. Otherwise the
    answer is to be awaited, as the executor does.
    """
    if shown is not None and shown.shape is shape_of(info):
        return finished(shown.json)
    return None if id is None else read(info, resolver, id, viewer=viewer)


def _user_error(fault: Fault) -> UserError:
    head, *rest = fault.field or ("",)
    return UserError(
        code=UserErrorCode(fault.code.value),
        message=fault.message,
        field=[camel_case(head), *rest] if fault.field else None,
    )
