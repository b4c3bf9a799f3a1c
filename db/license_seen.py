"""When each license was last verified.

Each license has one row here, which triggers (migration 0020) add and keep up to date with the license. The
time is not a column of `licenses`: it changes far more often than the rest of a license, nobody changes it on
purpose, and no change of a license has to wait for it. It belongs to no version and makes no event.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from sqlalchemy import Column, ColumnElement, ForeignKey, Index, Table, select

from db.engine import Database
from db.metadata import metadata
from db.shaping.nouns import Beside, Row
from db.statements import Query
from db.types import PlainText, UtcDateTime

license_seen = Table(
    "license_seen",
    metadata,
    Column("license_id", PlainText, ForeignKey("licenses.id", ondelete="CASCADE"), primary_key=True),
    Column("at", UtcDateTime),  # null if the license was never verified
    # Copies of the license's columns, for the indexes.
    Column("app_id", PlainText, nullable=False),
    Column("customer_id", PlainText, nullable=False),
    Column("tier_id", PlainText),
    Index(None, "app_id", "at", "license_id"),
    Index(None, "customer_id", "at", "license_id"),
    Index(None, "tier_id", "at", "license_id"),
)

BESIDE_LICENSES = Beside(license_seen, id="license_id", column="at")

MOST_NOTES = 1_000
"""How many notes one statement adds at most."""

_UPDATE = """
UPDATE license_seen SET at = noted.at FROM ({noted}) AS noted
WHERE license_seen.license_id = noted.license_id AND (license_seen.at IS NULL OR license_seen.at < noted.at)
"""
_NOTED_ON_SQLITE = "SELECT value ->> 0 AS license_id, value ->> 1 AS at FROM json_each(?1)"
# Rows are locked in the order of their ids, so that processes never deadlock.
_NOTED_ON_POSTGRESQL = """
SELECT locked.license_id, given.value ->> 1 AS at FROM json_array_elements($1::json) AS given (value)
JOIN license_seen AS locked ON locked.license_id = given.value ->> 0
ORDER BY locked.license_id FOR NO KEY UPDATE OF locked
"""
_PARAMETERS = (("noted", None),)
_ADD_ON_SQLITE = Query(_UPDATE.format(noted=_NOTED_ON_SQLITE), _PARAMETERS, (None,))
_ADD_ON_POSTGRESQL = Query(_UPDATE.format(noted=_NOTED_ON_POSTGRESQL), _PARAMETERS, (None,))


def last_verified_at(row: Row) -> ColumnElement[Any]:
    """Return SQL for the time at which a license was last verified, or null."""
    if "last_verified_at" in row:  # the rows are sorted by it
        return row["last_verified_at"]  # type: ignore[no-any-return]
    seen = select(license_seen.c.at).where(license_seen.c.license_id == row["id"])
    return seen.correlate_except(license_seen).scalar_subquery()


async def add(database: Database, noted: Mapping[str, str]) -> None:
    """Store when licenses were verified: at most `MOST_NOTES` times, by the ids of the licenses.

    A later time is kept. Licenses that no longer exist are ignored. Raises StoreUnavailable.
    """
    query = _ADD_ON_SQLITE if database.is_sqlite else _ADD_ON_POSTGRESQL
    await database.execute(query, {"noted": orjson.dumps(list(noted.items())).decode()})
