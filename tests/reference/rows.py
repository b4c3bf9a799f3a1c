"""The rows the reference executor answers from: all that a database holds, read without any cleverness."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import select

from db.engine import Database
from db.metadata import metadata

Row: TypeAlias = Mapping[str, Any]

_TIMES = {"created_at", "updated_at", "expires_at", "revoked_at"}


@dataclass(frozen=True, slots=True)
class Rows:
    """The tables of the graph. Moments are datetimes, metadata is parsed, all else is as it is stored."""

    apps: Sequence[Row]
    customers: Sequence[Row]
    licenses: Sequence[Row]


async def load(database: Database) -> Rows:
    """Read all rows of a database."""
    return Rows(
        apps=await _table(database, "apps"),
        customers=await _table(database, "customers"),
        licenses=await _table(database, "licenses"),
    )


async def _table(database: Database, name: str) -> list[Row]:
    table = metadata.tables[name]
    async with database.read() as session:
        found = await session.rows(select(table), {})
    names = table.columns.keys()
    return [
        {column: _value(column, value) for column, value in zip(names, row, strict=True)} for row in found
    ]


def _value(column: str, value: Any) -> Any:
    if value is None:
        return None
    if column in _TIMES:
        return datetime.fromisoformat(value)
    return json.loads(value) if column == "metadata" else value
