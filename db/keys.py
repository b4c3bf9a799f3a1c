"""Keys: what callers show to be let in. Only a digest of a key is stored."""

from sqlalchemy import Column, ForeignKey, Index, Table

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
