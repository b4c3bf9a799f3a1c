"""Health: whether the store answers."""

from sqlalchemy import select

from db.accounts import accounts
from db.engine import ReadSession

# A row of a table, and not SELECT 1: SQLite answers that without looking at its file.
_any_account = select(accounts.c.id).limit(1)


async def check_store(session: ReadSession) -> None:
    """Return if the store answers. Raises StoreUnavailable, as opening the session may."""
    await session.row(_any_account, {})
