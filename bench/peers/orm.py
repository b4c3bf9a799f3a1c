"""Code that the peers with an ORM share: models of the plain tables, the engine, and the key lookup.

The code is idiomatic, well-tuned SQLAlchemy: async sessions, and reads without transactions. Times are read
as text, in the form in which they are stored, because parsing and formatting them again would add cost.
"""

import hashlib
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
from sqlalchemy import JSON, ForeignKey, event, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

POOL_SIZE = 10  # the same as in Licensegraph

Sessions = async_sessionmaker[AsyncSession]


class Base(DeclarativeBase):
    pass


class KeyRow(Base):
    __tablename__ = "keys"
    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    digest: Mapped[str]
    expires_at: Mapped[str | None]
    revoked_at: Mapped[str | None]


class AppRow(Base):
    __tablename__ = "apps"
    id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str]
    slug: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None]
    webhook_url: Mapped[str | None]
    created_at: Mapped[str]
    updated_at: Mapped[str]


class CustomerRow(Base):
    __tablename__ = "customers"
    id: Mapped[str] = mapped_column(primary_key=True)
    app_id: Mapped[str] = mapped_column(ForeignKey("apps.id"))
    email: Mapped[str]
    email_folded: Mapped[str] = mapped_column(deferred=True)
    name: Mapped[str | None]
    external_id: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    created_at: Mapped[str]
    updated_at: Mapped[str]


class LicenseRow(Base):
    __tablename__ = "licenses"
    id: Mapped[str] = mapped_column(primary_key=True)
    app_id: Mapped[str] = mapped_column(ForeignKey("apps.id"))
    customer_id: Mapped[str] = mapped_column(ForeignKey("customers.id"))
    installation_id: Mapped[str]
    expires_at: Mapped[str | None]
    revoked_at: Mapped[str | None]
    details: Mapped[dict[str, Any]] = mapped_column("metadata", JSON)
    created_at: Mapped[str]
    updated_at: Mapped[str]


def now_text() -> str:
    """Return the current time in the tables' format."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def open_engine(url: str) -> AsyncEngine:
    """Return an engine for a `DATABASE_URL`.

    The engine uses autocommit, and does not roll back when a connection is returned to the pool. All reads
    are single statements, and a transaction would add two round trips to each of them.
    """
    options: dict[str, Any] = {
        "pool_size": POOL_SIZE,
        "max_overflow": 0,
        "pool_reset_on_return": None,
        "isolation_level": "AUTOCOMMIT",
        "json_deserializer": orjson.loads,
    }
    if url.startswith("sqlite:"):
        engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:", 1), **options)

        @event.listens_for(engine.sync_engine, "connect")
        def configure(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            for pragma in ("journal_mode=WAL", "foreign_keys=ON", "temp_store=MEMORY", "cache_size=-16000"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        return engine

    async def connect() -> Any:
        return await asyncpg.connect(url)

    return create_async_engine("postgresql+asyncpg://", async_creator=connect, **options)


async def account_of(sessions: Sessions, authorization: str) -> str | None:
    """Return the id of the account whose key is in the Authorization header, or None."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return None
    statement = select(KeyRow.account_id).where(
        KeyRow.digest == hashlib.sha256(token.encode()).hexdigest(),
        KeyRow.revoked_at.is_(None),
        KeyRow.expires_at.is_(None) | (KeyRow.expires_at > now_text()),
    )
    async with sessions() as session:
        return await session.scalar(statement)
