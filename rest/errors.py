"""Errors as callers of REST see them: one envelope, and one table from what was raised to its code."""

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from asgi.bodies import MalformedJson, PayloadTooLarge
from asgi.refusals import HttpRefusal
from db.engine import StoreUnavailable
from resolvers.errors import BadUserInput, Busy, FaultCode, Faults, Forbidden, Unauthenticated
from rest.envelopes import Answer, JsonResponse


class Code(StrEnum):
    """What went wrong, in a word that clients branch on."""

    BAD_REQUEST = "bad_request"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    CONFLICT = "conflict"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    VALIDATION_ERROR = "validation_error"
    INTERNAL_ERROR = "internal_error"
    UNAVAILABLE = "unavailable"


STATUSES = {
    Code.BAD_REQUEST: 400,
    Code.UNAUTHORIZED: 401,
    Code.FORBIDDEN: 403,
    Code.NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.CONFLICT: 409,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.VALIDATION_ERROR: 422,
    Code.INTERNAL_ERROR: 500,
    Code.UNAVAILABLE: 503,
}

_TRY_AGAIN = {"Retry-After": "1"}

# Faults of the body itself. Where there is one, the store was not asked about the others.
_MALFORMED = {FaultCode.BLANK, FaultCode.INVALID, FaultCode.TOO_LONG}

# What a path names, by the field that resolvers say is not found.
_ADDRESSED = {("slug",): "app", ("app_slug",): "app", ("id",): "object"}

Details = dict[str, list[str]]


class Error(Answer):
    """Why a request was not carried out."""

    code: Code = Field(description="What went wrong, in a word to branch on.")
    message: str = Field(description="The same for people; its wording may change.")
    details: Details | SkipJsonSchema[None] = Field(
        None,
        description="Of `validation_error` and `conflict` alone: what is wrong with each field. "
        "`base` stands for the body as a whole.",
    )


class ErrorAnswer(Answer):
    """The envelope of every error."""

    error: Error


class Problem(Exception):
    """An error answer, to be raised. `status` where it is not the code's."""

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
        """The answer."""
        content = ErrorAnswer(error=self.error).model_dump_json(exclude_none=True)
        return JsonResponse(content, self.status, self.headers)


def not_found(what: str) -> Problem:
    """Say that what the path names is not there, for whatever reason."""
    return Problem(Code.NOT_FOUND, f"There is no such {what}.")


def problem_of(error: Exception) -> Problem:
    """The answer to whatever was raised."""
    match error:
        case Problem():
            return error
        case Unauthenticated():
            return Problem(Code.UNAUTHORIZED, str(error), headers={"WWW-Authenticate": "Bearer"})
        case Forbidden():
            return Problem(Code.FORBIDDEN, str(error))
        case BadUserInput(argument=argument):
            return Problem(Code.VALIDATION_ERROR, f"{argument} {error}", details={argument: [str(error)]})
        case Faults():
            return _problem_of_faults(error)
        case PayloadTooLarge():
            return Problem(Code.PAYLOAD_TOO_LARGE, str(error))
        case HttpRefusal():
            return _problem_of_refusal(error)
        case MalformedJson():
            return Problem(Code.BAD_REQUEST, "The body is not JSON.")
        case StoreUnavailable():
            return Problem(
                Code.UNAVAILABLE, "The store does not answer; try again later.", headers=_TRY_AGAIN
            )
        case Busy():
            return Problem(Code.UNAVAILABLE, str(error), headers=_TRY_AGAIN)
        case _:
            return Problem(
                Code.INTERNAL_ERROR, "Something went wrong here; the request's id helps to find out what."
            )


def _problem_of_refusal(refusal: HttpRefusal) -> Problem:
    code = next((code for code, status in STATUSES.items() if status == refusal.status), Code.BAD_REQUEST)
    headers = _TRY_AGAIN if code is Code.UNAVAILABLE else None
    return Problem(code, str(refusal), headers=headers, status=refusal.status)


def _problem_of_faults(error: Faults) -> Problem:
    codes = {fault.code for fault in error.faults}
    if codes == {FaultCode.NOT_FOUND} and error.faults[0].field in _ADDRESSED:
        return not_found(_ADDRESSED[error.faults[0].field])
    wrong_in_itself = codes & (_MALFORMED | {FaultCode.NOT_FOUND})
    code = Code.VALIDATION_ERROR if wrong_in_itself else Code.CONFLICT
    message = "; ".join(f"{'.'.join(fault.field)} {fault.message}".strip() for fault in error.faults)
    return Problem(code, message, details=_details(error))


def _details(error: Faults) -> Details:
    """What is wrong with each field of the body. Faults deep in metadata are the field's."""
    details: Details = {}
    for fault in error.faults:
        messages = details.setdefault(fault.field[0] if fault.field else "base", [])
        if fault.message not in messages:
            messages.append(fault.message)
    return details
