"""Verification in the graph. It needs no key."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any

import orjson
import strawberry

from asgi.limits import Quota
from resolvers import verification
from resolvers.verification import MAX_VALUES, Verification
from schema.base.scalars import UUID, DateTime
from schema.licenses import LicenseStatus
from schema.pipeline.names import snake_case
from schema.pipeline.reading import read_plain
from schema.pipeline.root_fields import always, root_field


@strawberry.enum(
    description="Why a license is valid or not. If both the token and the license have a problem, this is "
    "the token's problem. MOVED takes precedence over EXPIRED and REVOKED."
)
class VerificationReason(Enum):
    VALID = strawberry.enum_value("VALID", description="The license is valid.")
    EXPIRED = strawberry.enum_value("EXPIRED", description="The license has expired.")
    REVOKED = strawberry.enum_value(
        "REVOKED", description="The license was revoked. It may also have expired."
    )
    MOVED = strawberry.enum_value(
        "MOVED",
        description="The token is for an installation that the license has moved away from. Renewing or "
        "reinstating the license does not make this token valid.",
    )
    NOT_FOUND = strawberry.enum_value("NOT_FOUND", description="No license of the app matches.")
    MALFORMED_TOKEN = strawberry.enum_value("MALFORMED_TOKEN", description="The value is not a token.")
    BAD_SIGNATURE = strawberry.enum_value(
        "BAD_SIGNATURE", description="The signature does not match the key that the token names."
    )
    WRONG_APP = strawberry.enum_value(
        "WRONG_APP", description="The token is for another app, according to its aud claim."
    )
    UNKNOWN_KEY = strawberry.enum_value("UNKNOWN_KEY", description="The app has no key with the token's kid.")
    RETIRED_KEY = strawberry.enum_value(
        "RETIRED_KEY", description="The key that signed the token is no longer published."
    )


@strawberry.type(description="Result of a verification. It does not reveal who the customer is.")
class LicenseVerification:
    valid: bool = strawberry.field(description="True if the license may be used.")
    reason: VerificationReason = strawberry.field(description="Why the license is valid or not.")
    since: DateTime | None = strawberry.field(
        description="When the license expired, was revoked or last moved, or when the token's signing key "
        "stopped being published. Null for all other reasons."
    )
    status: LicenseStatus | None = strawberry.field(
        description="Status of the license. Null if no license was found, if the token has a problem, or if "
        "the license has moved."
    )
    installation_id: UUID | None = strawberry.field(
        description="UUID of the installation that the license is for. If the license has moved, this is the "
        "installation that the token is for. Null if no license was found, or if the token has a problem."
    )
    tier: str | None = strawberry.field(
        description="Slug of the license's tier. Null if the license has no tier, or if status is null."
    )
    features: list[str] = strawberry.field(
        description="Slugs of the features in the license's current token. Empty if status is null."
    )
    expires_at: DateTime | None = strawberry.field(
        description="When the license expires. Null if the license never expires, or if status is null."
    )


@strawberry.input(one_of=True, description="Identifies the license to verify. Give exactly one field.")
class LicenseProof:
    installation_id: UUID | None = strawberry.field(
        default=strawberry.UNSET,
        description="UUID of the installation. If the installation has several licenses, the active "
        "license is verified. If none is active, the newest license is verified.",
    )
    jti: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Id of a token of the license: the current token, or one of the 100 tokens before it.",
    )
    token: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="Any token of the license, as a JWT. Whitespace and a leading `Bearer ` are ignored.",
    )


@strawberry.input(
    one_of=True, description=f"Identifies up to {MAX_VALUES} licenses to verify. Give exactly one field."
)
class LicenseProofs:
    installation_ids: list[UUID] | None = strawberry.field(
        default=strawberry.UNSET, description="UUIDs of the installations."
    )
    jtis: list[str] | None = strawberry.field(default=strawberry.UNSET, description="Ids of tokens.")


AppSlugArgument = Annotated[str, strawberry.argument(description="Slug of the app.")]
ProofArgument = Annotated[LicenseProof, strawberry.argument(description="The license to verify.")]
ProofsArgument = Annotated[LicenseProofs, strawberry.argument(description="The licenses to verify.")]


def _count(arguments: Mapping[str, Any]) -> int:
    ((name, values),) = arguments["by"].items()
    verification.require_few(snake_case(name), values)
    return len(values)


@strawberry.type
class VerificationQueries:
    @strawberry.field(
        metadata=root_field(open_if=always, quota=Quota.VERIFICATION),
        description="Verify a license: returns whether the license may be used, and why. Requires no key. "
        "Null if no app has this slug, or if the key of the request is limited to other apps.",
    )
    async def verify_license(
        self, info: strawberry.Info, app_slug: AppSlugArgument, by: ProofArgument
    ) -> LicenseVerification | None:
        ((name, value),) = _given(by)
        return await read_plain(info, _FIELDS, verification.verify_license, app_slug, name, value)

    @strawberry.field(
        metadata=root_field(open_if=always, count=_count, most=MAX_VALUES, quota=Quota.BATCH),
        description="Verify several licenses. The results are in the order of the input. Requires no key. "
        "Null if no app has this slug, or if the key of the request is limited to other apps.",
    )
    async def verify_licenses(
        self, info: strawberry.Info, app_slug: AppSlugArgument, by: ProofsArgument
    ) -> list[LicenseVerification] | None:
        ((name, values),) = _given(by)
        singular = name.removesuffix("s")
        return await read_plain(info, _FIELDS, verification.verify_licenses, app_slug, singular, values)


def _given(by: LicenseProof | LicenseProofs) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in vars(by).items() if value is not strawberry.UNSET]


_FIELDS: Mapping[str, Callable[[Verification], Any]] = {
    "valid": lambda found: found.valid,
    "reason": lambda found: found.reason.value,
    "since": lambda found: found.since,
    "status": lambda found: None if found.status is None else found.status.value,
    "installationId": lambda found: found.installation_id,
    "tier": lambda found: found.tier,
    "features": lambda found: orjson.Fragment(found.features),
    "expiresAt": lambda found: found.expires_at,
    "__typename": lambda _: "LicenseVerification",
}
