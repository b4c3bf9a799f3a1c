"""Checks and corrects stored counters. Commands use this module; requests do not."""

from collections.abc import Sequence

from db import counters, standing, statistics
from db.engine import Database


class CountersOff(Exception):
    """Some stored counters are wrong. The message lists them, one per line."""


async def check(database: Database) -> None:
    """Compare each stored counter with the actual number of rows. Raises CountersOff.

    Each kind of counter is compared in a snapshot of its own.
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
        found |= {*await standing.apps_with_wrong_totals(session)}
        found |= {each.app_id for each in await statistics.differences(session)}
        found |= {*await statistics.apps_with_wrong_months(session)}
    for id in sorted(found):
        async with database.write() as session:
            await counters.recount(session, id)
    return sorted(found)


async def _off(database: Database) -> list[str]:
    async with database.read() as session:
        apps, customers = await counters.app_mismatches(session), await counters.customer_mismatches(session)
        totals = await standing.apps_with_wrong_totals(session)
        differences = await statistics.differences(session)
        months = await statistics.apps_with_wrong_months(session)
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
        *(f"{id} has wrong totals of the licenses that expire on each day" for id in totals),
        *(f"{each} in the statistics" for each in map(_missing, differences)),
        *(f"{id} has months in the statistics that are not the sums of their days" for id in months),
    ]


def _missing(found: statistics.Difference) -> str:
    of_tier = "" if found.tier_id == statistics.WHOLE_APP else f" of {found.tier_id}"
    return (
        f"{found.app_id} lacks {found.active} active licenses{of_tier} and {found.customers} customers "
        f"on {found.day}"
    )
