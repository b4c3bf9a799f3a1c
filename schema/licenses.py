"""Licenses in the graph."""

from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self

import strawberry

from asgi.limits import Quota
from db.shaping.selection import are_visible
from resolvers import licenses
from resolvers.licenses import CreateLicense, LicenseFilters, Regenerated, RevokeLicense
from resolvers.viewer import Scope, Viewer
from resolvers.visible import OF_LICENSE
from schema.base.connections import (
    After,
    Before,
    Connection,
    First,
    Last,
    Node,
    OrderDirection,
    answered_by_root,
)
from schema.base.inputs import if_version, input_of, required_version, values_of
from schema.base.payloads import Payload, mutate, mutate_alone, mutation, read_back
from schema.base.scalars import UUID, DateTime, JSONObject
from schema.events import (
    ABOUT_SNAPSHOT,
    Event,
    EventFilterArgument,
    EventOrderArgument,
    SnapshotTime,
    version_field,
)
from schema.pipeline.context import context_of, selected_below
from schema.pipeline.reading import read
from schema.pipeline.root_fields import root_field

if TYPE_CHECKING:
    from schema.apps import App
    from schema.customers import Customer
    from schema.tiers import Tier


@strawberry.enum(description="Status of a license. Only an active license may be used.")
class LicenseStatus(Enum):
    ACTIVE = strawberry.enum_value("ACTIVE", description="The license may be used.")
    EXPIRED = strawberry.enum_value(
        "EXPIRED",
        description="At the time of the request, the license has expired and is not revoked.",
    )
    REVOKED = strawberry.enum_value(
        "REVOKED", description="The license was revoked. It may also have expired."
    )


@strawberry.type(description="A customer's right to run an app on one installation.")
class License(Node):
    id: strawberry.ID = strawberry.field(description="Id, starting with lic_.")
    installation_id: UUID = strawberry.field(
        description="UUID of the installation that the license is for. An installation has at most one "
        "active license per app."
    )
    status: LicenseStatus = strawberry.field(description="Status at the time of the request.")
    expires_at: DateTime | None = strawberry.field(
        description="When the license expires. Null if the license never expires."
    )
    revoked_at: DateTime | None = strawberry.field(
        description="When the license was revoked. Null if the license is not revoked."
    )
    revoked_reason: str | None = strawberry.field(description="Reason for the revocation, if one was given.")
    features: list[str] = strawberry.field(
        description="Slugs of the features in the license's current token: first the features of the tier, "
        "then the license's own features."
    )
    jti: str = strawberry.field(
        description="Id of the license's current token. Every token has a different id."
    )
    token: str | None = strawberry.field(
        description="The license's current token: a JWT that an installation can verify without a network "
        "connection. Null without the scope READ_TOKENS, unless a token of the license was sent to "
        "regenerateLicense. Also null if no token was ever signed. Costs 1."
    )
    metadata: JSONObject = strawberry.field(description="Custom data. {} if there is none.")
    created_at: DateTime = strawberry.field(description="When the license was issued.")
    updated_at: DateTime = strawberry.field(
        description="When the license was last changed. A new token from a rotation of the app's keys does "
        "not count."
    )
    version: int = version_field()
    last_verified_at: DateTime | None = strawberry.field(
        description="When a verification last found that the license is valid, with `verifyLicense`, "
        "`verifyLicenses` or REST. Up to ten seconds late, and not counted in `updatedAt` or `version`. "
        "Software that only checks its token offline is not seen. Null if the license was never verified."
    )
    trial: bool = strawberry.field(
        description="Whether the license is a trial: whether its tier is a trial tier. Tokens of trials have "
        "the claim `trial`."
    )

    @strawberry.field(description=ABOUT_SNAPSHOT.format(noun="license"))
    def snapshot(self, at: SnapshotTime) -> JSONObject | None:
        return answered_by_root()

    @strawberry.field(description="The app that the license is for.")
    def app(self) -> Annotated["App", strawberry.lazy("schema.apps")]:
        return answered_by_root()

    @strawberry.field(description="Tier of the license. Null if the license has no tier.")
    def tier(self) -> Annotated["Tier", strawberry.lazy("schema.tiers")] | None:
        return answered_by_root()

    @strawberry.field(description="The license's customer.")
    def customer(self) -> Annotated["Customer", strawberry.lazy("schema.customers")]:
        return answered_by_root()

    @strawberry.field(description="Events of the license. Requires the scope READ_EVENTS.")
    def events(
        self,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
        filter: EventFilterArgument = strawberry.UNSET,
        order_by: EventOrderArgument = strawberry.UNSET,
    ) -> Connection[Event]:
        return answered_by_root()


