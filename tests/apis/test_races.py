"""Concurrent calls to two server processes on one database: the responses, and the stored rows.

All tests share the servers and their database. Each test has its own account, which is deleted afterwards
with everything in it, except for retired slugs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, select

from db import clock
from db.accounts import accounts
from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from db.log import pause_numbering
from tests.apis.calling import count, mutate
from tests.apis.conftest import two_serving
from tests.databases import PostgresTemplate, SqliteTemplate
from tests.factories import Account, App, make_account, make_app, make_customer, make_key, make_license
from tests.processes import Server

pytestmark = pytest.mark.usefixtures("log_agrees")

INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"


async def fill(url: str) -> None:
    """Create an account, so that the servers do not create an example app."""
    database = Database(url)
    await make_account(database)
    await database.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def shared_url(request: pytest.FixtureRequest) -> Iterator[str]:
    template: SqliteTemplate | PostgresTemplate = request.getfixturevalue(f"{request.param}_template")
    with template.copied(fill) as url:
        yield url


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, shared_url: str) -> Iterator[list[Server]]:
    with two_serving(tmp_path_factory.mktemp("servers"), shared_url) as servers:
        yield servers


@pytest.fixture
def database_url(shared_url: str) -> str:
    return shared_url


@pytest.fixture
async def account(database: Database) -> AsyncIterator[Account]:
    account = await make_account(database)
    yield account
    async with database.write() as session:
        await pause_numbering(session)
        await session.execute(delete(accounts).where(accounts.c.id == account.id))


async def until_purged(database: Database) -> None:
    """Wait until the servers have purged all apps. They must have been deleted before."""
    async with asyncio.timeout(60):
        while [await count(database, table) for table in (apps, customers, licenses)] != [0, 0, 0]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_two_hundred_get_or_create_calls_make_one_customer(
    clients: list[httpx.AsyncClient], database: Database, atlas: App
) -> None:
    mutation = """mutation($email: String!) {
      outcome: getOrCreateCustomer(input: {appSlug: "atlas", email: $email}) {
        created customer { id email } userErrors { code }
      }
    }"""
    emails = ["jane@bücher.example", "JANE@xn--bcher-kva.example"]

    outcomes = await asyncio.gather(
        *(mutate(clients[number % 2], mutation, email=emails[number // 2 % 2]) for number in range(200))
    )

    assert [outcome["created"] for outcome in outcomes].count(True) == 1
    assert {outcome["customer"]["id"] for outcome in outcomes} == {outcomes[0]["customer"]["id"]}
    assert all(outcome["userErrors"] == [] for outcome in outcomes)
    assert await count(database, customers) == 1


async def test_fifty_rest_get_or_create_calls_make_one_customer(
    clients: list[httpx.AsyncClient], database: Database, atlas: App
) -> None:
    path = "/api/v1/apps/atlas/customers/get-or-create"
    emails = ["jane@bücher.example", "JANE@xn--bcher-kva.example"]

    answers = await asyncio.gather(
        *(clients[number % 2].post(path, json={"email": email}) for number in range(25) for email in emails)
    )

    statuses = [answer.status_code for answer in answers]
    assert (statuses.count(201), statuses.count(200)) == (1, 49)
    assert len({answer.text for answer in answers}) == 1
    assert await count(database, customers) == 1


async def test_licenses_for_one_installation_become_one(
    clients: list[httpx.AsyncClient], database: Database, atlas: App
) -> None:
    customer = await make_customer(database, atlas)
    mutation = """mutation($customer: ID!, $installation: UUID!) {
      outcome: createLicense(input: {customerId: $customer, installationId: $installation, forever: true}) {
        license { id } userErrors { code field }
      }
    }"""
    variables = {"customer": customer.id, "installation": INSTALLATION}

    outcomes = await asyncio.gather(
        *(mutate(clients[number % 2], mutation, **variables) for number in range(20))
    )

    made = [outcome for outcome in outcomes if outcome["license"]]
    refused = [outcome["userErrors"] for outcome in outcomes if not outcome["license"]]
    assert len(made) == 1
    assert refused == [[{"code": "TAKEN", "field": ["installationId"]}]] * 19
    assert await count(database, licenses) == 1


async def test_reinstating_and_issuing_leave_one_active_license(
    clients: list[httpx.AsyncClient], database: Database, atlas: App
) -> None:
    customer = await make_customer(database, atlas)
    variables = {"customer": customer.id, "installation": INSTALLATION}
    create = """mutation($customer: ID!, $installation: UUID!) {
      outcome: createLicense(input: {customerId: $customer, installationId: $installation, forever: true}) {
        license { id } userErrors { code }
      }
    }"""
    change = "mutation($id: ID!) { outcome: %s(input: {id: $id}) { license { status } userErrors { code } } }"
    revoked = []
    for _ in range(5):
        license = (await mutate(clients[0], create, **variables))["license"]
        await mutate(clients[0], change % "revokeLicense", id=license["id"])
        revoked.append(license["id"])

    outcomes = await asyncio.gather(
        *(mutate(clients[place % 2], change % "reinstateLicense", id=id) for place, id in enumerate(revoked)),
        *(mutate(clients[place % 2], create, **variables) for place in range(5)),
    )

    codes = [tuple(error["code"] for error in outcome["userErrors"]) for outcome in outcomes]
    assert sorted(codes) == [(), *[("TAKEN",)] * 9]
    response = await clients[0].post(
        "/graphql",
        json={"query": '{ app(slug: "atlas") { licenses(filter: {status: ACTIVE}) { totalCount } } }'},
    )
    assert response.json()["data"]["app"]["licenses"]["totalCount"] == 1


async def test_the_count_of_a_deletion_is_exact_while_licenses_arrive(
    clients: list[httpx.AsyncClient], database: Database, atlas: App
) -> None:
    customer = await make_customer(database, atlas)
    create = """mutation($customer: ID!) {
      outcome: createLicense(input: {customerId: $customer, forever: true}) {
        license { id } userErrors { code field }
      }
    }"""
    delete = "mutation($id: ID!) { outcome: deleteCustomer(input: {id: $id}) { deletedLicenseCount } }"

    async def delete_soon() -> int:
        await asyncio.sleep(0.15)
        return int((await mutate(clients[1], delete, id=customer.id))["deletedLicenseCount"])

    deleted, *outcomes = await asyncio.gather(
        delete_soon(), *(mutate(clients[number % 2], create, customer=customer.id) for number in range(60))
    )

    made = [outcome for outcome in outcomes if not outcome["userErrors"]]
    refused = [outcome["userErrors"] for outcome in outcomes if outcome["userErrors"]]
    assert deleted == len(made)
    assert all(errors == [{"code": "NOT_FOUND", "field": ["customerId"]}] for errors in refused)
    assert await count(database, licenses) == 0
    assert await count(database, customers) == 0


@pytest.mark.parametrize("rounds", [20, pytest.param(100, marks=pytest.mark.long)])
async def test_editors_who_require_the_version_never_lose_an_update(
    clients: list[httpx.AsyncClient], database: Database, atlas: App, rounds: int
) -> None:
    customer = await make_customer(database, atlas, metadata={"count": 0})
    path = f"/api/v1/apps/atlas/customers/{customer.id}"
    refusals = 0

    async def edit(client: httpx.AsyncClient) -> None:
        """Add 1 to a stored number `rounds` times. If someone else was faster, read and try again."""
        nonlocal refusals
        done = 0
        while done < rounds:
            read = await client.get(path)
            changed = {"metadata": {"count": read.json()["data"]["metadata"]["count"] + 1}}
            answer = await client.put(path, json=changed, headers={"If-Match": read.headers["etag"]})
            done += answer.status_code == 200
            refusals += answer.status_code == 412
            assert answer.status_code in {200, 412}

    await asyncio.gather(*map(edit, clients))

    final = await clients[0].get(path)
    assert final.json()["data"]["metadata"] == {"count": 2 * rounds}
    assert final.headers["etag"] == f'"{1 + 2 * rounds}"'
    assert refusals > 0, "the editors never met"


async def test_one_of_many_customers_gets_the_email(
    clients: list[httpx.AsyncClient], database: Database, atlas: App
) -> None:
    mutation = """mutation($email: String!) {
      outcome: createCustomer(input: {appSlug: "atlas", email: $email}) { userErrors { code field } }
    }"""

    outcomes = await asyncio.gather(
        *(mutate(clients[number % 2], mutation, email="jane@example.com") for number in range(20))
    )

    refused = [outcome["userErrors"] for outcome in outcomes if outcome["userErrors"]]
    assert refused == [[{"code": "TAKEN", "field": ["email"]}]] * 19
    assert await count(database, customers) == 1


async def test_one_of_many_apps_gets_the_slug(clients: list[httpx.AsyncClient], database: Database) -> None:
    mutation = """mutation($slug: String!) {
      outcome: createApp(input: {name: "Atlas", slug: $slug}) { userErrors { code field } }
    }"""

    outcomes = await asyncio.gather(
        *(mutate(clients[number % 2], mutation, slug="atlas") for number in range(20))
    )

    refused = [outcome["userErrors"] for outcome in outcomes if outcome["userErrors"]]
    assert refused == [[{"code": "TAKEN", "field": ["slug"]}]] * 19
    assert await count(database, apps) == 1


@pytest.mark.parametrize("column", ["expires_at", "revoked_at"])
async def test_license_that_is_revoked_or_expired_makes_room_for_a_new_one(
    clients: list[httpx.AsyncClient], database: Database, atlas: App, column: str
) -> None:
    customer = await make_customer(database, atlas)
    over: dict[str, Any] = {column: clock.now()}
    old = await make_license(database, customer, installation_id=INSTALLATION, is_current=True, **over)
    mutation = """mutation($customer: ID!, $installation: UUID!) {
      outcome: createLicense(input: {customerId: $customer, installationId: $installation, forever: true}) {
        license { id } userErrors { code field }
      }
    }"""
    variables = {"customer": customer.id, "installation": INSTALLATION}

    outcomes = await asyncio.gather(
        *(mutate(clients[number % 2], mutation, **variables) for number in range(20))
    )

    (made,) = (outcome["license"]["id"] for outcome in outcomes if outcome["license"])
    refused = [outcome["userErrors"] for outcome in outcomes if not outcome["license"]]
    assert refused == [[{"code": "TAKEN", "field": ["installationId"]}]] * 19
    async with database.write() as session:
        stored = (await session.execute(select(licenses.c.id, licenses.c.is_current))).all()
    assert sorted(map(tuple, stored)) == sorted([(old.id, False), (made, True)])


async def test_a_deletion_counts_exactly_what_was_created_in_the_app(
    clients: list[httpx.AsyncClient], database: Database, account: Account
) -> None:
    make = """mutation($slug: String!, $email: String!) {
      outcome: createCustomer(input: {appSlug: $slug, email: $email}) { userErrors { code field } }
    }"""
    issue = """mutation($customer: ID!) {
      outcome: createLicense(input: {customerId: $customer, forever: true}) { userErrors { code field } }
    }"""
    delete = """mutation($slug: String!) {
      outcome: deleteApp(input: {slug: $slug}) { deletedCustomerCount deletedLicenseCount }
    }"""

    async def delete_soon(app: App, seconds: float) -> Any:
        await asyncio.sleep(seconds)
        return await mutate(clients[1], delete, slug=app.slug)

    for seconds in (0.0, 0.02, 0.05, 0.1):
        app = await make_app(database, account)
        customer = await make_customer(database, app)

        deleted, *outcomes = await asyncio.gather(
            delete_soon(app, seconds),
            *(mutate(clients[each % 2], issue, customer=customer.id) for each in range(20)),
            *(mutate(clients[each % 2], make, slug=app.slug, email=f"{each}@x.io") for each in range(20)),
        )

        issued, made = outcomes[:20], outcomes[20:]
        assert deleted == {
            "deletedCustomerCount": 1 + sum(outcome["userErrors"] == [] for outcome in made),
            "deletedLicenseCount": sum(outcome["userErrors"] == [] for outcome in issued),
        }
        for refused, field in ((issued, "customerId"), (made, "appSlug")):
            assert all(
                outcome["userErrors"] in ([], [{"code": "NOT_FOUND", "field": [field]}])
                for outcome in refused
            )
        await until_purged(database)


async def test_concurrent_deletions_count_each_row_once(
    clients: list[httpx.AsyncClient], database: Database, account: Account
) -> None:
    delete_license = """mutation($id: ID!) {
      outcome: deleteLicense(input: {id: $id}) { deletedLicenseId userErrors { code } }
    }"""
    delete_customer = """mutation($id: ID!) {
      outcome: deleteCustomer(input: {id: $id}) { deletedCustomerId deletedLicenseCount userErrors { code } }
    }"""
    delete_app = """mutation($slug: String!) {
      outcome: deleteApp(input: {slug: $slug}) {
        deletedCustomerCount deletedLicenseCount userErrors { code }
      }
    }"""
    issue = """mutation($customer: ID!) {
      outcome: createLicense(input: {customerId: $customer, forever: true}) {
        license { id } userErrors { code }
      }
    }"""

    async def delete_soon(app: App) -> Any:
        await asyncio.sleep(0.01)
        return await mutate(clients[0], delete_app, slug=app.slug)

    for _ in range(5):
        app = await make_app(database, account)
        owners = [await make_customer(database, app) for _ in range(5)]
        held = [await make_license(database, owner) for owner in owners for _ in range(4)]

        outcomes = await asyncio.gather(
            *(mutate(clients[0], delete_license, id=license.id) for license in held[::2]),
            *(mutate(clients[1], delete_customer, id=owner.id) for owner in owners[::2]),
            *(mutate(clients[place % 2], issue, customer=owners[place % 5].id) for place in range(20)),
            delete_soon(app),
        )

        assert all(outcome["userErrors"] in ([], [{"code": "NOT_FOUND"}]) for outcome in outcomes)
        gone_customers = sum(outcome.get("deletedCustomerId") is not None for outcome in outcomes)
        gone_licenses = sum(outcome.get("deletedLicenseId") is not None for outcome in outcomes)
        assert gone_customers + sum(outcome.get("deletedCustomerCount", 0) for outcome in outcomes) == 5
        issued = sum("license" in outcome and outcome["userErrors"] == [] for outcome in outcomes)
        assert (
            gone_licenses + sum(outcome.get("deletedLicenseCount", 0) for outcome in outcomes) == 20 + issued
        )
        await until_purged(database)


async def ask_until(is_over: asyncio.Event, client: httpx.AsyncClient, mutation: str, slug: str) -> list[Any]:
    """Send the mutation repeatedly until `is_over` is set.

    Return all user errors, with "not refused" for each success.
    """
    answers: list[Any] = []
    while not is_over.is_set():
        answers += (await mutate(client, mutation, slug=slug))["userErrors"] or ["not refused"]
    return answers


async def test_a_slug_of_an_app_that_is_being_deleted_stays_with_its_account(
    clients: list[httpx.AsyncClient], servers: list[Server], database: Database, account: Account
) -> None:
    """While the app is deleted and created again, another account cannot create an app with its slug."""
    create = """mutation($slug: String!) {
      outcome: createApp(input: {name: "Atlas", slug: $slug, signingAlgorithm: EDDSA}) {
        userErrors { code field }
      }
    }"""
    delete = "mutation($slug: String!) { outcome: deleteApp(input: {slug: $slug}) { userErrors { code } } }"
    headers = {"Authorization": f"Bearer {await make_key(database, await make_account(database))}"}
    others = [httpx.AsyncClient(base_url=server.url, headers=headers, timeout=120) for server in servers]

    for turn in range(6):
        slug = f"atlas-{turn}"
        await mutate(clients[0], create, slug=slug)
        is_over = asyncio.Event()

        asking = [
            asyncio.create_task(ask_until(is_over, other, create, slug)) for other in others for _ in range(2)
        ]
        for _ in range(4):
            assert (await mutate(clients[0], delete, slug=slug))["userErrors"] == []
            assert (await mutate(clients[1], create, slug=slug))["userErrors"] == []
        is_over.set()
        answers = [answer for answers in await asyncio.gather(*asking) for answer in answers]
        assert len(answers) >= len(asking)
        assert all(answer == {"code": "TAKEN", "field": ["slug"]} for answer in answers)

    for other in others:
        await other.aclose()
