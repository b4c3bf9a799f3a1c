"""Opens the configured database, for commands."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db.deadlines import UNLIMITED
from db.engine import Database
from db.revisions import is_current, refusing_unfit, require_current
from resolvers.keyring import Keyring
from resolvers.master_key import unlock
from settings import Settings, read_settings, unknown_variables

_NEW_MASTER_KEY = """\
A new master key was written to {file}
Keep a copy of it: the signing keys in the database are encrypted with it. Without it, no license can be
issued, and no token regenerated.
"""


def settings_of_command() -> Settings:
    """Read the settings. Print a warning for each variable that looks like a setting but is not one."""
    settings = read_settings()
    for variable, nearest in unknown_variables().items():
        advice = f": did you mean {nearest}?" if nearest else " (README.md lists them)"
        print(f"licensegraph: warning: {variable} is not a setting{advice}", file=sys.stderr)  # noqa: T201
    return settings


async def upgrade(settings: Settings) -> bool:
    """Migrate the database to this program's revision. Returns False if it was already up to date."""
    # Importing Alembic takes a tenth of a second, so only this function imports it.
    from db import migrations  # noqa: PLC0415

    url = settings.database_url.get_secret_value()
    return await migrations.upgrade(url, pooled=settings.transaction_pooling)


@asynccontextmanager
async def open_database(settings: Settings, *, migrate: bool = True) -> AsyncIterator[Database]:
    """Open the database, and close it at the end of the block.

    Pending migrations run first. With `migrate=False`, the database must already be up to date. Raises
    UnfitDatabase, StoreUnavailable, PoolerFound and MigrationError.
    """
    url = settings.database_url.get_secret_value()
    database = Database(
        url, pool_size=settings.pool_size, timeouts=UNLIMITED, pooled=settings.transaction_pooling
    )
    try:
        if not migrate:
            await require_current(database)
        elif not await is_current(database):
            await upgrade(settings)
        async with refusing_unfit():
            yield database
    finally:
        await database.close()


@asynccontextmanager
async def open_database_and_keyring(
    settings: Settings, *, migrate: bool = True
) -> AsyncIterator[tuple[Database, Keyring]]:
    """Open the database, and a keyring with the master key. Close both at the end of the block.

    If the master key is new, the path of its file is printed. Raises MasterKeyError, and the errors of
    `open_database`.
    """
    async with open_database(settings, migrate=migrate) as database:
        keyring = Keyring(rsa_bits=settings.rsa_bits, issuer=settings.issuer)
        try:
            made = await unlock(keyring, database, given=settings.master_key, file=settings.master_key_file)
            if made is not None:
                print(_NEW_MASTER_KEY.format(file=made), flush=True)  # noqa: T201
            yield database, keyring
        finally:
            keyring.close()
