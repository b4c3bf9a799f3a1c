"""Features in the graph."""

from typing import TYPE_CHECKING, Annotated, Self

import strawberry

from db.features import MOST_IN_APP
from resolvers import features
from resolvers.inputs import DESCRIPTION_LENGTH, NAME_LENGTH
from schema.arguments import InputArgument, values_of
from schema.connections import Node, answered_by_root
from schema.payloads import Payload, mutate, read_back
from schema.scalars import DateTime

if TYPE_CHECKING:
    from schema.apps import App


@strawberry.type(description="Something an app can do, switched on by tiers and by single licenses.")
class Feature(Node):
    id: strawberry.ID = strawberry.field(description="Global id, feat_…")
    slug: str = strawberry.field(description="Its name in tokens; unique in its app. It never changes.")
    name: str = strawberry.field(description="Its name for people.")
    description: str | None = strawberry.field(description="What it is.")
    created_at: DateTime = strawberry.field(description="When it was made.")

    @strawberry.field(description="The app it is of.")
    def app(self) -> Annotated["App", strawberry.lazy("schema.apps")]:
        return answered_by_root()


FeatureSlugArgument = Annotated[str, strawberry.argument(description="The feature's slug.")]


@strawberry.input(description=f"A new feature. An app has at most {MOST_IN_APP}.")
class CreateFeatureInput:
    app_slug: str = strawberry.field(description="The app it is of.")
    slug: str = strawberry.field(
        description="1 to 63 of a-z, 0-9 and underscores; unique in its app, and never changed."
    )
    name: str = strawberry.field(description=f"Name for people, at most {NAME_LENGTH} characters.")
    description: str | None = strawberry.field(
        default=strawberry.UNSET, description=f"What it is, at most {DESCRIPTION_LENGTH} characters."
    )


@strawberry.input(description="Changes to a feature. A field left out is unchanged, null clears it.")
class UpdateFeatureInput:
    id: strawberry.ID = strawberry.field(description="The feature.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="Name; cannot be cleared.")
    description: str | None = strawberry.field(default=strawberry.UNSET, description="What it is.")


@strawberry.input(description="Which feature to delete.")
class DeleteFeatureInput:
    id: strawberry.ID = strawberry.field(description="The feature.")


@strawberry.type
class _FeaturePayload(Payload):
    feature_id: strawberry.Private[str | None] = None

    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(feature_id=outcome)

    @strawberry.field(description="The feature as it is now; null when there are userErrors.")
    def feature(self, info: strawberry.Info) -> Feature | None:
        return read_back(info, features.feature, self.feature_id)


@strawberry.type(description="What createFeature did.")
class CreateFeaturePayload(_FeaturePayload):
    pass


@strawberry.type(description="What updateFeature did.")
class UpdateFeaturePayload(_FeaturePayload):
    pass


@strawberry.type(description="What deleteFeature did.")
class DeleteFeaturePayload(Payload):
    deleted_feature_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id that is gone; null when there are userErrors."
    )

    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(deleted_feature_id=strawberry.ID(outcome))


@strawberry.type
class FeatureMutations:
    @strawberry.mutation(description="Add a feature to an app.")
    async def create_feature(
        self, info: strawberry.Info, input: Annotated[CreateFeatureInput, InputArgument]
    ) -> CreateFeaturePayload | None:
        return await mutate(
            info, CreateFeaturePayload, features.create_feature, input.app_slug, values_of(input)
        )

    @strawberry.mutation(description="Change a feature. Its slug stays.")
    async def update_feature(
        self, info: strawberry.Info, input: Annotated[UpdateFeatureInput, InputArgument]
    ) -> UpdateFeaturePayload | None:
        return await mutate(info, UpdateFeaturePayload, features.update_feature, input.id, values_of(input))

    @strawberry.mutation(description="Delete a feature. One that a tier or a license has is IN_USE.")
    async def delete_feature(
        self, info: strawberry.Info, input: Annotated[DeleteFeatureInput, InputArgument]
    ) -> DeleteFeaturePayload | None:
        return await mutate(info, DeleteFeaturePayload, features.delete_feature, input.id)
