"""Apps in the graph."""

from enum import Enum
from typing import Annotated, Self

import strawberry

from resolvers import apps
from resolvers.apps import DeletedApp
from resolvers.inputs import DESCRIPTION_LENGTH, NAME_LENGTH
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
from schema.customers import Customer, CustomerFilterArgument, CustomerOrderArgument, CustomerRefArgument
from schema.licenses import License, LicenseFilterArgument, LicenseOrderArgument
from schema.payloads import Payload, mutate, read_back
from schema.reading import read
from schema.scalars import DateTime


@strawberry.type(description="Something a vendor sells licenses for.")
class App(Node):
    id: strawberry.ID = strawberry.field(description="Global id, app_…")
    slug: str = strawberry.field(description="Its name in addresses and tokens. It never changes.")
    name: str = strawberry.field(description="Its name for people.")
    description: str | None = strawberry.field(description="What it is.")
    webhook_url: str | None = strawberry.field(description="Where events of its licenses are sent.")
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
    def of(cls, outcome: str) -> Self:
        return cls(app_id=outcome)

    @strawberry.field(description="The app as it is now; null when there are userErrors.")
    async def app(self, info: strawberry.Info) -> App | None:
        return await read_back(info, apps.app_by_id, self.app_id)


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
    @strawberry.mutation(description="Make an app.")
    async def create_app(
        self, info: strawberry.Info, input: Annotated[CreateAppInput, InputArgument]
    ) -> CreateAppPayload | None:
        return await mutate(info, CreateAppPayload, apps.create_app, values_of(input))

    @strawberry.mutation(description="Change an app. Its slug stays.")
    async def update_app(
        self, info: strawberry.Info, input: Annotated[UpdateAppInput, InputArgument]
    ) -> UpdateAppPayload | None:
        return await mutate(info, UpdateAppPayload, apps.update_app, input.slug, values_of(input))

    @strawberry.mutation(description="Delete an app with all its customers and licenses, for good.")
    async def delete_app(
        self, info: strawberry.Info, input: Annotated[DeleteAppInput, InputArgument]
    ) -> DeleteAppPayload | None:
        return await mutate(info, DeleteAppPayload, apps.delete_app, input.slug)
