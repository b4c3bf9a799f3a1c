"""Idempotency keys, and the outcomes of the requests that were sent with them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, ForeignKey, Index, LargeBinary, Table, Text, bindparam, select, tuple_

from db import clock
from db.engine import Database, ReadSession, WriteSession
from db.metadata import metadata
from db.statements import insertion
from db.types import PlainText, UtcDateTime

idempotency = Table(
    "idempotency",
    metadata,
    Column("key_id", PlainText, ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
    Column("scope", PlainText, primary_key=True),
    Column("key", PlainText, primary_key=True),
    Column("fingerprint", PlainText, nullable=False),
    # Encrypted (`resolvers.keyring`). Null only while the transaction that adds the row is running.
    Column("outcome", LargeBinary),
    Column("created_at", UtcDateTime, nullable=False),
    # The customer that the outcome is about. The outcome may have the customer's personal data.
    Column("customer_id", PlainText),
    Index(None, "created_at"),
    Index(None, "customer_id"),
)

_THIS = (
    idempotency.c.key_id == bindparam("of_key_id"),
    idempotency.c.scope == bindparam("of_scope"),
    idempotency.c.key == bindparam("of_key"),
)
_FIND = select(idempotency.c.fingerprint, idempotency.c.outcome).where(*_THIS)
_SETTLE = (
    idempotency.update()
    .where(*_THIS)
    .values(outcome=bindparam("sealed", type_=LargeBinary()), customer_id=bindparam("about", type_=PlainText))
)
_PRIMARY_KEY = (idempotency.c.key_id, idempotency.c.scope, idempotency.c.key)
_OLD = select(*_PRIMARY_KEY).where(idempotency.c.created_at < bindparam("before", type_=UtcDateTime()))
_ANY_OLD = _OLD.limit(1)
_DELETE_OF_CUSTOMER = idempotency.delete().where(
    idempotency.c.customer_id == bindparam("customer", type_=Text())
)
_DELETE_OLD = (
    idempotency.delete()
    .where(tuple_(*_PRIMARY_KEY).in_(_OLD.limit(bindparam("limit"))))
    .returning(idempotency.c.key)
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What identifies one request, however often it is sent.

    A `key` is unique within an API key and a `scope`. `fingerprint` is a digest of the request's input. The
    same key with another input is a mistake of the caller.
    """

    key_id: str
    scope: str
    key: str
    fingerprint: str

    @property
    def id(self) -> dict[str, str]:
        """Return the values of the row's primary key, by the names of the statements' parameters."""
        return {"of_key_id": self.key_id, "of_scope": self.scope, "of_key": self.key}


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """What is stored for a request that has succeeded: its fingerprint, and its encrypted outcome."""

    fingerprint: str
    sealed: bytes


async def find(session: ReadSession, claim: Claim) -> StoredOutcome | None:
    """Return the outcome that is stored for a claim, or None."""
    row = await session.row(_FIND, claim.id)
    return None if row is None else StoredOutcome(*row)


async def take(session: WriteSession, claim: Claim, wait_s: float) -> StoredOutcome | None:
    """Store a claim, for `settle` to add the outcome. If the claim is stored already, return its outcome.

    If another transaction is storing it, wait for the end of that transaction. Raises TimeoutError after
    `wait_s` seconds.
    """
    if await session.insert_if_free(idempotency, _row(claim), wait_s):
        return None
    found = (await session.execute(_FIND, claim.id)).one()
    return StoredOutcome(found.fingerprint, found.outcome)


async def add(database: Database, claim: Claim, sealed: bytes, customer_id: str | None) -> bool:
    """Store a claim and its outcome. Return False if the claim is stored already."""
    row = {**_row(claim), "outcome": sealed, "customer_id": customer_id}
    query = database.statements.compile(insertion(idempotency, tuple(row)))
    return bool(await database.execute(query, row))


async def settle(session: WriteSession, claim: Claim, sealed: bytes, customer_id: str | None) -> None:
    """Store the outcome of a claim that this transaction has taken."""
    await session.execute(_SETTLE, {**claim.id, "sealed": sealed, "about": customer_id})


def _row(claim: Claim) -> dict[str, object]:
    return {
        "key_id": claim.key_id,
        "scope": claim.scope,
        "key": claim.key,
        "fingerprint": claim.fingerprint,
        "created_at": clock.now(),
    }


async def has_old(session: ReadSession, before: datetime) -> bool:
    """Return whether there are outcomes from before this time."""
    return await session.row(_ANY_OLD, {"before": before}) is not None


async def delete_old(session: WriteSession, before: datetime, limit: int) -> int:
    """Delete at most `limit` outcomes from before this time, and return how many were deleted."""
    return len((await session.execute(_DELETE_OLD, {"before": before, "limit": limit})).all())


async def delete_of_customer(session: WriteSession, customer_id: str) -> None:
    """Delete the outcomes that are about a customer. The same requests can then run again."""
    await session.execute(_DELETE_OF_CUSTOMER, {"customer": customer_id})
