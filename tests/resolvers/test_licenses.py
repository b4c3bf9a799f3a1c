"""The life of a license: it is issued, revoked, reinstated and deleted.

In each app, an installation has at most one active license.
"""

from datetime import timedelta
from uuid import UUID

import pytest

from db import clock as real_clock
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from resolvers.licenses import create_license, delete_license, reinstate_license, revoke_license
from resolvers.licenses import license as read_license
from resolvers.viewer import Viewer
from tests.factories import Account, App, Customer, make_app, make_customer, make_license
from tests.resolvers.calling import everything, read, refused, row, rows, shape, write
from tests.resolvers.conftest import Clock

PLACE = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
FOREVER = {"installation_id": PLACE, "forever": True}
SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


@pytest.fixture
async def ada(database: Database, app: App) -> Customer:
    return await make_customer(database, app, email="ada@example.com")


@pytest.fixture
async def bob(database: Database, app: App) -> Customer:
    return await make_customer(database, app, email="bob@example.com")


async def status(database: Database, viewer: Viewer, id: str) -> str | None:
    answer = await read(database, read_license, viewer, id, shape("status"))
    return answer and answer.removeprefix('{"status":"').removesuffix('"}')


async def current(database: Database) -> list[str]:
    """Return the ids of all licenses that are the current license of their installation."""
    return [each["id"] for each in await rows(database, licenses) if each["is_current"]]


# Create


async def test_create_stores_what_was_given(
    database: Database, viewer: Viewer, ada: Customer, clock: Clock
) -> None:
    id = await write(
        database,
        create_license,
        viewer,
        {
            "customer_id": ada.id,
            "installation_id": PLACE.upper(),
            "duration_days": 90,
            "metadata": {"seats": 5, "a": None},
        },
    )

    assert id.startswith("lic_")
    assert await rows(database, licenses) == [
        {
            "id": id,
            "app_id": ada.app_id,
            "customer_id": ada.id,
            "installation_id": PLACE,
            "is_current": True,
            "expires_at": clock.now + 90 * DAY,
            "revoked_at": None,
            "revoked_reason": None,
            "metadata": {"seats": 5, "a": None},
            "created_at": clock.now,
            "updated_at": clock.now,
            "tier_id": None,
            "features": [],
            "own_features": [],
            "version": 1,
            "moved_at": None,
        }
    ]
    assert await status(database, viewer, id) == "ACTIVE"


@pytest.mark.parametrize(
    ("term", "lasts"),
    [
        ({"forever": True}, None),
        ({"duration_days": 1}, DAY),
        ({"duration_days": 36_500}, 36_500 * DAY),
        ({"expires_at": "2026-01-23T10:00:01Z"}, SECOND),
        ({"expires_at": "2026-01-23T10:00:01.9Z"}, SECOND),
    ],
)
async def test_term_is_given_in_one_of_three_ways(
    database: Database,
    viewer: Viewer,
    ada: Customer,
    clock: Clock,
    term: dict[str, object],
    lasts: timedelta | None,
) -> None:
    id = await write(database, create_license, viewer, {"customer_id": ada.id, **term})

    assert (await row(database, licenses, id))["expires_at"] == (lasts and clock.now + lasts)


async def test_installation_id_is_generated_if_left_out(
    database: Database, viewer: Viewer, ada: Customer
) -> None:
    for installation in ({}, {"installation_id": None}):
        await write(
            database, create_license, viewer, {"customer_id": ada.id, "forever": True, **installation}
        )

    made = [each["installation_id"] for each in await rows(database, licenses)]
    assert len(set(made)) == 2
    assert [str(UUID(each)) for each in made] == made


async def test_create_reports_all_faults_together(database: Database, viewer: Viewer) -> None:
    values = {"customer_id": "", "installation_id": "x", "duration_days": 0, "metadata": {"n": float("nan")}}

    assert await refused(database, create_license, viewer, values) == [
        ("BLANK", "customer_id"),
        ("INVALID", "installation_id"),
        ("INVALID", "duration_days"),
        ("INVALID", "metadata.n"),
    ]
    assert await refused(database, create_license, viewer, {}) == [("BLANK", "customer_id"), ("INVALID", "")]


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ({}, [("INVALID", "")]),
        ({"forever": False}, [("INVALID", "")]),
        ({"forever": True, "duration_days": 1}, [("INVALID", "")]),
        ({"expires_at": "2026-01-23T10:00:00Z"}, [("INVALID", "expires_at")]),
        ({"expires_at": "2026-01-23T09:59:59Z"}, [("INVALID", "expires_at")]),
        # the current moment, written in another time zone
        ({"expires_at": "2026-01-24T00:00:00+14:00"}, [("INVALID", "expires_at")]),
    ],
)
async def test_term_that_is_refused(
    database: Database,
    viewer: Viewer,
    ada: Customer,
    clock: Clock,
    term: dict[str, object],
    expected: list[tuple[str, str]],
) -> None:
    assert await refused(database, create_license, viewer, {"customer_id": ada.id, **term}) == expected


