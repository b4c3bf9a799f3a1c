"""API keys in the graph."""

from enum import Enum
from typing import TYPE_CHECKING, Annotated, Self

import strawberry

from db.key_usage import MOST_DAYS
from db.keys import MOST_APPS
from resolvers import api_keys
from resolvers.api_keys import ApiKeyFilters, CreateApiKey, RotateApiKey, UpdateApiKey
from resolvers.keys import NewKey
from resolvers.viewer import DocumentPolicy as Policy
from resolvers.viewer import KeyKind as Kind
from resolvers.viewer import Scope as ScopeBelow
from schema.base.connections import After, Before, Connection, First, Last, Node, answered_by_root
from schema.base.inputs import input_of, values_of
from schema.base.payloads import Payload, mutate, mutation, read_back
from schema.base.scalars import Date, DateTime
from schema.pipeline.reading import read

if TYPE_CHECKING:
    from schema.apps import App


@strawberry.enum(description="Kind of an API key. There may be more kinds in the future.")
class KeyKind(Enum):
    SECRET = strawberry.enum_value(Kind.SECRET.value, description="Reads and writes. Keep it secret.")
    PUBLIC = strawberry.enum_value(Kind.PUBLIC.value, description="Only reads. It may be shown to anyone.")
    RESTRICTED = strawberry.enum_value(
        Kind.RESTRICTED.value, description="Has the scopes that it was given. Keep it secret."
    )
    SESSION = strawberry.enum_value(
        Kind.SESSION.value,
        description="Acts for one customer, and only shows that customer and their licenses.",
    )


@strawberry.enum(description="A permission of an API key. There may be more permissions in the future.")
class Scope(Enum):
    READ = strawberry.enum_value(
        ScopeBelow.READ.value, description="Read apps, tiers, features and licenses."
    )
    READ_CUSTOMERS = strawberry.enum_value(ScopeBelow.READ_CUSTOMERS.value, description="Read customers.")
    READ_TOKENS = strawberry.enum_value(
        ScopeBelow.READ_TOKENS.value,
        description="Read the tokens of licenses. Without this permission, tokens are null.",
    )
    READ_EVENTS = strawberry.enum_value(ScopeBelow.READ_EVENTS.value, description="Read events.")
    WRITE = strawberry.enum_value(
        ScopeBelow.WRITE.value, description="Run any mutation. It implies all permissions below."
    )
    WRITE_CUSTOMERS = strawberry.enum_value(
        ScopeBelow.WRITE_CUSTOMERS.value, description="Create, change and delete customers."
    )
    WRITE_LICENSES = strawberry.enum_value(
        ScopeBelow.WRITE_LICENSES.value,
        description="Issue, regenerate, revoke, reinstate and delete licenses.",
    )
    WRITE_CATALOG = strawberry.enum_value(
        ScopeBelow.WRITE_CATALOG.value, description="Create, change and delete apps, tiers and features."
    )
    ROTATE_SIGNING_KEYS = strawberry.enum_value(
        ScopeBelow.ROTATE_SIGNING_KEYS.value, description="Replace the signing keys of apps."
    )
    MANAGE_KEYS = strawberry.enum_value(
        ScopeBelow.MANAGE_KEYS.value,
        description="Read, create, change, rotate and revoke API keys. Read, register and delete documents.",
    )
    MANAGE_WEBHOOKS = strawberry.enum_value(ScopeBelow.MANAGE_WEBHOOKS.value, description="Manage webhooks.")


@strawberry.enum(description="Which documents an API key may send.")
class DocumentPolicy(Enum):
    ANY = strawberry.enum_value(Policy.ANY.value, description="Any document.")
    REGISTERED = strawberry.enum_value(Policy.REGISTERED.value, description="Registered documents only.")


@strawberry.type(description="How much an API key was used on one day.")
class KeyUsage:
    day: Date = strawberry.field(description="The day, in UTC.")
    requests: int = strawberry.field(description="Number of requests.")
    points: int = strawberry.field(description="Points that the requests cost.")
    refused: int = strawberry.field(description="Number of requests that were refused because of a limit.")


