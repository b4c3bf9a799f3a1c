"""Apps in the graph."""

from enum import Enum
from functools import partial
from typing import Annotated, Any, Self

import strawberry

from db.features import MOST_IN_APP
from db.statistics import MOST_INTERVALS
from resolvers import apps
from resolvers.apps import CreateApp, DeletedApp, UpdateApp
from resolvers.costs import SIGNING_KEY_COST
from resolvers.keyring import Algorithm
from resolvers.rotation import RotatedApp, rotate_app_keys
from resolvers.viewer import Scope
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
from schema.base.scalars import DateTime, JSONObject
from schema.customers import Customer, CustomerFilterArgument, CustomerOrderArgument, CustomerRefArgument
from schema.events import (
    ABOUT_SNAPSHOT,
    Event,
    EventFilterArgument,
    EventOrderArgument,
    SnapshotTime,
    changes_cursor_field,
    version_field,
)
from schema.features import Feature, FeatureSlugArgument
from schema.licenses import License, LicenseFilterArgument, LicenseOrderArgument, LicenseRefArgument
from schema.pipeline.context import context_of
from schema.pipeline.reading import read
from schema.pipeline.root_fields import root_field
from schema.statistics import (
    Standing,
    Statistic,
    StatisticsEvery,
    StatisticsFrom,
    StatisticsInterval,
    StatisticsTier,
    StatisticsTo,
)
from schema.tiers import Tier, TierSlugArgument


@strawberry.enum(
    description="Algorithm that signs an app's tokens. It is chosen when the app is created and never "
    "changes."
)
class SigningAlgorithm(Enum):
    # The values are the algorithms' names in tokens (RFC 7518, RFC 8037).
    RS256 = strawberry.enum_value(
        Algorithm.RS256.jwa, description="RSA with SHA-256, which every JWT library supports."
    )
    EDDSA = strawberry.enum_value(
        Algorithm.EDDSA.jwa, description="Ed25519: shorter tokens that are faster to sign and verify."
    )


@strawberry.enum(description="What happens to the signing key that a rotation replaces.")
class RetireOldKey(Enum):
    AFTER_LAST_EXPIRY = strawberry.enum_value(
        "after_last_expiry",
        description="The old key stays published, by default until 60 days after its last token expires, or "
        "forever if one of its tokens never expires.",
    )
    IMMEDIATELY = strawberry.enum_value(
        "immediately",
        description="The old key is no longer published. Neither are keys that earlier rotations replaced.",
    )


