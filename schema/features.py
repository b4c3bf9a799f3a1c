"""Features in the graph."""

from typing import TYPE_CHECKING, Annotated, Self

import strawberry

from db.features import MOST_IN_APP
from resolvers import features
from resolvers.features import CreateFeature, UpdateFeature
from resolvers.viewer import Scope
from schema.base.connections import After, Before, Connection, First, Last, Node, answered_by_root
from schema.base.inputs import if_version, input_of, required_version, values_of
from schema.base.payloads import Payload, mutate, mutation, read_back
from schema.base.scalars import DateTime
from schema.events import Event, EventFilterArgument, EventOrderArgument, version_field

if TYPE_CHECKING:
    from schema.apps import App


@strawberry.type(description="Part of an app that tiers and individual licenses can enable.")
class Feature(Node):
    id: strawberry.ID = strawberry.field(description="Id, starting with feat_.")
    slug: str = strawberry.field(description="Name used in tokens, unique within the app. It never changes.")
    name: str = strawberry.field(description="Display name.")
    description: str | None = strawberry.field(description="Description, if there is one.")
    created_at: DateTime = strawberry.field(description="When the feature was created.")
    version: int = version_field()

    @strawberry.field(description="The app that the feature belongs to.")
    def app(self) -> Annotated["App", strawberry.lazy("schema.apps")]:
        return answered_by_root()

    @strawberry.field(description="Events of the feature. Requires the scope READ_EVENTS.")
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


FeatureSlugArgument = Annotated[str, strawberry.argument(description="Slug of the feature.")]


@input_of(CreateFeature)
class CreateFeatureInput:
    app_slug: str = strawberry.field(description="Slug of the app that the feature belongs to.")


@input_of(UpdateFeature)
class UpdateFeatureInput:
    id: strawberry.ID = strawberry.field(description="Id of the feature to change.")
    if_version: int | None = if_version()


@strawberry.input(description="The feature to delete.")
class DeleteFeatureInput:
    id: strawberry.ID = strawberry.field(description="Id of the feature to delete.")
    if_version: int | None = if_version()


@strawberry.type
class _FeaturePayload(Payload):
    feature_id: strawberry.Private[str | None] = None

    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(feature_id=outcome)

    @strawberry.field(description="The feature after the mutation. Null if there are userErrors.")
    def feature(self, info: strawberry.Info) -> Feature | None:
        return read_back(info, features.feature, self.feature_id)


@strawberry.type(description="Result of createFeature.")
class CreateFeaturePayload(_FeaturePayload):
    pass


@strawberry.type(description="Result of updateFeature.")
class UpdateFeaturePayload(_FeaturePayload):
    pass


@strawberry.type(description="Result of deleteFeature.")
class DeleteFeaturePayload(Payload):
    deleted_feature_id: strawberry.ID | None = strawberry.field(
        default=None, description="Id of the deleted feature. Null if there are userErrors."
    )

    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(deleted_feature_id=strawberry.ID(outcome))


@strawberry.type
class FeatureMutations:
    @mutation(description=f"Create a feature. An app has at most {MOST_IN_APP} features.")
    async def create_feature(
        self,
        info: strawberry.Info,
        input: Annotated[CreateFeatureInput, strawberry.argument("The feature to create.")],
    ) -> CreateFeaturePayload | None:
        return await mutate(
            info,
            CreateFeaturePayload,
            features.create_feature,
            input.app_slug,
            values_of(input),
            scope=Scope.WRITE_CATALOG,
        )

    @mutation(description="Change a feature. The slug cannot be changed.")
    async def update_feature(
        self,
        info: strawberry.Info,
        input: Annotated[UpdateFeatureInput, strawberry.argument("The feature and its new values.")],
    ) -> UpdateFeaturePayload | None:
        return await mutate(
            info,
            UpdateFeaturePayload,
            features.update_feature,
            input.id,
            values_of(input),
            required_version(input),
            scope=Scope.WRITE_CATALOG,
        )

    @mutation(description="Delete a feature. Fails with IN_USE if a tier or a license has the feature.")
    async def delete_feature(
        self,
        info: strawberry.Info,
        input: Annotated[DeleteFeatureInput, strawberry.argument("The feature to delete.")],
    ) -> DeleteFeaturePayload | None:
        return await mutate(
            info,
            DeleteFeaturePayload,
            features.delete_feature,
            input.id,
            required_version(input),
            scope=Scope.WRITE_CATALOG,
        )
