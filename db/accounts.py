"""Accounts: the tenants. Everything else belongs to one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Column, Integer, Table, bindparam, select

from db.engine import WriteSession
from db.metadata import metadata
from db.types import PlainText, UtcDateTime

accounts = Table(
    "accounts",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
)


_BY_NAME = select(accounts.c.id).where(accounts.c.name == bindparam("name"))
_FIRST = (
    select(accounts.c.id, accounts.c.name).order_by(accounts.c.id).limit(bindparam("limit", type_=Integer()))
)


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account, as a choice between accounts has to know it."""

    id: str
    name: str


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add an account. False when its name is taken."""
    return await session.insert_if_free(accounts, values)


async def find_by_name(session: WriteSession, name: str) -> str | None:
    """The id of the account of this name, or None."""
    return (await session.execute(_BY_NAME, {"name": name})).scalar()


async def first(session: WriteSession, limit: int) -> Sequence[StoredAccount]:
    """The oldest accounts, at most `limit` of them."""
    rows = (await session.execute(_FIRST, {"limit": limit})).mappings()
    return [StoredAccount(**row) for row in rows]
