"""Messages for requests without a valid key. They are clear, and the same in both APIs."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import httpx
import pytest

from db import clock
from db.engine import Database
from db.events import command
from resolvers.keys import revoke_key
from resolvers.viewer import Policy
from tests.factories import Account, make_key
from tests.keyrings import SETTINGS

NO_KEY = "An API key is required. Send the header Authorization: Bearer sk_live_…"
NOT_A_BEARER = "The API key is not in the right header. Send it as Authorization: Bearer sk_live_…"
BAD_KEY = "The API key is unknown, expired or revoked."

QUERIES = [
    "{ apps { totalCount } }",
    'mutation { regenerateLicense(input: {id: "lic_1"}) { license { id } } }',
    'mutation { revokeLicense(input: {id: "lic_1"}) { license { id } } }',
]
PATHS = [
    ("GET", "/api/v1/apps"),
    ("DELETE", "/api/v1/apps/f"),
    ("POST", "/api/v1/apps/f/licenses/l/regenerate"),
]


@pytest.fixture
def settings() -> Mapping[str, Any]:
    return {**SETTINGS, "refused_limit_per_minute": 0}


async def told(client: httpx.AsyncClient, headers: dict[str, str]) -> set[str]:
    """Return the messages for requests of every kind, after checking that each request is refused."""
    sentences = set()
    for query in (*QUERIES, *QUERIES):  # first as new documents, then as known ones
        response = await client.post("/graphql", json={"query": query}, headers=headers)
        (error,) = response.json()["errors"]
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert error["extensions"] == {"code": "UNAUTHENTICATED"}
        assert "data" not in response.json()
        sentences.add(error["message"])
    for method, path in PATHS:
        content = "{}" if method == "POST" else None
        typed = {**headers, "Content-Type": "application/json"}
        response = await client.request(method, path, content=content, headers=typed)
        assert response.status_code == 401
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json()["error"]["code"] == "unauthorized"
        sentences.add(response.json()["error"]["message"])
    return sentences


async def test_a_missing_key(client: httpx.AsyncClient) -> None:
    assert await told(client, {}) == {NO_KEY}


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer  "},
        {"Authorization": "{key}"},
        {"Authorization": "Token {key}"},
        {"Authorization": "Basic c2tfbGl2ZTo="},
        {"Authorization": "Bearer:{key}"},
        {"X-Api-Key": "{key}"},
        {"X-API-KEY": "anything"},
        {"Authorization": "{key}", "X-Api-Key": "{key}"},
    ],
)
async def test_a_key_that_is_not_sent_as_a_bearer(
    client: httpx.AsyncClient, database: Database, account: Account, headers: dict[str, str]
) -> None:
    key = await make_key(database, account)

    assert await told(client, {name: text.format(key=key) for name, text in headers.items()}) == {
        NOT_A_BEARER
    }


async def test_a_key_that_is_not_valid(
    client: httpx.AsyncClient, database: Database, account: Account
) -> None:
    revoked = await make_key(database, account)
    async with database.write() as session:
        await revoke_key(session, command("keys revoke"), Policy(), revoked)
    expired = await make_key(database, account, expires_at=clock.now() - timedelta(seconds=1))
    good = await make_key(database, account)

    for key in (revoked, expired, good[:-1], good.upper(), f"{good} x", "sk_live_" + "0" * 32, "nonsense"):
        assert await told(client, {"Authorization": f"Bearer {key}"}) == {BAD_KEY}


async def test_what_needs_no_key_ignores_other_headers(client: httpx.AsyncClient) -> None:
    """Another header, such as `X-Api-Key`, may hold a key for a proxy in front of the server."""
    headers = {"X-Api-Key": "a proxy's"}
    query = '{ verifyLicense(appSlug: "nowhere", by: {jti: "x"}) { valid } }'

    response = await client.post("/graphql", json={"query": query}, headers=headers)

    assert response.json()["data"] == {"verifyLicense": None}
    verified = await client.get("/api/v1/apps/nowhere/licenses/verify", params={"jti": "x"}, headers=headers)
    assert verified.status_code == 404
