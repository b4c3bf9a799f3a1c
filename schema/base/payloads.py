"""Payloads: what mutations return, and how every mutation runs."""

from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Concatenate, Self, TypeVar, get_type_hints

import strawberry
from pydantic import TypeAdapter
from strawberry.annotation import StrawberryAnnotation
from strawberry.extensions import FieldExtension
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.field import StrawberryField

from asgi.idempotency import parse_key
from db.engine import Database, ReadSession, WriteSession
from db.idempotency import Claim
from resolvers import reading
from resolvers.errors import Fault, Faults
from resolvers.idempotency import Outcome, claim_of, once
from resolvers.reading import Json, Shown
from resolvers.viewer import Scope, Viewer
from schema.pipeline.context import context_of, nouns_below, path_of, selected_at
from schema.pipeline.names import camel_case
from schema.pipeline.reading import finished, read


@strawberry.enum(description="What is wrong with an input. Clients can rely on these codes.")
class UserErrorCode(Enum):
    BLANK = strawberry.enum_value("BLANK", description="A required value is missing, empty or null.")
    INVALID = strawberry.enum_value("INVALID", description="The value does not have the required form.")
    TOO_LONG = strawberry.enum_value("TOO_LONG", description="The value is too long or too large.")
    TAKEN = strawberry.enum_value("TAKEN", description="The value must be unique and is already in use.")
    NOT_FOUND = strawberry.enum_value(
        "NOT_FOUND", description="The value refers to something that does not exist."
    )
    IN_USE = strawberry.enum_value(
        "IN_USE", description="The object cannot be deleted because other objects refer to it."
    )
    WRONG_STATE = strawberry.enum_value(
        "WRONG_STATE", description="The operation is not possible in the current state."
    )
    TRIAL_USED = strawberry.enum_value(
        "TRIAL_USED",
        description="The customer or the installation has had its only trial of the app.",
    )


P = TypeVar("P", bound="Payload")


@strawberry.type(description="A problem with an input that the caller can fix.")
class UserError:
    code: UserErrorCode = strawberry.field(description="What is wrong, as a stable code.")
    message: str = strawberry.field(
        description="What is wrong, in words. The text continues a sentence that starts with the field's "
        "name."
    )
    field: list[str] | None = strawberry.field(
        description="Path to the field inside the input. Null if the error is about the input as a whole."
    )
    existing_id: strawberry.ID | None = strawberry.field(
        description="For TAKEN, id of the customer or license that already has the value. For IN_USE, id of "
        "a license that uses the object. Null if no customer or license causes the error."
    )


@strawberry.type
class Payload:
    user_errors: list[UserError] = strawberry.field(
        default_factory=list,
        description="Problems with the input. If the list is empty, the mutation succeeded. If not, "
        "nothing was changed.",
    )

    @classmethod
    def of(cls, outcome: Any) -> Self:
        """Create the payload from what the resolver returned."""
        raise NotImplementedError


class _TakesKey(FieldExtension):
    """Gives a mutation the argument `idempotencyKey`, and notes the claim of a call that has a key."""

    def apply(self, field: StrawberryField) -> None:
        field.arguments = [
            *field.arguments,
            StrawberryArgument(
                "idempotency_key",
                None,
                StrawberryAnnotation(str | None),
                description="Unique key of this call, 1 to 255 visible ASCII characters, such as a random "
                "UUID. If the response is lost, send the same call with the same key again: it has its "
                "effect once. By default, the header Idempotency-Key and the field's name in the response.",
                default=strawberry.UNSET,
            ),
        ]

    async def resolve_async(
        self,
        next_: Callable[..., Awaitable[Any]],
        source: Any,
        info: strawberry.Info,
        *,
        idempotency_key: str | None = None,
        **arguments: Any,
    ) -> Any:
        context, path = context_of(info), path_of(info)
        key = _key(context.idempotency_key, idempotency_key, path[-1])
        if key is not None and context.viewer.key_id is not None:
            claim = claim_of(context.viewer.key_id, info.field_name, key, arguments["input"])
            context.claims[path] = claim
        return await next_(source, info, **arguments)


def mutation(*, description: str, metadata: Mapping[Any, Any] | None = None) -> Any:
    """Declare a method as a mutation field. The field also takes an idempotency key."""
    return strawberry.mutation(description=description, metadata=metadata, extensions=[_TakesKey()])


