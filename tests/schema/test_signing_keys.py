"""signingKeys: the published keys of an app, what each is used for, and who may read them."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from starlette.applications import Starlette

from db import clock
from db.engine import Database
from db.signing_keys import NEVER
from tests.factories import Account, App, make_account, make_app, make_key, make_signing_key
from tests.schema.conftest import Graph
from tests.statements import Statements, assert_one

KEYS = '{ signingKeys(appSlug: "atlas") { kid status publicKeyPem createdAt retiredAt publishedUntil } }'
STATUSES = '{ signingKeys(appSlug: "atlas") { status } }'
ROTATE = """mutation($retire: RetireOldKey!) {
  rotateAppKeys(input: {appSlug: "atlas", retire: $retire}) { userErrors { code } }
}"""


@pytest.fixture
async def atlas(database: Database, account: Account) -> App:
    return await make_app(database, account, slug="atlas")


async def test_the_next_key_comes_first_then_the_current_one_then_retired_ones(
    graph: Graph, database: Database, atlas: App
) -> None:
    now = clock.now()
    long_ago = now - timedelta(days=100)
    after = await make_signing_key(database, atlas, 2)
    retired = await make_signing_key(
        database, atlas, 0, retired_at=long_ago, last_expiry=datetime(2099, 1, 1, tzinfo=UTC)
    )
    forever = await make_signing_key(database, atlas, -1, retired_at=long_ago, last_expiry=NEVER)
    await make_signing_key(database, atlas, -2, retired_at=long_ago, last_expiry=long_ago)
    await make_signing_key(database, atlas, -3, retired_at=long_ago, dropped_at=now)

    found = (await graph.data(KEYS))["signingKeys"]

    app = (await graph.data('{ app(slug: "atlas") { publicKeyPem createdAt } }'))["app"]
    current = found[1]
    assert [(key["kid"], key["status"], key["retiredAt"], key["publishedUntil"]) for key in found] == [
        (after, "NEXT", None, None),
        (current["kid"], "CURRENT", None, None),
        (retired, "RETIRED", clock.as_text(long_ago), "2099-03-02T00:00:00Z"),
        (forever, "RETIRED", clock.as_text(long_ago), None),
    ]
    assert current["publicKeyPem"] == app["publicKeyPem"]
    assert len({key["publicKeyPem"] for key in found}) == 4
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", current["createdAt"])


async def test_a_rotation_keeps_or_drops_the_old_keys(
    graph: Graph, database: Database, account: Account
) -> None:
    await make_app(database, account, slug="atlas")
    (first,) = (await graph.data(KEYS))["signingKeys"]
    await graph.data(ROTATE, retire="AFTER_LAST_EXPIRY")
    kept = [key for key in (await graph.data(KEYS))["signingKeys"] if key["status"] != "NEXT"]
    await graph.data(ROTATE, retire="IMMEDIATELY")
    left = [key for key in (await graph.data(KEYS))["signingKeys"] if key["status"] != "NEXT"]

    assert [key["status"] for key in kept] == ["CURRENT", "RETIRED"]
    assert kept[1]["kid"] == first["kid"]
    assert [key["status"] for key in left] == ["CURRENT"]
    assert left[0]["kid"] not in {first["kid"], kept[0]["kid"]}


async def test_only_apps_that_the_key_reaches_exist(
    graph: Graph, database: Database, account: Account, atlas: App
) -> None:
    other = await make_app(database, account, slug="globe")
    stranger = await make_key(database, await make_account(database))
    limited = await make_key(database, account, kind="restricted", scopes=["read"], apps=[other])
    public = await make_key(database, account, kind="public")

    assert len((await graph.data(STATUSES))["signingKeys"]) == 1
    assert len((await graph.with_token(public).data(STATUSES))["signingKeys"]) == 1
    for token in (stranger, limited):
        assert await graph.with_token(token).data(STATUSES) == {"signingKeys": None}
    for slug in ("nowhere", "", "not a slug", "atlas\0"):
        query = "query($slug: String!) { signingKeys(appSlug: $slug) { status } }"
        assert await graph.data(query, slug=slug) == {"signingKeys": None}


async def test_it_needs_a_key_that_reads(
    graph: Graph, database: Database, account: Account, atlas: App
) -> None:
    writer = await make_key(database, account, kind="restricted", scopes=["rotate_signing_keys"])

    assert (await graph.with_token(None).refusal(STATUSES))[0] == "UNAUTHENTICATED"
    assert await graph.with_token(writer).refusal(STATUSES) == (
        "FORBIDDEN",
        "This key does not have the scope READ.",
    )


async def test_it_is_one_statement(graph: Graph, app: Starlette, atlas: App, statements: Statements) -> None:
    await graph.data(STATUSES)
    with statements.recorded(app.state.database) as sent:
        await graph.data(KEYS)

    assert_one(sent)
