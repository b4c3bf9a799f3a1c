"""The record of what happened: events in the graph, at every depth, and as a feed in REST."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import delete
from starlette.applications import Starlette

from asgi.authentication import Authentication
from db import clock
from db.engine import Database
from db.events import command
from db.keys import keys
from db.log import log
from db.shaping import cursors
from resolvers.viewer import Policy
from schema.graph import graphql_schema
from schema.pipeline.endpoint import GraphQLEndpoint
from schema.pipeline.limits import Limits
from tests.apis.market import As, Caller
from tests.factories import (
    Account,
    App,
    event_row,
    key_id,
    make_account,
    make_app,
    make_customer,
    make_events,
    make_key,
    make_license,
    number_events,
)
from tests.keyrings import KEYRING
from tests.statements import Statements, assert_one

MOMENT = datetime(2026, 1, 23, 10, tzinfo=UTC)


@pytest.fixture
async def token(database: Database, account: Account) -> str:
    return await make_key(database, account, name="crm sync")


@pytest.fixture
async def crm(by: As, token: str) -> Caller:
    """A caller with a secret key."""
    return by(token)


def cursor(position: int) -> str:
    return cursors.encode("Event.position.both", str(position), None)


async def make_log(database: Database, app: App, count: int) -> list[str]:
    """Write numbered events of one app, two for each subject, and return their ids."""
    rows = [
        event_row(
            app.account_id,
            subject_type="tier",
            subject_id=f"{app.slug}_tier_{number // 2}",
            version=number % 2 + 1,
            app=app,
            created_at=MOMENT + timedelta(seconds=number),
        )
        for number in range(count)
    ]
    await make_events(database, rows)
    await number_events(database)
    return [str(row["id"]) for row in rows]


async def feed(caller: Caller, query: str, path: str = "/events") -> Any:
    response = await caller.rest("GET", f"{path}?{query}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_the_events_of_a_license_tell_its_story_at_once(
    crm: Caller, database: Database, atlas: App, token: str
) -> None:
    customer = await make_customer(database, atlas)
    made = await crm.data(
        "mutation($id: ID!) { createLicense(input: {customerId: $id, forever: true}) { license { id } } }",
        id=customer.id,
    )
    id = made["createLicense"]["license"]["id"]
    revoked = await crm.with_headers(**{"X-Request-Id": "ticket-7"}).rest(
        "POST", f"/apps/atlas/licenses/{id}/revoke", {"reason": "Refunded"}
    )

    data = await crm.data(
        """query($id: ID!) { license(id: $id) { version events(orderBy: {field: POSITION}) {
          nodes { type subjectType subjectId version actor { kind id name last4 } requestId causedBy { id }
                  app { slug } data changes erased createdAt }
          edges { cursor } totalCount } } }""",
        id=id,
    )

    created, revocation = data["license"]["events"]["nodes"]
    assert data["license"]["version"] == 2
    assert data["license"]["events"]["totalCount"] == 2
    assert (created["type"], created["version"], created["changes"]) == ("LICENSE_CREATED", 1, {})
    assert created["data"]["status"] == "active"
    shown = revoked.json()["data"]
    assert revocation == {
        "type": "LICENSE_REVOKED",
        "subjectType": "LICENSE",
        "subjectId": id,
        "version": 2,
        "actor": {
            "kind": "KEY",
            "id": await key_id(database, token),
            "name": "crm sync",
            "last4": token[-4:],
        },
        "requestId": "ticket-7",
        "causedBy": None,
        "app": {"slug": "atlas"},
        "data": {**shown, "revoked_reason": "Refunded"},
        "changes": {
            "status": {"from": "active", "to": "revoked"},
            "revoked_at": {"from": None, "to": shown["revoked_at"]},
            "revoked_reason": {"from": None, "to": "Refunded"},
        },
        "erased": False,
        "createdAt": shown["revoked_at"],
    }


async def test_events_are_read_at_every_depth_in_one_statement(
    crm: Caller, app: Starlette, database: Database, atlas: App, statements: Statements
) -> None:
    for email in ("ada@x.example", "bob@x.example"):
        await crm.rest("POST", "/apps/atlas/customers", {"email": email})
    await number_events(database)
    query = """{ apps { nodes { events(last: 1) { nodes { type } } customers { nodes {
      email events(first: 3) { nodes { type actor { name } app { slug } } } } } } } }"""

    with statements.recorded(app.state.database) as sent:
        data = await crm.data(query)

    assert_one(sent)
    ((found,),) = (each["nodes"] for each in data.values())
    of_customer = {
        "nodes": [{"type": "CUSTOMER_CREATED", "actor": {"name": "crm sync"}, "app": {"slug": "atlas"}}]
    }
    assert found == {
        "events": {"nodes": [{"type": "CUSTOMER_CREATED"}]},
        "customers": {
            "nodes": [
                {"email": "bob@x.example", "events": of_customer},
                {"email": "ada@x.example", "events": of_customer},
            ]
        },
    }


async def test_only_lists_of_one_subject_show_events_that_have_no_position_yet(
    crm: Caller, database: Database, account: Account, atlas: App
) -> None:
    customer = await make_customer(database, atlas)
    license = await make_license(database, customer)
    rows = [
        event_row(
            account.id,
            subject_type="license",
            subject_id=license.id,
            version=version,
            position=position,
            app=atlas,
            customer_id=customer.id,
        )
        for version, position in ((1, 1), (2, None))
    ]
    await make_events(database, rows)
    query = """query($customer: ID!, $license: ID!, $event: ID!) {
      events { totalCount nodes { version } pageInfo { hasNextPage } }
      app(slug: "atlas") { events(orderBy: {field: POSITION}) { totalCount nodes { version } } }
      customer(id: $customer) { events { totalCount nodes { version } } }
      license(id: $license) { events { totalCount nodes { version } } }
      node(id: $event) { id }
    }"""

    data = await crm.data(query, customer=customer.id, license=license.id, event=rows[1]["id"])

    first = {"totalCount": 1, "nodes": [{"version": 1}]}
    assert data == {
        "events": {**first, "pageInfo": {"hasNextPage": False}},
        "app": {"events": first},
        "customer": {"events": first},
        "license": {"events": {"totalCount": 2, "nodes": [{"version": 2}, {"version": 1}]}},
        "node": {"id": rows[1]["id"]},
    }
    assert len((await feed(crm, "after=start"))["data"]) == 1
    too_early = await crm.rest("GET", f"/events?after={rows[1]['id']}")
    assert too_early.status_code == 422
    assert too_early.json()["error"]["details"] == {
        "after": ["is the id of an event that is not in the feed yet; try again later"]
    }


async def test_a_reader_of_the_feed_gets_each_event_once_in_order(
    crm: Caller, database: Database, account: Account, atlas: App
) -> None:
    written = await make_log(database, atlas, 7)

    read, after = [], "start"
    for _ in range(10):
        page = await feed(crm, f"after={after}&limit=3")
        read += [event["id"] for event in page["data"]]
        after = page["meta"]["next"]
        if not page["meta"]["has_more"]:
            break

    assert read == written
    assert after == written[-1]
    assert await feed(crm, f"after={after}") == {"data": [], "meta": {"next": after, "has_more": False}}
    (row,) = [event_row(account.id, subject_type="api_key", subject_id="key_1", actor=command("keys create"))]
    await make_events(database, [row])
    await number_events(database)
    (event,) = (await feed(crm, f"after={after}"))["data"]
    assert event == {
        "id": row["id"],
        "type": "customer.created",
        "created_at": clock.as_text(row["created_at"]),  # type: ignore[arg-type]
        "app": None,
        "subject": {"type": "api_key", "id": "key_1"},
        "version": 1,
        "actor": {"kind": "command", "id": "keys create", "name": None},
        "request_id": None,
        "caused_by": None,
        "data": {},
        "changes": {},
    }
    assert list(event) == [
        *("id", "type", "created_at", "app", "subject", "version", "actor", "request_id", "caused_by"),
        *("data", "changes"),
    ]


async def test_without_after_the_newest_events_come_first_and_next_continues_after_them(
    crm: Caller, database: Database, atlas: App
) -> None:
    written = await make_log(database, atlas, 5)

    page = await feed(crm, "limit=2")

    assert [event["id"] for event in page["data"]] == [written[4], written[3]]
    assert page["meta"] == {"next": written[4], "has_more": False}


async def test_a_feed_that_has_no_events_yet_continues_at_the_start(crm: Caller, atlas: App) -> None:
    nothing = {"data": [], "meta": {"next": "start", "has_more": False}}

    for path in ("/events", "/apps/atlas/events"):
        assert await feed(crm, "", path) == nothing
        assert await feed(crm, "after=start", path) == nothing


async def test_a_feed_continues_after_an_event_a_cursor_or_the_start(
    crm: Caller, database: Database, account: Account, atlas: App
) -> None:
    written = await make_log(database, atlas, 3)
    (elsewhere,) = await make_log(database, await make_app(database, account, slug="other"), 1)
    graph = await crm.data("{ events(first: 1, orderBy: {field: POSITION}) { edges { cursor } } }")
    ((edge,),) = (each["edges"] for each in graph.values())

    for after in (written[0], edge["cursor"], cursor(1)):
        assert [each["id"] for each in (await feed(crm, f"after={after}"))["data"]] == [
            *written[1:],
            elsewhere,
        ]
    # A place in one feed is a place in every feed.
    assert (await feed(crm, f"after={elsewhere}", "/apps/atlas/events"))["data"] == []
    assert len((await feed(crm, f"after={written[1]}", "/apps/other/events"))["data"]) == 1


async def test_a_feed_returns_only_matching_events(crm: Caller, database: Database, atlas: App) -> None:
    ada = (await crm.rest("POST", "/apps/atlas/customers", {"email": "ada@x.example"})).json()["data"]["id"]
    bob = (await crm.rest("POST", "/apps/atlas/customers", {"email": "bob@x.example"})).json()["data"]["id"]
    await crm.rest("PATCH", f"/apps/atlas/customers/{ada}", {"name": "Ada"})
    await crm.rest("DELETE", f"/apps/atlas/customers/{bob}")
    await number_events(database)

    async def types(query: str) -> list[str]:
        return [event["type"] for event in (await feed(crm, f"after=start&{query}"))["data"]]

    created, updated, deleted = "customer.created", "customer.updated", "customer.deleted"
    assert await types("") == [created, created, updated, deleted]
    assert await types(f"type={updated}&type={deleted}") == [updated, deleted]
    assert await types(f"type=&subject_id={bob}") == [created, deleted]
    assert await types(f"subject_id={ada}&type={updated}") == [updated]
    assert await types("subject_id=nobody") == []


@pytest.mark.parametrize(
    ("query", "details"),
    [
        ("type=license.renamed", {"type": ["must be a type of event, such as license.revoked"]}),
        ("limit=0", {"limit": ["must be an integer of at least 1"]}),
        ("limit=101", {"limit": ["must be at most 100"]}),
        ("after=now", {"after": ["is not the id of an event, a cursor of events, or start"]}),
        (f"after={cursor(1)}x", {"after": ["is not the id of an event, a cursor of events, or start"]}),
        (f"after={cursor(10**18)}", {"after": ["is not the id of an event, a cursor of events, or start"]}),
        ("after=evt_01h455vb4pex5vsknk084sn02q", {"after": ["is not the id of an event that is still kept"]}),
    ],
)
async def test_wrong_parameters_of_a_feed(
    crm: Caller, atlas: App, query: str, details: dict[str, list[str]]
) -> None:
    for path in ("/events", "/apps/atlas/events"):
        response = await crm.rest("GET", f"{path}?{query}")

        assert response.status_code == 422, response.text
        assert response.json()["error"]["details"] == details
    unknown = await crm.rest("GET", f"/apps/nowhere/events?{query}")
    assert unknown.status_code == 404


async def test_the_id_of_another_account_s_event_is_unknown(crm: Caller, database: Database) -> None:
    stranger = await make_app(database, await make_account(database))
    (theirs,) = await make_log(database, stranger, 1)

    response = await crm.rest("GET", f"/events?after={theirs}")

    assert response.json()["error"]["details"] == {"after": ["is not the id of an event that is still kept"]}
    assert (await feed(crm, "after=start"))["data"] == []
    assert await crm.data("query($id: ID!) { node(id: $id) { id } }", id=theirs) == {"node": None}


async def test_pages_of_events_in_both_directions(crm: Caller, database: Database, atlas: App) -> None:
    await make_log(database, atlas, 5)

    async def page(arguments: str) -> list[int]:
        query = f"{{ events({arguments}) {{ edges {{ cursor }} }} }}"
        edges = (await crm.data(query))["events"]["edges"]
        return [int(each["cursor"].rpartition(".")[2]) for each in edges]

    ascending = "orderBy: {field: POSITION}"
    assert await page("first: 2") == [5, 4]
    assert await page(f'first: 2, after: "{cursor(4)}"') == [3, 2]
    assert await page(f"first: 2, {ascending}") == [1, 2]
    assert await page(f'after: "{cursor(3)}", {ascending}') == [4, 5]
    assert await page(f'last: 2, before: "{cursor(3)}", {ascending}') == [1, 2]
    assert await page(f'last: 1, before: "{cursor(3)}"') == [4]
    assert await page(f'after: "{cursor(99)}"') == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    "after",
    [
        cursors.encode("Event.version.both", "1", None),
        cursors.encode("Event.position.desc", "1", None),
        cursors.encode("Event.position.both", "01", None),
        cursors.encode("Event.position.both", "-1", None),
        cursors.encode("Event.position.both", "1", "x"),
        cursors.encode("Event.position.both", "9" * 19, None),
        cursors.encode("Event.position.both", "evt_1", None),
    ],
)
async def test_other_cursors_are_refused(crm: Caller, after: str) -> None:
    assert await crm.code(f'{{ events(after: "{after}") {{ totalCount }} }}') == "BAD_USER_INPUT"


async def test_events_are_filtered(
    crm: Caller, database: Database, account: Account, atlas: App, token: str
) -> None:
    await make_log(database, atlas, 4)  # each happened a second after the one before
    await crm.rest("POST", "/apps/atlas/customers", {"email": "ada@x.example"})
    await number_events(database)

    async def found(filter: str) -> list[int]:
        query = f"{{ events(filter: {{{filter}}}) {{ edges {{ cursor }} totalCount }} }}"
        events = (await crm.data(query))["events"]
        assert events["totalCount"] == len(events["edges"])
        return [int(each["cursor"].rpartition(".")[2]) for each in events["edges"]]

    assert await found("types: []") == [5, 4, 3, 2, 1]
    assert await found("types: [TIER_UPDATED]") == []
    assert await found("types: [TIER_UPDATED, CUSTOMER_CREATED], subjectId: null") == [5, 4, 3, 2, 1]
    assert await found('subjectId: "atlas_tier_1"') == [4, 3]
    assert await found(f'actorId: "{await key_id(database, token)}"') == [5]
    assert await found('happenedAfter: "2026-01-23T10:00:01Z", happenedBefore: "2026-01-23T10:00:03Z"') == [3]
    assert await found('happenedBefore: "2026-01-23T10:00:01.5Z"') == [2, 1]


async def test_events_about_customers_are_left_out_without_read_customers(
    by: As, crm: Caller, database: Database, account: Account, atlas: App
) -> None:
    customer = (await crm.rest("POST", "/apps/atlas/customers", {"email": "ada@x.example"})).json()["data"]
    await crm.data(
        "mutation($id: ID!) { createLicense(input: {customerId: $id, forever: true}) { license { id } } }",
        id=customer["id"],
    )
    await crm.rest("DELETE", f"/apps/atlas/customers/{customer['id']}")
    await number_events(database)
    query = """{
      events(orderBy: {field: POSITION}) { totalCount nodes { type causedBy { type } } }
      app(slug: "atlas") { events { totalCount } }
    }"""
    everything = await crm.data(query)
    (event, *_) = (await feed(crm, "after=start"))["data"]
    scopes = ["read", "read_events"]
    blind = by(await make_key(database, account, kind="restricted", scopes=scopes))

    data = await blind.data(query)

    by_type = {each["type"]: each["causedBy"] for each in everything["events"]["nodes"]}
    assert by_type == {
        "CUSTOMER_CREATED": None,
        "LICENSE_CREATED": None,
        "LICENSE_DELETED": {"type": "CUSTOMER_DELETED"},
        "CUSTOMER_DELETED": None,
    }
    assert everything["app"]["events"]["totalCount"] == 4
    assert data == {
        "events": {
            "totalCount": 2,
            "nodes": [
                {"type": "LICENSE_CREATED", "causedBy": None},
                {"type": "LICENSE_DELETED", "causedBy": None},
            ],
        },
        "app": {"events": {"totalCount": 2}},
    }
    assert event["type"] == "customer.created"
    assert await blind.data("query($id: ID!) { node(id: $id) { id } }", id=event["id"]) == {"node": None}
    for path in ("/events", "/apps/atlas/events"):
        shown = (await feed(blind, "after=start", path))["data"]
        assert [each["type"] for each in shown] == ["license.created", "license.deleted"]
        assert "ada@x.example" not in str(shown)


async def test_events_at_any_depth_need_read_events(
    by: As, database: Database, account: Account, atlas: App
) -> None:
    reader = by(await make_key(database, account, kind="restricted", scopes=["read", "read_customers"]))
    public = by(await make_key(database, account, kind="public"))
    event = (await make_log(database, atlas, 1))[0]

    for caller, message in (
        (reader, "This key does not have the scope READ_EVENTS."),
        (public, "A public key cannot read events; use a secret key."),
    ):
        for query in (
            "{ events { totalCount } }",
            '{ app(slug: "atlas") { events { nodes { id } } } }',
            "{ apps { nodes { licenses { nodes { events { totalCount } } } } } }",
            f'{{ node(id: "{event}") {{ id }} }}',
        ):
            (error,) = (await caller.post(query)).json()["errors"]
            assert (error["extensions"]["code"], error["message"]) == ("FORBIDDEN", message)
        assert (await caller.rest("GET", "/apps/atlas/events")).status_code == 403


async def test_a_key_limited_to_apps_sees_the_events_of_its_apps_even_after_their_deletion(
    by: As, crm: Caller, database: Database, account: Account, atlas: App
) -> None:
    other = await make_app(database, account, slug="other")
    limited = by(await make_key(database, account, apps=[atlas]))
    for slug in ("atlas", "other"):
        await crm.rest("POST", f"/apps/{slug}/customers", {"email": "ada@x.example"})
        await crm.rest("DELETE", f"/apps/{slug}")
    await crm.rest("POST", "/api-keys", {"kind": "public", "name": "web"})
    await number_events(database)

    shown = (await feed(limited, "after=start"))["data"]

    assert [(each["type"], each["app"]) for each in shown] == [
        ("customer.created", "atlas"),
        ("app.deleted", "atlas"),
    ]
    every = (await feed(crm, "after=start"))["data"]
    assert [each["type"] for each in every] == [
        *("customer.created", "app.deleted", "customer.created", "app.deleted"),
        "key.created",
    ]
    nodes = (await crm.data("{ events { nodes { subjectId app { id } } } }"))["events"]["nodes"]
    assert [each["app"] for each in nodes] == [None] * 5
    assert {atlas.id, other.id} < {each["subjectId"] for each in nodes}


async def test_an_actor_whose_key_is_gone_has_only_an_id(
    crm: Caller, by: As, database: Database, account: Account, atlas: App
) -> None:
    token = await make_key(database, account, name="old")
    id = await key_id(database, token)
    await by(token).rest("POST", "/apps/atlas/customers", {"email": "ada@x.example"})
    await number_events(database)
    async with database.write() as session:
        await session.execute(delete(keys).where(keys.c.digest == hashlib.sha256(token.encode()).hexdigest()))

    data = await crm.data("{ events { nodes { actor { kind id name last4 } } } }")

    assert data["events"]["nodes"] == [{"actor": {"kind": "KEY", "id": id, "name": None, "last4": None}}]
    assert (await feed(crm, ""))["data"][0]["actor"] == {"kind": "key", "id": id, "name": None}


async def test_changes_cursor_is_where_to_continue_after_a_response(
    crm: Caller, app: Starlette, database: Database, atlas: App, statements: Statements
) -> None:
    await crm.rest("POST", "/apps/atlas/customers", {"email": "ada@x.example"})
    await number_events(database)
    query = '{ app(slug: "atlas") { changesCursor customers { totalCount } } }'
    with statements.recorded(app.state.database) as sent:
        data = (await crm.data(query))["app"]
    assert_one(sent)
    assert data == {"changesCursor": cursor(1), "customers": {"totalCount": 1}}
    assert await crm.data("{ viewer { changesCursor } }") == {"viewer": {"changesCursor": cursor(1)}}

    await crm.rest("POST", "/apps/atlas/customers", {"email": "bob@x.example"})
    await number_events(database)

    after = data["changesCursor"]
    later = f'{{ events(after: "{after}", orderBy: {{field: POSITION}}) {{ nodes {{ data }} }} }}'
    (event,) = (await crm.data(later))["events"]["nodes"]
    assert event["data"]["email"] == "bob@x.example"
    (event,) = (await feed(crm, f"after={after}"))["data"]
    assert event["data"]["email"] == "bob@x.example"


@pytest.mark.parametrize(
    ("days", "age", "since"),
    [(400, 500, 400), (400, 30, 30), (0, 500, 500)],
    ids=["what is kept", "the beginning of the log", "for ever"],
)
async def test_history_since_is_when_the_oldest_event_can_be(
    database: Database,
    account: Account,
    monkeypatch: pytest.MonkeyPatch,
    days: int,
    age: int,
    since: int,
) -> None:
    monkeypatch.setattr(clock, "now", lambda: MOMENT)
    async with database.write() as session:
        await session.execute(log.update().values(since=MOMENT - timedelta(days=age)))
    keeping = Authentication(database, Policy(event_days=days))
    api = GraphQLEndpoint(graphql_schema, database, KEYRING, keeping, limits=Limits())
    client = httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://testserver")
    caller = Caller(client, await make_key(database, account))

    data = await caller.data("{ viewer { historySince } }")

    assert data == {"viewer": {"historySince": clock.as_text(MOMENT - timedelta(days=since))}}
