"""Keys: what callers show to be let in. Only a digest of a key is stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, ForeignKey, Index, Table, Text, bindparam, or_, select, type_coerce

from db.accounts import accounts
from db.engine import ReadSession, WriteSession
from db.metadata import metadata
from db.types import PlainText, UtcDateTime

keys = Table(
    "keys",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("account_id", PlainText, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("kind", PlainText, nullable=False),
    Column("name", PlainText),
    Column("digest", PlainText, nullable=False, unique=True),
    Column("last4", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    Index(None, "account_id"),
)

LIST = (
    select(
        keys.c.id,
        accounts.c.name,
        keys.c.kind,
        keys.c.name,
        keys.c.last4,
        *(
            type_coerce(moment, Text())
            for moment in (keys.c.created_at, keys.c.expires_at, keys.c.revoked_at)
        ),
    )
    .join(accounts, accounts.c.id == keys.c.account_id)
    .order_by(keys.c.id)
)
"""Every key of the installation with its account's name, oldest first. Moments are texts."""

_WITH_ACCOUNT = (
    select(accounts.c.name, keys.c.kind, keys.c.last4)
    .join(accounts, accounts.c.id == keys.c.account_id)
    .where(keys.c.id == bindparam("id", type_=Text()))
)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What revoking a key has to know about it."""

    id: str
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class ShownKey:
    """What may be shown of a key to whoever has it, and the name of its account."""

    account_name: str
    kind: str
    last4: str


async def insert(session: WriteSession, values: Mapping[str, object]) -> None:
    """Add a key."""
    await session.execute(keys.insert().values(values))


async def find(session: ReadSession, id: str) -> ShownKey | None:
    """The key of this id, whether it still serves or not; or None."""
    row = await session.row(_WITH_ACCOUNT, {"id": id})
    return None if row is None else ShownKey(*row)


async def find_for_update(session: WriteSession, id: str, digest: str) -> StoredKey | None:
    """The key that has this id or this digest, locked until the transaction ends; or None."""
    statement = (
        select(keys.c.id, keys.c.revoked_at)
        .where(or_(keys.c.id == id, keys.c.digest == digest))
        .with_for_update()
    )
    row = (await session.execute(statement)).mappings().first()
    return None if row is None else StoredKey(**row)


async def revoke(session: WriteSession, id: str, at: datetime) -> None:
    """Revoke a key."""
    await session.execute(keys.update().where(keys.c.id == id).values(revoked_at=at))
