"""`counters`: check the stored totals against the rows that they count, and correct them."""

from cyclopts import App

from commands.database import open_database, settings_of_command
from resolvers.counters import check as check_counters
from resolvers.counters import repair as repair_counters

counters = App(
    name="counters", help="Check the stored totals against the rows that they count, and correct them."
)


@counters.command
async def check() -> str:
    """Count all customers and licenses, and list the apps and customers whose stored totals are wrong.

    Exits with status 1 if any total is wrong. Servers can keep running.
    """
    async with open_database(settings_of_command()) as database:
        await check_counters(database)
    return "All counters are correct."


@counters.command
async def repair() -> str:
    """Correct the stored totals that are wrong.

    Servers can keep running. Writes to an app wait while its rows are counted.
    """
    async with open_database(settings_of_command()) as database:
        repaired = await repair_counters(database)
    if not repaired:
        return "All counters are correct."
    return "\n".join(f"Corrected the counters of {id}." for id in repaired)
