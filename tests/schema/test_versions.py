"""`version` and `ifVersion`: a change can require the version that its sender has seen."""

from typing import Any

import httpx
import pytest

from db.engine import Database
from tests.factories import (
    Account,
    App,
    make_account,
    make_app,
    make_customer,
    make_feature,
    make_key,
    make_license,
    make_tier,
)

MISMATCH = {
    "code": "WRONG_STATE",
    "field": ["ifVersion"],
    "message": "does not match the current version, which is 1",
}


@pytest.fixture
async def account(database: Database) -> Account:
    return await make_account(database)


@pytest.fixture
async def app_row(database: Database, account: Account) -> App:
    return await make_app(database, account, slug="atlas")


@pytest.fixture
async def ids(
    client: httpx.AsyncClient, database: Database, account: Account, app_row: App
) -> dict[str, str]:
    """The ids of one object of each type."""
    client.headers["Authorization"] = f"Bearer {await make_key(database, account)}"
    customer = await make_customer(database, app_row)
    return {
        "app": app_row.slug,
        "customer": customer.id,
        "license": (await make_license(database, customer)).id,
        "tier": (await make_tier(database, app_row)).id,
        "feature": (await make_feature(database, app_row)).id,
    }


async def mutate(client: httpx.AsyncClient, mutation: str, shown: str, **input: Any) -> Any:
    type_ = f"{mutation[0].upper()}{mutation[1:]}Input"
    document = f"mutation ($input: {type_}!) {{ outcome: {mutation}(input: $input) {{ {shown} }} }}"
    answer = await client.post("/graphql", json={"query": document, "variables": {"input": input}})
    return answer.json()["data"]["outcome"]


def address(noun: str, ids: dict[str, str]) -> dict[str, str]:
    return {"slug" if noun == "app" else "id": ids[noun]}


@pytest.mark.parametrize("noun", ["app", "customer", "tier", "feature"])
async def test_an_update_requires_the_version(
    client: httpx.AsyncClient, ids: dict[str, str], noun: str
) -> None:
    shown = f"{noun} {{ version name }} userErrors {{ code field message }}"
    changed = {"name": "New", **address(noun, ids)}
    update = f"update{noun.title()}"

    assert [
        await mutate(client, update, shown, ifVersion=2, **changed),
        await mutate(client, update, shown, ifVersion=1, **changed),
        await mutate(client, update, shown, ifVersion=None, **changed),
    ] == [
        {noun: None, "userErrors": [MISMATCH]},
        {noun: {"version": 2, "name": "New"}, "userErrors": []},
        {noun: {"version": 2, "name": "New"}, "userErrors": []},
    ]


@pytest.mark.parametrize("noun", ["license", "customer", "tier", "feature", "app"])
async def test_a_deletion_requires_the_version(
    client: httpx.AsyncClient, ids: dict[str, str], noun: str
) -> None:
    delete, shown = f"delete{noun.title()}", "userErrors { code field message }"

    assert [
        await mutate(client, delete, shown, ifVersion=2, **address(noun, ids)),
        await mutate(client, delete, shown, ifVersion=1, **address(noun, ids)),
    ] == [{"userErrors": [MISMATCH]}, {"userErrors": []}]


async def test_revoking_and_reinstating_require_the_version(
    client: httpx.AsyncClient, ids: dict[str, str]
) -> None:
    shown, id = "license { version } userErrors { code field }", ids["license"]
    refused = {"license": None, "userErrors": [{"code": "WRONG_STATE", "field": ["ifVersion"]}]}

    assert [
        await mutate(client, "revokeLicense", shown, id=id, ifVersion=0),
        await mutate(client, "revokeLicense", shown, id=id, ifVersion=1),
        await mutate(client, "revokeLicense", shown, id=id, ifVersion=1),
        await mutate(client, "reinstateLicense", shown, id=id, ifVersion=1),
        await mutate(client, "reinstateLicense", shown, id=id, ifVersion=2),
    ] == [
        refused,
        {"license": {"version": 2}, "userErrors": []},
        refused,
        refused,
        {"license": {"version": 3}, "userErrors": []},
    ]


async def test_a_change_of_what_belongs_to_an_object_leaves_its_version(
    client: httpx.AsyncClient, ids: dict[str, str]
) -> None:
    await mutate(client, "createLicense", "userErrors { code }", customerId=ids["customer"], forever=True)
    await mutate(client, "createCustomer", "userErrors { code }", appSlug="atlas", email="b@example.com")
    document = (
        f'{{ app(slug: "atlas") {{ version customer(by: {{id: "{ids["customer"]}"}}) {{ version }} }} }}'
    )

    answer = await client.post("/graphql", json={"query": document})

    assert answer.json()["data"] == {"app": {"version": 1, "customer": {"version": 1}}}
