"""The rows the reference executor answers from: all that a database holds, read without any cleverness."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import text

from db.engine import Database

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
    async with database.engine.connect() as connection:
        found = await connection.execute(text(f"SELECT * FROM {name}"))
        return [{column: _value(column, value) for column, value in row.items()} for row in found.mappings()]


def _value(column: str, value: Any) -> Any:
    if value is None:
        return None
    if column in _TIMES:
        return datetime.fromisoformat(value)
    # SQLAlchemy has parsed PostgreSQL's JSON already; on SQLite the column is a text.
    return json.loads(value) if column == "metadata" and isinstance(value, str) else value
