"""API keys: creating, listing and revoking them, and turning them into viewers.

Only this module slices, masks or hashes a key.
"""

import hashlib
import re
import secrets
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator

from db import clock, events, ids
from db import keys as stored
from db.engine import ReadSession, WriteSession
from db.events import Actor, EventType
from db.keys import API_KEY
from db.tenancy import Tenant
from resolvers import history
from resolvers.accounts import account_named, new_account, only_account
from resolvers.errors import BAD_KEY, Fault, FaultCode, Unauthenticated, fault
from resolvers.inputs import FutureMoment, Input, Name, OptionalName, invalid, is_storable
from resolvers.viewer import ALL_SCOPES, DocumentPolicy, KeyKind, Policy, Scope, Viewer, as_list, implied

_RANDOM_LENGTH = 32  # characters, each one of 62 letters and digits: 190 bits
_TOKEN = re.compile(r"(?:[spr]k|cs)_(?:live|test)_[0-9A-Za-z]{16,128}")
_IN_TEXT = re.compile(
    r"(?<![0-9A-Za-z])((?:[spr]k|cs)_(?:live|test)_)[0-9A-Za-z]{5,}|(?<![0-9A-Za-z])(eyJ)[\w.-]{5,}", re.ASCII
)
"""Keys, and licenses' tokens (JWT), which may be cut off."""


def _positive(duration: timedelta) -> timedelta:
    if duration < timedelta(seconds=1):
        raise invalid("must be a second at least")
    return duration


class CreateKey(Input):
    """A new key. `account` is the name of its account, which is created if `new_account` is true.

    The key expires at `expires_at` or after `expires_in`. If neither is given, it never expires.
    """

    kind: KeyKind
    account: Name | None = None
    new_account: bool = False
    name: OptionalName = None
    expires_at: FutureMoment | None = None
    expires_in: Annotated[timedelta, AfterValidator(_positive)] | None = None

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> Iterable[Fault]:
        if values.get("new_account") and values.get("account") is None:
            yield Fault(FaultCode.BLANK, "is required: a new account needs a name", ("account",))

    def end(self, start: datetime) -> datetime | None:
        """Return when a key created at `start` expires, or None if it never expires. Raises Faults."""
        if self.expires_in is None:
            return self.expires_at
        try:
            return start + self.expires_in
        except OverflowError:
            raise fault(FaultCode.INVALID, "is too long", "expires_in") from None


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just created. Its token is shown once and stored nowhere."""

    id: str
    token: str


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key as it may be shown. `key` is its token with most of it masked. Times are text, not datetimes.

    `apps`, `origins` and `document_sets` are what the key is limited to. None means no limit. `created_by` is
    the id of the key that created it, or None for the command line.
    """

    id: str
    account: str
    kind: str
    name: str | None
    key: str
    scopes: Sequence[str]
    apps: Sequence[str] | None
    origins: Sequence[str] | None
    documents: str
    document_sets: Sequence[str] | None
    created_by: str | None
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """A viewer's account, the parts of its key that may be shown, and what it may do.

    `is_limited_to_apps` is whether the key only reaches some apps. `history_since` is since when events are
    kept, and `changes_cursor` the cursor of the log's last position.
    """

    account_name: str
    key_id: str
    key_name: str | None
    key_kind: KeyKind
    key_last4: str
    scopes: tuple[Scope, ...]
    is_limited_to_apps: bool
    history_since: datetime
    changes_cursor: str


@dataclass(frozen=True, slots=True)
class RevokedKey:
    """A revoked key, and whether it had been revoked already."""

    id: str
    was_revoked: bool


def new_token(kind: KeyKind) -> str:
    """Return a new token. It is shown once and stored nowhere."""
    alphabet = string.ascii_letters + string.digits
    return stored.PREFIXES[kind] + "".join(secrets.choice(alphabet) for _ in range(_RANDOM_LENGTH))


def without_tokens(text: str) -> str:
    """Return a text in which each key and each license's token is cut off after its prefix."""
    # Most texts have none, and this is faster than the search.
    if "_live_" in text or "_test_" in text or "eyJ" in text:
        return _IN_TEXT.sub(r"\1\2…", text)
    return text


