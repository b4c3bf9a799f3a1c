"""`customers`: list customers of the same app whose emails are equal."""

from collections.abc import Sequence

from cyclopts import App

from commands.database import open_database, settings_of_command
from commands.listing import AsJson, as_json_text
from db.customers import Duplicate
from resolvers.customers import duplicates as all_duplicates

customers = App(name="customers", help="List customers of the same app whose emails are equal.")


@customers.command
async def duplicates(
    *,
    as_json: AsJson = False,
) -> str:
    """List customers whose emails equal those of older customers in the same app.

    Older versions of this program created such customers, because these versions did not treat all spellings
    of an email as equal. A lookup by email finds the oldest of the customers with equal emails. To resolve a
    pair, delete one of the two customers, or change the email of one.
    """
    async with open_database(settings_of_command()) as database, database.read() as session:
        found = await all_duplicates(session)
    return as_json_text(found) if as_json else _lines(found)


def _lines(found: Sequence[Duplicate]) -> str:
    if not found:
        return "No two customers of an app have equal emails."
    return "\n".join(
        f"{pair.app_slug}: {pair.id} ({pair.email}) equals {pair.oldest_id} ({pair.oldest_email})"
        for pair in found
    )
