"""Verification in the graph, which needs no key."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any

import orjson
import strawberry

from resolvers import verification
from resolvers.verification import MAX_VALUES, Verification
from schema.licenses import LicenseStatus
from schema.openness import always, open_if
from schema.reading import read_plain
from schema.scalars import UUID, DateTime


@strawberry.enum(
    description="Why a license holds or does not. What is wrong with a token comes before its license."
)
class VerificationReason(Enum):
    VALID = strawberry.enum_value("VALID", description="It holds.")
    EXPIRED = strawberry.enum_value("EXPIRED", description="Its expiresAt has come.")
    REVOKED = strawberry.enum_value("REVOKED", description="It was revoked, whatever its expiry.")
    NOT_FOUND = strawberry.enum_value("NOT_FOUND", description="The app has no such license.")
    MALFORMED_TOKEN = strawberry.enum_value("MALFORMED_TOKEN", description="This is not a token.")
    BAD_SIGNATURE = strawberry.enum_value(
        "BAD_SIGNATURE", description="The key that the token names has not signed it."
    )
    WRONG_APP = strawberry.enum_value("WRONG_APP", description="The token is of another app, by its aud.")
    UNKNOWN_KEY = strawberry.enum_value("UNKNOWN_KEY", description="The app has no key of the token's kid.")
    RETIRED_KEY = strawberry.enum_value(
        "RETIRED_KEY", description="The key that signed the token is published no more."
    )


@strawberry.type(description="Whether a license holds. Nothing here tells whose it is.")
class LicenseVerification:
    valid: bool = strawberry.field(description="Whether the license holds.")
    reason: VerificationReason = strawberry.field(description="Why.")
    since: DateTime | None = strawberry.field(
        description="When that became so: its expiry, revocation, the end of its key; null when not known."
    )
    status: LicenseStatus | None = strawberry.field(description="Of the license; null when there is none.")
    installation_id: UUID | None = strawberry.field(description="The installation the license is for.")
    tier: str | None = strawberry.field(description="The slug of its tier.")
    features: list[str] = strawberry.field(description="Slugs of its features, as in its current token.")
    expires_at: DateTime | None = strawberry.field(description="When it expires; null: never.")


@strawberry.input(one_of=True, description="What a license is known by.")
class LicenseProof:
    installation_id: UUID | None = strawberry.field(
        default=strawberry.UNSET,
        description="The installation; of several licenses the active one is judged, else the newest.",
    )
    jti: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="The id of a token of the license: its current one, or one of the last hundred before.",
    )
    token: str | None = strawberry.field(default=strawberry.UNSET, description="Any token of the license.")


@strawberry.input(one_of=True, description=f"What licenses are known by, at most {MAX_VALUES}.")
class LicenseProofs:
    installation_ids: list[UUID] | None = strawberry.field(
        default=strawberry.UNSET, description="The installations."
    )
    jtis: list[str] | None = strawberry.field(default=strawberry.UNSET, description="The ids of tokens.")


AppSlugArgument = Annotated[str, strawberry.argument(description="The app's slug.")]
ProofArgument = Annotated[LicenseProof, strawberry.argument(description="Exactly one of its fields.")]
ProofsArgument = Annotated[LicenseProofs, strawberry.argument(description="Exactly one of its fields.")]


@strawberry.type
class VerificationQueries:
    @strawberry.field(
        metadata=open_if(always),
        description="Whether a license holds, and if not, why. Needs no key. Null when there is no such app.",
    )
    async def verify_license(
        self, info: strawberry.Info, app_slug: AppSlugArgument, by: ProofArgument
    ) -> LicenseVerification | None:
        ((name, value),) = _given(by)
        return await read_plain(info, _FIELDS, verification.verify_license, app_slug, name, value)

    @strawberry.field(
        metadata=open_if(always),
        description="Whether licenses hold, in the order asked. Needs no key. Null without such an app.",
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
