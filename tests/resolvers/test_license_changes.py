"""Changes to issued licenses: their tokens, the events of their expiry, and trials."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jwt
import pytest
from sqlalchemy import select, update

from db import clock, signing_keys
from db.engine import Database
from db.events import events, watermarks
from db.licenses import licenses
from db.log import log
from db.tokens import tokens
from resolvers.customers import delete_customer
from resolvers.license_changes import renew_license, transfer_license, update_license
from resolvers.licenses import create_license, delete_license, regenerate_license, revoke_license
from resolvers.projector import Projector
from resolvers.signing_keys import make_next_keys
from resolvers.viewer import Viewer
from tests.factories import App, Customer, make_customer, make_feature, make_license, make_tier
from tests.keyrings import KEYRING
from tests.resolvers.calling import refused, row, rows, write
from tests.statements import Statements

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def ada(database: Database, app: App) -> Customer:
    return await make_customer(database, app)


@pytest.fixture
async def bob(database: Database, app: App) -> Customer:
    return await make_customer(database, app)


async def issue(database: Database, viewer: Viewer, customer: Customer, **values: Any) -> str:
    values = {
        "customer_id": customer.id,
        **({"duration_days": 30} if "tier_id" not in values else {}),
        **values,
    }
    return await write(database, create_license, viewer, values)


async def signed(database: Database, id: str) -> list[tuple[int, dict[str, Any]]]:
    """Return the generation of the key and the claims of each token of a license that is not superseded."""
    query = select(tokens.c.generation, tokens.c.token).where(tokens.c.license_id == id)
    async with database.write() as session:
        found = await session.execute(query.order_by(tokens.c.number))
        return [
            (row.generation, jwt.decode(row.token, options={"verify_signature": False}))
            for row in found
            if row.token is not None
        ]


async def types_of(database: Database, id: str) -> list[str]:
    """Return the types of a license's events, by version, after the projector has done all its work."""
    projector = Projector(database, 7)
    while await projector.run():
        pass
    query = select(events.c.type, events.c.version).where(events.c.subject_id == id)
    async with database.write() as session:
        found = [tuple(each) for each in await session.execute(query.order_by(events.c.version))]
    versions = [version for _, version in found]
    assert versions == list(range(versions[0], versions[0] + len(versions)))
    return [str(type) for type, _ in found]


async def begin_marks(database: Database) -> None:
    """Let the log and the marks of expiry begin long ago."""
    async with database.write() as session:
        await session.execute(update(watermarks).values(until=BEGIN))
        await session.execute(update(log).values(since=BEGIN))


@pytest.mark.parametrize("change", ["renew", "update", "revoke", "delete"])
async def test_the_expiry_of_a_license_is_recorded_before_a_change_that_hides_it(
    database: Database, viewer: Viewer, ada: Customer, change: str
) -> None:
    """No server was running when the license expired."""
    await begin_marks(database)
    expired_at = clock.now() - timedelta(days=1)
    license = await make_license(
        database, ada, expires_at=expired_at, created_at=expired_at - timedelta(days=1), token="a.b.c"
    )
    match change:
        case "renew":
            await write(database, renew_license, viewer, license.id, {"duration_days": 30})
        case "update":
            await write(database, update_license, viewer, license.id, {"forever": True})
        case "revoke":
            await write(database, revoke_license, viewer, license.id, {})
        case _:
            await write(database, delete_license, viewer, license.id)

    types = {"renew": "license.renewed", "update": "license.updated"}
    assert await types_of(database, license.id) == [
        "license.expired",
        types.get(change, f"license.{change}d"),
    ]
    found = next(each for each in await rows(database, events) if each["type"] == "license.expired")
    assert found["created_at"] == expired_at
    assert json.loads(found["data"])["status"] == "expired"


async def test_a_license_expires_again_at_each_new_expiry(
    database: Database, viewer: Viewer, ada: Customer
) -> None:
    renewed, shortened = [await issue(database, viewer, ada) for _ in range(2)]
    end = {"expires_at": (clock.now() + timedelta(seconds=2)).isoformat()}
    for id in (renewed, shortened):
        await write(database, update_license, viewer, id, end)
    await asyncio.sleep(2.5)
    await types_of(database, renewed)
    until = {"until": (clock.now() + timedelta(seconds=2)).isoformat()}
    await write(database, renew_license, viewer, renewed, until)
    await asyncio.sleep(2.5)

    once = ["license.created", "license.updated", "license.expired"]
    assert await types_of(database, shortened) == once
    assert await types_of(database, renewed) == [*once, "license.renewed", "license.expired"]


