"""Keys: made, listed, revoked, and turned into viewers. Nothing else slices, masks or digests a key."""

import hashlib
import re
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator
from sqlalchemy import bindparam, select
from sqlalchemy.types import Text

from db import clock, ids
from db import keys as stored
from db.engine import ReadSession, WriteSession
from db.keys import keys
from db.types import UtcDateTime
from resolvers.accounts import account_named, only_account
from resolvers.errors import FaultCode, Unauthenticated, fault
from resolvers.inputs import FutureMoment, Input, Name, OptionalName, check, invalid, is_storable
from resolvers.viewer import Policy, Scope, Viewer

_RANDOM_LENGTH = 32  # of 62 letters and digits: 190 bits
_TOKEN = re.compile(r"[sp]k_(?:live|test)_[0-9A-Za-z]{16,128}")


class KeyKind(StrEnum):
    """What a key may do: a secret key reads and writes, a public key reads."""

    SECRET = "secret"  # noqa: S105  (a kind, not a password)
    PUBLIC = "public"


_PREFIXES = {KeyKind.SECRET: "sk_live_", KeyKind.PUBLIC: "pk_live_"}


def _positive(duration: timedelta) -> timedelta:
    if duration < timedelta(seconds=1):
        raise invalid("must be a second at least")
    return duration


class CreateKey(Input):
    """A new key. `account` is the account's name; a new name makes a new account.

    `expires_at` or `expires_in` says from when on it does not serve; without either it does for good.
    """

    kind: KeyKind
    account: Name | None = None
    name: OptionalName = None
    expires_at: FutureMoment | None = None
    expires_in: Annotated[timedelta, AfterValidator(_positive)] | None = None

    def end(self, start: datetime) -> datetime | None:
        """From when on a key made at `start` does not serve; None: it does for good. Raises Faults."""
        if self.expires_in is None:
            return self.expires_at
        try:
            return start + self.expires_in
        except OverflowError:
            raise fault(FaultCode.INVALID, "is too long", "expires_in") from None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that has just been made. Its token is shown once and kept nowhere."""

    id: str
    token: str


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as it may be shown: `key` is what is left of its token. Moments as they are written."""

    id: str
    account: str
    kind: str
    name: str | None
    key: str
    created_at: str
    expires_at: str | None
    revoked_at: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a viewer is: the account and the key, as far as it may be shown, and all that the key allows."""

    account_name: str
    key_kind: KeyKind
    key_last4: str
    scopes: tuple[Scope, ...]


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """A key that serves no more, and whether that was so before."""

    id: str
    was_revoked: bool


def new_token(kind: KeyKind) -> str:
    """A new key in full. It is shown once and kept nowhere."""
    alphabet = string.ascii_letters + string.digits
    return _PREFIXES[kind] + "".join(secrets.choice(alphabet) for _ in range(_RANDOM_LENGTH))


def digest(token: str) -> str:
    """What is stored of a key: its SHA-256 in hexadecimal. Being random, a key needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


async def create_key(
    session: WriteSession,
    kind: KeyKind,
    *,
    account: str | None = None,
    name: str | None = None,
    expires_at: str | None = None,
    expires_in: timedelta | None = None,
) -> NewKey:
    """Make a key of an account, which is made too when its name is new.

    Without an account: the only one there is. Raises Faults.
    """
    values = {"kind": kind, "account": account, "name": name}
    given = check(CreateKey, {**values, "expires_at": expires_at, "expires_in": expires_in})
    until = given.end(clock.now())
    if given.account is None:
        account_id = await only_account(session)
    else:
        account_id = await account_named(session, given.account)
    return await add_key(session, account_id, given.kind, given.name, until)


async def add_key(
    session: WriteSession,
    account_id: str,
    kind: KeyKind,
    name: str | None,
    expires_at: datetime | None = None,
) -> NewKey:
    """Make a key of the account of this id. Name and expiry are checked already."""
    new = ids.new_id(ids.KEY)
    token = new_token(kind)
    row = {
        "id": new.id,
        "account_id": account_id,
        "kind": kind.value,
        "name": name,
        "digest": digest(token),
        "last4": token[-4:],
        "created_at": new.created_at,
        "expires_at": expires_at,
    }
    await stored.insert(session, row)
    return NewKey(new.id, token)


async def list_keys(session: ReadSession) -> Sequence[ListedKey]:
    """Every key of the installation, oldest first, also those that serve no more."""
    rows = await session.rows(stored.LIST, {})
    return [
        ListedKey(id, account, kind, name, f"{_PREFIXES[KeyKind(kind)]}…{last4}", *moments)
        for id, account, kind, name, last4, *moments in rows
    ]


async def revoke_key(session: WriteSession, id_or_token: str) -> RevokedKey:
    """Have a key serve no more: on every process within a second (`asgi.authentication`). Raises Faults."""
    found = None
    if is_storable(id_or_token):
        found = await stored.find_for_update(session, id_or_token, digest(id_or_token))
    if found is None:
        raise fault(FaultCode.NOT_FOUND, "does not exist", "key")
    if found.revoked_at is None:
        await stored.revoke(session, found.id, clock.now())
    return RevokedKey(found.id, found.revoked_at is not None)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The viewer that a key stands for, and the moment from which it does not; None: it does for good."""

    viewer: Viewer
    until: datetime | None


_by_digest = select(keys.c.id, keys.c.account_id, keys.c.kind, keys.c.expires_at).where(
    keys.c.digest == bindparam("digest", type_=Text()),
    keys.c.revoked_at.is_(None),
    keys.c.expires_at.is_(None) | (keys.c.expires_at > bindparam("now", type_=UtcDateTime())),
)


async def admit(session: ReadSession, token: str, policy: Policy) -> Admitted:
    """Let a key's viewer in. Raises Unauthenticated, alike for every key that does not serve."""
    if not _TOKEN.fullmatch(token):
        raise Unauthenticated
    row = await session.row(_by_digest, {"digest": digest(token), "now": clock.now()})
    if row is None:
        raise Unauthenticated
    key_id, account_id, kind, until = row
    scopes = {Scope.READ}
    if kind == KeyKind.SECRET:
        scopes |= {Scope.READ_CUSTOMERS, Scope.READ_TOKENS, Scope.WRITE}
    elif policy.public_keys_read_customers:
        scopes |= {Scope.READ_CUSTOMERS}
    return Admitted(Viewer(account_id, frozenset(scopes), policy, key_id), until)


async def identify(viewer: Viewer, session: ReadSession) -> Identity:
    """Tell a viewer who it is; scopes come in the order of `Scope`. Raises Unauthenticated without a key."""
    found = None if viewer.key_id is None else await stored.find(session, viewer.key_id)
    if found is None:
        raise Unauthenticated
    scopes = tuple(scope for scope in Scope if scope in viewer.scopes)
    return Identity(found.account_name, KeyKind(found.kind), found.last4, scopes)
