"""Changes to licenses in the graph: what they state, their terms, and their customers."""

from enum import Enum
from typing import Annotated, Self

import strawberry

from resolvers import license_changes
from resolvers.license_changes import Renewed, RenewLicense, TransferLicense, UpdateLicense
from resolvers.viewer import Scope
from schema.base.inputs import if_version, input_of, required_version, values_of
from schema.base.payloads import mutate, mutation
from schema.base.scalars import UUID, DateTime
from schema.licenses import LicensePayload
from schema.pipeline.context import context_of


@input_of(UpdateLicense)
class UpdateLicenseInput:
    id: strawberry.ID = strawberry.field(description="Id of the license to change.")
    tier_id: strawberry.ID | None
    installation_id: UUID | None
    if_version: int | None = if_version()


@strawberry.enum(description="When the new term of a renewed license begins.")
class RenewFrom(Enum):
    EXPIRY = strawberry.enum_value("expiry", description="When the license expires, or has expired.")
    NOW = strawberry.enum_value("now", description="At the time of the request.")
    EXPIRY_OR_NOW = strawberry.enum_value(
        "expiry_or_now", description="When the license expires, or now if it has expired."
    )


@input_of(RenewLicense)
class RenewLicenseInput:
    id: strawberry.ID = strawberry.field(description="Id of the license to renew.")
    from_: RenewFrom = strawberry.field(
        name="from",
        default=RenewFrom.EXPIRY_OR_NOW,
        description="When a term of some days begins.",
    )
    if_version: int | None = if_version()


@input_of(TransferLicense)
class TransferLicenseInput:
    id: strawberry.ID = strawberry.field(description="Id of the license to transfer.")
    customer_id: strawberry.ID
    if_version: int | None = if_version()


@strawberry.type(description="Result of updateLicense.")
class UpdateLicensePayload(LicensePayload):
    pass


@strawberry.type(description="Result of renewLicense.")
class RenewLicensePayload(LicensePayload):
    previous_expires_at: DateTime | None = strawberry.field(
        default=None,
        description="When the license expired, or would have expired, before. Null if there are userErrors.",
    )

    @classmethod
    def of(cls, outcome: Renewed) -> Self:
        return cls(license_id=outcome.id, previous_expires_at=outcome.previous_expires_at)


@strawberry.type(description="Result of transferLicense.")
class TransferLicensePayload(LicensePayload):
    pass


@strawberry.type
class LicenseChangeMutations:
    @mutation(
        description="Change a license. The license gets a new token, unless only its metadata change. An "
        "earlier token keeps its content until it expires: if a change takes something away, online "
        "verification shows this at once, but software that is offline only notices when its token expires. "
        "If the license moves to another installation, its earlier tokens no longer count as valid online. "
        "A revoked license can only get other metadata, and an expired one also a new expiry, which makes it "
        "active again: all other changes fail with WRONG_STATE."
    )
    async def update_license(
        self,
        info: strawberry.Info,
        input: Annotated[UpdateLicenseInput, strawberry.argument("The license and its new values.")],
    ) -> UpdateLicensePayload | None:
        return await mutate(
            info,
            UpdateLicensePayload,
            license_changes.update_license,
            context_of(info).keyring,
            input.id,
            values_of(input),
            required_version(input),
            scope=Scope.WRITE_LICENSES,
        )

    @mutation(
        description="Give a license a new term and a new token. An expired license becomes active again, "
        "which fails with TAKEN on installationId if its installation has another active license. Fails with "
        "WRONG_STATE if the license is revoked or never expires."
    )
    async def renew_license(
        self,
        info: strawberry.Info,
        input: Annotated[RenewLicenseInput, strawberry.argument("The license and its new term.")],
    ) -> RenewLicensePayload | None:
        return await mutate(
            info,
            RenewLicensePayload,
            license_changes.renew_license,
            context_of(info).keyring,
            input.id,
            values_of(input),
            required_version(input),
            scope=Scope.WRITE_LICENSES,
        )

    @mutation(
        description="Give a license to another customer of its app. The license keeps its token, which does "
        "not name the customer. The event is in the histories of both customers."
    )
    async def transfer_license(
        self,
        info: strawberry.Info,
        input: Annotated[TransferLicenseInput, strawberry.argument("The license and its new customer.")],
    ) -> TransferLicensePayload | None:
        return await mutate(
            info,
            TransferLicensePayload,
            license_changes.transfer_license,
            input.id,
            values_of(input),
            required_version(input),
            scope=Scope.WRITE_LICENSES,
        )
