"""Errors as GraphQL clients see them: one table from exceptions to `extensions.code` and HTTP status."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import structlog
from graphql import GraphQLError

from asgi import tracebacks
from asgi.bodies import MalformedJson, PayloadTooLarge
from asgi.refusals import HttpRefusal
from asgi.unavailability import unavailability
from db.engine import StoreUnavailable
from resolvers.errors import (
    BadUserInput,
    Busy,
    Forbidden,
    InProgress,
    KeyReused,
    RateLimited,
    Unauthenticated,
)
from resolvers.inputs import is_storable
from schema.pipeline.names import camel_case

log = structlog.get_logger("licensegraph.graphql")


class Code(StrEnum):
    """`extensions.code` of a top-level error."""

    UNAUTHENTICATED = "UNAUTHENTICATED"
    FORBIDDEN = "FORBIDDEN"
    GRAPHQL_PARSE_FAILED = "GRAPHQL_PARSE_FAILED"
    GRAPHQL_VALIDATION_FAILED = "GRAPHQL_VALIDATION_FAILED"
    BAD_USER_INPUT = "BAD_USER_INPUT"
    COST_LIMIT_EXCEEDED = "COST_LIMIT_EXCEEDED"
    DOCUMENT_NOT_FOUND = "DOCUMENT_NOT_FOUND"
    DOCUMENT_NOT_REGISTERED = "DOCUMENT_NOT_REGISTERED"
    PERSISTED_QUERY_NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
    PERSISTED_QUERY_NOT_SUPPORTED = "PERSISTED_QUERY_NOT_SUPPORTED"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    IDEMPOTENCY_IN_PROGRESS = "IDEMPOTENCY_IN_PROGRESS"
    RATE_LIMITED = "RATE_LIMITED"
    UNAVAILABLE = "UNAVAILABLE"
    INTERNAL_SERVER_ERROR = "INTERNAL_SERVER_ERROR"


class RequestRefused(Exception):
    """A request was refused before execution. All of its errors have the same `code`."""

    def __init__(self, errors: list[GraphQLError], code: Code) -> None:
        super().__init__(errors[0].message)
        self.errors = errors
        self.code = code


class MutationNotAllowed(Exception):
    """A mutation was sent with GET."""

    def __init__(self) -> None:
        super().__init__("A mutation is sent by POST.")


class DocumentNotRegistered(Exception):
    """The key may only send registered documents, and this document is not registered for it."""

    def __init__(self) -> None:
        super().__init__("This document is not registered, and this key only sends registered documents.")


@dataclass(frozen=True, slots=True)
class Failure:
    """How an exception is reported: `extensions.code`, and status and headers if the whole request fails."""

    code: Code
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


INTERNAL = Failure(Code.INTERNAL_SERVER_ERROR, 500)

_REFUSALS = {403: Code.FORBIDDEN, 503: Code.UNAVAILABLE}

_FAILURES: dict[type[Exception], Failure] = {
    Unauthenticated: Failure(Code.UNAUTHENTICATED, 401, {"WWW-Authenticate": "Bearer"}),
    Forbidden: Failure(Code.FORBIDDEN, 403),
    BadUserInput: Failure(Code.BAD_USER_INPUT, 400),
    MalformedJson: Failure(Code.BAD_USER_INPUT, 400),
    DocumentNotRegistered: Failure(Code.DOCUMENT_NOT_REGISTERED, 403),
    MutationNotAllowed: Failure(Code.BAD_USER_INPUT, 405, {"Allow": "POST"}),
    PayloadTooLarge: Failure(Code.BAD_USER_INPUT, 413),
    KeyReused: Failure(Code.IDEMPOTENCY_MISMATCH, 422),
    InProgress: Failure(Code.IDEMPOTENCY_IN_PROGRESS, 409),
    StoreUnavailable: Failure(Code.UNAVAILABLE, 503),
    Busy: Failure(Code.UNAVAILABLE, 503),
}


def failure_of(error: BaseException) -> Failure:
    """Return how an exception is reported.

    HttpRefusal and RateLimited are not in the table. Any other exception that is not in it is a bug in this
    program.
    """
    if isinstance(error, HttpRefusal):
        return Failure(_REFUSALS.get(error.status, Code.BAD_USER_INPUT), error.status)
    if isinstance(error, RateLimited):
        return Failure(Code.RATE_LIMITED, 429, {"Retry-After": str(error.retry_after)})
    return next((each for kind, each in _FAILURES.items() if isinstance(error, kind)), INTERNAL)


def code_of(error: GraphQLError) -> Code:
    """Return the code of an execution error.

    Errors that graphql-core itself raises mean an invalid value in the request.
    """
    return Code.BAD_USER_INPUT if error.original_error is None else failure_of(error.original_error).code


def formatted(error: GraphQLError, code: Code | None = None) -> dict[str, Any]:
    """Return an error as it is sent to the client.

    An error that is a bug in this program is logged with its traceback, and the client gets no details. The
    response path is not logged, because it may contain aliases, which the client chooses.
    """
    code = code or code_of(error)
    sent, extensions = error.formatted, error.extensions or {}
    message = error.message
    if isinstance(error.original_error, BadUserInput) and not extensions:
        # A resolver raised it. An error that binding raises names the argument already.
        argument = camel_case(error.original_error.argument)
        message, extensions = f"{argument} {message}", {"argument": argument}
    if code is Code.INTERNAL_SERVER_ERROR:
        message = "Something went wrong here. The request's id finds it in the log."
        cause = error.original_error or error
        log.error("graphql.failed", exception=tracebacks.of(cause))
    elif isinstance(error.original_error, StoreUnavailable | Busy):
        unavailability.tell(error.original_error)
    else:
        log.info("graphql.refused", code=code.value)
    if not is_storable(message):
        # The message may quote characters that UTF-8 cannot encode.
        message = message.encode(errors="replace").decode()
    return {**sent, "message": message, "extensions": {"code": code.value, **extensions}}
