"""Apps in the graph."""

from enum import Enum
from functools import partial
from typing import Annotated, Any, Self

import strawberry

from db.features import MOST_IN_APP
from resolvers import apps
from resolvers.apps import DeletedApp
from resolvers.inputs import DESCRIPTION_LENGTH, NAME_LENGTH
from resolvers.keyring import Algorithm
from resolvers.rotation import RotatedApp, rotate_app_keys
from schema.arguments import InputArgument, values_of
from schema.connections import (
    After,
    Before,
    Connection,
    First,
    Last,
    Node,
    OrderDirection,
    answered_by_root,
)
from schema.cost import SIGNING_KEY_COST, costs
from schema.customers import Customer, CustomerFilterArgument, CustomerOrderArgument, CustomerRefArgument
from schema.features import Feature, FeatureSlugArgument
from schema.licenses import License, LicenseFilterArgument, LicenseOrderArgument, LicenseRefArgument
from schema.payloads import Payload, mutate, mutate_alone, read_back
from schema.reading import read
from schema.scalars import DateTime
from schema.tiers import Tier, TierSlugArgument


# The values are the names that tokens use (RFC 7518, RFC 8037).
@strawberry.enum(description="How an app's tokens are signed. It is chosen once, when the app is made.")
class SigningAlgorithm(Enum):
    RS256 = strawberry.enum_value(
        Algorithm.RS256.jwa, description="RSA with SHA-256: what every verifier knows."
    )
    EDDSA = strawberry.enum_value(
        Algorithm.EDDSA.jwa, description="Ed25519: short tokens, signed and verified fast."
    )


@strawberry.enum(description="What becomes of the keys that a rotation replaces.")
class RetireOldKey(Enum):
    AFTER_LAST_EXPIRY = strawberry.enum_value(
        "after_last_expiry",
        description="They stay in the key set until 30 days after the last token they signed has expired.",
    )
    IMMEDIATELY = strawberry.enum_value(
        "immediately", description="They leave the key set now, and so do all that were retired before."
    )


