"""Verification at /api/v1, which needs no key: whether licenses hold, and nothing about whose they are."""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from resolvers import verification
from resolvers.errors import Fault, FaultCode, Faults
from resolvers.inputs import UUID, Input, Text, Uuid, check, empty_is_none, invalid
from resolvers.verification import MAX_VALUES, Verification
from resolvers.viewer import Scope
from rest import envelopes
from rest.envelopes import Answer
from rest.errors import not_found
from rest.licenses import LICENSES, StatusWord
from rest.operations import Call, operation

_USUAL = re.compile(rb"installation_id=(%b)" % UUID.pattern.encode(), re.IGNORECASE)


class VerifiedLicense(Answer):
    """Whether a license holds, and what it is."""

    valid: bool
    status: StatusWord
    tier: str | None = Field(description="The tier's slug.")
    features: list[str] = Field(description="Slugs, as in the current token.")
    expires_at: datetime | None = Field(description="Null: never.")
    installation_id: str


class VerificationAnswer(Answer):
    """What is known of one license."""

    data: VerifiedLicense


class Verdict(Answer):
    """Whether one of many licenses holds."""

    valid: bool
    status: StatusWord | Literal["not_found"]
    tier: str | None = Field(description="The tier's slug.")


class Verdicts(Answer):
    """Whether licenses hold, by the value that was asked for."""

    results: dict[str, Verdict]


class VerdictsAnswer(Answer):
    """What is known of many licenses."""

    data: Verdicts


def _few(values: object) -> object:
    if isinstance(values, list) and len(values) > MAX_VALUES:
        raise invalid(f"holds more than {MAX_VALUES} values", FaultCode.TOO_LONG)
    return values


class VerificationQuery(Input):
    """Which license: exactly one of the two."""

    installation_id: Annotated[Uuid | None, BeforeValidator(empty_is_none)] = Field(
        None, description="The installation's UUID; of several licenses the active one, else the newest."
    )
    jti: Annotated[Text | None, BeforeValidator(empty_is_none)] = Field(
        None,
        description="The id of a token of the license: its current one, or one of the last hundred before.",
    )

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> Iterable[Fault]:
        if sum(values.get(name) not in {None, ""} for name in ("installation_id", "jti")) != 1:
            yield Fault(FaultCode.INVALID, "needs exactly one of: installation_id, jti")


class VerificationBatch(Input):
    """Which licenses: exactly one of the two lists."""

    installation_ids: Annotated[
        list[Uuid] | None, BeforeValidator(_few), Field(json_schema_extra={"maxItems": MAX_VALUES})
    ] = None
    jtis: Annotated[
        list[Text] | None, BeforeValidator(_few), Field(json_schema_extra={"maxItems": MAX_VALUES})
    ] = None

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> Iterable[Fault]:
        if sum(values.get(name) is not None for name in ("installation_ids", "jtis")) != 1:
            yield Fault(FaultCode.INVALID, "needs exactly one of: installation_ids, jtis")


@operation(
    "GET",
    f"{LICENSES}/verify",
    scope=Scope.READ,
    key_optional=True,
    query=VerificationQuery,
    answers={200: VerificationAnswer},
)
async def verify_license(call: Call) -> Response:
    """Verify a license. No key is needed."""
    by, value = _installation(call.query_string) or await _checked(call)
    async with call.database.read() as session:
        found = await verification.verify_license(call.viewer, session, call.path["slug"], by, value)
    if found is None or found.status is None:
        raise not_found("app" if found is None else "license")
    return _answer(
        {
            "valid": found.valid,
            "status": found.status.lower(),
            "tier": found.tier,
            "features": orjson.Fragment(found.features),
            "expires_at": found.expires_at,
            "installation_id": found.installation_id,
        }
    )


def _installation(query_string: bytes) -> tuple[str, str] | None:
    """What is asked for in the usual case, where nothing is wrong: software asks about its installation."""
    usual = _USUAL.fullmatch(query_string)
    return None if usual is None else ("installation_id", usual[1].decode().lower())


async def _checked(call: Call) -> tuple[str, str]:
    try:
        return _given(check(VerificationQuery, call.query))
    except Faults:
        await _require_app(call)
        raise


@operation(
    "POST",
    f"{LICENSES}/verify/batch",
    scope=Scope.READ,
    key_optional=True,
    body=VerificationBatch,
    answers={200: VerdictsAnswer},
)
async def verify_licenses(call: Call) -> Response:
    """Verify up to 100 licenses. Each is answered under the value that was asked for. No key is needed."""
    try:
        values = await call.body()
        by, wanted = _given(check(VerificationBatch, values))
    except Exception:
        await _require_app(call)
        raise
    async with call.database.read() as session:
        found = await verification.verify_licenses(
            call.viewer, session, call.path["slug"], by.removesuffix("s"), wanted
        )
    if found is None:
        raise not_found("app")
    # Installation ids are found in any letter case, and answered in the one they were asked in.
    return _answer({"results": dict(zip(values[by], map(_verdict, found), strict=True))})


def _answer(known: Mapping[str, object]) -> Response:
    # Written by hand, key by key as the models above say: making one of those first costs more than the rest.
    return envelopes.one(orjson.dumps(known))


def _given(asked: Input) -> tuple[str, Any]:
    """The one thing that licenses are asked for by, and its value."""
    ((name, value),) = ((name, value) for name, value in asked if value is not None)
    return name, value


def _verdict(found: Verification) -> Mapping[str, object]:
    status = "not_found" if found.status is None else found.status.lower()
    return {"valid": found.valid, "status": status, "tier": found.tier}


async def _require_app(call: Call) -> None:
    """Return if there is the app that the path names, of whatever account. Raises Problem."""
    async with call.database.read() as session:
        if await verification.verify_licenses(call.viewer, session, call.path["slug"], "jti", []) is None:
            raise not_found("app")
