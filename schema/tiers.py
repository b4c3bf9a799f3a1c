"""Tiers in the graph."""

from typing import TYPE_CHECKING, Annotated, Self

import strawberry

from resolvers import tiers
from resolvers.tiers import CreateTier, UpdateTier
from resolvers.viewer import Scope
from schema.base.connections import After, Before, Connection, First, Last, Node, answered_by_root
from schema.base.inputs import if_version, input_of, required_version, values_of
from schema.base.payloads import Payload, mutate, mutation, read_back
from schema.base.scalars import DateTime
from schema.events import Event, EventFilterArgument, EventOrderArgument, version_field
from schema.features import Feature
from schema.licenses import License, LicenseFilterArgument, LicenseOrderArgument

if TYPE_CHECKING:
    from schema.apps import App


@strawberry.type(description="A level at which an app is sold, with a set of features.")
class Tier(Node):
    id: strawberry.ID = strawberry.field(description="Id, starting with tier_.")
    slug: str = strawberry.field(description="Name used in tokens, unique within the app. It never changes.")
    name: str = strawberry.field(description="Display name.")
    position: int = strawberry.field(description="Place among the app's tiers. Lower positions come first.")
    created_at: DateTime = strawberry.field(description="When the tier was created.")
    version: int = version_field()
    duration_days: int | None = strawberry.field(
        description="Term of a license of this tier that is issued or renewed without one, in days. Null if "
        "each license needs a term of its own."
    )
    trial: bool = strawberry.field(
        description="Whether licenses of this tier are trials. Each customer and each installation can have "
        "only one trial of the app. This never changes."
    )

    @strawberry.field(description="The app that the tier belongs to.")
    def app(self) -> Annotated["App", strawberry.lazy("schema.apps")]:
        return answered_by_root()

    @strawberry.field(
        description="Features of the tier, sorted by slug. A change of these features does not affect a "
        "license until its token is regenerated. This field costs 20, the typical number of features."
    )
    def features(self) -> list[Feature]:
        return answered_by_root()

    @strawberry.field(description="Licenses issued with this tier.")
    def licenses(
        self,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
        filter: LicenseFilterArgument = strawberry.UNSET,
        order_by: LicenseOrderArgument = strawberry.UNSET,
    ) -> Connection[License]:
        return answered_by_root()

    @strawberry.field(description="Events of the tier. Requires the scope READ_EVENTS.")
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


TierSlugArgument = Annotated[str, strawberry.argument(description="Slug of the tier.")]


@input_of(CreateTier)
class CreateTierInput:
    app_slug: str = strawberry.field(description="Slug of the app that the tier belongs to.")
    trial: bool = False


@input_of(UpdateTier)
class UpdateTierInput:
    id: strawberry.ID = strawberry.field(description="Id of the tier to change.")
    if_version: int | None = if_version()


@strawberry.input(description="The tier to delete.")
class DeleteTierInput:
    id: strawberry.ID = strawberry.field(description="Id of the tier to delete.")
    if_version: int | None = if_version()


@strawberry.type
class _TierPayload(Payload):
    tier_id: strawberry.Private[str | None] = None

    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(tier_id=outcome)

    @strawberry.field(description="The tier after the mutation. Null if there are userErrors.")
    def tier(self, info: strawberry.Info) -> Tier | None:
        return read_back(info, tiers.tier, self.tier_id)


@strawberry.type(description="Result of createTier.")
class CreateTierPayload(_TierPayload):
    pass


@strawberry.type(description="Result of updateTier.")
class UpdateTierPayload(_TierPayload):
    pass


@strawberry.type(description="Result of deleteTier.")
class DeleteTierPayload(Payload):
    deleted_tier_id: strawberry.ID | None = strawberry.field(
        default=None, description="Id of the deleted tier. Null if there are userErrors."
    )

    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(deleted_tier_id=strawberry.ID(outcome))


@strawberry.type
class TierMutations:
    @mutation(description="Create a tier.")
    async def create_tier(
        self,
        info: strawberry.Info,
        input: Annotated[CreateTierInput, strawberry.argument("The tier to create.")],
    ) -> CreateTierPayload | None:
        return await mutate(
            info,
            CreateTierPayload,
            tiers.create_tier,
            input.app_slug,
            values_of(input),
            scope=Scope.WRITE_CATALOG,
        )

    @mutation(description="Change a tier. The slug cannot be changed, and existing tokens stay as they are.")
    async def update_tier(
        self,
        info: strawberry.Info,
        input: Annotated[UpdateTierInput, strawberry.argument("The tier and its new values.")],
    ) -> UpdateTierPayload | None:
        return await mutate(
            info,
            UpdateTierPayload,
            tiers.update_tier,
            input.id,
            values_of(input),
            required_version(input),
            scope=Scope.WRITE_CATALOG,
        )

    @mutation(description="Delete a tier. Fails with IN_USE if a license has the tier.")
    async def delete_tier(
        self,
        info: strawberry.Info,
        input: Annotated[DeleteTierInput, strawberry.argument("The tier to delete.")],
    ) -> DeleteTierPayload | None:
        return await mutate(
            info,
            DeleteTierPayload,
            tiers.delete_tier,
            input.id,
            required_version(input),
            scope=Scope.WRITE_CATALOG,
        )
