"""Every integer field of both APIs accepts numbers such as 30.0 and 3e1, as JSON Schema does."""

from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from db.engine import Database
from db.tiers import tiers
from tests.apis.both import BY_GRAPH, BY_REST, CREATE_LICENSE, CREATE_TIER, UPDATE_TIER, BothApis
from tests.factories import App, Customer, make_customer, make_tier
from tests.rest.expecting import error, invalid, stored

INTEGERS = {
    "30": 30,
    "30.0": 30,
    "3e1": 30,
    "3.0E+1": 30,
    "300e-1": 30,
    "1.0": 1,
    "30.00000000000000000001": 30,
}
NO_INTEGERS = ["30.5", "1e-1", "1e400", "-1e400", "true", "[30.0]", '"30.0"', '"3e1"']
MESSAGE = "must be an integer"


@pytest.fixture
async def ada(database: Database, atlas: App) -> Customer:
    return await make_customer(database, atlas)


async def _send(apis: BothApis, method: str, path: str, text: str) -> httpx.Response:
    """Send a body unchanged, because other clients may write numbers differently from Python."""
    headers = {"Content-Type": "application/json"}
    return await apis.client.request(method, path, content=text, headers=headers)


async def _mutate(apis: BothApis, mutation: str, input: str) -> Any:
    query = mutation.replace("\n", " ")
    answer = await _send(
        apis, "POST", "/graphql", f'{{"query": "{query}", "variables": {{"input": {input}}}}}'
    )
    return answer.json()


@pytest.mark.parametrize("number", INTEGERS)
async def test_a_duration(apis: BothApis, database: Database, atlas: App, ada: Customer, number: str) -> None:
    tier = await make_tier(database, atlas)
    installation = "00000000-0000-4000-8000-000000000001"
    body = f"""{{"installation_id": "{installation}", "customer_id": "{ada.id}", "tier_id": "{tier.id}",
                 "duration_days": {number}}}"""

    by_rest = await _send(apis, "POST", "/api/v1/apps/atlas/licenses", body)
    by_graph = await _mutate(apis, CREATE_LICENSE, f'{{"customerId": "{ada.id}", "durationDays": {number}}}')

    made = by_rest.json()["data"], by_graph["data"]["outcome"]["license"]
    days = [made[0]["expires_at"][:10], made[1]["expiresAt"][:10]]
    assert days == [
        _after(made[0]["created_at"], INTEGERS[number]),
        _after(made[1]["createdAt"], INTEGERS[number]),
    ]


def _after(moment: str, days: int) -> str:
    return (datetime.fromisoformat(moment) + timedelta(days=days)).date().isoformat()


@pytest.mark.parametrize("number", [*INTEGERS, "-0.0", "-7.0"])
async def test_a_position(apis: BothApis, database: Database, number: str) -> None:
    wanted = {**INTEGERS, "-0.0": 0, "-7.0": -7}[number]
    tier = f'"slug": "pro", "name": "Pro", "position": {number}'

    made = await _send(apis, "POST", f"/api/v1/apps/{BY_REST}/tiers", f"{{{tier}}}")
    outcome = (await _mutate(apis, CREATE_TIER, f'{{"appSlug": "{BY_GRAPH}", {tier}}}'))["data"]["outcome"]
    positions = [made.json()["data"]["position"], outcome["tier"]["position"]]
    ids = made.json()["data"]["id"], outcome["tier"]["id"]
    for method in ("PUT", "PATCH"):
        await _send(apis, method, f"/api/v1/apps/{BY_REST}/tiers/{ids[0]}", '{"position": 5.0}')
        changed = await _send(
            apis, method, f"/api/v1/apps/{BY_REST}/tiers/{ids[0]}", f'{{"position": {number}}}'
        )
        positions.append(changed.json()["data"]["position"])
    changed_by_graph = await _mutate(apis, UPDATE_TIER, f'{{"id": "{ids[1]}", "position": {number}}}')
    positions.append(changed_by_graph["data"]["outcome"]["tier"]["position"])

    assert positions == [wanted] * 5
    assert all(type(each) is int for each in positions)
    assert [row["position"] for row in await stored(database, tiers)] == [wanted] * 2


@pytest.mark.parametrize("number", NO_INTEGERS)
async def test_everything_else_is_refused(
    apis: BothApis, database: Database, atlas: App, ada: Customer, number: str
) -> None:
    tier = await make_tier(database, atlas)
    body = f"""{{"installation_id": "00000000-0000-4000-8000-000000000001", "customer_id": "{ada.id}",
                 "tier_id": "{tier.id}", "duration_days": {number}}}"""
    path = f"/api/v1/apps/atlas/tiers/{tier.id}"

    assert error(await _send(apis, "POST", "/api/v1/apps/atlas/licenses", body)) == invalid(
        duration_days=MESSAGE
    )
    assert error(await _send(apis, "PUT", path, f'{{"position": {number}}}')) == invalid(position=MESSAGE)
    for mutation, input in (
        (CREATE_LICENSE, f'{{"customerId": "{ada.id}", "durationDays": {number}}}'),
        (UPDATE_TIER, f'{{"id": "{tier.id}", "position": {number}}}'),
    ):
        (refusal,) = (await _mutate(apis, mutation, input))["errors"]
        assert refusal["extensions"]["code"] == "BAD_USER_INPUT"


async def test_not_a_number_is_not_json(apis: BothApis, atlas: App) -> None:
    for text in ("NaN", "Infinity", "-Infinity"):
        answer = await _send(
            apis, "POST", "/api/v1/apps/atlas/tiers", f'{{"slug": "x", "name": "X", "position": {text}}}'
        )
        assert error(answer) == (400, "bad_request", None), text
