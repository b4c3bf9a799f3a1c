"""`lastVerifiedAt`: what counts as a verification, what it does not change, and when servers store it."""

import asyncio
import json
import re
import sqlite3
import time
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from string import Template
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy import select
from starlette.applications import Starlette

from db import clock
from db.engine import Database
from db.events import events
from db.license_seen import license_seen
from db.licenses import licenses
from resolvers.license_seen import noting
from tests.apis.both import BothApis
from tests.apis.calling import count
from tests.apis.conftest import two_serving
from tests.factories import (
    Account,
    App,
    Customer,
    License,
    make_app,
    make_customer,
    make_license,
    make_token,
    note_verified,
)
from tests.keyrings import MASTER_KEY
from tests.processes import serving
from tests.statements import Statements

VERIFY = "/api/v1/apps/atlas/licenses/verify"
BATCH = f"{VERIFY}/batch"
SIGNER = "/api/v1/apps/signer/licenses"
DAY = timedelta(days=1)
RATE = 1_000
SHOWN = "query($id: ID!) { license(id: $id) { lastVerifiedAt updatedAt version } }"
CREATE = """mutation($id: ID!) {
  createLicense(input: {customerId: $id, durationDays: 30}) { license { id jti token installationId } } }"""


@pytest.fixture
async def customer(database: Database, atlas: App) -> Customer:
    return await make_customer(database, atlas)


async def of_license(apis: BothApis, id: str) -> dict[str, Any]:
    found: dict[str, Any] = (await apis.graph(SHOWN, id=id))["license"]
    return found


def graph(selected: str) -> tuple[str, str, dict[str, Any]]:
    return "POST", "/graphql", {"query": f"{{ {selected} {{ valid }} }}"}


@pytest.fixture
async def issued(apis: BothApis, app: Starlette) -> dict[str, str]:
    """A license of an app that can sign tokens, by the names of its fields."""
    made = await apis.rest(
        "POST", "/apps", {"name": "Signer", "slug": "signer", "signing_algorithm": "EdDSA"}
    )
    assert made.status_code == 201, made.text
    ada = await apis.rest("POST", "/apps/signer/customers", {"email": "ada@example.com"})
    found: dict[str, str] = (await apis.graph(CREATE, id=ada.json()["data"]["id"]))["createLicense"][
        "license"
    ]
    return found


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"{SIGNER}/verify?installation_id=$installationId", None),
        ("GET", f"{SIGNER}/verify?jti=$jti", None),
        ("POST", f"{SIGNER}/verify/batch", {"installation_ids": ["$installationId"]}),
        ("POST", f"{SIGNER}/verify/batch", {"jtis": ["no", "$jti"]}),
        graph('verifyLicense(appSlug: "signer", by: {installationId: "$installationId"})'),
        graph('verifyLicense(appSlug: "signer", by: {jti: "$jti"})'),
        graph('verifyLicense(appSlug: "signer", by: {token: "$token"})'),
        graph('verifyLicenses(appSlug: "signer", by: {jtis: ["$jti"]})'),
    ],
)
async def test_every_way_to_verify_a_valid_license_counts_and_changes_nothing_else(
    apis: BothApis,
    app: Starlette,
    issued: dict[str, str],
    statements: Statements,
    method: str,
    path: str,
    body: Any,
) -> None:
    database = app.state.database
    before = await of_license(apis, issued["id"])
    assert before["lastVerifiedAt"] is None
    events_before = await count(database, events)
    anonymous = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver")

    async with noting(database):
        start = clock.as_text(clock.now())
        with statements.recorded(database) as sent:
            content = Template(json.dumps(body)).substitute(issued)
            answer = await anonymous.request(
                method, Template(path).substitute(issued), json=json.loads(content)
            )
        end = clock.as_text(clock.now())

    assert '"valid":true' in answer.text, answer.text
    assert len(sent) == 1  # the verification itself writes nothing
    after = await of_license(apis, issued["id"])
    assert start <= after.pop("lastVerifiedAt") <= end
    assert after == {"updatedAt": before["updatedAt"], "version": before["version"]}
    assert await count(database, events) == events_before


