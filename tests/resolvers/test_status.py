"""A license's status: the SQL expression held against a table of facts."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Text, bindparam, select

from db import reads
from db.engine import Database
from db.licenses import LicenseStatus, licenses, status
from db.shaping.selection import Connection, FieldRead, Filter, Lookup, Nodes, Page, Scalar, Total, Values
from tests.factories import App, make_customer, make_license

NOW = datetime(2026, 1, 23, 10, tzinfo=UTC)
SECOND, YEAR = timedelta(seconds=1), timedelta(days=365)


@dataclass(frozen=True)
class Facts:
    """When a license expires and when it was revoked, beside the moment that is asked for."""

    expires: timedelta | None
    revoked: timedelta | None
    status: str


TABLE = [
    Facts(expires=None, revoked=None, status="ACTIVE"),
    Facts(expires=YEAR, revoked=None, status="ACTIVE"),
    Facts(expires=SECOND, revoked=None, status="ACTIVE"),
    Facts(expires=timedelta(0), revoked=None, status="EXPIRED"),  # the very second of expiry
    Facts(expires=-SECOND, revoked=None, status="EXPIRED"),
    Facts(expires=-YEAR, revoked=None, status="EXPIRED"),
    Facts(expires=None, revoked=-SECOND, status="REVOKED"),
    Facts(expires=None, revoked=timedelta(0), status="REVOKED"),
    Facts(expires=YEAR, revoked=-SECOND, status="REVOKED"),
    Facts(expires=timedelta(0), revoked=-SECOND, status="REVOKED"),  # revoked goes before expired
    Facts(expires=-SECOND, revoked=-YEAR, status="REVOKED"),
    Facts(expires=-YEAR, revoked=-SECOND, status="REVOKED"),
    Facts(expires=None, revoked=SECOND, status="REVOKED"),  # another host's clock runs ahead of ours
]


@pytest.fixture
async def by_id(database: Database, app: App) -> dict[str, str]:
    """Licenses with all facts of the table, each with the status it has at NOW."""
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


async def test_status_follows_from_facts_and_moment(database: Database, by_id: dict[str, str]) -> None:
    statement = select(licenses.c.id, status(licenses.c))

    async with database.read() as session:
        found = dict(map(tuple, await session.rows(statement, {"now": NOW})))

    assert found == by_id


async def test_every_license_has_one_of_three_statuses(by_id: dict[str, str]) -> None:
    assert set(by_id.values()) == set(LicenseStatus) == {"ACTIVE", "EXPIRED", "REVOKED"}


@pytest.mark.parametrize("wanted", list(LicenseStatus))
async def test_filter_finds_the_licenses_that_show_the_status(
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
        rows = await reads.rows(
            session, app.account_id, FieldRead("App", by, field), values.items, NOW, tokens=False
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
