"""`accounts`: list, rename and remove accounts. `keys create --new-account` creates an account."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, Parameter

from commands.database import open_database, settings_of_command
from commands.listing import AsJson, as_json_text, as_table
from resolvers.accounts import RemovedAccount, list_accounts, remove_account, rename_account

accounts = App(
    name="accounts", help="List, rename and remove accounts. `keys create --new-account` creates one."
)

_HEADINGS = ("ID", "NAME", "APPS", "KEYS", "CREATED")


@accounts.command(name="list")
async def list_(
    *,
    as_json: AsJson = False,
) -> str:
    """List all accounts, with the numbers of their apps and keys."""
    async with open_database(settings_of_command()) as database, database.read() as session:
        found = await list_accounts(session)
    return as_json_text(found) if as_json else as_table(_HEADINGS, found)


@accounts.command
async def rename(
    name: Annotated[str, Parameter(help="The account's present name.")],
    new_name: Annotated[str, Parameter(help="Its new name.")],
    /,
) -> str:
    """Rename an account. Its keys and apps do not change."""
    async with open_database(settings_of_command()) as database, database.write() as session:
        renamed = await rename_account(session, name, new_name)
    return f"Renamed the account {name} to {renamed}."


@accounts.command
async def remove(
    name: Annotated[str, Parameter(help="The account's name.")],
    /,
    *,
    delete_apps: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Also delete the account's apps, with all their customers and licenses. "
            "This cannot be undone.",
        ),
    ] = False,
) -> str:
    """Remove an account and its keys. This cannot be undone.

    The keys stop working within a second, on every running server. An account that has apps is only removed
    with --delete-apps. The slugs of deleted apps stay reserved: no other account can use these slugs, because
    deployed software still fetches the public keys of these apps. If there is only one account, it cannot be
    removed.
    """
    async with open_database(settings_of_command()) as database:
        removed = await remove_account(database, name, delete_apps=delete_apps)
    return "\n".join(_told(removed))


def _told(removed: RemovedAccount) -> Sequence[str]:
    first = f"Removed the account {removed.name} and its keys."
    if not removed.app_slugs:
        return [first]
    slugs = ", ".join(removed.app_slugs)
    deleted = f"{removed.customer_count:,} customers and {removed.license_count:,} licenses"
    return [
        first,
        f"Deleted its apps with {deleted}. Their slugs stay reserved: {slugs}.",
        "A running server removes their rows in the background.",
    ]