async def test_customer_must_be_of_the_same_account(
    database: Database, viewer: Viewer, app: App, strangers_app: App
) -> None:
    theirs = await make_customer(database, strangers_app)

    for id in (theirs.id, app.id, "cus_01h455vb4pex5vsknk084sn02q", "nobody"):
        values = {"customer_id": id, "forever": True}
        assert await refused(database, create_license, viewer, values) == [("NOT_FOUND", "customer_id")]


# One active license per installation


async def test_second_active_license_of_an_installation_is_refused(
    database: Database, viewer: Viewer, ada: Customer, bob: Customer, clock: Clock
) -> None:
    await make_license(database, ada, installation_id=PLACE, expires_at=clock.now + SECOND)

    for customer in (ada, bob):
        for installation_id in (PLACE, PLACE.upper()):
            values = {"customer_id": customer.id, "installation_id": installation_id, "forever": True}
            assert await refused(database, create_license, viewer, values) == [("TAKEN", "installation_id")]


async def test_another_app_may_have_a_license_of_the_installation(
    database: Database, account: Account, viewer: Viewer, ada: Customer
) -> None:
    elsewhere = await make_customer(database, await make_app(database, account))

    for customer in (ada, elsewhere):
        await write(database, create_license, viewer, {"customer_id": customer.id, **FOREVER})

    assert len(await current(database)) == 2


async def test_license_makes_room_from_the_second_it_expires(
    database: Database, viewer: Viewer, ada: Customer, bob: Customer, clock: Clock
) -> None:
    values = {"customer_id": bob.id, **FOREVER}
    old = await make_license(database, ada, installation_id=PLACE, expires_at=clock.now + 60 * SECOND)
    before = await row(database, licenses, old.id)

    clock.passes(seconds=59)
    assert await refused(database, create_license, viewer, values) == [("TAKEN", "installation_id")]

    clock.passes(seconds=1)
    new = await write(database, create_license, viewer, values)

    assert await current(database) == [new]
    assert await row(database, licenses, old.id) == {**before, "is_current": False}
    assert [await status(database, viewer, id) for id in (old.id, new)] == ["EXPIRED", "ACTIVE"]


async def test_revoked_license_makes_room(
    database: Database, viewer: Viewer, ada: Customer, clock: Clock
) -> None:
    old = await write(database, create_license, viewer, {"customer_id": ada.id, **FOREVER})
    await write(database, revoke_license, viewer, old, {})

    new = await write(database, create_license, viewer, {"customer_id": ada.id, **FOREVER})

    assert await current(database) == [new]
    assert [await status(database, viewer, id) for id in (old, new)] == ["REVOKED", "ACTIVE"]


async def test_deleted_license_makes_room(database: Database, viewer: Viewer, ada: Customer) -> None:
    old = await write(database, create_license, viewer, {"customer_id": ada.id, **FOREVER})
    await write(database, delete_license, viewer, old)

    new = await write(database, create_license, viewer, {"customer_id": ada.id, **FOREVER})

    assert await current(database) == [new]


# Revoke


async def test_revoke_stores_time_and_reason(
    database: Database, viewer: Viewer, ada: Customer, clock: Clock
) -> None:
    license = await make_license(database, ada, expires_at=clock.now + DAY)
    before = await row(database, licenses, license.id)
    clock.passes(hours=1)

    assert await write(database, revoke_license, viewer, license.id, {"reason": "Refunded"}) == license.id

    assert await row(database, licenses, license.id) == {
        **before,
        "revoked_at": clock.now,
        "revoked_reason": "Refunded",
        "updated_at": clock.now,
        "version": 2,
    }
    assert await status(database, viewer, license.id) == "REVOKED"


async def test_revoking_again_changes_nothing(
    database: Database, viewer: Viewer, ada: Customer, clock: Clock
) -> None:
    license = await make_license(database, ada)
    await write(database, revoke_license, viewer, license.id, {"reason": "Refunded"})
    before = await everything(database)
    clock.passes(hours=1)

    for again in ({}, {"reason": "Chargeback"}, {"reason": None}):
        assert await write(database, revoke_license, viewer, license.id, again) == license.id

    assert await everything(database) == before


async def test_expired_license_can_be_revoked(
    database: Database, viewer: Viewer, ada: Customer, clock: Clock
) -> None:
    license = await make_license(database, ada, expires_at=clock.now)

    await write(database, revoke_license, viewer, license.id, {})

    assert await status(database, viewer, license.id) == "REVOKED"


async def test_reason_is_optional_and_bounded(database: Database, viewer: Viewer, ada: Customer) -> None:
    license = await make_license(database, ada)

    assert await refused(database, revoke_license, viewer, license.id, {"reason": "x" * 501}) == [
        ("TOO_LONG", "reason")
    ]
    assert await refused(database, revoke_license, viewer, license.id, {"reason": "\x00"}) == [
        ("INVALID", "reason")
    ]

    await write(database, revoke_license, viewer, license.id, {"reason": ""})
    assert (await row(database, licenses, license.id))["revoked_reason"] is None


# Reinstate


