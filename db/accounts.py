"""Accounts: the tenants. API keys and apps belong to accounts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import (
    Column,
    Integer,
    ScalarSelect,
    Table,
    Text,
    bindparam,
    column,
    func,
    select,
    table,
    type_coerce,
)

from db.engine import WriteSession
from db.metadata import metadata
from db.types import PlainText, UtcDateTime

accounts = Table(
    "accounts",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    # Grows when a set of registered documents is deleted. Servers read it with each key that they look up.
    Column("documents_version", Integer, nullable=False, server_default="0"),
)


def _number_of(name: str) -> ScalarSelect[int]:
    """Return SQL for the number of an account's rows in another table, for a SELECT from `accounts`.

    The other table is given by its name. This module cannot import `db.keys`, because `db.keys` imports it.
    """
    rows = table(name, column("account_id"))
    counted = select(func.count()).select_from(rows).where(rows.c.account_id == accounts.c.id)
    return counted.correlate(accounts).scalar_subquery()


LIST = select(
    accounts.c.id,
    accounts.c.name,
    _number_of("apps"),
    _number_of("keys"),
    type_coerce(accounts.c.created_at, Text()),
).order_by(accounts.c.id)
"""Every account, oldest first, with its numbers of apps and keys. Times are returned as texts."""

_BY_NAME = select(accounts.c.id).where(accounts.c.name == bindparam("name"))
_BY_NAME_FOR_KEY_SHARE = _BY_NAME.with_for_update(read=True, key_share=True)
_BY_ID_FOR_KEY_SHARE = (
    select(accounts.c.id).where(accounts.c.id == bindparam("id")).with_for_update(read=True, key_share=True)
)
_BY_ID_FOR_NO_KEY_UPDATE = (
    select(accounts.c.id).where(accounts.c.id == bindparam("id")).with_for_update(key_share=True)
)
_LOCK_ALL = select(accounts.c.id, accounts.c.name).order_by(accounts.c.id).with_for_update()
_FIRST = (
    select(accounts.c.id, accounts.c.name).order_by(accounts.c.id).limit(bindparam("limit", type_=Integer()))
)


@dataclass(frozen=True, slots=True)
class StoredAccount:
    """An account's id and name, for choosing between accounts."""

    id: str
    name: str


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add an account. Returns False if its name is taken."""
    return await session.insert_if_free(accounts, values)


async def find_by_name(session: WriteSession, name: str) -> str | None:
    """Return the id of the account with this name, or None."""
    return (await session.execute(_BY_NAME, {"name": name})).scalar()


async def find_for_key_share(session: WriteSession, name: str) -> str | None:
    """Return the id of the account with this name, or None.

    Until the transaction ends, the account cannot be removed.
    """
    return (await session.execute(_BY_NAME_FOR_KEY_SHARE, {"name": name})).scalar()


async def is_there(session: WriteSession, id: str) -> bool:
    """Return whether there is an account with this id.

    Until the transaction ends, the account cannot be removed.
    """
    return (await session.execute(_BY_ID_FOR_KEY_SHARE, {"id": id})).first() is not None


async def lock(session: WriteSession, id: str) -> None:
    """Lock an account, so that changes of its keys wait for each other until the transaction ends."""
    await session.execute(_BY_ID_FOR_NO_KEY_UPDATE, {"id": id})


async def lock_all(session: WriteSession) -> Sequence[StoredAccount]:
    """Return every account, oldest first, and lock them.

    Until the transaction ends, no account can be removed and no app can be added to an account.
    """
    return [StoredAccount(**row) for row in (await session.execute(_LOCK_ALL)).mappings()]


async def rename(session: WriteSession, name: str, new_name: str) -> bool:
    """Rename an account. Returns False if no account has the old name.

    Raises UniqueViolation if the new name is taken.
    """
    statement = accounts.update().where(accounts.c.name == name).values(name=new_name)
    return (await session.execute_unique(statement.returning(accounts.c.id))).first() is not None


async def delete(session: WriteSession, id: str) -> None:
    """Delete an account that has no apps. Its keys and registered documents are deleted with it.

    The slugs of its deleted apps stay reserved.
    """
    await session.execute(accounts.delete().where(accounts.c.id == id))


async def first(session: WriteSession, limit: int) -> Sequence[StoredAccount]:
    """Return the oldest accounts, at most `limit` of them."""
    rows = (await session.execute(_FIRST, {"limit": limit})).mappings()
    return [StoredAccount(**row) for row in rows]
