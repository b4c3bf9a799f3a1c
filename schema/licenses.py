"""Licenses in the graph."""

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self

import strawberry

from resolvers import licenses
from resolvers.licenses import Renewed
from resolvers.viewer import Viewer
from schema.arguments import IdArgument, InputArgument, values_of
from schema.connections import Node, OrderDirection, answered_by_root
from schema.context import shapes_below
from schema.openness import open_if
from schema.payloads import Payload, mutate, mutate_alone, read_back
from schema.reading import read
from schema.scalars import UUID, DateTime, JSONObject

if TYPE_CHECKING:
    from schema.apps import App
    from schema.customers import Customer
    from schema.tiers import Tier


@strawberry.enum(description="Whether a license may be used.")
class LicenseStatus(Enum):
    ACTIVE = strawberry.enum_value("ACTIVE", description="It may be used.")
    EXPIRED = strawberry.enum_value("EXPIRED", description="Its expiresAt has come; worked out when read.")
    REVOKED = strawberry.enum_value("REVOKED", description="It was revoked, whatever its expiry.")


@strawberry.type(description="A customer's right to run an app on one installation.")
class License(Node):
    id: strawberry.ID = strawberry.field(description="Global id, lic_…")
    installation_id: UUID = strawberry.field(
        description="The installation it is for. At most one ACTIVE license per app and installation."
    )
    status: LicenseStatus = strawberry.field(description="Worked out at the moment of reading.")
    expires_at: DateTime | None = strawberry.field(description="From this moment on EXPIRED; null: never.")
    revoked_at: DateTime | None = strawberry.field(description="When it was revoked; null: it is not.")
    revoked_reason: str | None = strawberry.field(description="Why it was revoked, if that was said.")
    features: list[str] = strawberry.field(
        description="The slugs of the features in its current token: its tier's, then its own."
    )
    jti: str = strawberry.field(description="The id of its current token, another for every token.")
    token: str | None = strawberry.field(
        description="Its current token, a JWT that proves it with no network at all; null for a public key, "
        "and where none was ever signed. Costs as much as an object."
    )
    metadata: JSONObject = strawberry.field(description="Custom data; {} when none was given.")
    created_at: DateTime = strawberry.field(description="When it was issued.")
    updated_at: DateTime = strawberry.field(description="When it was last changed.")

    @strawberry.field(description="The app it is for.")
    def app(self) -> Annotated["App", strawberry.lazy("schema.apps")]:
        return answered_by_root()

    @strawberry.field(description="The tier it was issued at; null when it has none.")
    def tier(self) -> Annotated["Tier", strawberry.lazy("schema.tiers")] | None:
        return answered_by_root()

    @strawberry.field(description="The customer who holds it.")
    def customer(self) -> Annotated["Customer", strawberry.lazy("schema.customers")]:
        return answered_by_root()


@strawberry.input(description="Which licenses; all conditions given must hold.")
class LicenseFilter:
    status: LicenseStatus | None = strawberry.field(
        default=strawberry.UNSET, description="Exactly this status, at the moment of reading."
    )
    expires_before: DateTime | None = strawberry.field(
        default=strawberry.UNSET,
        description="Expires before this moment; leaves out those that never expire.",
    )
    expires_after: DateTime | None = strawberry.field(
        default=strawberry.UNSET, description="Expires after this moment; leaves out those that never expire."
    )
    tier_slug: str | None = strawberry.field(
        default=strawberry.UNSET, description="Of the tier of this slug, exactly."
    )
    feature: str | None = strawberry.field(
        default=strawberry.UNSET, description="With the feature of this slug in the current token, exactly."
    )


@strawberry.enum(description="What licenses can be ordered by.")
class LicenseOrderField(Enum):
    CREATED_AT = strawberry.enum_value("created_at", description="When the license was issued.")
    EXPIRES_AT = strawberry.enum_value("expires_at", description="When it expires; never comes last.")


@strawberry.input(description="The order of licenses.")
class LicenseOrder:
    field: LicenseOrderField = strawberry.field(description="What to order by; the id breaks ties.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


@strawberry.input(one_of=True, description="A license, by what it is known by.")
class LicenseRef:
    id: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="Global id.")
    installation_id: UUID | None = strawberry.field(
        default=strawberry.UNSET,
        description="The installation; of several licenses the active one is found, else the newest.",
    )


LicenseRefArgument = Annotated[LicenseRef, strawberry.argument(description="Exactly one of its fields.")]
LicenseFilterArgument = Annotated[
    LicenseFilter | None, strawberry.argument(description="Only some licenses.")
]
LicenseOrderArgument = Annotated[
    LicenseOrder | None, strawberry.argument(description="The order; newest first when left out.")
]


@strawberry.input(
    description="A new license. Exactly one of expiresAt, durationDays, forever: true says how long."
)
class CreateLicenseInput:
    customer_id: strawberry.ID = strawberry.field(description="The customer who gets it.")
    tier_id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="The tier it is issued at, of the customer's app; none when left out.",
    )
    features: list[str] | None = strawberry.field(
        default=strawberry.UNSET, description="Slugs of features that it has beside its tier's."
    )
    installation_id: UUID | None = strawberry.field(
        default=strawberry.UNSET, description="The installation it is for; made when left out."
    )
    expires_at: DateTime | None = strawberry.field(
        default=strawberry.UNSET, description="A moment in the future from which on it is EXPIRED."
    )
    duration_days: int | None = strawberry.field(
        default=strawberry.UNSET, description=f"1 to {licenses.MAX_DURATION_DAYS} days from now."
    )
    forever: bool | None = strawberry.field(default=strawberry.UNSET, description="true: it never expires.")
    metadata: JSONObject | None = strawberry.field(default=strawberry.UNSET, description="Custom data.")