async def test_reinstate_removes_the_revocation(
    database: Database, viewer: Viewer, ada: Customer, clock: Clock
) -> None:
    license = await make_license(database, ada, expires_at=clock.now + DAY)
    before = await row(database, licenses, license.id)
    await write(database, revoke_license, viewer, license.id, {"reason": "Refunded"})
    clock.passes(hours=1)

    assert await write(database, reinstate_license, viewer, license.id) == license.id

    assert await row(database, licenses, license.id) == {**before, "updated_at": clock.now, "version": 3}
    assert await status(database, viewer, license.id) == "ACTIVE"


@pytest.mark.parametrize("expired", [False, True])
async def test_license_that_is_not_revoked_cannot_be_reinstated(
    database: Database, viewer: Viewer, ada: Customer, clock: Clock, expired: bool
) -> None:
    license = await make_license(database, ada, expires_at=clock.now if expired else None)

    assert await refused(database, reinstate_license, viewer, license.id) == [("WRONG_STATE", "id")]


async def test_reinstating_is_refused_if_the_installation_has_an_active_license(
    database: Database, viewer: Viewer, ada: Customer, bob: Customer, clock: Clock
) -> None:
    revoked = [
        await make_license(database, ada, installation_id=PLACE, expires_at=expires_at, revoked_at=clock.now)
        for expires_at in (None, clock.now + DAY)
    ]
    await make_license(database, bob, installation_id=PLACE, expires_at=clock.now + SECOND)

    for license in revoked:
        assert await refused(database, reinstate_license, viewer, license.id) == [
            ("TAKEN", "installation_id")
        ]


async def test_reinstating_takes_the_place_of_a_license_that_is_revoked_or_expired(
    database: Database, viewer: Viewer, ada: Customer, clock: Clock
) -> None:
    first = await write(database, create_license, viewer, {"customer_id": ada.id, **FOREVER})
    await write(database, revoke_license, viewer, first, {})
    second = await write(
        database,
        create_license,
        viewer,
        {"customer_id": ada.id, "installation_id": PLACE, "duration_days": 1},
    )

    clock.passes(days=1, seconds=-1)
    assert await refused(database, reinstate_license, viewer, first) == [("TAKEN", "installation_id")]

    clock.passes(seconds=1)
    await write(database, reinstate_license, viewer, first)

    assert await current(database) == [first]
    assert [await status(database, viewer, id) for id in (first, second)] == ["ACTIVE", "EXPIRED"]


@pytest.mark.parametrize("was_current", [False, True])
async def test_expired_license_is_reinstated_without_needing_the_place(
    database: Database, viewer: Viewer, ada: Customer, clock: Clock, was_current: bool
) -> None:
    old = await make_license(
        database,
        ada,
        installation_id=PLACE,
        expires_at=clock.now,
        revoked_at=clock.now,
        is_current=was_current,
    )
    new = await write(database, create_license, viewer, {"customer_id": ada.id, **FOREVER})

    await write(database, reinstate_license, viewer, old.id)

    assert await current(database) == [new]
    assert [await status(database, viewer, id) for id in (old.id, new)] == ["EXPIRED", "ACTIVE"]


async def test_revoked_and_reinstated_license_keeps_others_out(
    database: Database, viewer: Viewer, ada: Customer
) -> None:
    license = await write(database, create_license, viewer, {"customer_id": ada.id, **FOREVER})
    await write(database, revoke_license, viewer, license, {})
    await write(database, reinstate_license, viewer, license)

    assert await refused(database, create_license, viewer, {"customer_id": ada.id, **FOREVER}) == [
        ("TAKEN", "installation_id")
    ]


# Delete


async def test_delete_deletes_nothing_else(
    database: Database, viewer: Viewer, ada: Customer, bob: Customer
) -> None:
    license, other = await make_license(database, ada), await make_license(database, ada)

    assert await write(database, delete_license, viewer, license.id) == license.id

    assert [each["id"] for each in await rows(database, licenses)] == [other.id]
    assert len(await rows(database, customers)) == 2
    assert await refused(database, delete_license, viewer, license.id) == [("NOT_FOUND", "id")]


# Tenancy


async def test_license_of_another_account_is_not_found(
    database: Database, viewer: Viewer, ada: Customer, strangers_app: App
) -> None:
    customer = await make_customer(database, strangers_app)
    active = await make_license(database, customer)
    revoked = await make_license(database, customer, revoked_at=real_clock.now())

    for id in (active.id, revoked.id, ada.id, "lic_01h455vb4pex5vsknk084sn02q", "lic_", "\x00", "\ud800"):
        for refusal in (
            await refused(database, revoke_license, viewer, id, {}),
            await refused(database, reinstate_license, viewer, id),
            await refused(database, delete_license, viewer, id),
        ):
            assert refusal == [("NOT_FOUND", "id")]
        assert await read(database, read_license, viewer, id, shape("id")) is None


async def test_input_is_validated_before_the_license_is_looked_up(database: Database, viewer: Viewer) -> None:
    assert await refused(database, revoke_license, viewer, "missing", {"reason": 5}) == [
        ("INVALID", "reason")
    ]