async def test_during_a_rotation_both_keys_sign_and_are_published_as_long_as_an_earlier_token(
    database: Database, viewer: Viewer, app: App, ada: Customer
) -> None:
    id = await issue(database, viewer, ada, forever=True, duration_days=None)
    await make_next_keys(database, KEYRING)
    async with database.write() as session:
        await signing_keys.activate(session, app.id, 2, clock.now())
    await write(database, update_license, viewer, id, {"duration_days": 300})
    longer = (await row(database, licenses, id))["expires_at"]

    await write(database, update_license, viewer, id, {"duration_days": 30})

    assert [generation for generation, _ in await signed(database, id)] == [1, 2]
    shorter = (await row(database, licenses, id))["expires_at"]
    assert {claims["exp"] for _, claims in await signed(database, id)} == {int(shorter.timestamp())}
    assert longer > shorter
    kept = [key["last_expiry"] for key in await rows(database, signing_keys.signing_keys)]
    assert kept == [signing_keys.NEVER, signing_keys.NEVER]


async def test_a_trial_may_move_back_but_leaves_its_trial_behind(
    database: Database, viewer: Viewer, app: App, ada: Customer, bob: Customer
) -> None:
    tier = await make_tier(database, app, trial=True, duration_days=14)
    here, there = str(uuid4()), str(uuid4())
    id = await issue(database, viewer, ada, tier_id=tier.id, installation_id=here)

    for installation in (there, here):
        await write(database, update_license, viewer, id, {"installation_id": installation})
        assert (await signed(database, id))[0][1]["trial"] is True
    for customer in (bob, ada):
        await write(database, transfer_license, viewer, id, {"customer_id": customer.id})

    carol = await make_customer(database, app)
    values = {"customer_id": carol.id, "tier_id": tier.id}
    again = await refused(database, create_license, viewer, {**values, "installation_id": there})
    assert again == [("TRIAL_USED", "installation_id")]
    again = await refused(database, create_license, viewer, {**values, "customer_id": bob.id})
    assert again == [("TRIAL_USED", "customer_id")]


async def test_a_trial_that_was_bought_does_not_become_a_trial_again(
    database: Database, viewer: Viewer, app: App, ada: Customer
) -> None:
    tier, other = [await make_tier(database, app, trial=True, duration_days=14) for _ in range(2)]
    id = await issue(database, viewer, ada, tier_id=tier.id)

    await write(database, update_license, viewer, id, {"tier_id": other.id})
    assert (await signed(database, id))[0][1]["trial"] is True
    await write(database, update_license, viewer, id, {"tier_id": None})
    assert "trial" not in (await signed(database, id))[0][1]

    assert await refused(database, update_license, viewer, id, {"tier_id": tier.id}) == [
        ("TRIAL_USED", "customer_id"),
        ("TRIAL_USED", "installation_id"),
    ]


async def test_erasing_either_customer_erases_the_event_of_a_transfer(
    database: Database, viewer: Viewer, ada: Customer, bob: Customer
) -> None:
    id = await issue(database, viewer, ada, metadata={"name": "Ada"})
    await write(database, transfer_license, viewer, id, {"customer_id": bob.id})

    await write(database, delete_customer, viewer, ada.id, erase=True)

    of_license = [each for each in await rows(database, events) if each["subject_id"] == id]
    assert [(each["type"], each["erased"]) for each in of_license] == [
        ("license.created", True),
        ("license.transferred", True),
    ]
    assert (await row(database, licenses, id))["customer_id"] == bob.id


async def test_a_change_takes_about_as_many_statements_as_a_new_token(
    database: Database, viewer: Viewer, app: App, ada: Customer, statements: Statements
) -> None:
    beta = await make_feature(database, app)
    tier = await make_tier(database, app, features=[beta])
    id = await issue(database, viewer, ada, tier_id=tier.id, duration_days=30)
    sent: dict[str, int] = {}
    for name, change in (
        ("regenerate", None),
        ("features", {"features": [beta.slug]}),
        ("expiry", {"duration_days": 60}),
        ("tier", {"tier_id": None}),
    ):
        with statements.recorded(database) as recorded:
            if change is None:
                await write(database, regenerate_license, viewer, id)
            else:
                await write(database, update_license, viewer, id, change)
        sent[name] = len(recorded)

    assert max(sent.values()) <= 1.2 * sent["regenerate"], sent
