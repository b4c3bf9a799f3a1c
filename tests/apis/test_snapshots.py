"""Snapshots: what an app, a customer or a license was at an earlier time, in both APIs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, update

from db import clock, ids
from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.log import log
from tests.apis.market import As
from tests.factories import (
    Account,
    App,
    Customer,
    make_account,
    make_app,
    make_customer,
    make_key,
    make_license,
    make_tier,
)
from tests.statements import Statements, assert_one

START = datetime(2026, 11, 1, 10, 0, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Time:
    """The time of day, which tests set."""

    def __init__(self) -> None:
        self.now = START

    def passes(self, hours: int = 1) -> None:
        self.now += hours * HOUR


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time, new_id = Time(), ids.new_id
    monkeypatch.setattr(clock, "now", lambda: time.now)
    monkeypatch.setattr(ids, "new_id", lambda prefix, at=None: new_id(prefix, at or time.now))
    return time


@pytest.fixture
async def atlas(database: Database, account: Account, time: Time) -> App:
    """An app of a log that began two days ago."""
    async with database.write() as session:
        await session.execute(update(log).values(since=START - 48 * HOUR))
    return await make_app(database, account, slug="atlas", created_at=START - 24 * HOUR)


@pytest.fixture
async def api(client: httpx.AsyncClient, database: Database, account: Account) -> httpx.AsyncClient:
    client.headers["Authorization"] = f"Bearer {await make_key(database, account)}"
    return client


def at(hours: float) -> str:
    return clock.as_text(START + hours * HOUR)


async def graph(api: httpx.AsyncClient, query: str, **headers: str) -> Any:
    answer = (await api.post("/graphql", json={"query": query}, headers=headers)).json()
    if "errors" in answer:
        (error,) = answer["errors"]
        return error["extensions"]["code"], error["message"]
    return answer["data"]


async def snapshot(api: httpx.AsyncClient, id: str, hours: float) -> Any:
    """Return what the root field `snapshot` returns."""
    data = await graph(api, f'{{ snapshot(id: "{id}", at: "{at(hours)}") }}')
    return data["snapshot"] if isinstance(data, dict) else data


async def as_of(api: httpx.AsyncClient, path: str, hours: float, app: str = "atlas") -> Any:
    """Return the status, the object and the ETag that REST returns, or the status and the details."""
    answer = await api.get(f"/api/v1/apps/{app}{path}", params={"as_of": at(hours)})
    if answer.status_code == 200:
        return 200, answer.json()["data"], answer.headers["etag"]
    return answer.status_code, answer.json()["error"].get("details")


async def changed(api: httpx.AsyncClient, method: str, path: str, **body: Any) -> dict[str, Any]:
    answer = await api.request(method, f"/api/v1/apps/atlas{path}", json=body)
    assert answer.status_code < 300, answer.text
    return answer.json()["data"] if answer.content else {}


async def test_a_customer_is_shown_as_it_was_at_each_time(
    api: httpx.AsyncClient, atlas: App, time: Time
) -> None:
    first = await changed(
        api, "POST", "/customers", email="ada@example.com", metadata={"plan": "solo", "a": None}
    )
    path = f"/customers/{first['id']}"
    time.passes()
    second = await changed(api, "PUT", path, name="Ada", metadata={"plan": {"is": "team"}})
    time.passes()
    await changed(api, "DELETE", path)

    expected = {-1: None, 0: first, 0.99: first, 1: second, 1.5: second, 2: None, 3: None, 99: None}
    assert {hours: await snapshot(api, first["id"], hours) for hours in expected} == expected
    assert {hours: await as_of(api, path, hours) for hours in (-1, 0, 1, 2)} == {
        -1: (404, None),
        0: (200, first, '"1"'),
        1: (200, second, '"2"'),
        2: (404, None),
    }


async def test_what_is_older_than_its_first_event_is_shown_with_the_changes_undone(
    api: httpx.AsyncClient, database: Database, atlas: App, time: Time
) -> None:
    ada = await make_customer(
        database, atlas, name="Ada", external_id="crm-1", metadata={"n": 1}, created_at=START - 2 * HOUR
    )
    path = f"/customers/{ada.id}"
    before = (await api.get(f"/api/v1/apps/atlas{path}")).json()["data"]
    assert await as_of(api, path, -1) == (200, before, '"1"')  # there is no event: the row

    await changed(api, "PUT", path, name=None, external_id="crm-2", metadata={})
    assert [await as_of(api, path, hours) for hours in (-3, -2, -1)] == [
        (404, None),
        (200, before, '"1"'),
        (200, before, '"1"'),
    ]

    time.passes()
    await changed(api, "DELETE", path)
    assert await as_of(api, path, -1) == (200, before, '"1"')
    assert list(await snapshot(api, ada.id, -1)) == list(before)


async def test_a_subject_without_events_that_is_deleted_is_shown_from_its_deletion(
    api: httpx.AsyncClient, database: Database, atlas: App, time: Time
) -> None:
    ada = await make_customer(database, atlas, created_at=START - 2 * HOUR)
    before = (await api.get(f"/api/v1/apps/atlas/customers/{ada.id}")).json()["data"]

    await changed(api, "DELETE", f"/customers/{ada.id}")

    assert [await snapshot(api, ada.id, hours) for hours in (-3, -2, -1, 0)] == [None, before, before, None]


async def test_the_status_of_a_license_is_that_of_the_time(
    api: httpx.AsyncClient, database: Database, atlas: App, time: Time
) -> None:
    ada = await make_customer(database, atlas, created_at=START - 9 * HOUR)
    tier = await make_tier(database, atlas, slug="team", created_at=START - 9 * HOUR)
    old = await make_license(
        database, ada, tier=tier, created_at=START - 5 * HOUR, expires_at=START + 3 * HOUR
    )
    path = f"/licenses/{old.id}"
    time.passes()
    await changed(api, "POST", f"{path}/revoke", reason="Refunded")
    time.passes()
    await changed(api, "POST", f"{path}/reinstate")
    time.passes(8)

    shown = {hours: await snapshot(api, old.id, hours) for hours in (-6, -5, 0, 1, 2, 2.9, 3, 9, 99)}

    assert {hours: each and each["status"] for hours, each in shown.items()} == {
        -6: None,
        -5: "active",
        0: "active",
        1: "revoked",
        2: "active",
        2.9: "active",
        3: "expired",
        9: "expired",
        99: "expired",
    }
    assert [shown[hours]["revoked_reason"] for hours in (0, 1, 2)] == [None, "Refunded", None]
    assert (shown[-5]["tier"], shown[-5]["customer_id"]) == ("team", ada.id)
    status, license, tag = await as_of(api, path, 1)
    assert (status, license["status"], tag) == (200, "revoked", '"2"')
    now = (await api.get(f"/api/v1/apps/atlas{path}")).json()["data"]
    assert list(license) == [key for key in now if key != "token"]


async def test_a_time_in_the_future_shows_the_object_as_it_is(
    api: httpx.AsyncClient, database: Database, atlas: App, time: Time
) -> None:
    license = await make_license(
        database,
        await make_customer(database, atlas, created_at=START),
        created_at=START,
        expires_at=START + HOUR,
    )

    now = (await api.get(f"/api/v1/apps/atlas/licenses/{license.id}")).json()["data"]
    del now["token"]

    assert now["status"] == "active"
    assert await as_of(api, f"/licenses/{license.id}", 99) == (200, now, '"1"')


async def test_events_of_one_subject_are_ordered_by_version(
    api: httpx.AsyncClient, database: Database, atlas: App, time: Time
) -> None:
    first = await changed(api, "POST", "/customers", email="ada@example.com")
    path = f"/customers/{first['id']}"
    time.now -= 2 * timedelta(seconds=1)  # the clock of another host
    second = await changed(api, "PUT", path, name="Ada")

    time.passes()
    assert await as_of(api, path, 0) == (200, second, '"2"')


async def test_an_app_is_shown_by_its_slug_even_if_it_is_deleted(
    api: httpx.AsyncClient, database: Database, account: Account, atlas: App, time: Time
) -> None:
    before = (await api.get("/api/v1/apps/atlas")).json()["data"]
    ada = await make_customer(database, atlas, created_at=START - HOUR)
    bob = await changed(api, "POST", "/customers", email="bob@example.com")
    time.passes()
    named = await changed(api, "PUT", "", name="Atlas 2")
    time.passes()
    await changed(api, "DELETE", "")
    time.passes()
    await make_app(database, account, slug="atlas", created_at=time.now, name="Another")

    assert [await as_of(api, "", hours) for hours in (-25, 0, 1, 2)] == [
        (404, None),
        (200, before, '"1"'),
        (200, named, '"2"'),
        (404, None),
    ]
    assert (await as_of(api, "", 3))[1]["name"] == "Another"
    # Deleting an app deletes what is in it, without events. The rows are purged later.
    async with database.write() as session:
        await session.execute(delete(customers).where(customers.c.app_id == atlas.id))
        await session.execute(delete(apps).where(apps.c.id == atlas.id))
    assert [await snapshot(api, bob["id"], hours) for hours in (0, 1, 2)] == [bob, bob, None]
    assert (await as_of(api, f"/customers/{bob['id']}", 1))[0] == 200
    assert await snapshot(api, ada.id, 0) is None  # it had no events


async def test_snapshots_at_any_depth_are_read_in_the_statement_of_the_root_field(
    api: httpx.AsyncClient, app: Any, database: Database, atlas: App, time: Time, statements: Statements
) -> None:
    ada = await changed(api, "POST", "/customers", email="ada@example.com")
    license = await make_license(database, await _of(database, ada), created_at=START)
    time.passes()
    await changed(api, "PUT", f"/customers/{ada['id']}", name="Ada")
    await changed(api, "POST", f"/licenses/{license.id}/revoke")

    query = f"""{{ app(slug: "atlas") {{ snapshot(at: "{at(0)}") customers(first: 5) {{ nodes {{
          then: snapshot(at: "{at(0)}") now: snapshot(at: "{at(1)}") before: snapshot(at: "{at(-1)}")
          licenses(first: 5) {{ edges {{ node {{ snapshot(at: "{at(0)}")
          customer {{ snapshot(at: "{at(0)}") }} app {{ snapshot(at: "{at(-25)}") }} }} }} }} }} }} }} }}"""
    await graph(api, query)  # the first one also reads when the log began
    with statements.recorded(app.state.database) as sent:
        data = await graph(api, query)

    assert_one(sent)
    (node,) = data["app"]["customers"]["nodes"]
    (edge,) = node["licenses"]["edges"]
    assert data["app"]["snapshot"]["slug"] == "atlas"
    assert (node["then"], node["now"], node["before"]) == (ada, {**ada, "name": "Ada"}, None)
    assert edge["node"]["snapshot"]["status"] == "active"
    assert edge["node"]["customer"] == {"snapshot": ada}
    assert edge["node"]["app"] == {"snapshot": None}


async def _of(database: Database, customer: dict[str, Any]) -> Customer:
    async with database.write() as session:
        statement = customers.select().where(customers.c.id == customer["id"])
        row = (await session.execute(statement)).mappings().one()
    return Customer(row["id"], row["app_id"], row["email"], row["created_at"])


async def test_a_time_before_the_history_is_refused(
    api: httpx.AsyncClient, database: Database, atlas: App, time: Time
) -> None:
    ada = await make_customer(database, atlas, created_at=START - 24 * HOUR)
    message = "must not be before 2026-10-30T10:00:00Z, where the history begins"
    query = '{ customer(id: "%s") { snapshot(at: "%s") } }'

    assert await as_of(api, f"/customers/{ada.id}", -49) == (422, {"as_of": [message]})
    assert await as_of(api, "", -49) == (422, {"as_of": [message]})
    assert await snapshot(api, ada.id, -49) == ("BAD_USER_INPUT", f"at {message}")
    assert await graph(api, query % (ada.id, at(-49))) == ("BAD_USER_INPUT", f"at {message}")

    time.passes(401 * 24)  # events are kept for 400 days
    late = "must not be before 2026-11-02T10:00:00Z, where the history begins"
    assert await as_of(api, f"/customers/{ada.id}", 23) == (422, {"as_of": [late]})
    assert (await as_of(api, f"/customers/{ada.id}", 24))[0] == 200


@pytest.mark.parametrize("value", ["yesterday", "2026-11-01", "2026-11-01T10:00:00", ""])
async def test_malformed_times_are_refused(api: httpx.AsyncClient, atlas: App, value: str) -> None:
    answer = await api.get("/api/v1/apps/atlas", params={"as_of": value})

    assert answer.status_code == 422
    assert list(answer.json()["error"]["details"]) == ["as_of"]


async def test_what_a_snapshot_needs_and_reaches(
    by: As, api: httpx.AsyncClient, database: Database, account: Account, atlas: App, time: Time
) -> None:
    """The scopes of a key, its apps and its account limit snapshots of existing and of deleted objects."""
    there = await changed(api, "POST", "/customers", email="ada@example.com")
    gone = await changed(api, "POST", "/customers", email="bob@example.com")
    time.passes()
    await changed(api, "DELETE", f"/customers/{gone['id']}")
    license = await make_license(database, await _of(database, there), created_at=START)
    other = await make_app(database, account, slug="other", created_at=START)

    async def key(kind: str = "restricted", of: Account = account, **more: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {await make_key(database, of, kind=kind, **more)}"}

    keys = {
        "of the app": await key(scopes=["read", "read_customers", "read_events"], apps=[atlas]),
        "of another app": await key(scopes=["read", "read_customers", "read_events"], apps=[other]),
        "of another account": await key("secret", await make_account(database)),
        "without events": await key(scopes=["read", "read_customers"]),
        "without customers": await key(scopes=["read", "read_events"]),
        "public": await key("public"),
    }

    async def answers(headers: dict[str, str]) -> list[Any]:
        found: list[Any] = []
        for id in (there["id"], gone["id"], license.id):
            data = await graph(api, f'{{ snapshot(id: "{id}", at: "{at(0.5)}") }}', **headers)
            found.append(data["snapshot"] and "shown" if isinstance(data, dict) else data[0])
            path = f"/api/v1/apps/atlas/{'licenses' if id == license.id else 'customers'}/{id}"
            found.append((await api.get(path, params={"as_of": at(0.5)}, headers=headers)).status_code)
        return found

    shown, nothing, refused = ["shown", 200], [None, 404], ["FORBIDDEN", 403]
    assert {name: await answers(headers) for name, headers in keys.items()} == {
        "of the app": shown * 3,
        "of another app": nothing * 3,
        "of another account": nothing * 3,
        "without events": refused * 3,
        "without customers": refused * 2 + shown,
        "public": refused * 3,
    }
    for name in ("without events", "public"):
        query = f'{{ app(slug: "atlas") {{ snapshot(at: "{at(0.5)}") }} }}'
        assert (await graph(api, query, **keys[name]))[0] == "FORBIDDEN"


@pytest.mark.parametrize("id", ["", "cus_1", "nothing", "cus_\x00", "evt_1", "doc_1"])
async def test_unknown_ids(api: httpx.AsyncClient, atlas: App, id: str) -> None:
    query = "query ($id: ID!, $at: DateTime!) { snapshot(id: $id, at: $at) }"

    answer = await api.post("/graphql", json={"query": query, "variables": {"id": id, "at": at(0)}})

    assert answer.json()["data"] == {"snapshot": None}


async def test_tiers_features_and_keys_have_snapshots(
    api: httpx.AsyncClient, database: Database, atlas: App, time: Time
) -> None:
    feature = await changed(api, "POST", "/features", slug="sso", name="SSO")
    tier = await changed(api, "POST", "/tiers", slug="team", name="Team", features=["sso"])
    key = (await api.post("/api/v1/api-keys", json={"name": "crm", "kind": "public"})).json()["data"]
    time.passes()
    await changed(api, "PUT", f"/tiers/{tier['id']}", features=[], position=7)
    await changed(api, "DELETE", f"/features/{feature['id']}")
    await api.put(f"/api/v1/api-keys/{key['id']}", json={"name": "shop"})

    terms = {"duration_days": None, "trial": False}  # the tiers of REST keep their keys
    assert await snapshot(api, tier["id"], 0) == {**tier, **terms}
    assert await snapshot(api, tier["id"], 1) == {**tier, **terms, "features": [], "position": 7}
    assert [await snapshot(api, feature["id"], hours) for hours in (0, 1)] == [feature, None]
    assert [(await snapshot(api, key["id"], hours))["name"] for hours in (0, 1)] == ["crm", "shop"]


async def test_an_object_in_another_app_or_of_another_type_counts_as_not_found(
    api: httpx.AsyncClient, database: Database, account: Account, atlas: App, time: Time
) -> None:
    ada = await changed(api, "POST", "/customers", email="ada@example.com")
    await make_app(database, account, slug="other", created_at=START - HOUR)

    assert await as_of(api, f"/customers/{ada['id']}", 0, "other") == (404, None)
    assert await as_of(api, f"/licenses/{ada['id']}", 0) == (404, None)
    assert await as_of(api, f"/customers/{ada['id']}", 0, "nothing") == (404, None)