@input_of(LicenseFilters)
class LicenseFilter:
    status: LicenseStatus | None
    installation_id: UUID | None


@strawberry.enum(description="What licenses can be sorted by.")
class LicenseOrderField(Enum):
    CREATED_AT = strawberry.enum_value("created_at", description="When the license was issued.")
    EXPIRES_AT = strawberry.enum_value(
        "expires_at", description="When the license expires. Licenses that never expire come last."
    )
    LAST_VERIFIED_AT = strawberry.enum_value(
        "last_verified_at",
        description="When the license was last verified. Licenses that were never verified come last.",
    )


@strawberry.input(description="How to sort licenses.")
class LicenseOrder:
    field: LicenseOrderField = strawberry.field(
        description="Value to sort by. Rows with equal values are sorted by id."
    )
    direction: OrderDirection = strawberry.field(
        default=OrderDirection.ASC, description="Ascending or descending."
    )


@strawberry.input(one_of=True, description="Identifies one license of an app. Give exactly one field.")
class LicenseRef:
    id: strawberry.ID | None = strawberry.field(default=strawberry.UNSET, description="Id of the license.")
    installation_id: UUID | None = strawberry.field(
        default=strawberry.UNSET,
        description="UUID of the installation. If the installation has several licenses, the active "
        "license is returned. If none is active, the newest license is returned.",
    )


LicenseRefArgument = Annotated[LicenseRef, strawberry.argument(description="The license to return.")]
LicenseFilterArgument = Annotated[
    LicenseFilter | None,
    strawberry.argument(description="Return only matching licenses. By default, all are returned."),
]
LicenseOrderArgument = Annotated[
    LicenseOrder | None, strawberry.argument(description="Sort order. Newest first by default.")
]


@input_of(CreateLicense)
class CreateLicenseInput:
    customer_id: strawberry.ID
    tier_id: strawberry.ID | None
    installation_id: UUID | None


@input_of(RevokeLicense)
class RevokeLicenseInput:
    """The license to revoke, and why."""

    id: strawberry.ID = strawberry.field(description="Id of the license to revoke.")
    if_version: int | None = if_version()


@strawberry.input(description="The license to reinstate.")
class ReinstateLicenseInput:
    id: strawberry.ID = strawberry.field(description="Id of a revoked license.")
    if_version: int | None = if_version()


@strawberry.input(description="The license to delete.")
class DeleteLicenseInput:
    id: strawberry.ID = strawberry.field(description="Id of the license to delete.")
    if_version: int | None = if_version()


@strawberry.input(
    one_of=True,
    description="Identifies the license that gets a new token. Give exactly one field.",
)
class RegenerateLicenseInput:
    id: strawberry.ID | None = strawberry.field(
        default=strawberry.UNSET,
        description="Id of the license. Requires a key with WRITE_LICENSES, or a session of the license's "
        "customer with READ_TOKENS.",
    )
    current_token: str | None = strawberry.field(
        default=strawberry.UNSET,
        description="A token of the license. The license must be active and still be for the token's "
        "installation. The token's signing key must still be published. The token itself may have expired, "
        "by default at most 60 days ago. Whitespace and a leading `Bearer ` are ignored. Requires no API "
        "key.",
    )


@strawberry.type
class LicensePayload(Payload):
    license_id: strawberry.Private[str | None] = None

    @classmethod
    def of(cls, outcome: Any) -> Self:
        return cls(license_id=outcome)

    @strawberry.field(description="The license after the mutation. Null if there are userErrors.")
    def license(self, info: strawberry.Info) -> License | None:
        return read_back(info, licenses.license, self.license_id)


@strawberry.type(description="Result of createLicense.")
class CreateLicensePayload(LicensePayload):
    pass


@strawberry.type(description="Result of revokeLicense.")
class RevokeLicensePayload(LicensePayload):
    pass


@strawberry.type(description="Result of reinstateLicense.")
class ReinstateLicensePayload(LicensePayload):
    pass


