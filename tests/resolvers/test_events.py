"""Events: what each change writes to the log, in the transaction of the change."""

import json
from dataclasses import replace
from typing import Any

from db.apps import apps as apps_table
from db.customers import customers as customers_table
from db.engine import Database
from db.events import ActorKind, events
from db.tokens import tokens
from resolvers.apps import delete_app, update_app
from resolvers.customers import (
    create_customer,
    delete_customer,
    get_or_create_customer,
    update_customer,
)
from resolvers.features import create_feature, delete_feature, update_feature
from resolvers.licenses import (
    create_license,
    delete_license,
    exchange_token,
    regenerate_license,
    reinstate_license,
    revoke_license,
)
from resolvers.rotation import rotate_app_keys
from resolvers.tiers import create_tier, delete_tier, update_tier
from resolvers.viewer import REQUEST_ID, Viewer
from tests.factories import App, make_customer, make_license
from tests.keyrings import KEYRING
from tests.resolvers.calling import refused, row, rows, write
from tests.resolvers.conftest import Clock

TIME = "2026-01-23T10:00:00Z"


async def logged(database: Database) -> list[dict[str, Any]]:
    """Return the events in the order in which they were written."""
    found = [dict(event) for event in await rows(database, events)]
    for event in found:
        event["data"], event["changes"] = json.loads(event["data"]), json.loads(event["changes"])
    return found


async def last(database: Database) -> dict[str, Any]:
    return (await logged(database))[-1]


async def types(database: Database) -> list[tuple[str, int]]:
    """Return the type of each event, and the version of its subject."""
    return [(event["type"], event["version"]) for event in await logged(database)]


async def test_an_event_says_what_happened_to_whom_and_by_whom(
    database: Database, viewer: Viewer, app: App, clock: Clock
) -> None:
    REQUEST_ID.set("request-1")
    viewer = replace(viewer, key_id="key_1")

    made = await write(database, create_customer, viewer, app.slug, {"email": "Ada@EXAMPLE.com", "name": ""})

    (event,) = await logged(database)
    assert event.pop("id").startswith("evt_")
    assert event.pop("position") == (1 if database.is_sqlite else None)
    assert event == {
        "account_id": viewer.account_id,
        "app_id": app.id,
        "app_slug": app.slug,
        "customer_id": made.id,
        "other_customer_id": None,
        "subject_type": "customer",
        "subject_id": made.id,
        "version": 1,
        "type": "customer.created",
        "created_at": clock.now,
        "actor_kind": "key",
        "actor_id": "key_1",
        "request_id": "request-1",
        "caused_by": None,
        # The event shows the row, not the input.
        "data": {
            "id": made.id,
            "email": "Ada@EXAMPLE.com",
            "name": None,
            "external_id": None,
            "metadata": {},
            "created_at": TIME,
        },
        "changes": {},
        "erased": False,
    }


async def test_a_change_is_shown_with_old_and_new_values(
    database: Database, viewer: Viewer, app: App, clock: Clock
) -> None:
    email, metadata = "ada@example.com", {"plan": "solo"}
    customer = await make_customer(database, app, email=email, name="A", metadata=metadata)

    changes = {"email": "Ada@example.com", "name": "Ada", "metadata": metadata}
    await write(database, update_customer, viewer, customer.id, changes)

    event = await last(database)
    assert (event["type"], event["version"]) == ("customer.updated", 2)
    assert event["changes"] == {
        "email": {"from": "ada@example.com", "to": "Ada@example.com"},
        "name": {"from": "A", "to": "Ada"},
    }
    assert event["data"]["metadata"] == {"plan": "solo"}
    assert (await row(database, customers_table, customer.id))["version"] == 2


async def test_a_call_that_changes_nothing_writes_no_event(
    database: Database, viewer: Viewer, app: App, clock: Clock
) -> None:
    email, metadata = "ada@example.com", {"a": 1, "b": 2}
    customer = await make_customer(database, app, email=email, name="Ada", metadata=metadata)
    license = await make_license(database, customer, revoked_at=clock.now)
    tier = await write(database, create_tier, viewer, app.slug, {"slug": "solo", "name": "Solo"})
    feature = await write(database, create_feature, viewer, app.slug, {"slug": "sso", "name": "SSO"})
    before = await rows(database, customers_table), await rows(database, apps_table), await logged(database)
    clock.passes(hours=1)

    same = {"email": email, "name": "Ada", "metadata": {"b": 2, "a": 1}}
    await write(database, update_customer, viewer, customer.id, same)
    await write(database, update_customer, viewer, customer.id, {})
    await write(
        database, get_or_create_customer, viewer, app.slug, {"email": "ADA@example.com", "name": "Eve"}
    )
    await write(database, revoke_license, viewer, license.id, {"reason": "again"})
    await write(database, update_app, viewer, app.slug, {"slug": app.slug})
    await write(database, update_tier, viewer, tier, {"name": "Solo", "features": []})
    await write(database, update_feature, viewer, feature, {"name": "SSO"})

    after = await rows(database, customers_table), await rows(database, apps_table), await logged(database)
    assert after == before


async def test_a_refused_call_writes_no_event(
    database: Database, viewer: Viewer, app: App, clock: Clock
) -> None:
    await make_customer(database, app, email="ada@example.com")

    values = {"email": "ada@example.com"}
    assert await refused(database, create_customer, viewer, app.slug, values) == [("TAKEN", "email")]


