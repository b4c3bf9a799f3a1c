"""API keys at /api/v1."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import BeforeValidator, Field
from starlette.responses import Response

from db.shaping.selection import Scalar, Selected
from resolvers import api_keys
from resolvers.api_keys import AppSlugs, CreateApiKey, RotateApiKey, UpdateApiKey
from resolvers.costs import MUTATION_COST
from resolvers.errors import Faults
from resolvers.inputs import UNCHANGED, invalid
from resolvers.reading import Json
from resolvers.viewer import KeyKind, Scope
from rest import envelopes
from rest.envelopes import ABOUT_META, BASE, Answer, AnyMeta, Shows, cost_of, fields_of
from rest.errors import not_found
from rest.operations import Call, operation
from rest.paging import TRUE_OR_FALSE, PageQuery, cost_of_page

KEYS = f"{BASE}/api-keys"
KEY = f"{KEYS}/{{id}}"

KindWord = Literal["secret", "public", "restricted", "session"]


class ApiKey(Answer):
    """An API key, without its token."""

    id: str = Field(description="Id, starting with key_.")
    name: str | None = Field(description="Display name, if the key has one.")
    kind: Annotated[KindWord, Shows("kind_word")] = Field(description="Kind of the key.")
    prefix: str = Field(description="Beginning of the key's token.")
    last4: str = Field(description="Last four characters of the key's token.")
    scopes: Annotated[list[str], Shows("scope_words")] = Field(
        description="Scopes of the key: what it may do."
    )
    apps: Annotated[list[str] | None, Shows("app_slugs")] = Field(
        description="Slugs of the apps that the key can reach, sorted. Null for every app of the account."
    )
    origins: list[str] | None = Field(
        description="Origins of the pages that may use the key. Null if the key works from everywhere."
    )
    documents: Annotated[Literal["any", "registered"], Shows("documents_word")] = Field(
        description="GraphQL documents that the key may send. A key that may only send registered documents "
        "cannot use this API."
    )
    created_at: datetime = Field(description="When the key was created.")
    last_used_at: datetime | None = Field(
        description="When the key was last used. A use is shown after 10 seconds at most. Null if the key "
        "was not used in the last 90 days."
    )
    expires_at: datetime | None = Field(description="When the key expires. Null if it never expires.")
    revoked_at: datetime | None = Field(description="When the key was revoked. Null if it is not revoked.")


class ApiKeyWithToken(ApiKey):
    """An API key with its token, which is not stored and never shown again."""

    key: str = Field(description="The token, which is sent with requests: `Authorization: Bearer …`.")


class ApiKeyAnswer(Answer):
    """One API key."""

    data: ApiKey = Field(description="The API key.")


class ApiKeyWithTokenAnswer(Answer):
    """One API key with its token."""

    data: ApiKeyWithToken = Field(description="The API key.")


class ApiKeyPage(Answer):
    """A page of API keys."""

    data: list[ApiKey] = Field(description="API keys on this page.")
    meta: AnyMeta = Field(description=ABOUT_META)


def _kind(word: object) -> object:
    if word not in tuple(KeyKind):
        raise invalid(f"must be one of: {', '.join(KeyKind)}")
    return KeyKind(str(word))


class ApiKeysQuery(PageQuery):
    """Selects API keys that meet all given conditions. An empty condition is ignored."""

    noun: ClassVar[str] = "ApiKey"

    kind: Annotated[KeyKind | None, BeforeValidator(_kind, json_schema_input_type=KindWord)] = Field(
        None, description="Kind of the key. By default, keys of all kinds except sessions are returned."
    )
    live: Annotated[bool | None, TRUE_OR_FALSE] = Field(
        None, description="true selects keys that work, false selects keys that are revoked or expired."
    )


class NewApiKey(CreateApiKey):
    """A new API key. It can do no more than the key of the request.

    If a limit (apps, origins, registered documents, expiry) is left out, the new key has the limit of the key
    of the request.
    """

    app_slugs: AppSlugs = Field(None, alias="apps")


class ChangedApiKey(UpdateApiKey):
    """Changes to an API key. Fields left out keep their values.

    null removes a limit if the key of the request has no such limit. Otherwise, null sets the limit that the
    key of the request has.
    """

    app_slugs: AppSlugs = Field(UNCHANGED, alias="apps")


_FIELDS = fields_of(ApiKey)
_ID = (Scalar("id", "id"),)


@operation("GET", KEYS, scope=Scope.MANAGE_KEYS, query=ApiKeysQuery, cost=None, answers={200: ApiKeyPage})
async def list_api_keys(call: Call) -> Response:
    """List API keys. Returns keys of the account, newest first.

    Sessions are only returned with `kind=session`. A key that is limited to some apps only sees keys that are
    limited to these apps.
    """
    query = call.checked(ApiKeysQuery, call.query)
    selected = query.selection(_FIELDS)
    call.spend(cost_of_page(selected))
    async with call.database.read() as session:
        return envelopes.page(await api_keys.all_api_keys(call.viewer, session, selected))


@operation(
    "POST",
    KEYS,
    scope=Scope.MANAGE_KEYS,
    body=NewApiKey,
    cost=MUTATION_COST + cost_of(_FIELDS),
    answers={201: ApiKeyWithTokenAnswer},
)
async def create_api_key(call: Call) -> Response:
    """Create an API key. Only this response has its token."""
    values = _values(await call.body())
    with _as_apps():
        async with call.database.write() as session:
            new = await api_keys.create_api_key(call.viewer, session, values)
    found = _with_token(await _require(call, new.id), new.token)
    return envelopes.unversioned(found, call.location(f"{KEYS}/{new.id}"))


@operation("GET", KEY, scope=Scope.MANAGE_KEYS, cost=cost_of(_FIELDS), answers={200: ApiKeyAnswer})
async def get_api_key(call: Call) -> Response:
    """Get an API key by id. Its token is not stored, so it is not returned."""
    return envelopes.unversioned(await _require(call, call.path["id"]))


@operation(
    "PUT PATCH",
    KEY,
    scope=Scope.MANAGE_KEYS,
    body=ChangedApiKey,
    cost=MUTATION_COST + cost_of(_FIELDS),
    answers={200: ApiKeyAnswer},
)
async def update_api_key(call: Call) -> Response:
    """Change an API key. PUT and PATCH do the same: fields left out keep their values."""
    await _require(call, call.path["id"], _ID)
    values = _values(await call.body())
    with _as_apps():
        async with call.database.write() as session:
            id = await api_keys.update_api_key(call.viewer, session, call.path["id"], values)
    return envelopes.unversioned(await _require(call, id))


@operation(
    "POST",
    f"{KEY}/rotate",
    scope=Scope.MANAGE_KEYS,
    body=RotateApiKey,
    body_optional=True,
    cost=MUTATION_COST + cost_of(_FIELDS),
    answers={200: ApiKeyWithTokenAnswer},
)
async def rotate_api_key(call: Call) -> Response:
    """Give an API key a new token. The previous token keeps working for `overlap_hours`."""
    await _require(call, call.path["id"], _ID)
    values = await call.body()
    async with call.database.write() as session:
        new = await api_keys.rotate_api_key(call.viewer, session, call.path["id"], values)
    return envelopes.unversioned(_with_token(await _require(call, new.id), new.token))


@operation("DELETE", KEY, scope=Scope.MANAGE_KEYS, cost=MUTATION_COST, answers={204: None})
async def revoke_api_key(call: Call) -> Response:
    """Revoke an API key. The last secret key without an expiry or a limit cannot be revoked (`conflict`)."""
    await _require(call, call.path["id"], _ID)
    async with call.database.write() as session:
        await api_keys.revoke_api_key(call.viewer, session, call.path["id"])
    return envelopes.nothing()


def _values(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body in which `apps` is named `app_slugs`, as in resolvers.

    The name `app_slugs` is unknown to callers, so a value with this name is ignored.
    """
    return {"app_slugs" if name == "apps" else name: body[name] for name in body if name != "app_slugs"}


@contextmanager
def _as_apps() -> Iterator[None]:
    """Rename the field `app_slugs` to `apps` in the resolvers' faults."""
    try:
        yield
    except Faults as error:
        raise Faults(
            replace(each, field=("apps", *each.field[1:])) if each.field[:1] == ("app_slugs",) else each
            for each in error.faults
        ) from None


def _with_token(key: Json, token: str) -> bytes:
    return orjson.dumps({**orjson.loads(key), "key": token})


async def _require(call: Call, id: str, fields: tuple[Scalar, ...] = _FIELDS) -> Json:
    async with call.database.read() as session:
        found = await api_keys.api_key(call.viewer, session, id, Selected(fields))
    if found is None:
        raise not_found("key")
    return found