Days = Annotated[
    int,
    strawberry.argument(description=f"Number of days, 1 to {MOST_DAYS}. The last of them is today."),
]


@strawberry.type(
    description="An API key. The server does not store its token, and shows the token only when the key is "
    "created or rotated."
)
class ApiKey(Node):
    id: strawberry.ID = strawberry.field(description="Id, starting with key_.")
    kind: KeyKind = strawberry.field(description="Kind of the key.")
    name: str | None = strawberry.field(description="Display name, if the key has one.")
    prefix: str = strawberry.field(
        description="Beginning of the key's token: sk_live_, pk_live_, rk_live_ or cs_live_."
    )
    last4: str = strawberry.field(description="Last four characters of the key's token.")
    scopes: list[Scope] = strawberry.field(description="Permissions of the key, in the order of Scope.")

    @strawberry.field(
        description="Apps that the key can reach, sorted by slug. Null if it can reach every app of the "
        "account, including later ones. A deleted app is not in the list. This field costs "
        f"{MOST_APPS}, the maximum number of apps."
    )
    def apps(self) -> list[Annotated["App", strawberry.lazy("schema.apps")]] | None:
        return answered_by_root()

    origins: list[str] | None = strawberry.field(
        description="Origins of the pages that may use the key. Null if the key works from everywhere."
    )
    documents: DocumentPolicy = strawberry.field(description="Which documents the key may send.")
    document_sets: list[str] | None = strawberry.field(
        description="Sets whose documents the key may send, if the field documents is REGISTERED. Null "
        "stands for every set."
    )
    created_at: DateTime = strawberry.field(description="When the key was created.")

    @strawberry.field(
        description="Key that created this key. Null if this key was created on the command line, or if the "
        "request cannot see that key."
    )
    def created_by(self) -> Annotated["ApiKey", strawberry.lazy("schema.keys")] | None:
        return answered_by_root()

    expires_at: DateTime | None = strawberry.field(
        description="When the key expires. Null if it never expires."
    )
    revoked_at: DateTime | None = strawberry.field(
        description="When the key was revoked. Null if it is not revoked."
    )
    last_used_at: DateTime | None = strawberry.field(
        description="When the key was last used. Can be up to 10 seconds late. Null if it was not used in "
        f"the last {MOST_DAYS} days."
    )

    @strawberry.field(
        description="Usage of each day on which the key was used, oldest first. This field costs the number "
        "of days."
    )
    def usage(self, days: Days = 30) -> list[KeyUsage]:
        return answered_by_root()


@input_of(ApiKeyFilters)
class ApiKeyFilter:
    kind: KeyKind | None


ApiKeyFilterArgument = Annotated[
    ApiKeyFilter | None,
    strawberry.argument(
        description="Return only matching keys. By default, all keys except sessions are returned."
    ),
]


@strawberry.type
class ApiKeyQueries:
    @strawberry.field(
        description="API keys of the account, newest first. A key that is limited to some apps sees only "
        "keys that are limited to these apps."
    )
    async def api_keys(
        self,
        info: strawberry.Info,
        first: First = strawberry.UNSET,
        after: After = strawberry.UNSET,
        last: Last = strawberry.UNSET,
        before: Before = strawberry.UNSET,
        filter: ApiKeyFilterArgument = strawberry.UNSET,
    ) -> Connection[ApiKey]:
        return await read(info, api_keys.all_api_keys)


@input_of(CreateApiKey)
class CreateApiKeyInput:
    kind: KeyKind
    scopes: list[Scope] | None
    documents: DocumentPolicy | None


@input_of(UpdateApiKey)
class UpdateApiKeyInput:
    id: strawberry.ID = strawberry.field(description="Id of the key to change.")
    scopes: list[Scope] | None
    documents: DocumentPolicy | None