async def test_a_license_that_is_not_valid_is_not_in_use(
    apis: BothApis, app: Starlette, database: Database, customer: Customer
) -> None:
    now = clock.now()
    expired = await make_license(database, customer, expires_at=now - DAY)
    revoked = await make_license(database, customer, revoked_at=now)
    moved = await make_license(database, customer, moved_at=now)
    left = await make_token(database, moved, 1, installation_id=str(uuid4()))
    jtis = [expired.jti, revoked.jti, left]
    async with noting(app.state.database):
        for jti in jtis:
            answer = await apis.client.get(VERIFY, params={"jti": jti})
            assert answer.json()["data"]["valid"] is False
        answer = await apis.client.post(BATCH, json={"jtis": [*jtis, "no"]})
        assert [each["valid"] for each in answer.json()["data"]["results"].values()] == [False] * 4

    for license in (expired, revoked, moved):
        assert (await of_license(apis, license.id))["lastVerifiedAt"] is None


async def test_licenses_sorted_by_their_last_verification(
    apis: BothApis, database: Database, atlas: App, customer: Customer
) -> None:
    names = {(await make_license(database, customer)).id: name for name in ("a", "b", "never", "c", "nor")}
    by_name = {name: id for id, name in names.items()}
    for name, days in (("a", 3), ("b", 1), ("c", 2)):
        license = License(by_name[name], atlas.id, customer.id, "", clock.now(), "")
        await note_verified(database, license, clock.now() - days * DAY)

    async def sorted_by(direction: str, around: str) -> list[str]:
        """Read all pages, two licenses at a time."""
        found: list[str] = []
        after = None
        while True:
            query = f"""query($after: String) {{ {around} {{ licenses(
              first: 2, after: $after, orderBy: {{field: LAST_VERIFIED_AT, direction: {direction}}}
            ) {{ nodes {{ id }} pageInfo {{ hasNextPage endCursor }} }} }} }}"""
            page = next(iter((await apis.graph(query, after=after)).values()))["licenses"]
            found += [names[each["id"]] for each in page["nodes"]]
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                return found

    for around in ('app(slug: "atlas")', f'customer(id: "{customer.id}")'):
        assert await sorted_by("ASC", around) == ["a", "c", "b", "never", "nor"]
        assert await sorted_by("DESC", around) == ["b", "c", "a", "nor", "never"]


async def test_a_license_keeps_its_place_among_those_of_its_new_tier(
    apis: BothApis, database: Database, customer: Customer
) -> None:
    """The order of a tier's licenses has an index of its own, which triggers keep up to date."""
    path = "/apps/atlas/tiers"
    tier = (await apis.rest("POST", path, {"slug": "team", "name": "Team"})).json()["data"]["id"]
    license = await make_license(database, customer)
    await note_verified(database, license, clock.now())
    async with database.write() as session:
        of_this = licenses.c.id == license.id
        await session.execute(licenses.update().where(of_this).values(tier_id=tier))

    found = await apis.graph(
        """{ app(slug: "atlas") { tier(slug: "team") {
          licenses(orderBy: {field: LAST_VERIFIED_AT}) { nodes { id } } } } }"""
    )

    assert found["app"]["tier"]["licenses"]["nodes"] == [{"id": license.id}]


async def test_a_server_stores_its_notes_when_it_stops(
    tmp_path: Path, database: Database, database_url: str, account: Account
) -> None:
    start = clock.as_text(clock.now())

    (at,) = await times_after_a_verification(tmp_path, database, database_url, account)

    assert at is not None
    assert start <= at <= clock.as_text(clock.now())


@pytest.mark.parametrize("template", ["sqlite"], indirect=True)
async def test_noting_verifications_can_be_turned_off(
    tmp_path: Path, database: Database, database_url: str, account: Account
) -> None:
    off = {"LICENSEGRAPH_NOTE_VERIFICATIONS": "false"}

    assert await times_after_a_verification(tmp_path, database, database_url, account, **off) == [None]


