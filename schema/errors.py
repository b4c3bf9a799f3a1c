"""Errors as the graph's callers see them: one table from what was raised to `extensions.code`."""

from enum import StrEnum
from typing import Any

import structlog
from graphql import GraphQLError, GraphQLSyntaxError

from asgi import tracebacks
from asgi.bodies import MalformedJson, PayloadTooLarge
from asgi.unavailability import unavailability
from db.engine import StoreUnavailable
from resolvers.errors import BadUserInput, Busy, Forbidden, Unauthenticated
from resolvers.inputs import is_storable

log = structlog.get_logger("licensegraph.graphql")


class Code(StrEnum):
    """`extensions.code` of a top-level error."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    COST_LIMIT_EXCEEDED = "COST_LIMIT_EXCEEDED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class CostLimitExceeded(GraphQLError):
    """The document could return more objects than a request may."""


class RequestRefused(Exception):
    """A request is answered with errors alone, all of one `code`: nothing of it was executed."""

    def __init__(self, errors: list[GraphQLError], code: Code) -> None:
        super().__init__(errors[0].message)
        self.errors = errors
        self.code = code


_CODES: dict[type[Exception], Code] = {
    Unauthenticated: Code.UNAUTHENTICATED,
    Forbidden: Code.FORBIDDEN,
    BadUserInput: Code.BAD_USER_INPUT,
    StoreUnavailable: Code.UNAVAILABLE,
    Busy: Code.UNAVAILABLE,
    MalformedJson: Code.BAD_USER_INPUT,
    PayloadTooLarge: Code.BAD_USER_INPUT,
    CostLimitExceeded: Code.COST_LIMIT_EXCEEDED,
    GraphQLSyntaxError: Code.GRAPHQL_PARSE_FAILED,
}


def code_of(error: GraphQLError) -> Code:
    """The code of an error that execution met. What was raised and is not in the table is our own fault."""
    cause = error.original_error
    if cause is None:
        return _CODES.get(type(error), Code.BAD_USER_INPUT)
    return next(
        (code for kind, code in _CODES.items() if isinstance(cause, kind)), Code.INTERNAL_SERVER_ERROR
    )


def formatted(error: GraphQLError, code: Code | None = None) -> dict[str, Any]:
    """An error as it is answered. One of our own making is logged, and tells the caller nothing.

    Its path is not logged: it is made of the document's aliases.
    """
    code = code or code_of(error)
    answer = error.formatted
    message = error.message
    if code is Code.INTERNAL_SERVER_ERROR:
        message = "Something went wrong here. The request's id finds it in the log."
        cause = error.original_error or error
        log.error("graphql.failed", exception=tracebacks.of(cause))
    elif isinstance(error.original_error, StoreUnavailable | Busy):
        unavailability.tell(error.original_error)
    else:
        log.info("graphql.refused", code=code.value)
    if not is_storable(message):
        message = message.encode(errors="replace").decode()  # it may quote what cannot be written as UTF-8
    return {**answer, "message": message, "extensions": {"code": code.value, **(error.extensions or {})}}