@strawberry.input(description="Which license to revoke.")
class RevokeLicenseInput:
    id: strawberry.ID = strawberry.field(description="The license.")
    reason: str | None = strawberry.field(
        default=strawberry.UNSET, description=f"Why, in up to {licenses.REASON_LENGTH} characters."
    )


@strawberry.input(description="Which license to reinstate.")
class ReinstateLicenseInput:
    id: strawberry.ID = strawberry.field(description="A revoked license.")


@strawberry.input(description="Which license to delete.")
class DeleteLicenseInput:
    id: strawberry.ID = strawberry.field(description="The license.")


@strawberry.input(
    one_of=True,
    description="Which license gets a new token: with a secret key any, by its token by whoever has it.",
)
class RegenerateLicenseInput:
    id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET, description="The license; needs a secret key."
    )
    current_token: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A token of the license that is unexpired and whose key is published; needs no key.",
    )


@strawberry.type
class _LicensePayload(Payload):
    license_id: strawberry.Private[str | None] = None

    @classmethod
    def of(cls, outcome: Any) -> Self:
        return cls(license_id=outcome)

    @strawberry.field(description="The license as it is now; null when there are userErrors.")
    def license(self, info: strawberry.Info) -> License | None:
        return read_back(info, licenses.license, self.license_id)


@strawberry.type(description="What createLicense did.")
class CreateLicensePayload(_LicensePayload):
    pass


@strawberry.type(description="What revokeLicense did.")
class RevokeLicensePayload(_LicensePayload):
    pass


@strawberry.type(description="What reinstateLicense did.")
class ReinstateLicensePayload(_LicensePayload):
    pass


@strawberry.type(description="What regenerateLicense did.")
class RegenerateLicensePayload(Payload):
    license_id: strawberry.Private[str | None] = None
    viewer: strawberry.Private[Viewer | None] = None

    @classmethod
    def of(cls, outcome: str | Renewed) -> Self:
        if isinstance(outcome, Renewed):
            return cls(license_id=outcome.id, viewer=outcome.viewer)
        return cls(license_id=outcome)

    @strawberry.field(description="The license with its new token; null when there are userErrors.")
    def license(self, info: strawberry.Info) -> License | None:
        return read_back(info, licenses.license, self.license_id, self.viewer)


@strawberry.type(description="What deleteLicense did.")
class DeleteLicensePayload(Payload):
    deleted_license_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id that is gone; null when there are userErrors."
    )

    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(deleted_license_id=strawberry.ID(outcome))


@strawberry.type
class LicenseQueries:
    @strawberry.field(description="The license of this id; null when there is none.")
    async def license(
        self, info: strawberry.Info, id: Annotated[strawberry.ID, IdArgument]
    ) -> License | None:
        return await read(info, licenses.license, id)


@strawberry.type
class LicenseMutations:
    @strawberry.mutation(
        description="Issue a license. A revoked or expired one of the same installation makes room; "
        "an active one is TAKEN on installationId."
    )
    async def create_license(
        self, info: strawberry.Info, input: Annotated[CreateLicenseInput, InputArgument]
    ) -> CreateLicensePayload | None:
        return await mutate(info, CreateLicensePayload, licenses.create_license, values_of(input))

    @strawberry.mutation(
        metadata=open_if(lambda arguments: "currentToken" in arguments["input"]),
        description="Give a license a new token, with its tier's features as they are now. By a token of its "
        "own it needs no key, and then the license, its tier and that one's features may be selected.",
    )
    async def regenerate_license(
        self, info: strawberry.Info, input: Annotated[RegenerateLicenseInput, InputArgument]
    ) -> RegenerateLicensePayload | None:
        if isinstance(input.current_token, str):
            resolver = partial(licenses.renew_license, shapes=shapes_below(info))
            return await mutate_alone(
                info, RegenerateLicensePayload, resolver, input.current_token, scope=None
            )
        return await mutate(info, RegenerateLicensePayload, licenses.regenerate_license, input.id)

    @strawberry.mutation(description="Revoke a license. Revoking a revoked one changes nothing.")
    async def revoke_license(
        self, info: strawberry.Info, input: Annotated[RevokeLicenseInput, InputArgument]
    ) -> RevokeLicensePayload | None:
        return await mutate(info, RevokeLicensePayload, licenses.revoke_license, input.id, values_of(input))

    @strawberry.mutation(description="Take a revocation back. A license that is not revoked is WRONG_STATE.")
    async def reinstate_license(
        self, info: strawberry.Info, input: Annotated[ReinstateLicenseInput, InputArgument]
    ) -> ReinstateLicensePayload | None:
        return await mutate(info, ReinstateLicensePayload, licenses.reinstate_license, input.id)

    @strawberry.mutation(description="Delete a license for good. To keep its history, revoke it instead.")
    async def delete_license(
        self, info: strawberry.Info, input: Annotated[DeleteLicenseInput, InputArgument]
    ) -> DeleteLicensePayload | None:
        return await mutate(info, DeleteLicensePayload, licenses.delete_license, input.id)
