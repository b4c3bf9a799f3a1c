"""Verification at /api/v1. It needs no key and does not reveal who the customer is."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from asgi.limits import Quota
from resolvers import verification
from resolvers.errors import Fault, FaultCode
from resolvers.inputs import UUID, Input, Text, Uuid, empty_is_none, invalid
from resolvers.verification import MAX_VALUES, Reason, Verification
from resolvers.viewer import Scope
from rest import envelopes
from rest.envelopes import Answer
from rest.errors import not_found
from rest.licenses import LICENSES, StatusWord
from rest.operations import Call, operation

_USUAL = re.compile(rb"installation_id=(%b)" % UUID.pattern.encode(), re.IGNORECASE)


_MOVED = "`moved` if the token is for an installation that the license has moved away from."
_SINCE = "When the license last moved. Left out unless `status` is `moved`."


class VerifiedLicense(Answer):
    """Result of verifying one license."""

    valid: bool = Field(description="True if the license may be used.")
    status: Literal[StatusWord, "moved"] = Field(description=f"Status at the time of the request. {_MOVED}")
    tier: str | None = Field(
        description="Slug of the license's tier. Null if the license has no tier or has moved."
    )
    features: list[str] = Field(
        description="Slugs of the features in the license's current token. Empty if the license has moved."
    )
    expires_at: datetime | None = Field(
        description="When the license expires. Null if the license never expires or has moved."
    )
    installation_id: str = Field(
        description="UUID of the installation that the license is for. If the license has moved, this is the "
        "installation that the token is for."
    )
    since: datetime | None = Field(None, description=_SINCE)


class VerificationAnswer(Answer):
    """Result of verifying one license."""

    data: VerifiedLicense = Field(description="Result of the verification.")


class Verdict(Answer):
    """Result of verifying one of several licenses."""

    valid: bool = Field(description="True if the license may be used.")
    status: Literal[StatusWord, "moved", "not_found"] = Field(
        description=f"Status at the time of the request. {_MOVED} `not_found` if no license of the app "
        "matches."
    )
    tier: str | None = Field(
        description="Slug of the license's tier. Null if the license has no tier, has moved or does not "
        "exist."
    )
    since: datetime | None = Field(None, description=_SINCE)


class Verdicts(Answer):
    """Results of verifying several licenses."""

    results: dict[str, Verdict] = Field(
        description="Results by installation id or token id. The keys are exactly the values in the request."
    )


class VerdictsAnswer(Answer):
    """Results of verifying several licenses."""

    data: Verdicts = Field(description="Results of the verification.")


def _few(values: object) -> object:
    if isinstance(values, list) and len(values) > MAX_VALUES:
        raise invalid(f"holds more than {MAX_VALUES} values", FaultCode.TOO_LONG)
    return values


class VerificationQuery(Input):
    """The license to verify. Give exactly one parameter."""

    installation_id: Annotated[Uuid | None, BeforeValidator(empty_is_none)] = Field(
        None,
        description="UUID of the installation. If the installation has several licenses, the active "
        "license is verified. If none is active, the newest license is verified.",
    )
    jti: Annotated[Text | None, BeforeValidator(empty_is_none)] = Field(
        None,
        description="Id of a token of the license: the current token, or one of the 100 tokens before it.",
    )

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> Iterable[Fault]:
        if sum(empty_is_none(values.get(name)) is not None for name in ("installation_id", "jti")) != 1:
            yield Fault(FaultCode.INVALID, "needs exactly one of", names=("installation_id", "jti"))


class VerificationBatch(Input):
    """The licenses to verify. Give exactly one of the two lists."""

    installation_ids: Annotated[list[Uuid] | None, BeforeValidator(_few)] = Field(
        None,
        description=f"UUIDs of installations, at most {MAX_VALUES}.",
        json_schema_extra={"maxItems": MAX_VALUES},
    )
    jtis: Annotated[list[Text] | None, BeforeValidator(_few)] = Field(
        None, description=f"Ids of tokens, at most {MAX_VALUES}.", json_schema_extra={"maxItems": MAX_VALUES}
    )

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> Iterable[Fault]:
        if sum(values.get(name) is not None for name in ("installation_ids", "jtis")) != 1:
            yield Fault(FaultCode.INVALID, "needs exactly one of", names=("installation_ids", "jtis"))


async def _require_app(call: Call) -> None:
    """Raise Problem unless the app in the path exists, in any account.

    For a key that is limited to some apps, no other apps exist.
    """
    async with call.database.read() as session:
        if await verification.verify_licenses(call.viewer, session, call.path["slug"], "jti", []) is None:
            raise not_found("app")


@operation(
    "GET",
    f"{LICENSES}/verify",
    scope=Scope.READ,
    key_optional=True,
    query=VerificationQuery,
    check_first=_require_app,
    any_origin=True,
    cost=1,
    quota=Quota.VERIFICATION,
    answers={200: VerificationAnswer},
)
async def verify_license(call: Call) -> Response:
    """Verify a license. No key is needed.

    If the license exists, the HTTP status is 200, even if the license is not valid.
    """
    by, value = _installation(call.query_string) or _given(call.checked(VerificationQuery, call.query))
    async with call.database.read() as session:
        found = await verification.verify_license(call.viewer, session, call.path["slug"], by, value)
    if found is None or found.reason is Reason.NOT_FOUND:
        raise not_found("app" if found is None else "license")
    return _answer(
        {
            "valid": found.valid,
            "status": _status(found),
            "tier": found.tier,
            "features": orjson.Fragment(found.features),
            "expires_at": found.expires_at,
            "installation_id": found.installation_id,
            **_since(found),
        }
    )


def _installation(query_string: bytes) -> tuple[str, str] | None:
    """Return the name and the value of a query that is only an installation id with hyphens, or None."""
    usual = _USUAL.fullmatch(query_string)
    return None if usual is None else ("installation_id", usual[1].decode().lower())


@operation(
    "POST",
    f"{LICENSES}/verify/batch",
    scope=Scope.READ,
    key_optional=True,
    body=VerificationBatch,
    check_first=_require_app,
    any_origin=True,
    cost=None,
    quota=Quota.BATCH,
    answers={200: VerdictsAnswer},
)
async def verify_licenses(call: Call) -> Response:
    """Verify up to 100 licenses. No key is needed. Results are keyed by the values in the request."""
    values = await call.body()
    by, wanted = _given(call.checked(VerificationBatch, values))
    call.spend(len(wanted))
    async with call.database.read() as session:
        found = await verification.verify_licenses(
            call.viewer, session, call.path["slug"], by.removesuffix("s"), wanted
        )
    if found is None:
        raise not_found("app")
    # An installation id can be written in several ways. The results have each id as the caller wrote it.
    return _answer({"results": dict(zip(values[by], map(_verdict, found), strict=True))})


def _answer(known: Mapping[str, object]) -> Response:
    # No model is built here, because building one would take longer than everything else in the request.
    return envelopes.unversioned(orjson.dumps(known))


def _given(asked: Input) -> tuple[str, Any]:
    """Return the name and the value of the one field that was given."""
    ((name, value),) = ((name, value) for name, value in asked if value is not None)
    return name, value


def _verdict(found: Verification) -> Mapping[str, object]:
    return {"valid": found.valid, "status": _status(found), "tier": found.tier, **_since(found)}


def _status(found: Verification) -> str:
    # Without a status, the reason is MOVED or NOT_FOUND: the others without one are faults of a token's text.
    return (found.status or found.reason).lower()


def _since(found: Verification) -> Mapping[str, object]:
    return {"since": found.since} if found.reason is Reason.MOVED else {}
