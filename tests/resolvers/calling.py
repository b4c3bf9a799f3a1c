"""Calling resolvers as the doors do, and looking at what is stored."""

from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from inspect import signature
from typing import Any, Concatenate, TypeAlias, TypeVar

import pytest
from sqlalchemy import Select, Table, select

from db.engine import Database
from db.metadata import metadata
from db.shaping.selection import Scalar, Values
from resolvers.errors import Faults
from resolvers.reading import Shape
from resolvers.viewer import Viewer

T = TypeVar("T")
Row: TypeAlias = Mapping[str, Any]


async def write(
    database: Database,
    resolver: Callable[Concatenate[Viewer, Any, ...], Awaitable[T]],
    viewer: Viewer,
    *arguments: object,
) -> T:
    """Call a resolver that writes, in a transaction of its own unless it opens its own."""
    if "database" in signature(resolver).parameters:
        return await resolver(viewer, database, *arguments)
    async with database.write() as session:
        return await resolver(viewer, session, *arguments)


async def refused(
    database: Database,
    resolver: Callable[Concatenate[Viewer, Any, ...], Awaitable[object]],
    viewer: Viewer,
    *arguments: object,
) -> list[tuple[str, str]]:
    """The faults a resolver finds, each as its code and its field. Nothing whatever has changed by then."""
    before = await everything(database)
    with pytest.raises(Faults) as raised:
        await write(database, resolver, viewer, *arguments)
    assert await everything(database) == before
    return faults_of(raised.value)


def faults_of(error: Faults) -> list[tuple[str, str]]:
    """Faults, each as its code and its field."""
    return [(fault.code.value, ".".join(fault.field)) for fault in error.faults]


async def everything(database: Database) -> dict[str, list[Row]]:
    """Every row of every table."""
    return {table.name: await rows(database, table) for table in metadata.sorted_tables}


async def rows(database: Database, table: Table) -> list[Row]:
    """Every row of a table, by its primary key: oldest first."""
    async with database.write() as session:
        found = await session.execute(_by_primary_key(table))
        return [dict(row) for row in found.mappings()]


@cache
def _by_primary_key(table: Table) -> Select[Any]:
    return select(table).order_by(*table.primary_key)


async def row(database: Database, table: Table, id: str) -> Row:
    """The row of this id."""
    return next(row for row in await rows(database, table) if row["id"] == id)


def shape(*names: str) -> Shape:
    """What is to be answered of an object: these of its attributes."""
    return Shape(tuple(Scalar(name, name) for name in names), Values())


async def read(
    database: Database, resolver: Callable[..., Awaitable[T]], viewer: Viewer, *arguments: object
) -> T:
    """Call a resolver that reads."""
    async with database.read() as session:
        return await resolver(viewer, session, *arguments)