async def times_after_a_verification(
    folder: Path, database: Database, database_url: str, account: Account, **variables: str
) -> list[str | None]:
    """Issue a license, verify it on a server, and stop the server. Return the times that are stored."""
    customer = await make_customer(database, await make_app(database, account, slug="atlas"))
    license = await make_license(database, customer)
    variables |= {"DATABASE_URL": database_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}
    with serving(folder, **variables) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            answer = await client.get(VERIFY, params={"jti": license.jti})
        assert answer.json()["data"]["valid"] is True
        assert server.stop() == 0
    return list((await times_of(database)).values())


async def times_of(database: Database) -> dict[str, str | None]:
    async with database.read() as session:
        rows = await session.rows(select(license_seen.c.license_id, license_seen.c.at), {})
    return {id: None if at is None else clock.as_text(at) for id, at in rows}


# The time of a statement is the same for all of its rows, so this counts statements.
COUNT_ON_SQLITE = """
CREATE TABLE statements (at TEXT PRIMARY KEY);
CREATE TRIGGER count_statements AFTER UPDATE ON license_seen BEGIN
  INSERT OR IGNORE INTO statements VALUES (julianday('now'));
END;
"""
COUNT_ON_POSTGRESQL = """
CREATE TABLE statements (at text PRIMARY KEY);
CREATE FUNCTION count_statement() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO statements VALUES (clock_timestamp()::text); RETURN NULL; END $$;
CREATE TRIGGER count_statements AFTER UPDATE ON license_seen
FOR EACH STATEMENT EXECUTE FUNCTION count_statement();
"""


async def on_database(url: str, script: str) -> list[Any]:
    """Run statements as another program would. Return the rows of a SELECT."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            run = connection.execute if script.startswith("SELECT") else connection.executescript
            return run(script).fetchall()
    connection = await asyncpg.connect(url)
    try:
        if script.startswith("SELECT"):
            return list(await connection.fetch(script))
        await connection.execute(script)
        return []
    finally:
        await connection.close()


@pytest.mark.long
async def test_a_thousand_verifications_a_second_on_two_processes(
    tmp_path: Path, database: Database, database_url: str, account: Account
) -> None:
    customer = await make_customer(database, await make_app(database, account, slug="atlas"))
    made = [await make_license(database, customer) for _ in range(500)]
    script = COUNT_ON_SQLITE if database_url.startswith("sqlite") else COUNT_ON_POSTGRESQL
    await on_database(database_url, script)
    off = {"LICENSEGRAPH_VERIFY_LIMIT_PER_MINUTE": "0", "LICENSEGRAPH_RATE_LIMIT_PER_MINUTE": "0"}
    last: dict[str, tuple[str, str]] = {}
    sent, seconds = 0, 30

    with two_serving(tmp_path, database_url, **off) as servers:
        ports = [int(server.url.rpartition(":")[2]) for server in servers]
        started = time.monotonic()

        async def verify(worker: int) -> None:
            nonlocal sent
            reader, writer = await asyncio.open_connection("127.0.0.1", ports[worker % 2])
            while (due := started + sent / RATE) < started + seconds:
                license, sent = made[sent % len(made)], sent + 1
                await asyncio.sleep(max(due - time.monotonic(), 0))
                asked = clock.as_text(clock.now())
                path = f"{VERIFY}?installation_id={license.installation_id}"
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"content-length: (\d+)", head)[1])  # type: ignore[index]
                assert b'"valid":true' in await reader.readexactly(length)
                earliest = max(asked, last[license.id][0] if license.id in last else "")
                last[license.id] = earliest, clock.as_text(clock.now())
            writer.close()

        await asyncio.gather(*map(verify, range(32)))
        took = time.monotonic() - started
        await asyncio.sleep(11)
        times = await times_of(database)
        ((written,),) = await on_database(database_url, "SELECT count(*) FROM statements")

    wrong = {id: (last[id], at) for id, at in times.items() if not last[id][0] <= (at or "") <= last[id][1]}
    assert wrong == {}
    assert sent == RATE * seconds
    # Each process adds its notes every ten seconds, from its start to the end.
    assert written <= 2 * ((took + 11) / 10 + 1)
