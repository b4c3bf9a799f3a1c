"""Signing keys in the graph: an app's public keys, for verifying tokens. `schema.apps` has their rotation."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import strawberry

from db.apps import MOST_SIGNING_KEYS
from resolvers import signing_keys
from resolvers.signing_keys import PublishedKey
from schema.base.scalars import DateTime
from schema.pipeline.reading import read_plain
from schema.pipeline.root_fields import root_field
from schema.verification import AppSlugArgument


@strawberry.enum(description="What a signing key is used for.")
class SigningKeyStatus(Enum):
    NEXT = strawberry.enum_value(
        "NEXT", description="It signs after the next rotation. It is already published."
    )
    CURRENT = strawberry.enum_value("CURRENT", description="It signs all new tokens.")
    RETIRED = strawberry.enum_value(
        "RETIRED", description="It no longer signs. Tokens that it signed before can still be verified."
    )


@strawberry.type(description="A key that signs, will sign or has signed the tokens of an app's licenses.")
class SigningKey:
    kid: str = strawberry.field(
        description="Id of the key, as in the header `kid` of the tokens that the key signs."
    )
    status: SigningKeyStatus = strawberry.field(description="What the key is used for.")
    public_key_pem: str = strawberry.field(
        description="Public key for verifying tokens, as PEM (SubjectPublicKeyInfo)."
    )
    created_at: DateTime = strawberry.field(description="When the key was created.")
    retired_at: DateTime | None = strawberry.field(
        description="When a rotation replaced the key. Null if none has."
    )
    published_until: DateTime | None = strawberry.field(
        description="When a retired key stops being published: by default 60 days after its last token "
        "expires, or after its retirement if that is later. Null if the key is not retired, or if one of its "
        "tokens never expires."
    )


@strawberry.type
class SigningKeyQueries:
    @strawberry.field(
        metadata=root_field(count=lambda _: MOST_SIGNING_KEYS, most=MOST_SIGNING_KEYS),
        description="The published signing keys of an app: the next key, the current key, then retired keys, "
        f"newest first, {MOST_SIGNING_KEYS} at most. Null if no app has this slug.",
    )
    async def signing_keys(self, info: strawberry.Info, app_slug: AppSlugArgument) -> list[SigningKey] | None:
        return await read_plain(info, _FIELDS, signing_keys.published_keys, app_slug)


_FIELDS: Mapping[str, Callable[[PublishedKey], Any]] = {
    "kid": lambda found: found.kid,
    "status": lambda found: found.status.value,
    "publicKeyPem": lambda found: found.public_key_pem,
    "createdAt": lambda found: found.created_at,
    "retiredAt": lambda found: found.retired_at,
    "publishedUntil": lambda found: found.published_until,
    "__typename": lambda _: "SigningKey",
}