@strawberry.type(description="Result of regenerateLicense.")
class RegenerateLicensePayload(Payload):
    license_id: strawberry.Private[str | None] = None
    viewer: strawberry.Private[Viewer | None] = None

    @classmethod
    def of(cls, outcome: str | Regenerated) -> Self:
        if isinstance(outcome, Regenerated):
            return cls(license_id=outcome.id, viewer=outcome.viewer)
        return cls(license_id=outcome)

    @strawberry.field(description="The license with its new token. Null if there are userErrors.")
    def license(self, info: strawberry.Info) -> License | None:
        return read_back(info, licenses.license, self.license_id, self.viewer)


@strawberry.type(description="Result of deleteLicense.")
class DeleteLicensePayload(Payload):
    deleted_license_id: strawberry.ID | None = strawberry.field(
        default=None, description="Id of the deleted license. Null if there are userErrors."
    )

    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(deleted_license_id=strawberry.ID(outcome))


@strawberry.type
class LicenseQueries:
    @strawberry.field(description="The license with this id. Null if there is none.")
    async def license(
        self, info: strawberry.Info, id: Annotated[strawberry.ID, strawberry.argument("Id of the license.")]
    ) -> License | None:
        return await read(info, licenses.license, id)


@strawberry.type
class LicenseMutations:
    @mutation(
        description="Issue a license. Fails with TAKEN on installationId if the installation already has an "
        "active license of the app. If the tier is a trial tier, fails with TRIAL_USED on customerId or "
        "installationId if it has had a trial of the app."
    )
    async def create_license(
        self,
        info: strawberry.Info,
        input: Annotated[CreateLicenseInput, strawberry.argument("The license to issue.")],
    ) -> CreateLicensePayload | None:
        keyring = context_of(info).keyring
        return await mutate(
            info,
            CreateLicensePayload,
            licenses.create_license,
            keyring,
            values_of(input),
            scope=Scope.WRITE_LICENSES,
        )

    @mutation(
        metadata=root_field(
            open_if=lambda arguments: "currentToken" in arguments["input"],
            may_show=lambda fields: are_visible("License", fields, OF_LICENSE),
            quota=Quota.EXCHANGE,
        ),
        description="Give a license a new token with the current features of its tier. If one of the "
        "license's own tokens is given, no API key is needed. Without a key, only the license, its tier and "
        "the tier's features can be selected.",
    )
    async def regenerate_license(
        self,
        info: strawberry.Info,
        input: Annotated[
            RegenerateLicenseInput, strawberry.argument("The license, by its id or by a token.")
        ],
    ) -> RegenerateLicensePayload | None:
        keyring = context_of(info).keyring
        if isinstance(input.current_token, str):
            resolver = partial(licenses.exchange_token, selected=selected_below(info))
            return await mutate_alone(
                info, RegenerateLicensePayload, resolver, keyring, input.current_token, scope=None
            )
        return await mutate(
            info,
            RegenerateLicensePayload,
            licenses.regenerate_license,
            keyring,
            input.id,
            scope=licenses.regeneration_scope(context_of(info).viewer),
        )

    @mutation(description="Revoke a license. If the license is already revoked, nothing changes.")
    async def revoke_license(
        self,
        info: strawberry.Info,
        input: Annotated[RevokeLicenseInput, strawberry.argument("The license to revoke, and why.")],
    ) -> RevokeLicensePayload | None:
        return await mutate(
            info,
            RevokeLicensePayload,
            licenses.revoke_license,
            input.id,
            values_of(input),
            required_version(input),
            scope=Scope.WRITE_LICENSES,
        )

    @mutation(
        description="Undo a revocation. Fails with WRONG_STATE if the license is not revoked. Fails with "
        "TAKEN if the license has not expired and its installation has another active license."
    )
    async def reinstate_license(
        self,
        info: strawberry.Info,
        input: Annotated[ReinstateLicenseInput, strawberry.argument("The license to reinstate.")],
    ) -> ReinstateLicensePayload | None:
        keyring = context_of(info).keyring
        return await mutate(
            info,
            ReinstateLicensePayload,
            licenses.reinstate_license,
            keyring,
            input.id,
            required_version(input),
            scope=Scope.WRITE_LICENSES,
        )

    @mutation(description="Permanently delete a license. To keep the history, revoke the license instead.")
    async def delete_license(
        self,
        info: strawberry.Info,
        input: Annotated[DeleteLicenseInput, strawberry.argument("The license to delete.")],
    ) -> DeleteLicensePayload | None:
        return await mutate(
            info,
            DeleteLicensePayload,
            licenses.delete_license,
            input.id,
            required_version(input),
            scope=Scope.WRITE_LICENSES,
        )
