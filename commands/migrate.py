"""`migrate`: run pending database migrations."""

from commands.database import settings_of_command, upgrade


async def migrate() -> str:
    """Run pending database migrations. If there are none, nothing changes."""
    changed = await upgrade(settings_of_command())
    return "The database has been migrated." if changed else "The database is already up to date."