async def test_the_life_of_a_license(database: Database, viewer: Viewer, app: App) -> None:
    customer = await make_customer(database, app)

    terms = {"customer_id": customer.id, "forever": True}
    id = await write(database, create_license, viewer, terms)
    created = await last(database)
    await write(database, regenerate_license, viewer, id)
    regenerated = await last(database)
    await write(database, revoke_license, viewer, id, {"reason": "refund"})
    revoked = await last(database)
    await write(database, reinstate_license, viewer, id)
    reinstated = await last(database)
    await write(database, delete_license, viewer, id)
    deleted = await last(database)

    assert await types(database) == [
        ("license.created", 1),
        ("license.regenerated", 2),
        ("license.revoked", 3),
        ("license.reinstated", 4),
        ("license.deleted", 5),
    ]
    assert {event["customer_id"] for event in await logged(database)} == {customer.id}
    assert (created["data"]["status"], created["data"]["jti"].partition("_")[0]) == ("active", "lic")
    new_jti = regenerated["data"]["jti"]
    assert regenerated["changes"] == {"jti": {"from": created["data"]["jti"], "to": new_jti}}
    assert revoked["changes"] == {
        "status": {"from": "active", "to": "revoked"},
        "revoked_at": {"from": None, "to": revoked["data"]["revoked_at"]},
        "revoked_reason": {"from": None, "to": "refund"},
    }
    assert reinstated["changes"] == {
        "status": {"from": "revoked", "to": "active"},
        "revoked_at": {"from": revoked["data"]["revoked_at"], "to": None},
        "revoked_reason": {"from": "refund", "to": None},
    }
    assert (deleted["data"], deleted["changes"]) == (reinstated["data"], {})


async def test_who_exchanges_a_token_is_its_holder(database: Database, viewer: Viewer, app: App) -> None:
    customer = await make_customer(database, app)
    id = await write(database, create_license, viewer, {"customer_id": customer.id, "forever": True})
    before = await last(database)

    await write(database, exchange_token, viewer, await shown_token(database, id))

    event = await last(database)
    assert (event["type"], event["actor_kind"]) == ("license.regenerated", ActorKind.TOKEN)
    assert event["actor_id"] == before["data"]["jti"]


async def shown_token(database: Database, license_id: str) -> str:
    (text,) = [
        str(each["token"]) for each in await rows(database, tokens) if each["license_id"] == license_id
    ]
    return text


async def test_deleting_a_customer_writes_an_event_for_each_license(
    database: Database, viewer: Viewer, app: App
) -> None:
    customer, other = await make_customer(database, app), await make_customer(database, app)
    made = [(await make_license(database, customer)).id for _ in range(3)]
    await make_license(database, other)

    await write(database, delete_customer, viewer, customer.id)

    cause, *licenses = await logged(database)
    assert (cause["type"], cause["version"], cause["data"]["license_count"]) == ("customer.deleted", 2, 3)
    assert [event["subject_id"] for event in licenses] == made
    assert {(event["type"], event["version"], event["caused_by"]) for event in licenses} == {
        ("license.deleted", 2, cause["id"])
    }
    assert all(event["data"]["customer_id"] == customer.id for event in licenses)


async def test_deleting_an_app_writes_one_event_with_its_counts(
    database: Database, viewer: Viewer, app: App
) -> None:
    for _ in range(2):
        await make_license(database, await make_customer(database, app))

    await write(database, delete_app, viewer, app.slug)

    (event,) = await logged(database)
    assert (event["type"], event["app_slug"], event["app_id"]) == ("app.deleted", app.slug, app.id)
    assert (event["data"]["customer_count"], event["data"]["license_count"]) == (2, 2)


async def test_apps_tiers_and_features(database: Database, viewer: Viewer, app: App) -> None:

    await write(database, update_app, viewer, app.slug, {"name": "New"})
    sso = await write(database, create_feature, viewer, app.slug, {"slug": "sso", "name": "SSO"})
    tier = await write(database, create_tier, viewer, app.slug, {"slug": "team", "name": "Team"})
    await write(database, update_tier, viewer, tier, {"features": ["sso"], "position": 9})
    changed = await last(database)
    await write(database, update_tier, viewer, tier, {"features": []})
    await write(database, update_feature, viewer, sso, {"name": "Single sign-on"})
    await write(database, delete_tier, viewer, tier)
    await write(database, delete_feature, viewer, sso)

    assert await types(database) == [
        ("app.updated", 2),
        ("feature.created", 1),
        ("tier.created", 1),
        ("tier.updated", 2),
        ("tier.updated", 3),
        ("feature.updated", 2),
        ("tier.deleted", 4),
        ("feature.deleted", 3),
    ]
    assert changed["changes"] == {
        "position": {"from": 1, "to": 9},
        "features": {"from": [], "to": ["sso"]},
    }


async def test_a_rotation_writes_one_event_with_the_number_of_new_tokens(
    database: Database, viewer: Viewer, app: App
) -> None:
    customer = await make_customer(database, app)
    for _ in range(3):
        await make_license(database, customer)

    await rotate_app_keys(viewer, database, KEYRING, app.slug)

    (event,) = await logged(database)
    assert (event["type"], event["version"]) == ("app.keys_rotated", 2)
    assert event["data"]["licenses_resigned"] == 3
    pem = event["changes"]["public_key_pem"]
    assert pem["to"] == event["data"]["public_key_pem"] != pem["from"]


async def test_a_license_that_never_had_a_token(database: Database, viewer: Viewer, app: App) -> None:
    license = await make_license(database, await make_customer(database, app))
    async with database.write() as session:
        await session.execute(tokens.delete())

    await write(database, revoke_license, viewer, license.id, {})

    event = await last(database)
    assert (event["data"]["id"], event["data"]["jti"]) == (license.id, None)


async def test_no_event_has_a_token(database: Database, viewer: Viewer, app: App) -> None:
    customer = await make_customer(database, app)
    id = await write(database, create_license, viewer, {"customer_id": customer.id, "forever": True})
    token = await shown_token(database, id)

    assert token not in json.dumps([event["data"] for event in await logged(database)])