@strawberry.type(description="A product that a vendor sells licenses for.")
class App(Node):
    id: strawberry.ID = strawberry.field(description="Id, starting with app_.")
    slug: str = strawberry.field(
        description="Name used in URLs and tokens, unique on this server. It never changes."
    )
    name: str = strawberry.field(description="Display name.")
    description: str | None = strawberry.field(description="Description, if there is one.")
    webhook_url: str | None = strawberry.field(
        description="URL for license events, if there is one. The server stores the URL, but does not send "
        "events yet."
    )
    signing_algorithm: SigningAlgorithm = strawberry.field(
        description="Algorithm that signs the tokens of the app's licenses."
    )
    public_key_pem: str = strawberry.field(
        description="Current public key for verifying tokens, as PEM (SubjectPublicKeyInfo)."
    )
    created_at: DateTime = strawberry.field(description="When the app was created.")
    updated_at: DateTime = strawberry.field(
        description="When the app was last changed. A rotation of its keys does not count."
    )
    version: int = version_field()
    changes_cursor: str = changes_cursor_field()

    @strawberry.field(description=ABOUT_SNAPSHOT.format(noun="app"))
    def snapshot(self, at: SnapshotTime) -> JSONObject | None:
        return answered_by_root()

    @strawberry.field(description="One customer of the app. Null if there is no match.")
    def customer(self, by: CustomerRefArgument) -> Customer | None:
        return answered_by_root()

    @strawberry.field(description="Customers of the app.")
    def customers(
        self,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
        filter: CustomerFilterArgument = strawberry.UNSET,
        order_by: CustomerOrderArgument = strawberry.UNSET,
    ) -> Connection[Customer]:
        return answered_by_root()

    @strawberry.field(description="Licenses of all the app's customers.")
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

    @strawberry.field(description="One license of the app. Null if there is no match.")
    def license(self, by: LicenseRefArgument) -> License | None:
        return answered_by_root()

    @strawberry.field(description="The app's tier with this slug. Null if there is none.")
    def tier(self, slug: TierSlugArgument) -> Tier | None:
        return answered_by_root()

    @strawberry.field(description="Tiers of the app, sorted by position, then by slug.")
    def tiers(
        self,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> Connection[Tier]:
        return answered_by_root()

    @strawberry.field(description="The app's feature with this slug. Null if there is none.")
    def feature(self, slug: FeatureSlugArgument) -> Feature | None:
        return answered_by_root()

    @strawberry.field(description=f"Features of the app, sorted by slug. There are at most {MOST_IN_APP}.")
    def features(
        self,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> Connection[Feature]:
        return answered_by_root()

    @strawberry.field(
        description="What happened in the app in each interval, and how many licenses were active at its "
        f"end, oldest first. There are at most {MOST_INTERVALS} intervals, and the field costs their number. "
        "Changes appear within a second or so. Days before this server began to record events are "
        "reconstructed from the customers and licenses that existed then, without renewals, reinstatements "
        "and deletions."
    )
    def statistics(
        self,
        from_: StatisticsFrom,
        to: StatisticsTo,
        every: StatisticsEvery = StatisticsInterval.DAY,
        tier_slug: StatisticsTier = strawberry.UNSET,
    ) -> list[Statistic]:
        return answered_by_root()

    @strawberry.field(description="How many licenses are active, expired and revoked now. Costs 10.")
    def standing(self) -> Standing:
        return answered_by_root()

    @strawberry.field(description="Everything that happened in the app. Requires the scope READ_EVENTS.")
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


@strawberry.enum(description="What apps can be sorted by.")
class AppOrderField(Enum):
    CREATED_AT = strawberry.enum_value("created_at", description="When the app was created.")
    NAME = strawberry.enum_value("name", description="Display name, ignoring case, by Unicode code point.")
    SLUG = strawberry.enum_value("slug", description="Slug, by Unicode code point.")


@strawberry.input(description="How to sort apps.")
class AppOrder:
    field: AppOrderField = strawberry.field(
        description="Value to sort by. Rows with equal values are sorted by id."
    )
    direction: OrderDirection = strawberry.field(
        default=OrderDirection.ASC, description="Ascending or descending."
    )


@input_of(CreateApp)
class CreateAppInput:
    signing_algorithm: SigningAlgorithm = SigningAlgorithm.RS256


@input_of(UpdateApp)
class UpdateAppInput:
    slug: str = strawberry.field(description="Slug of the app to change.")
    if_version: int | None = if_version()


@strawberry.input(description="The app to delete.")
class DeleteAppInput:
    slug: str = strawberry.field(description="Slug of the app to delete.")
    if_version: int | None = if_version()


@strawberry.type
class _AppPayload(Payload):
    app_id: strawberry.Private[str | None] = None

    @classmethod
    def of(cls, outcome: Any) -> Self:
        return cls(app_id=outcome)

    @strawberry.field(description="The app after the mutation. Null if there are userErrors.")
    def app(self, info: strawberry.Info) -> App | None:
        return read_back(info, apps.app_by_id, self.app_id)


@strawberry.type(description="Result of createApp.")
class CreateAppPayload(_AppPayload):
    pass


@strawberry.type(description="Result of updateApp.")
class UpdateAppPayload(_AppPayload):
    pass


@strawberry.type(description="Result of deleteApp.")
class DeleteAppPayload(Payload):
    deleted_app_id: strawberry.ID | None = strawberry.field(
        default=None, description="Id of the deleted app. Null if there are userErrors."
    )
    deleted_customer_count: int = strawberry.field(
        default=0, description="Number of customers deleted with the app."
    )
    deleted_license_count: int = strawberry.field(
        default=0, description="Number of licenses deleted with the app."
    )

    @classmethod
    def of(cls, outcome: DeletedApp) -> Self:
        return cls(
            deleted_app_id=strawberry.ID(outcome.id),
            deleted_customer_count=outcome.customer_count,
            deleted_license_count=outcome.license_count,
        )


@strawberry.input(description="The app that gets a new signing key.")
class RotateAppKeysInput:
    app_slug: str = strawberry.field(description="Slug of the app.")
    retire: RetireOldKey = strawberry.field(
        default=RetireOldKey.AFTER_LAST_EXPIRY, description="What happens to the old key."
    )


@strawberry.type(description="Result of rotateAppKeys.")
class RotateAppKeysPayload(_AppPayload):
    licenses_resigned: int = strawberry.field(
        default=0,
        description="Number of active licenses that got a token signed with the new key.",
    )

    @classmethod
    def of(cls, outcome: RotatedApp) -> Self:
        return cls(app_id=outcome.id, licenses_resigned=outcome.licenses_resigned)


@strawberry.type
class AppQueries:
    @strawberry.field(description="The app with this slug. Null if there is none.")
    async def app(
        self, info: strawberry.Info, slug: Annotated[str, strawberry.argument("Slug of the app.")]
    ) -> App | None:
        return await read(info, apps.app, slug)

    @strawberry.field(description="Apps of the account. A key that is limited to some apps sees only these.")
    async def apps(
        self,
        info: strawberry.Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
        order_by: Annotated[
            AppOrder | None, strawberry.argument("Sort order. Newest first by default.")
        ] = strawberry.UNSET,
    ) -> Connection[App]:
        return await read(info, apps.all_apps)


@strawberry.type
class AppMutations:
    @mutation(
        metadata=root_field(cost=SIGNING_KEY_COST),
        description="Create an app and its first signing key. Costs 2,000.",
    )
    async def create_app(
        self,
        info: strawberry.Info,
        input: Annotated[CreateAppInput, strawberry.argument("The app to create.")],
    ) -> CreateAppPayload | None:
        keyring = context_of(info).keyring
        return await mutate_alone(
            info, CreateAppPayload, apps.create_app, keyring, values_of(input), scope=Scope.WRITE_CATALOG
        )

    @mutation(description="Change an app. The slug cannot be changed.")
    async def update_app(
        self,
        info: strawberry.Info,
        input: Annotated[UpdateAppInput, strawberry.argument("The app and its new values.")],
    ) -> UpdateAppPayload | None:
        return await mutate(
            info,
            UpdateAppPayload,
            apps.update_app,
            input.slug,
            values_of(input),
            required_version(input),
            scope=Scope.WRITE_CATALOG,
        )

    @mutation(description="Permanently delete an app with all its customers, licenses, tiers and features.")
    async def delete_app(
        self,
        info: strawberry.Info,
        input: Annotated[DeleteAppInput, strawberry.argument("The app to delete.")],
    ) -> DeleteAppPayload | None:
        return await mutate_alone(
            info,
            DeleteAppPayload,
            apps.delete_app,
            input.slug,
            required_version(input),
            scope=Scope.WRITE_CATALOG,
        )

    @mutation(
        metadata=root_field(cost=SIGNING_KEY_COST),
        description="Replace the app's signing key. All active licenses get tokens signed with the new "
        "key, all at the same moment. Costs 2,000. Fails with WRONG_STATE if the app has too many active "
        "licenses. In that case, rotate the keys on the server's command line.",
    )
    async def rotate_app_keys(
        self,
        info: strawberry.Info,
        input: Annotated[
            RotateAppKeysInput, strawberry.argument("The app, and what happens to its old key.")
        ],
    ) -> RotateAppKeysPayload | None:
        resolver = partial(rotate_app_keys, immediately=input.retire is RetireOldKey.IMMEDIATELY)
        keyring = context_of(info).keyring
        return await mutate_alone(
            info, RotateAppKeysPayload, resolver, keyring, input.app_slug, scope=Scope.ROTATE_SIGNING_KEYS
        )
