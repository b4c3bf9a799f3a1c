"""Accounts: the tenants, made and chosen by whoever runs the installation, never through a door."""

from db import accounts, ids
from db.engine import WriteSession
from resolvers.errors import FaultCode, fault

FIRST_ACCOUNT = "default"
_SHOWN = 20


async def first_account(session: WriteSession) -> str | None:
    """Make the account of a new installation and answer its id; None when there is an account already.

    Of processes that start at the same time, exactly one makes it.
    """
    if await accounts.first(session, 1):
        return None
    return await _insert(session, FIRST_ACCOUNT)


async def default_account(session: WriteSession) -> str:
    """The id of the oldest account, which is made when there is none."""
    found = await accounts.first(session, 1)
    return found[0].id if found else await account_named(session, FIRST_ACCOUNT)


async def account_named(session: WriteSession, name: str) -> str:
    """The id of the account of this name, which is made when there is none. The name is checked already."""
    made = await _insert(session, name)
    if made is not None:
        return made
    found = await accounts.find_by_name(session, name)
    assert found is not None, "accounts are never deleted"
    return found


async def only_account(session: WriteSession) -> str:
    """The id of the one account, which is made when there is none. Raises Faults when there are several."""
    found = await accounts.first(session, _SHOWN + 1)
    if len(found) > 1:
        names = ", ".join(account.name for account in found[:_SHOWN])
        more = ", …" if len(found) > _SHOWN else ""
        raise fault(FaultCode.BLANK, f"must be named, there being several: {names}{more}", "account")
    return await default_account(session)


async def _insert(session: WriteSession, name: str) -> str | None:
    new = ids.new_id(ids.ACCOUNT)
    row = {"id": new.id, "name": name, "created_at": new.created_at}
    return new.id if await accounts.insert(session, row) else None
