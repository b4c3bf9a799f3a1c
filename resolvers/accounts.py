"""Accounts: the tenants of an installation. No API request can create, change or select an account."""

from collections.abc import Sequence
from dataclasses import dataclass

from db import accounts, apps, ids, log
from db.accounts import StoredAccount
from db.engine import Database, ReadSession, UniqueViolation, WriteSession
from resolvers.errors import FaultCode, Faults, fault
from resolvers.inputs import Input, Name, check, is_storable
from resolvers.purge import begin_soon

FIRST_ACCOUNT = "default"
_SHOWN = 20


class RenameAccount(Input):
    """A new name for an account."""

    new_name: Name


@dataclass(frozen=True, slots=True)
class ListedAccount:
    """An account, with the numbers of its apps and keys. `created_at` is text, not a datetime."""

    id: str
    name: str
    apps: int
    keys: int
    created_at: str


@dataclass(frozen=True, slots=True)
class RemovedAccount:
    """A removed account, the slugs of its apps, and how many customers and licenses were deleted."""

    name: str
    app_slugs: Sequence[str]
    customer_count: int
    license_count: int


async def first_account(session: WriteSession) -> str | None:
    """Create the first account of a new installation and return its id. Return None if an account exists.

    If several processes start at the same time, exactly one of them creates the account.
    """
    if await accounts.first(session, 1):
        return None
    return await _insert(session, FIRST_ACCOUNT)


async def default_account(session: WriteSession) -> str:
    """Return the id of the oldest account. If there is no account, create one."""
    while not (found := await accounts.first(session, 1)):
        await _insert(session, FIRST_ACCOUNT)
    return found[0].id


async def account_named(session: WriteSession, name: str) -> str:
    """Return the id of the account with this name. Raises Faults if there is none.

    The caller has already checked that the name is valid.
    """
    found = await accounts.find_for_key_share(session, name)
    if found is None:
        raise await _unknown(session, "account", "; --new-account creates it")
    return found


async def new_account(session: WriteSession, name: str) -> str:
    """Create an account with this name and return its id. Raises Faults if the name is taken.

    The caller has already checked that the name is valid.
    """
    made = await _insert(session, name)
    if made is None:
        raise fault(FaultCode.TAKEN, "has already been taken: leave out --new-account to use it", "account")
    return made


async def only_account(session: WriteSession) -> str:
    """Return the id of the only account. If there is no account, create one.

    Raises Faults if there are several accounts.
    """
    found = await accounts.first(session, _SHOWN + 1)
    if len(found) > 1:
        message = f"is required: there are several accounts: {_names(found)}"
        raise fault(FaultCode.BLANK, message, "account")
    return await default_account(session)


async def chosen_account(session: WriteSession, name: str | None) -> str:
    """Return the id of the account with this name. Raises Faults if there is none.

    If `name` is None, do the same as `only_account`.
    """
    if name is None:
        return await only_account(session)
    found = await accounts.find_by_name(session, name) if is_storable(name) else None
    if found is None:
        raise await _unknown(session, "account")
    return found


async def list_accounts(session: ReadSession) -> Sequence[ListedAccount]:
    """Return all accounts of the installation, oldest first."""
    return [ListedAccount(*row) for row in await session.rows(accounts.LIST, {})]


async def rename_account(session: WriteSession, name: str, new_name: str) -> str:
    """Rename an account and return its new name. Raises Faults.

    The account's keys and apps do not change.
    """
    given = check(RenameAccount, {"new_name": new_name})
    try:
        if not is_storable(name) or not await accounts.rename(session, name, given.new_name):
            raise await _unknown(session, "name")
    except UniqueViolation:
        raise fault(FaultCode.TAKEN, "has already been taken", "new_name") from None
    return given.new_name


async def remove_account(database: Database, name: str, *, delete_apps: bool) -> RemovedAccount:
    """Remove an account and its keys. Raises Faults.

    An account with apps is only removed if `delete_apps` is true. Its apps are then deleted as in
    `resolvers.apps`: no request finds them, `resolvers.purge` deletes their rows later, and their slugs stay
    reserved, so that no other account can use these slugs. The only account of an installation is never
    removed.
    """
    async with database.write() as session:
        found = await accounts.find_by_name(session, name) if is_storable(name) else None
        if found is None:
            raise await _unknown(session, "name")
        # Locks are taken in the same order as elsewhere, because a different order could cause deadlocks:
        # first that of the projector, then apps as in `delete_app`, then accounts.
        await log.allow_gaps(session)
        await apps.of_account_for_update(session, found)
        there = await accounts.lock_all(session)
        if found not in {each.id for each in there}:
            raise await _unknown(session, "name")
        if len(there) == 1:
            raise fault(FaultCode.WRONG_STATE, "is the only account, and one must stay", "name")
        # The account is locked, so no app can be added now.
        owned = await apps.of_account_for_update(session, found)
        if owned and not delete_apps:
            slugs = ", ".join(app.slug for app in owned[:_SHOWN])
            message = f"has apps: {slugs}. --delete-apps deletes them, with their customers and licenses"
            raise fault(FaultCode.IN_USE, message, "name")
        customers = licenses = 0
        for app in owned:
            totals = await apps.totals(session, app.id)
            customers, licenses = customers + totals.customers, licenses + totals.licenses
            await apps.disown(session, found, app.slug, app.id)
        await accounts.delete(session, found)
    begin_soon(database)
    return RemovedAccount(name, [app.slug for app in owned], customers, licenses)


async def _unknown(session: WriteSession, field: str, advice: str = "") -> Faults:
    names = _names(await accounts.first(session, _SHOWN + 1))
    there_are = f" (there are: {names})" if names else ""
    return fault(FaultCode.NOT_FOUND, f"does not exist{there_are}{advice}", field)


def _names(found: Sequence[StoredAccount]) -> str:
    return ", ".join([account.name for account in found[:_SHOWN]] + ["…"] * (len(found) > _SHOWN))


async def _insert(session: WriteSession, name: str) -> str | None:
    new = ids.new_id(ids.ACCOUNT)
    row = {"id": new.id, "name": name, "created_at": new.created_at}
    return new.id if await accounts.insert(session, row) else None
