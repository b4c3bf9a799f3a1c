"""Key rotation while two server processes on one database handle requests."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from sqlalchemy import func, select

from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, Believable
from db import clock
from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from db.signing_keys import signing_keys
from db.tokens import tokens
from tests.apis.calling import count, mutate
from tests.factories import Account, App, make_app, make_customer, make_license
from tests.keyrings import MASTER_KEY
from tests.processes import begin, run

pytestmark = pytest.mark.usefixtures("log_agrees")

CREATE = """mutation($customer: ID!, $installation: UUID) {
  outcome: createLicense(input: {customerId: $customer, installationId: $installation, forever: true}) {
    license { id token } userErrors { code }
  }
}"""
CHANGE = "mutation($id: ID!) { outcome: %s(input: {id: $id}) { license { token } userErrors { code } } }"
DELETE = "mutation($id: ID!) { outcome: deleteLicense(input: {id: $id}) { userErrors { code } } }"
ROTATE = """mutation {
  outcome: rotateAppKeys(input: {appSlug: "atlas"}) { licensesResigned userErrors { code } }
}"""
CREATE_APP = """mutation($slug: String!) {
  outcome: createApp(input: {name: "New", slug: $slug}) { userErrors { code } }
}"""
READ = """{ app(slug: "atlas") {
  publicKeyPem licenses(first: 100, filter: {status: ACTIVE}) { nodes { token } }
} }"""
INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"


async def read(client: httpx.AsyncClient) -> tuple[str, list[str]]:
    """Return the app's public key and the tokens of its active licenses, read in one request."""
    app = (await client.post("/graphql", json={"query": READ})).json()["data"]["app"]
    return app["publicKeyPem"], [license["token"] for license in app["licenses"]["nodes"]]


def check_signatures(pem: str, tokens: list[str]) -> None:
    """Raise PyJWT's error if a token is not signed with this key."""
    for token in tokens:
        jwt.decode(token, pem, algorithms=["EdDSA"], audience="atlas", issuer="license-server")


async def test_two_calls_for_one_installation_make_one_license_with_one_token(
    clients: list[httpx.AsyncClient], database: Database, atlas: App
) -> None:
    customer = await make_customer(database, atlas)
    variables = {"customer": customer.id, "installation": INSTALLATION}

    outcomes = await asyncio.gather(*(mutate(client, CREATE, **variables) for client in clients))

    (made,) = (outcome["license"] for outcome in outcomes if outcome["license"])
    assert [outcome["userErrors"] for outcome in outcomes if not outcome["license"]] == [[{"code": "TAKEN"}]]
    async with database.write() as session:
        stored = (await session.execute(select(tokens.c.license_id, tokens.c.token))).all()
    assert list(map(tuple, stored)) == [(made["id"], made["token"])]
    assert await count(database, licenses) == 1


async def test_no_read_sees_a_license_without_a_token_under_the_published_key(
    clients: list[httpx.AsyncClient], database: Database, atlas: App
) -> None:
    """Licenses are issued, regenerated, revoked, reinstated and deleted while keys are rotated."""
    customers_of_it = [await make_customer(database, atlas) for _ in range(4)]
    pems: list[str] = []
    is_over = asyncio.Event()

    async def keep_reading(client: httpx.AsyncClient) -> None:
        while not is_over.is_set():
            pem, shown = await read(client)
            check_signatures(pem, shown)
            pems.append(pem)

    async def live(client: httpx.AsyncClient, place: int) -> list[Any]:
        """Issue and change six licenses, and delete four of them. Return the outcomes of all calls."""
        outcomes = []
        for turn in range(6):
            outcome = await mutate(client, CREATE, customer=customers_of_it[place].id)
            id = outcome["license"]["id"]
            outcomes.append(outcome)
            for change in ("regenerateLicense", "revokeLicense", "reinstateLicense"):
                outcomes.append(await mutate(client, CHANGE % change, id=id))  # noqa: PERF401
            if turn % 3:
                outcomes.append(await mutate(client, DELETE, id=id))
        return outcomes

    async def rotate() -> list[Any]:
        return [await mutate(clients[turn % 2], ROTATE) for turn in range(4)]

    async def work() -> list[Any]:
        try:
            lives = (live(clients[place % 2], place) for place in range(len(customers_of_it)))
            return [each for part in await asyncio.gather(rotate(), *lives) for each in part]
        finally:
            is_over.set()

    outcomes, *_ = await asyncio.gather(work(), *map(keep_reading, clients))

    assert all(outcome["userErrors"] == [] for outcome in outcomes)
    pem, shown = await read(clients[0])
    assert len(shown) == 2 * len(customers_of_it)
    check_signatures(pem, shown)
    assert len(set(pems)) > 1
    assert await used_keys(database) == 5


