"""Rotation while two servers answer, all of them processes of their own on one database."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import jwt
from sqlalchemy import func, select

from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, Believable
from db import clock
from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from db.signing_keys import signing_keys
from db.tokens import tokens
from tests.doors.calling import count, mutate
from tests.factories import Account, App, make_app, make_customer, make_license
from tests.keyrings import MASTER_KEY
from tests.processes import begin, run

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
READ = """{ app(slug: "atlas") {
  publicKeyPem licenses(first: 100, filter: {status: ACTIVE}) { nodes { token } }
} }"""
INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"


async def read(client: httpx.AsyncClient) -> tuple[str, list[str]]:
    """The app's public key and the tokens of its active licenses, of one and the same moment."""
    app = (await client.post("/graphql", json={"query": READ})).json()["data"]["app"]
    return app["publicKeyPem"], [license["token"] for license in app["licenses"]["nodes"]]


def are_signed_by(pem: str, tokens: list[str]) -> bool:
    """Whether every one of these is signed under this key."""
    for token in tokens:
        jwt.decode(token, pem, algorithms=["EdDSA"], audience="atlas", issuer="license-server")
    return True


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


async def test_no_read_sees_a_license_without_a_token_under_the_key_beside_it(
    clients: list[httpx.AsyncClient], database: Database, atlas: App
) -> None:
    """Licenses are issued, regenerated, revoked, reinstated and deleted while keys are rotated."""
    customers_of_it = [await make_customer(database, atlas) for _ in range(4)]
    pems: list[str] = []
    is_over = asyncio.Event()

    async def keep_reading(client: httpx.AsyncClient) -> None:
        while not is_over.is_set():
            pem, shown = await read(client)
            assert are_signed_by(pem, shown)
            pems.append(pem)

    async def live(client: httpx.AsyncClient, place: int) -> list[Any]:
        """The life of some licenses, of which one stays."""
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
    assert are_signed_by(pem, shown)
    assert len(set(pems)) > 1
    assert await count(database, signing_keys) == 5


async def test_rotations_in_two_processes_at_once_leave_every_license_with_its_token(
    clients: list[httpx.AsyncClient], database: Database, atlas: App
) -> None:
    customer = await make_customer(database, atlas)
    for _ in range(30):
        await make_license(database, customer)

    outcomes = await asyncio.gather(*(mutate(clients[number % 2], ROTATE) for number in range(6)))

    assert outcomes == [{"licensesResigned": 30, "userErrors": []}] * 6
    pem, shown = await read(clients[0])
    assert len(shown) == 30
    assert are_signed_by(pem, shown)
    # Each rotation has a key to itself, or shares one with others that came at the same time.
    assert 2 <= await count(database, signing_keys) <= 7


async def test_what_kill_9_broke_off_is_finished_by_the_next_rotation(
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
    assert f" and {len(now):,} live licenses signed anew." in again.stdout
    assert kept.items() < now.items()
    assert await state(database) == (2, keys)


async def signed(database: Database) -> dict[str, str]:
    """The tokens under the second key, by their licenses."""
    statement = select(tokens.c.license_id, tokens.c.token).where(tokens.c.generation == 2)
    async with database.read() as session:
        return dict(map(tuple, await session.rows(statement, {})))


async def state(database: Database) -> tuple[int, list[str]]:
    """The current generation, and the ids of all keys."""
    async with database.read() as session:
        current = await session.row(select(func.max(apps.c.signing_generation)), {})
        keys = await session.rows(select(signing_keys.c.id).order_by(signing_keys.c.generation), {})
    assert current is not None
    return current[0], [id for (id,) in keys]
