"""`counters`: compare the kept totals with the rows they count, and mend them."""

from cyclopts import App

from commands.migrate import opened
from resolvers.counters import check as check_counters
from resolvers.counters import repair as repair_counters
from settings import read_settings

counters = App(name="counters", help="Compare the kept totals with the rows they count, and mend them.")


@counters.command
async def check() -> str:
    """Count everything, and say which apps and customers have another total than is kept.

    Exits with 1 if there are any. May run while servers do.
    """
    async with opened(read_settings()) as database:
        await check_counters(database)
    return "Every counter is right."


@counters.command
async def repair() -> str:
    """Count anew what is off.

    May run while servers do; who writes in an app that is being counted waits until it is done.
    """
    async with opened(read_settings()) as database:
        repaired = await repair_counters(database)
    if not repaired:
        return "Every counter is right."
    return "\n".join(f"Counted anew what {id} has." for id in repaired)