def digest(token: str) -> str:
    """Return the form in which a key is stored: its SHA-256 in hexadecimal.

    A key is random, so the hash needs no salt.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def stored_form(token: str) -> dict[str, str]:
    """Return the columns that stand for a token in the database. The token itself is never stored."""
    return {"digest": digest(token), "last4": token[-4:]}


async def create_key(session: WriteSession, actor: Actor, policy: Policy, given: CreateKey) -> NewKey:
    """Create a key for an account. Raises Faults.

    If no account is named, the key is for the only account. It is a fault if there are several accounts.
    """
    until = given.end(clock.now())
    if given.account is None:
        account_id = await only_account(session)
    elif given.new_account:
        account_id = await new_account(session, given.account)
    else:
        account_id = await account_named(session, given.account)
    return await add_key(session, actor, policy, account_id, given.kind, given.name, until)


async def add_key(
    session: WriteSession,
    actor: Actor,
    policy: Policy,
    account_id: str,
    kind: KeyKind,
    name: str | None,
    expires_at: datetime | None = None,
) -> NewKey:
    """Create a key for the account with this id. The caller has checked the name and the expiry."""
    new = ids.new_id(ids.KEY)
    token = new_token(kind)
    row = {
        "id": new.id,
        "account_id": account_id,
        "kind": kind.value,
        "name": name,
        **stored_form(token),
        "created_at": new.created_at,
        "expires_at": expires_at,
    }
    await stored.insert(session, row)
    values = image_values(account_id, policy)
    await events.record(session, actor, API_KEY, new.id, EventType.KEY_CREATED, values=values)
    return NewKey(new.id, token)


def image_values(account_id: str, policy: Policy) -> dict[str, str]:
    """Return the values of the parameters in the image of a key of this account."""
    return {"account": account_id, **policy.scope_parameters}


async def list_keys(session: ReadSession, policy: Policy, kind: KeyKind | None = None) -> Sequence[ListedKey]:
    """Return the keys of the installation, oldest first, including revoked and expired keys.

    Without a kind, these are the keys of all kinds except sessions, of which there can be many.
    """
    return [
        ListedKey(
            id=key.id,
            account=key.account_name,
            kind=key.kind,
            name=key.name,
            key=f"{stored.PREFIXES[key.kind]}…{key.last4}",
            scopes=as_list(scopes_of(key.kind, key.scopes, policy)),
            apps=key.app_slugs,
            origins=key.origins,
            documents=key.documents,
            document_sets=key.document_sets,
            created_by=key.created_by,
            created_at=key.created_at,
            last_used_at=key.last_used_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )
        for key in await stored.list_all(session, kind)
    ]


async def revoke_key(session: WriteSession, actor: Actor, policy: Policy, id_or_token: str) -> RevokedKey:
    """Revoke a key. Every process refuses it within a second (`asgi.authentication`). Raises Faults."""
    found = None
    if is_storable(id_or_token):
        found = await stored.find_for_update(session, id_or_token, digest(id_or_token))
    if found is None:
        raise fault(FaultCode.NOT_FOUND, "does not exist", "key")
    if found.revoked_at is None:
        await set_columns(
            session,
            actor,
            image_values(found.account_id, policy),
            found.id,
            {"revoked_at": clock.now()},
            EventType.KEY_REVOKED,
        )
    return RevokedKey(found.id, found.revoked_at is not None)


async def set_columns(
    session: WriteSession,
    actor: Actor,
    values: Mapping[str, str],
    id: str,
    changes: Mapping[str, object],
    type: EventType,
) -> None:
    """Change a key, which the caller has locked, and write the event. `values` are its `image_values`."""
    before = await events.image_of(session, API_KEY, id, values)
    await events.change(session, actor, API_KEY, id, before, changes, type, values=values)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The viewer of a key, and what the key is restricted to.

    `until` is when the key expires. `origins` are the origins from which it can be used. None means no
    restriction.
    """

    viewer: Viewer
    until: datetime | None
    origins: frozenset[str] | None


async def admit(session: ReadSession, token: str, policy: Policy) -> Admitted:
    """Return the viewer of a key. Raises the same Unauthenticated for every invalid key."""
    if not _TOKEN.fullmatch(token):
        raise Unauthenticated(BAD_KEY)
    found = await stored.find_valid(session, digest(token), clock.now())
    if found is None:
        raise Unauthenticated(BAD_KEY)
    app_ids = None if found.app_ids is None else tuple(found.app_ids)
    policy_of_documents = DocumentPolicy(found.documents)
    limited_to_sets = policy_of_documents is DocumentPolicy.REGISTERED and found.document_sets is not None
    document_sets = tuple(found.document_sets or ()) if limited_to_sets else None
    viewer = Viewer(
        Tenant(found.account_id, app_ids, found.customer_id),
        scopes_of(found.kind, found.scopes, policy),
        policy,
        found.id,
        KeyKind(found.kind),
        documents=policy_of_documents,
        document_sets=document_sets,
        documents_version=found.documents_version,
    )
    return Admitted(viewer, found.expires_at, None if found.origins is None else frozenset(found.origins))


def scopes_of(kind: str, scopes: Sequence[str] | None, policy: Policy) -> frozenset[Scope]:
    """Return the scopes of a key. If none are stored, they follow from its kind and the settings."""
    if kind == KeyKind.SECRET:
        return ALL_SCOPES
    return policy.public_scopes if scopes is None else implied(map(Scope, scopes))


async def identify(viewer: Viewer, session: ReadSession) -> Identity:
    """Return a viewer's identity, with scopes in the order of `Scope`.

    Raises Unauthenticated if the viewer has no key.
    """
    found = None if viewer.key_id is None else await stored.find(session, viewer.key_id)
    if found is None:
        raise Unauthenticated(BAD_KEY)
    scopes = tuple(as_list(viewer.scopes))
    return Identity(
        found.account_name,
        found.id,
        found.name,
        KeyKind(found.kind),
        found.last4,
        scopes,
        viewer.tenant.app_ids is not None,
        history.kept_since(found.log_since, viewer.policy),
        found.head_cursor,
    )
