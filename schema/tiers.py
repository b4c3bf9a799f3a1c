"""Tiers in the graph."""

from typing import TYPE_CHECKING, Annotated, Self

import strawberry

from resolvers import tiers
from resolvers.inputs import NAME_LENGTH
from schema.arguments import InputArgument, values_of
from schema.connections import After, Before, Connection, First, Last, Node, answered_by_root
from schema.features import Feature
from schema.licenses import License, LicenseFilterArgument, LicenseOrderArgument
from schema.payloads import Payload, mutate, read_back
from schema.scalars import DateTime

if TYPE_CHECKING:
    from schema.apps import App


@strawberry.type(description="A level that an app is sold at.")
class Tier(Node):
    id: strawberry.ID = strawberry.field(description="Global id, tier_…")
    slug: str = strawberry.field(description="Its name in tokens; unique in its app. It never changes.")
    name: str = strawberry.field(description="Its name for people.")
    position: int = strawberry.field(description="Where it stands among the app's tiers, lower first.")
    created_at: DateTime = strawberry.field(description="When it was made.")

    @strawberry.field(description="The app it is of.")
    def app(self) -> Annotated["App", strawberry.lazy("schema.apps")]:
        return answered_by_root()

    @strawberry.field(
        description="What it comprises, by slug. Licenses keep what is in their tokens until these are made "
        "anew. Costs as much as all features that an app may have."
    )
    def features(self) -> list[Feature]:
        return answered_by_root()

    @strawberry.field(description="The licenses that were issued at it.")
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


TierSlugArgument = Annotated[str, strawberry.argument(description="The tier's slug.")]


@strawberry.input(description="A new tier.")
class CreateTierInput:
    app_slug: str = strawberry.field(description="The app it is of.")
    slug: str = strawberry.field(
        description="1 to 63 of a-z, 0-9 and underscores; unique in its app, and never changed."
    )
    name: str = strawberry.field(description=f"Name for people, at most {NAME_LENGTH} characters.")
    position: int | None = strawberry.field(
        default=strawberry.UNSET, description="Where it stands, lower first; behind all others when left out."
    )
    features: list[str] | None = strawberry.field(
        default=strawberry.UNSET, description="Slugs of the features it comprises."
    )


@strawberry.input(description="Changes to a tier. A field left out is unchanged.")
class UpdateTierInput:
    id: strawberry.ID = strawberry.field(description="The tier.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="Name; cannot be cleared.")
    position: int | None = strawberry.field(
        default=strawberry.UNSET, description="Where it stands; cannot be cleared."
    )
    features: list[str] | None = strawberry.field(
        default=strawberry.UNSET,
        description="Slugs of all features it is to comprise; null: none. Tokens stay as they are.",
    )


@strawberry.input(description="Which tier to delete.")
class DeleteTierInput:
    id: strawberry.ID = strawberry.field(description="The tier.")


@strawberry.type
class _TierPayload(Payload):
    tier_id: strawberry.Private[str | None] = None

    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(tier_id=outcome)

    @strawberry.field(description="The tier as it is now; null when there are userErrors.")
    def tier(self, info: strawberry.Info) -> Tier | None:
        return read_back(info, tiers.tier, self.tier_id)


@strawberry.type(description="What createTier did.")
class CreateTierPayload(_TierPayload):
    pass


@strawberry.type(description="What updateTier did.")
class UpdateTierPayload(_TierPayload):
    pass


@strawberry.type(description="What deleteTier did.")
class DeleteTierPayload(Payload):
    deleted_tier_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id that is gone; null when there are userErrors."
    )

    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(deleted_tier_id=strawberry.ID(outcome))


@strawberry.type
class TierMutations:
    @strawberry.mutation(description="Add a tier to an app.")
    async def create_tier(
        self, info: strawberry.Info, input: Annotated[CreateTierInput, InputArgument]
    ) -> CreateTierPayload | None:
        return await mutate(info, CreateTierPayload, tiers.create_tier, input.app_slug, values_of(input))

    @strawberry.mutation(description="Change a tier. Its slug stays, and so do the tokens of its licenses.")
    async def update_tier(
        self, info: strawberry.Info, input: Annotated[UpdateTierInput, InputArgument]
    ) -> UpdateTierPayload | None:
        return await mutate(info, UpdateTierPayload, tiers.update_tier, input.id, values_of(input))

    @strawberry.mutation(description="Delete a tier. One that a license has is IN_USE.")
    async def delete_tier(
        self, info: strawberry.Info, input: Annotated[DeleteTierInput, InputArgument]
    ) -> DeleteTierPayload | None:
        return await mutate(info, DeleteTierPayload, tiers.delete_tier, input.id)
