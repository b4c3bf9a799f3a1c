"""Calls resolvers as the two APIs do, and reads the stored rows."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from inspect import signature
from typing import Any, Concatenate, TypeAlias, TypeVar

import pytest
from sqlalchemy import Select, Table, select

from db.engine import Database
from db.metadata import metadata
from db.shaping.selection import Fields, Scalar, Selected
from resolvers.errors import Faults
from resolvers.viewer import Viewer
from tests.keyrings import KEYRING

T = TypeVar("T")
Row: TypeAlias = Mapping[str, Any]


async def write(
    database: Database,
    resolver: Callable[Concatenate[Viewer, Any, ...], Awaitable[T]],
    viewer: Viewer,
    *arguments: object,
    **options: object,
) -> T:
    """Call a resolver that writes, and return its result.

    A resolver that signs also gets the keyring. The call runs in a transaction, unless the resolver opens its
    own.
    """
    parameters = signature(resolver).parameters
    if "keyring" in parameters:
        arguments = (KEYRING, *arguments)
    if "database" in parameters:
        return await resolver(viewer, database, *arguments, **options)
    async with database.write() as session:
        return await resolver(viewer, session, *arguments, **options)


async def refused(
    database: Database,
    resolver: Callable[Concatenate[Viewer, Any, ...], Awaitable[object]],
    viewer: Viewer,
    *arguments: object,
) -> list[tuple[str, str]]:
    """Return the code and field of each fault that a resolver raises, and check that nothing was written."""
    before = await everything(database)
    with pytest.raises(Faults) as raised:
        await write(database, resolver, viewer, *arguments)
    assert await everything(database) == before
    return faults_of(raised.value)


def faults_of(error: Faults) -> list[tuple[str, str]]:
    """Return the code and field of each fault."""
    return [(fault.code.value, ".".join(fault.field)) for fault in error.faults]


async def everything(database: Database) -> dict[str, list[Row]]:
    """Return all rows of all tables."""
    return {table.name: await rows(database, table) for table in metadata.sorted_tables}


async def rows(database: Database, table: Table) -> list[Row]:
    """Return all rows of a table, ordered by primary key, which puts the oldest first."""
    async with database.write() as session:
        found = await session.execute(_by_primary_key(table))
        return [dict(row) for row in found.mappings()]


@cache
def _by_primary_key(table: Table) -> Select[Any]:
    return select(table).order_by(*table.primary_key)


async def row(database: Database, table: Table, id: str) -> Row:
    """Return the row with this id."""
    return next(row for row in await rows(database, table) if row["id"] == id)


def shape(*names: str) -> Selected[Fields]:
    """Return a selection of these attributes of an object."""
    return Selected(tuple(Scalar(name, name) for name in names))


async def read(
    database: Database, resolver: Callable[..., Awaitable[T]], viewer: Viewer, *arguments: object
) -> T:
    """Call a resolver that reads, and return its result."""
    async with database.read() as session:
        return await resolver(viewer, session, *arguments)
