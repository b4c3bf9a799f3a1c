"""Errors as REST clients see them: one envelope, and one table from exceptions to codes."""

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from asgi.bodies import MalformedJson, PayloadTooLarge
from asgi.refusals import HttpRefusal
from db.engine import StoreUnavailable
from resolvers.errors import (
    BadUserInput,
    Busy,
    FaultCode,
    Faults,
    Forbidden,
    InProgress,
    KeyReused,
    RateLimited,
    Unauthenticated,
)
from rest.envelopes import Answer, JsonResponse


class Code(StrEnum):
    """What went wrong. Clients can rely on these codes."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    PRECONDITION_FAILED = "precondition_failed"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    VALIDATION_ERROR = "validation_error"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    RATE_LIMITED = "rate_limited"
    INTERNAL_ERROR = "internal_error"
    UNAVAILABLE = "unavailable"


STATUSES = {
    Code.BAD_REQUEST: 400,
    Code.UNAUTHORIZED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.CONFLICT: 409,
    Code.PRECONDITION_FAILED: 412,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.VALIDATION_ERROR: 422,
    Code.IDEMPOTENCY_MISMATCH: 422,
    Code.RATE_LIMITED: 429,
    Code.INTERNAL_ERROR: 500,
    Code.UNAVAILABLE: 503,
}

INPUT_ERRORS = {
    Code.BAD_REQUEST,
    Code.PAYLOAD_TOO_LARGE,
    Code.UNSUPPORTED_MEDIA_TYPE,
    Code.VALIDATION_ERROR,
}
"""The codes for errors in the query or the body."""

_TRY_AGAIN = {"Retry-After": "1"}

# If an input has several faults, the response has the first of these codes that fits any of the faults.
_FAULTS_BY_CODE = {
    Code.VALIDATION_ERROR: {FaultCode.BLANK, FaultCode.INVALID, FaultCode.TOO_LONG, FaultCode.NOT_FOUND},
    Code.CONFLICT: {FaultCode.TAKEN, FaultCode.IN_USE, FaultCode.WRONG_STATE, FaultCode.TRIAL_USED},
}

# The input fields whose values come from the path, and what each of them identifies. If such a value is
# NOT_FOUND and nothing else is wrong, the status is 404 instead of 422.
_ADDRESSED = {("slug",): "app", ("app_slug",): "app", ("id",): "object"}

Details = dict[str, list[str]]


class Error(Answer):
    """Why a request failed."""

    code: Code = Field(description="What went wrong. Clients can rely on this code.")
    message: str = Field(description="What went wrong, in words. The wording may change.")
    details: Details | SkipJsonSchema[None] = Field(
        None,
        description="Problems by field. Only present for `validation_error` and `conflict`. `base` stands "
        "for the whole body. `existing_id` has the ids of the customers or licenses that cause the "
        "conflict.",
    )


class ErrorAnswer(Answer):
    """The body of every error response."""

    error: Error = Field(description="Why the request failed.")


class Problem(Exception):
    """An error response. `status` overrides the status of the code."""

    def __init__(
        self,
        code: Code,
        message: str,
        *,
        details: Details | None = None,
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.error = Error(code=code, message=message, details=details)
        self.headers = headers
        self.status = status or STATUSES[code]

    def response(self) -> Response:
        """Return the response."""
        content = ErrorAnswer(error=self.error).model_dump_json(exclude_none=True)
        return JsonResponse(content, self.status, self.headers)


def not_found(what: str) -> Problem:
    """Return the error for something in the path that does not exist."""
    return Problem(Code.NOT_FOUND, f"The {what} does not exist.")


def problem_of(error: Exception) -> Problem:
    """Return the error response for an exception.

    There is a case for each kind of `Refused`, for each error of `asgi` and for an unavailable database. Any
    other exception is an internal error.
    """
    match error:
        case Problem():
            return error
        case Unauthenticated():
            return Problem(Code.UNAUTHORIZED, str(error), headers={"WWW-Authenticate": "Bearer"})
        case RateLimited(retry_after=seconds):
            return Problem(Code.RATE_LIMITED, str(error), headers={"Retry-After": str(seconds)})
        case Forbidden():
            return Problem(Code.FORBIDDEN, str(error))
        case BadUserInput(argument=argument):
            return Problem(Code.VALIDATION_ERROR, f"{argument} {error}", details={argument: [str(error)]})
        case KeyReused():
            return Problem(Code.IDEMPOTENCY_MISMATCH, str(error))
        case InProgress():
            details = {"base": ["is still running"]}
            return Problem(Code.CONFLICT, str(error), details=details, headers=_TRY_AGAIN)
        case Faults():
            return _problem_of_faults(error)
        case PayloadTooLarge():
            return Problem(Code.PAYLOAD_TOO_LARGE, str(error))
        case HttpRefusal():
            return _problem_of_refusal(error)
        case MalformedJson():
            return Problem(Code.BAD_REQUEST, "The body is not valid JSON.")
        case StoreUnavailable():
            return Problem(
                Code.UNAVAILABLE, "The database is unavailable. Try again later.", headers=_TRY_AGAIN
            )
        case Busy():
            return Problem(Code.UNAVAILABLE, str(error), headers=_TRY_AGAIN)
        case _:
            return Problem(Code.INTERNAL_ERROR, "Internal error. Look up the request id in the server's log.")


def _problem_of_refusal(refusal: HttpRefusal) -> Problem:
    code = next((code for code, status in STATUSES.items() if status == refusal.status), Code.BAD_REQUEST)
    headers = _TRY_AGAIN if code is Code.UNAVAILABLE else None
    return Problem(code, str(refusal), headers=headers, status=refusal.status)


def _problem_of_faults(error: Faults) -> Problem:
    if error.faults[0].field == ("if_version",):
        return Problem(Code.PRECONDITION_FAILED, f"If-Match {error.faults[0].message}.")
    codes = {fault.code for fault in error.faults}
    if codes == {FaultCode.NOT_FOUND} and error.faults[0].field in _ADDRESSED:
        return not_found(_ADDRESSED[error.faults[0].field])
    code = next(code for code, faults in _FAULTS_BY_CODE.items() if codes & faults)
    return Problem(code, str(error), details=_details(error))


def _details(error: Faults) -> Details:
    """Return the problems by field, and the ids of the objects that cause a conflict.

    Problems inside metadata belong to the field `metadata`.
    """
    details: Details = {}
    for fault in error.faults:
        messages = details.setdefault(fault.field[0] if fault.field else "base", [])
        if fault.written() not in messages:
            messages.append(fault.written())
    existing = dict.fromkeys(fault.existing_id for fault in error.faults if fault.existing_id is not None)
    return details | {"existing_id": list(existing)} if existing else details
