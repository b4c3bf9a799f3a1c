"""Accounts: the tenants. Everything else belongs to one."""

from sqlalchemy import Column, Table

from db.metadata import metadata
from db.types import PlainText, UtcDateTime

accounts = Table(
    "accounts",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("name", PlainText, nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
)
