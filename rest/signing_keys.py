"""Signing keys at /api/v1: the public keys, which anyone can read, and key rotation."""

import hashlib
from typing import Annotated, Literal

import orjson
from pydantic import BeforeValidator, ConfigDict, Field, RootModel
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from resolvers import rotation, signing_keys
from resolvers.costs import SIGNING_KEY_COST
from resolvers.inputs import Input, invalid
from resolvers.viewer import Scope
from rest import envelopes
from rest.apps import APP, require_app
from rest.envelopes import Answer, JsonResponse
from rest.errors import not_found
from rest.operations import Call, operation

PEM = "application/x-pem-file"

_IMMEDIATELY = "immediately"
_FIVE_MINUTES = "public, max-age=300"
# For a key set that lacks the next key, because that key is still being created. A cached copy could lack the
# key when it begins to sign.
_ASK_AGAIN = "public, no-cache"


class PublicKey(RootModel[str]):
    """The current public key as PEM (SubjectPublicKeyInfo)."""


class Jwk(Answer):
    """A public key (RFC 7517). An RSA key has `n` and `e`, an Ed25519 key has `crv` and `x`."""

    kty: Literal["RSA", "OKP"] = Field(description="Key type: `RSA`, or `OKP` for Ed25519.")
    use: Literal["sig"] = Field(description="Use of the key: signatures.")
    alg: Literal["RS256", "EdDSA"] = Field(description="Algorithm of the tokens that the key signs.")
    kid: str = Field(description="Id of the key, as in the header of the tokens that the key signs.")
    n: str = Field("", description="Modulus of an RSA key, base64url.")
    e: str = Field("", description="Exponent of an RSA key, base64url.")
    crv: str = Field("", description="Curve of an Ed25519 key: `Ed25519`.")
    x: str = Field("", description="Public key of an Ed25519 key, base64url.")


class KeySet(Answer):
    """Keys that verify tokens: the current key, the next key, and older keys with tokens still in use."""

    keys: list[Jwk] = Field(
        description="Public keys: the current key, then the key that signs after the next rotation, then "
        "older keys."
    )


class RotatedKeys(Answer):
    """Result of replacing the signing key."""

    message: str = Field(description="Confirmation, in words.")
    licenses_resigned: int = Field(
        description="Number of active licenses that got a token signed with the new key."
    )
    public_key_pem: str = Field(description="The new public key, as PEM (SubjectPublicKeyInfo).")


class RotatedKeysAnswer(Answer):
    """The signing key has been replaced."""

    data: RotatedKeys = Field(description="Result of the rotation.")


def _retire(value: object) -> object:
    if value != _IMMEDIATELY:
        raise invalid(f"must be {_IMMEDIATELY} or left out")
    return value


class Rotation(Input):
    """What happens to the previous keys. Send this in the query or in the body."""

    # Unlike in other operations, unknown names are refused. If a key has leaked, a misspelled `retire` must
    # not be ignored.
    model_config = ConfigDict(extra="forbid")

    retire: Annotated[
        Literal["immediately"] | SkipJsonSchema[None],
        BeforeValidator(_retire),
        Field(
            description="`immediately` stops publishing all previous keys, so that older tokens are no "
            "longer valid. Use this value if a key has leaked. By default, old tokens stay valid until "
            "they expire.",
        ),
    ] = None


@operation(
    "POST",
    f"{APP}/rotate-keys",
    scope=Scope.ROTATE_SIGNING_KEYS,
    query=Rotation,
    body=Rotation,
    body_optional=True,
    check_first=require_app,
    cost=SIGNING_KEY_COST + 1,
    answers={200: RotatedKeysAnswer},
)
async def rotate_keys(call: Call) -> Response:
    """Replace the signing key of an app. Every active license gets a new token.

    Unknown query parameters and unknown keys of the body are refused.
    """
    asked = [call.checked(Rotation, values) for values in (call.query, await call.body())]
    slug, immediately = call.path["slug"], any(each.retire for each in asked)
    rotated = await rotation.rotate_app_keys(
        call.viewer, call.database, call.keyring, slug, immediately=immediately
    )
    answer = RotatedKeys(
        message="Signing keys replaced",
        licenses_resigned=rotated.licenses_resigned,
        public_key_pem=await _current_pem(call),
    )
    return envelopes.unversioned(answer.model_dump_json())


@operation(
    "GET",
    f"{APP}/public-key",
    scope=Scope.READ,
    key_optional=True,
    media_type=PEM,
    public=True,
    any_origin=True,
    cost=1,
    answers={200: PublicKey, 304: None},
)
async def get_public_key(call: Call) -> Response:
    """Get the current public key as PEM. No API key is needed."""
    return _cacheable(call, Response(await _current_pem(call), media_type=PEM), _FIVE_MINUTES)


@operation(
    "GET",
    f"{APP}/jwks.json",
    scope=Scope.READ,
    key_optional=True,
    public=True,
    any_origin=True,
    cost=1,
    answers={200: KeySet, 304: None},
)
async def get_key_set(call: Call) -> Response:
    """Get the public keys as a JWK set (RFC 7517). No API key is needed.

    A response may be cached as long as its `Cache-Control` allows, usually for five minutes. Every key is
    published before it begins to sign, so a cached set has all keys that sign tokens.
    """
    async with call.database.read() as session:
        found = await signing_keys.key_set(call.viewer, session, call.path["slug"])
    if found is None:
        raise not_found("app")
    caching = _FIVE_MINUTES if found.has_next else _ASK_AGAIN
    return _cacheable(call, JsonResponse(orjson.dumps({"keys": found.keys})), caching)


async def _current_pem(call: Call) -> str:
    async with call.database.read() as session:
        pem = await signing_keys.public_key_pem(session, call.path["slug"])
    if pem is None:
        raise not_found("app")
    return pem


def _cacheable(call: Call, response: Response, caching: str) -> Response:
    """Return a response that may be cached, or 304 if the caller already has the current content."""
    tag = f'"{hashlib.sha256(response.body).hexdigest()}"'
    headers = {"Cache-Control": caching, "ETag": tag}
    known = {each.strip().removeprefix("W/") for each in call.headers.get("if-none-match", "").split(",")}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return response
