"""The master key's fingerprint: under which key the private keys of this database are sealed."""

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
    """The fingerprint; None while the database has none."""
    row = await session.row(_FINGERPRINT, {})
    return None if row is None else row[0]


async def settle(session: WriteSession, fingerprint: str, at: datetime) -> str:
    """Store the fingerprint if there is none, and answer the one that is there, whoever stored it."""
    row = {"id": 1, "fingerprint": fingerprint, "created_at": at}
    if await session.insert_if_free(master_key, row):
        return fingerprint
    return str((await session.execute(_FINGERPRINT)).scalar_one())
