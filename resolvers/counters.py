"""Checks and corrects stored counters. Commands use this module; requests do not."""

from collections.abc import Sequence

from db import counters
from db.engine import Database


class CountersOff(Exception):
    """Some stored counters are wrong. The message lists them, one per line."""


async def check(database: Database) -> None:
    """Compare each stored counter with the actual number of rows. Raises CountersOff.

    The counters of apps are compared in one snapshot, and those of customers in another.
    """
    off = await _off(database)
    if off:
        raise CountersOff("\n".join(off))


async def repair(database: Database) -> Sequence[str]:
    """Correct all wrong counters, and return the ids of the affected apps.

    Servers can keep running: writes to an app wait while its rows are counted.
    """
    async with database.read() as session:
        found = {app.id for app in await counters.app_mismatches(session)}
        found |= {customer.app_id for customer in await counters.customer_mismatches(session)}
    for id in sorted(found):
        async with database.write() as session:
            await counters.recount(session, id)
    return sorted(found)


async def _off(database: Database) -> list[str]:
    async with database.read() as session:
        apps, customers = await counters.app_mismatches(session), await counters.customer_mismatches(session)
    return [
        *(
            f"{app.id} has {app.customers} customers and {app.licenses} licenses, "
            f"its counters say {app.stored_customers} and {app.stored_licenses}"
            for app in apps
        ),
        *(
            f"{customer.id} in {customer.app_id} has {customer.licenses} licenses, "
            f"its counter says {customer.stored_licenses}"
            for customer in customers
        ),
    ]
