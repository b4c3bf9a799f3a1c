"""Signing keys at /api/v1: for anybody to check tokens by, and to be replaced."""

import hashlib
from typing import Annotated, Literal

import orjson
from pydantic import AfterValidator, Field, RootModel
from starlette.responses import Response

from resolvers import rotation, signing_keys
from resolvers.inputs import Input, invalid
from resolvers.viewer import Scope
from rest import envelopes
from rest.apps import APP, query_in_app
from rest.envelopes import Answer, JsonResponse
from rest.errors import not_found
from rest.operations import Call, operation

PEM = "application/x-pem-file"

_IMMEDIATELY = "immediately"


class PublicKey(RootModel[str]):
    """The current public key as PEM (SubjectPublicKeyInfo)."""


class Jwk(Answer):
    """A public key (RFC 7517): of RSA with `n` and `e`, of Ed25519 with `crv` and `x`."""

    kty: Literal["RSA", "OKP"]
    use: Literal["sig"]
    alg: Literal["RS256", "EdDSA"]
    kid: str = Field(description="What the header of its tokens names it by.")
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""


class KeySet(Answer):
    """The keys by which tokens verify: the current one first, retired ones while their tokens are good."""

    keys: list[Jwk]


class RotatedKeys(Answer):
    """The signing key has been replaced."""

    message: str
    licenses_resigned: int = Field(description="How many live licenses have a token under the new key.")
    public_key_pem: str = Field(description="The new public key.")


class RotatedKeysAnswer(Answer):
    """The signing key has been replaced."""

    data: RotatedKeys


def _retire(word: str) -> str:
    if word != _IMMEDIATELY:
        raise invalid(f"must be {_IMMEDIATELY}, or left out")
    return word


class RotationQuery(Input):
    """What becomes of the keys before."""

    retire: Annotated[
        str,
        AfterValidator(_retire),
        Field(
            description="For a leaked key: with `immediately` no token signed before is good any more.",
            json_schema_extra={"enum": [_IMMEDIATELY]},
        ),
    ] = ""


@operation(
    "POST", f"{APP}/rotate-keys", scope=Scope.WRITE, query=RotationQuery, answers={200: RotatedKeysAnswer}
)
async def rotate_keys(call: Call) -> Response:
    """Replace the signing key. Every license that is neither revoked nor expired gets a new token."""
    query = await query_in_app(call, RotationQuery)
    slug, immediately = call.path["slug"], query.retire == _IMMEDIATELY
    rotated = await rotation.rotate_app_keys(call.viewer, call.database, slug, immediately=immediately)
    answer = RotatedKeys(
        message="Signing keys replaced",
        licenses_resigned=rotated.licenses_resigned,
        public_key_pem=await _current_pem(call),
    )
    return envelopes.one(answer.model_dump_json())


@operation(
    "GET",
    f"{APP}/public-key",
    scope=Scope.READ,
    key_optional=True,
    media_type=PEM,
    public=True,
    answers={200: PublicKey, 304: None},
)
async def get_public_key(call: Call) -> Response:
    """Get the current public key as PEM. No key is needed."""
    return _cacheable(call, Response(await _current_pem(call), media_type=PEM))


@operation(
    "GET",
    f"{APP}/jwks.json",
    scope=Scope.READ,
    key_optional=True,
    public=True,
    answers={200: KeySet, 304: None},
)
async def get_key_set(call: Call) -> Response:
    """Get the public keys as a key set (RFC 7517). No key is needed."""
    async with call.database.read() as session:
        keys = await signing_keys.key_set(session, call.path["slug"])
    if keys is None:
        raise not_found("app")
    return _cacheable(call, JsonResponse(orjson.dumps({"keys": keys})))


async def _current_pem(call: Call) -> str:
    async with call.database.read() as session:
        pem = await signing_keys.public_key_pem(session, call.path["slug"])
    if pem is None:
        raise not_found("app")
    return pem


def _cacheable(call: Call, response: Response) -> Response:
    """An answer that may be kept for five minutes, or the word that the caller's is still so."""
    tag = f'"{hashlib.sha256(response.body).hexdigest()}"'
    headers = {"Cache-Control": "public, max-age=300", "ETag": tag}
    known = {each.strip().removeprefix("W/") for each in call.headers.get("if-none-match", "").split(",")}
    if known & {tag, "*"}:
        return Response(status_code=304, headers=headers)
    response.headers.update(headers)
    return response