@input_of(RotateApiKey)
class RotateApiKeyInput:
    """The key that gets a new token."""

    id: strawberry.ID = strawberry.field(description="Id of the key.")
    overlap_hours: int = 24


@strawberry.input(description="The key to revoke.")
class RevokeApiKeyInput:
    id: strawberry.ID = strawberry.field(description="Id of the key.")


@strawberry.type
class _ApiKeyPayload(Payload):
    api_key_id: strawberry.Private[str | None] = None

    @classmethod
    def of(cls, outcome: str) -> Self:
        return cls(api_key_id=outcome)

    @strawberry.field(description="The key after the mutation. Null if there are userErrors.")
    def api_key(self, info: strawberry.Info) -> ApiKey | None:
        return read_back(info, api_keys.api_key, self.api_key_id)


@strawberry.type
class _TokenPayload(_ApiKeyPayload):
    token: str | None = strawberry.field(
        default=None,
        description="The new token, which is sent with requests. It is not stored, and never shown again. "
        "Null if there are userErrors.",
    )

    @classmethod
    def of(cls, outcome: NewKey) -> Self:  # type: ignore[override]
        return cls(api_key_id=outcome.id, token=outcome.token)


@strawberry.type(description="Result of createApiKey.")
class CreateApiKeyPayload(_TokenPayload):
    pass


@strawberry.type(description="Result of updateApiKey.")
class UpdateApiKeyPayload(_ApiKeyPayload):
    pass


@strawberry.type(description="Result of rotateApiKey.")
class RotateApiKeyPayload(_TokenPayload):
    pass


@strawberry.type(description="Result of revokeApiKey.")
class RevokeApiKeyPayload(_ApiKeyPayload):
    pass


@strawberry.type
class ApiKeyMutations:
    @mutation(description="Create an API key. It can do no more than the key of the request.")
    async def create_api_key(
        self,
        info: strawberry.Info,
        input: Annotated[CreateApiKeyInput, strawberry.argument("The key to create.")],
    ) -> CreateApiKeyPayload | None:
        return await mutate(
            info,
            CreateApiKeyPayload,
            api_keys.create_api_key,
            values_of(input),
            scope=ScopeBelow.MANAGE_KEYS,
        )

    @mutation(
        description="Change an API key. Fails with NOT_FOUND if the key can do more than the key of the "
        "request. The same applies to rotateApiKey and revokeApiKey."
    )
    async def update_api_key(
        self,
        info: strawberry.Info,
        input: Annotated[UpdateApiKeyInput, strawberry.argument("The key and its new values.")],
    ) -> UpdateApiKeyPayload | None:
        return await mutate(
            info,
            UpdateApiKeyPayload,
            api_keys.update_api_key,
            input.id,
            values_of(input),
            scope=ScopeBelow.MANAGE_KEYS,
        )

    @mutation(description="Give an API key a new token. The previous token keeps working for overlapHours.")
    async def rotate_api_key(
        self,
        info: strawberry.Info,
        input: Annotated[RotateApiKeyInput, strawberry.argument("The key to rotate.")],
    ) -> RotateApiKeyPayload | None:
        return await mutate(
            info,
            RotateApiKeyPayload,
            api_keys.rotate_api_key,
            input.id,
            values_of(input),
            scope=ScopeBelow.MANAGE_KEYS,
        )

    @mutation(
        description="Revoke an API key for good. It stops working within a second. The last secret key "
        "without an expiry or a limit cannot be revoked (WRONG_STATE). Revoking a revoked key changes "
        "nothing."
    )
    async def revoke_api_key(
        self,
        info: strawberry.Info,
        input: Annotated[RevokeApiKeyInput, strawberry.argument("The key to revoke.")],
    ) -> RevokeApiKeyPayload | None:
        return await mutate(
            info, RevokeApiKeyPayload, api_keys.revoke_api_key, input.id, scope=ScopeBelow.MANAGE_KEYS
        )
