"""`migrate`: bring the database up to date."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db.deadlines import UNLIMITED
from db.engine import Database
from db.revisions import is_current, refusing_unfit, require_current
from resolvers.keyring import Keyring
from resolvers.master_key import unlock
from settings import Settings, read_settings


async def migrate() -> str:
    """Bring the database up to date. Run again, it finds nothing to do."""
    changed = await _upgrade(read_settings())
    return "The database has been brought up to date." if changed else "The database is up to date already."


async def _upgrade(settings: Settings) -> bool:
    from db import migrations  # noqa: PLC0415  (Alembic: what needs nothing of it does not wait for it)

    url = settings.database_url.get_secret_value()
    return await migrations.upgrade(url, pooled=settings.transaction_pooling)


@asynccontextmanager
async def opened(settings: Settings, *, migrate: bool = True) -> AsyncIterator[Database]:
    """The settings' database, open, and brought up to date unless that is not wanted."""
    url = settings.database_url.get_secret_value()
    database = Database(
        url, pool_size=settings.pool_size, timeouts=UNLIMITED, pooled=settings.transaction_pooling
    )
    try:
        if not migrate:
            await require_current(database)
        elif not await is_current(database):
            await _upgrade(settings)
        async with refusing_unfit():
            yield database
    finally:
        await database.close()


_NEW_MASTER_KEY = """\
A new master key was written to {file}
Keep a copy of it: the signing keys in the database are encrypted under it, and without it no license can be
issued or renewed.
"""


@asynccontextmanager
async def opened_with_keyring(
    settings: Settings, *, migrate: bool = True
) -> AsyncIterator[tuple[Database, Keyring]]:
    """As `opened`, with a keyring that has the master key. If that was made just now, it is said where it is.

    Raises MasterKeyError.
    """
    async with opened(settings, migrate=migrate) as database:
        keyring = Keyring(rsa_bits=settings.rsa_bits, issuer=settings.issuer)
        try:
            made = await unlock(keyring, database, given=settings.master_key, file=settings.master_key_file)
            if made is not None:
                print(_NEW_MASTER_KEY.format(file=made), flush=True)  # noqa: T201
            yield database, keyring
        finally:
            keyring.close()