async def test_concurrent_rotations_in_two_processes_leave_every_license_with_its_token(
    clients: list[httpx.AsyncClient], database: Database, atlas: App
) -> None:
    customer = await make_customer(database, atlas)
    for _ in range(30):
        await make_license(database, customer)

    outcomes = await asyncio.gather(*(mutate(clients[number % 2], ROTATE) for number in range(6)))

    assert outcomes == [{"licensesResigned": 30, "userErrors": []}] * 6
    pem, shown = await read(clients[0])
    assert len(shown) == 30
    check_signatures(pem, shown)
    # Each rotation creates a key, but rotations that arrive at the same time may share one. The app's first
    # key is counted as well.
    assert 2 <= await used_keys(database) <= 7


async def test_a_key_set_from_a_cache_verifies_what_is_signed_after_a_rotation(
    clients: list[httpx.AsyncClient], database: Database, account: Account
) -> None:
    """Both servers create missing next keys, and both rotate keys. An app never has two next keys."""
    slugs = ["made-here", "made-there"]
    outcomes = [
        await mutate(client, CREATE_APP, slug=slug) for client, slug in zip(clients, slugs, strict=True)
    ]
    assert outcomes == [{"userErrors": []}] * 2
    for client, slug in zip(reversed(clients), slugs, strict=True):
        for retire in ("", "?retire=immediately", ""):
            cached = await complete_key_set(clients, slug)
            assert (await client.post(f"/api/v1/apps/{slug}/rotate-keys{retire}")).status_code == 200
            (now, *_) = (await client.get(f"/api/v1/apps/{slug}/jwks.json")).json()["keys"]
            assert cached[1] == now
        await complete_key_set(clients, slug)

    async with database.read() as session:
        found = await session.rows(
            select(apps.c.signing_generation, func.max(signing_keys.c.generation))
            .join(signing_keys, signing_keys.c.app_id == apps.c.id)
            .group_by(apps.c.id),
            {},
        )
    assert list(map(tuple, found)) == [(4, 5), (4, 5)]


async def complete_key_set(clients: list[httpx.AsyncClient], slug: str) -> list[Any]:
    """Wait until both servers let caches keep an app's key set, and return the key set.

    Checks that both servers return the same one.
    """
    async with asyncio.timeout(60):
        while True:
            answers = [await client.get(f"/api/v1/apps/{slug}/jwks.json") for client in clients]
            assert [answer.status_code for answer in answers] == [200, 200]
            if all(answer.headers["cache-control"] == "public, max-age=300" for answer in answers):
                first, second = (answer.json()["keys"] for answer in answers)
                assert first == second
                return list(first)
            await asyncio.sleep(0.25)  # two requests each time: below the limit of 600 a minute


async def used_keys(database: Database) -> int:
    """Return the number of signing keys in the database, without the next keys of apps."""
    statement = (
        select(func.count())
        .select_from(signing_keys.join(apps, apps.c.id == signing_keys.c.app_id))
        .where(signing_keys.c.generation <= apps.c.signing_generation)
    )
    async with database.read() as session:
        row = await session.row(statement, {})
    assert row is not None
    return int(row[0])


async def test_a_rotation_that_kill_9_interrupted_is_finished_by_the_next_one(
    tmp_path: Path, database_url: str, database: Database, account: Account
) -> None:
    app = await make_app(database, account, slug="atlas")
    for batch in Believable(app.id, 5_000, 3, clock.now()).batches(20_000):
        async with database.write() as session:
            await session.load(customers, CUSTOMER_COLUMNS, batch.customers)
            await session.load(licenses, LICENSE_COLUMNS, batch.licenses)
    command = ("keys", "rotate", "--app", "atlas")
    variables = {"DATABASE_URL": database_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY}

    with begin(tmp_path, *command, **variables) as process:
        async with asyncio.timeout(60):
            while not await signed(database):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        process.kill()
    kept = await signed(database)
    generation, keys = await state(database)
    again = await asyncio.to_thread(run, tmp_path, *command, **variables)

    assert kept
    assert (generation, len(keys)) == (1, 2)
    assert again.returncode == 0, again.stderr
    now = await signed(database)
    assert f" and signed new tokens for {len(now):,} active licenses." in again.stdout
    assert kept.items() < now.items()
    # The command also creates the app's next key.
    generation, (first, second, _next_key) = await state(database)
    assert (generation, [first, second]) == (2, keys)


async def signed(database: Database) -> dict[str, str]:
    """Return the tokens signed with the second key, by license id."""
    statement = select(tokens.c.license_id, tokens.c.token).where(tokens.c.generation == 2)
    async with database.read() as session:
        return dict(map(tuple, await session.rows(statement, {})))


async def state(database: Database) -> tuple[int, list[str]]:
    """Return the current generation, and the ids of all signing keys in order of generation."""
    async with database.read() as session:
        current = await session.row(select(func.max(apps.c.signing_generation)), {})
        keys = await session.rows(select(signing_keys.c.id).order_by(signing_keys.c.generation), {})
    assert current is not None
    return current[0], [id for (id,) in keys]
