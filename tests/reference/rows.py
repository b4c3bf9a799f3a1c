"""The rows for the reference executor, read from a database in the simplest way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeAlias

from sqlalchemy import select

from db.engine import Database
from db.metadata import metadata

Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of the tables that the reference executor reads.

    Timestamps are datetimes, and JSON is parsed. All other values are as stored. `last_verified_at` of a
    license is from `license_seen`.
    """

    apps: Sequence[Row]
    customers: Sequence[Row]
    licenses: Sequence[Row]
    tiers: Sequence[Row] = ()
    features: Sequence[Row] = ()
    tier_features: Sequence[Row] = ()
    signing_keys: Sequence[Row] = ()
    tokens: Sequence[Row] = ()
    keys: Sequence[Row] = ()
    usage: Sequence[Row] = ()
    documents: Sequence[Row] = ()
    events: Sequence[Row] = ()
    log: Sequence[Row] = ()
    app_days: Sequence[Row] = ()


async def load(database: Database) -> Rows:
    """Read all rows of these tables from a database."""
    rows = Rows(**{field.name: await _table(database, field.name) for field in fields(Rows)})
    seen = {row["license_id"]: row["at"] for row in await _table(database, "license_seen")}
    return replace(rows, licenses=[{**row, "last_verified_at": seen[row["id"]]} for row in rows.licenses])


async def _table(database: Database, name: str) -> list[Row]:
    table = metadata.tables[name]
    async with database.read() as session:
        found = await session.rows(select(table), {})
    names = table.columns.keys()
    return [dict(zip(names, row, strict=True)) for row in found]