@strawberry.type(description="Something a vendor sells licenses for.")
class App(Node):
    id: strawberry.ID = strawberry.field(description="Global id, app_…")
    slug: str = strawberry.field(description="Its name in addresses and tokens. It never changes.")
    name: str = strawberry.field(description="Its name for people.")
    description: str | None = strawberry.field(description="What it is.")
    webhook_url: str | None = strawberry.field(description="Where events of its licenses are sent.")
    signing_algorithm: SigningAlgorithm = strawberry.field(
        description="How tokens of its licenses are signed."
    )
    public_key_pem: str = strawberry.field(
        description="The current public key that verifies tokens, as PEM (SubjectPublicKeyInfo)."
    )
    created_at: DateTime = strawberry.field(description="When it was made.")
    updated_at: DateTime = strawberry.field(description="When it was last changed.")

    @strawberry.field(description="One of the app's customers; null when there is none such.")
    def customer(self, by: CustomerRefArgument) -> Customer | None:
        return answered_by_root()

    @strawberry.field(description="The app's customers.")
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

    @strawberry.field(description="The app's licenses, of all its customers.")
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

    @strawberry.field(description="One of the app's licenses; null when there is none such.")
    def license(self, by: LicenseRefArgument) -> License | None:
        return answered_by_root()

    @strawberry.field(description="The tier of this slug; null when there is none.")
    def tier(self, slug: TierSlugArgument) -> Tier | None:
        return answered_by_root()

    @strawberry.field(description="The app's tiers, by position and then by slug.")
    def tiers(
        self,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> Connection[Tier]:
        return answered_by_root()

    @strawberry.field(description="The feature of this slug; null when there is none.")
    def feature(self, slug: FeatureSlugArgument) -> Feature | None:
        return answered_by_root()

    @strawberry.field(description=f"The app's features, by slug; at most {MOST_IN_APP}.")
    def features(
        self,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
    ) -> Connection[Feature]:
        return answered_by_root()


@strawberry.enum(description="What apps can be ordered by.")
class AppOrderField(Enum):
    CREATED_AT = strawberry.enum_value("created_at", description="When the app was made.")
    NAME = strawberry.enum_value("name", description="Name, by code point of its folded letters.")
    SLUG = strawberry.enum_value("slug", description="Slug.")


@strawberry.input(description="The order of apps.")
class AppOrder:
    field: AppOrderField = strawberry.field(description="What to order by; the id breaks ties.")
    direction: OrderDirection = strawberry.field(default=OrderDirection.ASC, description="Which way.")


@strawberry.input(description="A new app.")
class CreateAppInput:
    name: str = strawberry.field(description=f"Name for people, at most {NAME_LENGTH} characters.")
    slug: str = strawberry.field(
        description="1 to 63 of a-z, 0-9 and inner hyphens; unique in the installation, and never changed."
    )
    description: str | None = strawberry.field(
        default=strawberry.UNSET, description=f"What it is, at most {DESCRIPTION_LENGTH} characters."
    )
    webhook_url: str | None = strawberry.field(
        default=strawberry.UNSET, description="An absolute https URL (http where the installation allows it)."
    )
    signing_algorithm: SigningAlgorithm = strawberry.field(
        default=SigningAlgorithm.RS256, description="How tokens of its licenses are signed."
    )


@strawberry.input(description="Changes to an app. A field left out is unchanged, null clears it.")
class UpdateAppInput:
    slug: str = strawberry.field(description="The app.")
    name: str | None = strawberry.field(default=strawberry.UNSET, description="Name; cannot be cleared.")
    description: str | None = strawberry.field(default=strawberry.UNSET, description="What it is.")
    webhook_url: str | None = strawberry.field(default=strawberry.UNSET, description="Where events are sent.")


@strawberry.input(description="Which app to delete.")
class DeleteAppInput:
    slug: str = strawberry.field(description="The app.")


@strawberry.type
class _AppPayload(Payload):
    app_id: strawberry.Private[str | None] = None

    @classmethod
    def of(cls, outcome: Any) -> Self:
        return cls(app_id=outcome)

    @strawberry.field(description="The app as it is now; null when there are userErrors.")
    def app(self, info: strawberry.Info) -> App | None:
        return read_back(info, apps.app_by_id, self.app_id)


@strawberry.type(description="What createApp did.")
class CreateAppPayload(_AppPayload):
    pass


@strawberry.type(description="What updateApp did.")
class UpdateAppPayload(_AppPayload):
    pass


@strawberry.type(description="What deleteApp did.")
class DeleteAppPayload(Payload):
    deleted_app_id: strawberry.ID | None = strawberry.field(
        default=None, description="The id that is gone; null when there are userErrors."
    )
    deleted_customer_count: int = strawberry.field(default=0, description="How many customers went with it.")
    deleted_license_count: int = strawberry.field(default=0, description="How many licenses went with it.")

    @classmethod
    def of(cls, outcome: DeletedApp) -> Self:
        return cls(
            deleted_app_id=strawberry.ID(outcome.id),
            deleted_customer_count=outcome.customer_count,
            deleted_license_count=outcome.license_count,
        )


@strawberry.input(description="Which app gets a new signing key.")
class RotateAppKeysInput:
    app_slug: str = strawberry.field(description="The app.")
    retire: RetireOldKey = strawberry.field(
        default=RetireOldKey.AFTER_LAST_EXPIRY, description="What becomes of the keys before it."
    )


@strawberry.type(description="What rotateAppKeys did.")
class RotateAppKeysPayload(_AppPayload):
    licenses_resigned: int = strawberry.field(
        default=0,
        description="How many licenses, neither revoked nor expired, have a token under the new key.",
    )

    @classmethod
    def of(cls, outcome: RotatedApp) -> Self:
        return cls(app_id=outcome.id, licenses_resigned=outcome.licenses_resigned)


SlugArgument = strawberry.argument(description="The app's slug.")
AppOrderArgument = strawberry.argument(description="The order; newest first when left out.")


@strawberry.type
class AppQueries:
    @strawberry.field(description="The app of this slug; null when there is none.")
    async def app(self, info: strawberry.Info, slug: Annotated[str, SlugArgument]) -> App | None:
        return await read(info, apps.app, slug)

    @strawberry.field(description="The account's apps.")
    async def apps(
        self,
        info: strawberry.Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
        order_by: Annotated[AppOrder | None, AppOrderArgument] = strawberry.UNSET,
    ) -> Connection[App]:
        return await read(info, apps.all_apps)


@strawberry.type
class AppMutations:
    @strawberry.mutation(
        metadata=costs(SIGNING_KEY_COST),
        description="Make an app. Its signing key is made with it, which costs 2,000.",
    )
    async def create_app(
        self, info: strawberry.Info, input: Annotated[CreateAppInput, InputArgument]
    ) -> CreateAppPayload | None:
        return await mutate_alone(info, CreateAppPayload, apps.create_app, values_of(input))

    @strawberry.mutation(description="Change an app. Its slug stays.")
    async def update_app(
        self, info: strawberry.Info, input: Annotated[UpdateAppInput, InputArgument]
    ) -> UpdateAppPayload | None:
        return await mutate(info, UpdateAppPayload, apps.update_app, input.slug, values_of(input))

    @strawberry.mutation(description="Delete an app with all its customers and licenses, for good.")
    async def delete_app(
        self, info: strawberry.Info, input: Annotated[DeleteAppInput, InputArgument]
    ) -> DeleteAppPayload | None:
        return await mutate_alone(info, DeleteAppPayload, apps.delete_app, input.slug)

    @strawberry.mutation(
        metadata=costs(SIGNING_KEY_COST),
        description="Give an app a new signing key. All its live licenses get a token "
        "under it at one moment. It costs 2,000. An app with very many of them is WRONG_STATE: a command "
        "does it.",
    )
    async def rotate_app_keys(
        self, info: strawberry.Info, input: Annotated[RotateAppKeysInput, InputArgument]
    ) -> RotateAppKeysPayload | None:
        resolver = partial(rotate_app_keys, immediately=input.retire is RetireOldKey.IMMEDIATELY)
        return await mutate_alone(info, RotateAppKeysPayload, resolver, input.app_slug)
