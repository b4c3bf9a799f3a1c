"""A key with origins is refused for requests from elsewhere, in the same way by both APIs."""

from datetime import timedelta

import httpx
import pytest
from structlog.testing import capture_logs

from db import clock
from db.customers import customers
from db.engine import Database
from tests.factories import Account, App, make_key
from tests.rest.expecting import stored
from tests.statements import Statements

PORTAL, PREVIEW = "https://portal.example", "https://*.preview.example"
REFUSED = "This key only works on pages of its origins, and the Origin of this request is not one of them."
QUERY, MUTATION = (
    "{ apps { totalCount } }",
    'mutation { createCustomer(input: {appSlug: "atlas", email: "a@b.example"}) { customer { id } } }',
)


async def answers(client: httpx.AsyncClient, key: str, *origins: str) -> list[httpx.Response]:
    """Return the responses to reads and writes, and to requests that need no key."""
    headers = [("Authorization", f"Bearer {key}"), *(("Origin", each) for each in origins)]
    verify = "/api/v1/apps/atlas/licenses/verify"
    return [
        await client.post("/graphql", json={"query": QUERY}, headers=headers),
        await client.get("/graphql", params={"query": QUERY}, headers=headers),
        await client.post("/graphql", json={"query": MUTATION}, headers=headers),
        await client.post("/graphql", json={"query": "{ __typename }"}, headers=headers),
        await client.get("/api/v1/apps", headers=headers),
        await client.post("/api/v1/apps/atlas/customers", json={"email": "b@b.example"}, headers=headers),
        await client.post(f"{verify}/batch", json={"jtis": ["x"]}, headers=headers),
    ]


@pytest.mark.parametrize(
    "origins",
    [
        [],
        ["https://foreign.example"],
        ["null"],
        [""],
        ["https://portal.example:8443"],
        ["http://portal.example"],
        ["https://a.b.preview.example"],
        [PREVIEW.replace("*.", "")],
        [PORTAL, PORTAL],
        [f"{PORTAL} https://foreign.example"],
    ],
)
async def test_a_key_with_origins_is_forbidden_elsewhere(
    client: httpx.AsyncClient, database: Database, account: Account, atlas: App, origins: list[str]
) -> None:
    key = await make_key(database, account, origins=[PORTAL, PREVIEW])

    got = await answers(client, key, *origins)

    for response in got[:4]:
        assert response.status_code == 403
        assert response.json() == {"errors": [{"message": REFUSED, "extensions": {"code": "FORBIDDEN"}}]}
    for response in got[4:]:
        assert response.status_code == 403
        assert response.json() == {"error": {"code": "forbidden", "message": REFUSED}}
    assert await stored(database, customers) == []


@pytest.mark.parametrize("origin", [PORTAL, "https://pr-7.preview.example"])
async def test_a_key_with_origins_works_on_their_pages(
    client: httpx.AsyncClient, database: Database, account: Account, atlas: App, origin: str
) -> None:
    key = await make_key(database, account, origins=[PORTAL, PREVIEW])

    assert [each.status_code for each in await answers(client, key, origin)] == [200] * 5 + [201, 200]


async def test_a_key_without_origins_works_everywhere(
    client: httpx.AsyncClient, database: Database, account: Account, atlas: App
) -> None:
    key = await make_key(database, account)

    assert (await answers(client, key))[0].status_code == 200
    assert (await answers(client, key, "https://foreign.example"))[0].status_code == 200


async def test_a_bad_key_is_unauthorized_wherever_it_comes_from(
    client: httpx.AsyncClient, database: Database, account: Account, atlas: App
) -> None:
    now = clock.now()
    revoked = await make_key(database, account, origins=[PORTAL], revoked_at=now)
    expired = await make_key(database, account, origins=[PORTAL], expires_at=now - timedelta(seconds=1))

    for key in (revoked, expired):
        for origins in ([], [PORTAL], ["https://foreign.example"]):
            assert {each.status_code for each in await answers(client, key, *origins)} == {401}


async def test_the_origins_of_a_key_take_no_statement_and_are_not_logged(
    client: httpx.AsyncClient, database: Database, account: Account, app: object, statements: Statements
) -> None:
    key = await make_key(database, account, origins=[PORTAL])
    headers = {"Authorization": f"Bearer {key}"}
    with statements.recorded(app.state.database) as sent, capture_logs() as logged:  # type: ignore[attr-defined]
        refused = await client.get("/api/v1/apps", headers=headers)

    assert refused.status_code == 403
    assert sent == []
    assert len(sent.authentications) == 1
    (line,) = logged
    assert line["key"].startswith("key_")
    assert "portal.example" not in str(logged)