async def mutate(
    info: strawberry.Info,
    payload: type[P],
    resolver: Callable[Concatenate[Viewer, WriteSession, ...], Awaitable[Any]],
    *arguments: object,
    scope: Scope | None,
) -> P:
    """Run a resolver inside one transaction. Faults become userErrors (see `mutate_alone`)."""

    async def in_transaction(viewer: Viewer, database: Database) -> Any:
        async with database.write() as session:
            return await resolver(viewer, session, *arguments)

    return await mutate_alone(info, payload, in_transaction, scope=scope)


async def mutate_alone(
    info: strawberry.Info,
    payload: type[P],
    resolver: Callable[Concatenate[Viewer, Database, ...], Awaitable[Any]],
    *arguments: object,
    scope: Scope | None,
) -> P:
    """Run a resolver that opens its own sessions. Faults become userErrors.

    Before the resolver runs, the key must have `scope`, and must be allowed to read what is selected. If
    `scope` is None, only the resolver checks the key, and an idempotency key is ignored.
    """
    context = context_of(info)
    claim = None
    if scope is not None:
        # The resolver also checks the scope. This check keeps a request without permission from waiting for
        # a write transaction.
        context.viewer.require(scope)
        for noun, selected in nouns_below(info):
            reading.require_selected(context.viewer, noun, selected)
        claim = context.claims.get(path_of(info))

    async def run(database: Database) -> Any:
        return await resolver(context.viewer, database, *arguments)

    try:
        outcome = await (run(context.database) if claim is None else _once(info, payload, claim, run))
    except Faults as refused:
        return payload(user_errors=[_user_error(fault) for fault in refused.faults])
    return payload.of(outcome)


async def _once(
    info: strawberry.Info, payload: type[Payload], claim: Claim, run: Callable[[Database], Awaitable[Any]]
) -> Any:
    """Return what a resolver returns, or returned when the same call was first made."""
    context, form = context_of(info), _form_of(payload.of)
    returned = None

    async def work(database: Database) -> Outcome:
        nonlocal returned
        returned = await run(database)
        return Outcome(form.dump_json(returned))

    outcome = await once(context.database, context.keyring, claim, work)
    if not outcome.is_replay:
        return returned
    context.replayed.append(path_of(info)[-1])
    return form.validate_json(outcome.json)


@cache
def _form_of(of: Callable[[Any], Payload]) -> TypeAdapter[Any]:
    """Return how the outcome that `Payload.of` takes is written as JSON."""
    return TypeAdapter(get_type_hints(of)["outcome"])


def _key(of_request: str | None, of_field: str | None, response_key: str) -> str | None:
    """Return the idempotency key of a mutation field, or None. The form of both keys has been checked."""
    if of_field is not None:
        return parse_key(of_field)
    return None if of_request is None else f"{of_request}/{response_key}"


def read_back(
    info: strawberry.Info,
    resolver: Callable[Concatenate[Viewer, ReadSession, ...], Awaitable[Json | None]],
    id: str | None,
    viewer: Viewer | None = None,
    shown: Shown | None = None,
) -> Any:
    """Return the object of a payload, or None if the mutation failed.

    `resolver` is the one that queries use. The object is read on behalf of `viewer`, by default the sender of
    the request. `shown` is the object as the mutation has already read it. If the object must still be read,
    the result is a coroutine, which the executor awaits.
    """
    if shown is not None and shown.selected is selected_at(info):
        return finished(shown.json)
    return None if id is None else read(info, resolver, id, viewer=viewer)


def _user_error(fault: Fault) -> UserError:
    return UserError(
        code=UserErrorCode(fault.code.value),
        message=fault.written(camel_case),
        field=_path(fault.field) or None,
        existing_id=None if fault.existing_id is None else strawberry.ID(fault.existing_id),
    )


def _path(field: tuple[str, ...]) -> list[str]:
    """Return the path of a field in the graph's spelling.

    The first part is the name of a field, and so is a part after an index. Other parts are indexes and keys
    of metadata.
    """
    return [
        camel_case(part) if place == 0 or field[place - 1].isdecimal() else part
        for place, part in enumerate(field)
    ]
