"""Counters: looking whether they are right, and making them so. For whoever runs the installation."""

from collections.abc import Sequence

from db import counters
from db.engine import Database


class CountersOff(Exception):
    """Counters do not say what is there. The message says which, one a line."""


async def check(database: Database) -> None:
    """Compare every counter with what it counts, as of one moment. Raises CountersOff."""
    off = await _off(database)
    if off:
        raise CountersOff("\n".join(off))


async def repair(database: Database) -> Sequence[str]:
    """Count anew whatever is off, and answer the ids of the apps where something was.

    Right with writers running: those of an app wait while it is counted.
    """
    async with database.read() as session:
        found = {app.id for app in await counters.off_apps(session)}
        found |= {customer.app_id for customer in await counters.off_customers(session)}
    for id in sorted(found):
        async with database.write() as session:
            await counters.recount(session, id)
    return sorted(found)


async def _off(database: Database) -> list[str]:
    async with database.read() as session:
        apps, customers = await counters.off_apps(session), await counters.off_customers(session)
    return [
        *(
            f"{app.id} has {app.customers} customers and {app.licenses} licenses, "
            f"its counters say {app.kept_customers} and {app.kept_licenses}"
            for app in apps
        ),
        *(
            f"{customer.id} in {customer.app_id} has {customer.licenses} licenses, "
            f"its counter says {customer.kept_licenses}"
            for customer in customers
        ),
    ]
