"""The fingerprint of the master key that encrypts the private keys in this database."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, SmallInteger, Table, select

from db.engine import ReadSession, WriteSession
from db.metadata import metadata
from db.types import PlainText, UtcDateTime

master_key = Table(
    "master_key",
    metadata,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("fingerprint", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    CheckConstraint("id = 1", name="only_one"),
)

_FINGERPRINT = select(master_key.c.fingerprint)


async def find(session: ReadSession) -> str | None:
    """Return the stored fingerprint, or None if the database has none yet."""
    row = await session.row(_FINGERPRINT, {})
    return None if row is None else row[0]


async def settle(session: WriteSession, fingerprint: str, at: datetime) -> str:
    """Store the fingerprint if the database has none yet.

    Returns the fingerprint that is now stored, which may be a different one.
    """
    row = {"id": 1, "fingerprint": fingerprint, "created_at": at}
    if await session.insert_if_free(master_key, row):
        return fingerprint
    return str((await session.execute(_FINGERPRINT)).scalar_one())
