"""The status of a license: the Python function and the SQL expressions return what `TABLE` says."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Text, bindparam, not_, select

from db import clock, reads
from db.engine import Database
from db.licenses import LicenseStatus, is_active, licenses, status
from db.shaping.selection import Connection, FieldRead, Filter, Lookup, Nodes, Page, Scalar, Total, Values
from db.tenancy import Tenant
from resolvers.verdict import has_expired, status_at
from tests.factories import App, make_customer, make_license

NOW = datetime(2026, 1, 23, 10, tzinfo=UTC)
SECOND, YEAR = timedelta(seconds=1), timedelta(days=365)


@dataclass(frozen=True)
class Facts:
    """When a license expires, when it was revoked, and which status it should therefore have.

    Both times are relative to the time of the request.
    """

    expires: timedelta | None
    revoked: timedelta | None
    status: str


TABLE = [
    Facts(expires=None, revoked=None, status="ACTIVE"),
    Facts(expires=YEAR, revoked=None, status="ACTIVE"),
    Facts(expires=SECOND, revoked=None, status="ACTIVE"),
    Facts(expires=timedelta(0), revoked=None, status="EXPIRED"),  # expires in exactly this second
    Facts(expires=-SECOND, revoked=None, status="EXPIRED"),
    Facts(expires=-YEAR, revoked=None, status="EXPIRED"),
    Facts(expires=None, revoked=-SECOND, status="REVOKED"),
    Facts(expires=None, revoked=timedelta(0), status="REVOKED"),
    Facts(expires=YEAR, revoked=-SECOND, status="REVOKED"),
    Facts(expires=timedelta(0), revoked=-SECOND, status="REVOKED"),  # revoked takes precedence over expired
    Facts(expires=-SECOND, revoked=-YEAR, status="REVOKED"),
    Facts(expires=-YEAR, revoked=-SECOND, status="REVOKED"),
    Facts(expires=None, revoked=SECOND, status="REVOKED"),  # revoked by a host whose clock is ahead of ours
]


@pytest.fixture
async def by_id(database: Database, app: App) -> dict[str, str]:
    """The expected status at NOW for each entry of `TABLE`, by the id of its license."""
    customer = await make_customer(database, app)
    made = {}
    for facts in TABLE:
        license = await make_license(
            database,
            customer,
            expires_at=None if facts.expires is None else NOW + facts.expires,
            revoked_at=None if facts.revoked is None else NOW + facts.revoked,
        )
        made[license.id] = facts.status
    return made


@pytest.mark.parametrize("facts", TABLE)
def test_the_function_follows_the_table(facts: Facts) -> None:
    expires_at = None if facts.expires is None else NOW + facts.expires
    revoked_at = None if facts.revoked is None else NOW + facts.revoked

    assert status_at(NOW, revoked_at=revoked_at, expires_at=expires_at) == facts.status
    assert has_expired(NOW, expires_at) == (facts.expires is not None and facts.expires <= timedelta(0))


@pytest.mark.parametrize("facts", TABLE)
def test_texts_of_times_get_the_same_verdict(facts: Facts) -> None:
    expires_at = None if facts.expires is None else clock.as_text(NOW + facts.expires)
    revoked_at = None if facts.revoked is None else clock.as_text(NOW + facts.revoked)

    assert status_at(clock.as_text(NOW), revoked_at=revoked_at, expires_at=expires_at) == facts.status


async def test_the_condition_follows_the_table(database: Database, by_id: dict[str, str]) -> None:
    statement = select(licenses.c.id).where(is_active(licenses.c))
    inverse = select(licenses.c.id).where(not_(is_active(licenses.c)))

    async with database.read() as session:
        active = {id for (id,) in await session.rows(statement, {"now": NOW})}
        others = {id for (id,) in await session.rows(inverse, {"now": NOW})}

    assert active == {id for id, found in by_id.items() if found == "ACTIVE"}
    assert active | others == set(by_id)


async def test_the_expression_follows_the_table(database: Database, by_id: dict[str, str]) -> None:
    statement = select(licenses.c.id, status(licenses.c))

    async with database.read() as session:
        found = dict(map(tuple, await session.rows(statement, {"now": NOW})))

    assert found == by_id


async def test_every_license_has_one_of_three_statuses(by_id: dict[str, str]) -> None:
    assert set(by_id.values()) == set(LicenseStatus) == {"ACTIVE", "EXPIRED", "REVOKED"}


@pytest.mark.parametrize("wanted", list(LicenseStatus))
async def test_filter_finds_the_licenses_with_the_status(
    database: Database, app: App, by_id: dict[str, str], wanted: LicenseStatus
) -> None:
    values = Values()
    by = Lookup("id", values.slot(app.id))
    page = Page(
        order="created_at",
        descending=False,
        size=values.slot(100),
        backward=False,
        after=None,
        filters=(Filter("status", values.slot(wanted.value)),),
    )
    nodes = Nodes("nodes", (Scalar("id", "id"), Scalar("status", "status")))
    field = Connection("licenses", "licenses", "License", page, (Total("totalCount"), nodes))

    async with database.read() as session:
        read = FieldRead("App", by, field)
        rows = await reads.rows(
            session, Tenant(app.account_id), read, values.items, NOW, tokens=False, customers=True, scopes={}
        )

    expected = [{"id": id, "status": wanted.value} for id, found in by_id.items() if found == wanted]
    assert json.loads(rows[0][0]) == {"totalCount": len(expected), "nodes": expected}


async def test_time_alone_turns_active_into_expired(database: Database, app: App) -> None:
    license = await make_license(database, await make_customer(database, app), expires_at=NOW)
    statement = select(status(licenses.c)).where(licenses.c.id == bindparam("id", type_=Text()))

    async def at(moment: datetime) -> str:
        async with database.read() as session:
            row = await session.row(statement, {"id": license.id, "now": moment})
        assert row is not None
        return str(row[0])

    assert [await at(NOW + delta) for delta in (-YEAR, -SECOND, timedelta(0), SECOND, YEAR)] == [
        "ACTIVE",
        "ACTIVE",
        "EXPIRED",
        "EXPIRED",
        "EXPIRED",
    ]
