"""API keys. Of a key's text, only a digest and the last four characters are stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    not_,
    or_,
    select,
    type_coerce,
)

from db import apps, ids, log
from db.accounts import accounts
from db.engine import ReadSession, WriteSession
from db.key_usage import USAGE, last_used_at
from db.metadata import metadata
from db.shaping.json import ids_in, json_array, json_string, parsed
from db.shaping.nouns import (
    NOW,
    ROW_SCAN,
    Attribute,
    Condition,
    Kind,
    ListedIn,
    Noun,
    Ordering,
    Row,
    ToOne,
    Unique,
    column,
)
from db.tenancy import ACCOUNT, is_no_customer, within_app_list
from db.types import PlainText, Texts, UtcDateTime

MOST_APPS = 50
PREFIXES = {"secret": "sk_live_", "public": "pk_live_", "restricted": "rk_live_", "session": "cs_live_"}
"""The beginning of a token, by kind."""

SECRET_SCOPES: BindParameter[str] = bindparam("secret_scopes", type_=Text())
PUBLIC_SCOPES: BindParameter[str] = bindparam("public_scopes", type_=Text())
"""The scopes of keys for which none are stored, as JSON arrays: of a secret key, and of any other key."""

SESSION = "session"
"""The kind of keys that act as one customer (`db.customer_sessions`)."""

keys = Table(
    "keys",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("account_id", PlainText, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("kind", PlainText, nullable=False),
    Column("name", PlainText),
    Column("digest", PlainText, nullable=False, unique=True),
    Column("last4", PlainText, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    # Null for a secret key, which has every scope, and for other keys that the command line created: they
    # have the scopes that the settings give to public keys.
    Column("scopes", Texts),
    Column("app_ids", Texts),  # Null means every app. Deleted apps stay in the list.
    Column("origins", Texts),
    Column("documents", PlainText, nullable=False, server_default="any"),
    Column("document_sets", Texts),
    Column("customer_id", PlainText, ForeignKey("customers.id", ondelete="CASCADE")),
    # The key that created this key, or null if the command line created it.
    Column("created_by", PlainText, ForeignKey("keys.id", ondelete="SET NULL")),
    # The digest of the token that the last rotation of this key replaced. That token works until
    # `previous_until`.
    Column("previous_digest", PlainText),
    Column("previous_until", UtcDateTime),
    Column("version", Integer, nullable=False, server_default="1"),
    Index(None, "account_id", "kind", "id"),
    Index(None, "previous_digest"),
    Index(None, "customer_id"),
    Index(None, "created_by"),
)
_has_origins = keys.c.origins.is_not(None) & keys.c.revoked_at.is_(None)
Index("ix_keys_with_origins", keys.c.expires_at, sqlite_where=_has_origins, postgresql_where=_has_origins)


def _is_no_session(row: Row) -> ColumnElement[bool]:
    # The value is a literal, so that it is the same in queries and in the condition of the index below.
    is_another: ColumnElement[bool] = row["kind"] != literal_column(f"'{SESSION}'")
    return is_another


# There can be many sessions, and lists show them only on request. This index therefore leaves them out.
_IS_NO_SESSION = _is_no_session(keys.c)
Index(
    "ix_keys_account_id_id",
    keys.c.account_id,
    keys.c.id,
    sqlite_where=_IS_NO_SESSION,
    postgresql_where=_IS_NO_SESSION,
)


def _scopes(row: Row) -> ColumnElement[str]:
    return case((row["kind"] == "secret", SECRET_SCOPES), else_=func.coalesce(row["scopes"], PUBLIC_SCOPES))


def _app_slugs(row: Row, account_id: ColumnElement[str] = ACCOUNT) -> ColumnElement[Any]:
    listed = (
        select(apps.apps.c.slug)
        .where(ids_in(apps.apps.c.id, row["app_ids"]), apps.apps.c.account_id == account_id)
        .order_by(apps.apps.c.slug)
        .correlate_except(apps.apps)
        .subquery()
    )
    slugs = select(json_array(json_string(listed.c.slug))).scalar_subquery()
    return case((row["app_ids"].is_not(None), slugs))


def _is_live(row: Row) -> ColumnElement[bool]:
    return and_(row["revoked_at"].is_(None), or_(row["expires_at"].is_(None), row["expires_at"] > NOW))


API_KEY = Noun(
    name="ApiKey",
    table=keys,
    prefix=ids.KEY,
    owned=lambda row: row["account_id"] == ACCOUNT,
    reached=lambda row: and_(row["account_id"] == ACCOUNT, within_app_list(row["app_ids"]), is_no_customer()),
    attributes={
        "id": column("id"),
        "kind": Attribute(Kind.PLAIN, ("kind",), lambda row: func.upper(row["kind"])),
        "kind_word": column("kind"),
        "name": column("name", Kind.TEXT, nullable=True),
        "prefix": Attribute(Kind.PLAIN, ("kind",), lambda row: case(PREFIXES, value=row["kind"])),
        "last4": column("last4"),
        "scopes": Attribute(Kind.JSON, ("kind", "scopes"), lambda row: parsed(func.upper(_scopes(row)))),
        "scope_words": Attribute(Kind.JSON, ("kind", "scopes"), lambda row: parsed(_scopes(row))),
        "app_slugs": Attribute(Kind.JSON, ("app_ids",), _app_slugs, nullable=True, is_subquery=True),
        "origins": Attribute(Kind.JSON, ("origins",), lambda row: parsed(row["origins"]), nullable=True),
        "documents": Attribute(Kind.PLAIN, ("documents",), lambda row: func.upper(row["documents"])),
        "documents_word": column("documents"),
        "document_sets": Attribute(
            Kind.JSON, ("document_sets",), lambda row: parsed(row["document_sets"]), nullable=True
        ),
        "created_at": column("created_at"),
        "expires_at": column("expires_at", nullable=True),
        "revoked_at": column("revoked_at", nullable=True),
        "last_used_at": Attribute(Kind.PLAIN, ("id",), last_used_at, nullable=True, is_subquery=True),
    },
    subject="api_key",
    image={
        "id": "id",
        "name": "name",
        "kind": "kind_word",
        "prefix": "prefix",
        "last4": "last4",
        "scopes": "scope_words",
        "apps": "app_slugs",
        "origins": "origins",
        "documents": "documents_word",
        "document_sets": "document_sets",
        "created_at": "created_at",
        "expires_at": "expires_at",
        "revoked_at": "revoked_at",
    },
    # A key that is limited to some apps may have been created by a key that is not, and cannot see that key.
    objects={"created_by": ToOne("ApiKey", "created_by", nullable=True, only_reached=True)},
    lists={"apps": ListedIn("App", "app_ids", "slug", MOST_APPS)},
    entries={"usage": USAGE},
    lookups={"id": Unique("id")},
    filters={
        "kind": Condition(
            lambda row, value: row["kind"] == value,
            columns=("kind",),
            otherwise=_is_no_session,
        ),
        "live": Condition(
            lambda row, value: or_(
                and_(value == "true", _is_live(row)), and_(value == "false", not_(_is_live(row)))
            ),
            lambda live: "true" if live else "false",
            columns=("revoked_at", "expires_at"),
            scan=ROW_SCAN,
        ),
    },
    orders={"created_at": Ordering()},
)

KEY_OF_ANY_ACCOUNT = replace(
    API_KEY,
    attributes={
        **API_KEY.attributes,
        "app_slugs": replace(
            API_KEY.attributes["app_slugs"], expression=lambda row: _app_slugs(row, row["account_id"])
        ),
    },
)
"""Keys, for statements that are not limited to one account."""

_kind = bindparam("kind", type_=Text())
_LIST = (
    select(
        keys.c.id,
        accounts.c.name,
        keys.c.kind,
        keys.c.name,
        keys.c.last4,
        keys.c.scopes,
        type_coerce(_app_slugs(keys.c, keys.c.account_id), Texts()),
        keys.c.origins,
        keys.c.documents,
        keys.c.document_sets,
        keys.c.created_by,
        *(
            type_coerce(moment, Text())
            for moment in (keys.c.created_at, last_used_at(keys.c), keys.c.expires_at, keys.c.revoked_at)
        ),
    )
    .join(accounts, accounts.c.id == keys.c.account_id)
    .where(or_(keys.c.kind == _kind, _kind.is_(None) & _IS_NO_SESSION))
    .order_by(keys.c.id)
)

_WITH_ACCOUNT = (
    select(accounts.c.name, keys.c.id, keys.c.name, keys.c.kind, keys.c.last4, log.since(), log.head_cursor())
    .join(accounts, accounts.c.id == keys.c.account_id)
    .where(keys.c.id == bindparam("id", type_=Text()))
)


_digest = bindparam("digest", type_=Text())
_creator = keys.alias("creator")


def is_valid(row: Row) -> ColumnElement[bool]:
    """Whether a key may be used: it is neither revoked nor expired.

    A session also ends with the key that created it.
    """
    creator = exists().where(_creator.c.id == row["created_by"], _is_live(_creator.c))
    return and_(_is_live(row), or_(row["kind"] != SESSION, creator.correlate_except(_creator)))


_VALID = select(
    keys.c.id,
    keys.c.account_id,
    keys.c.kind,
    keys.c.expires_at,
    keys.c.scopes,
    keys.c.app_ids,
    keys.c.origins,
    keys.c.documents,
    keys.c.document_sets,
    keys.c.customer_id,
    select(accounts.c.documents_version).where(accounts.c.id == keys.c.account_id).scalar_subquery(),
).where(
    or_(keys.c.digest == _digest, (keys.c.previous_digest == _digest) & (keys.c.previous_until > NOW)),
    is_valid(keys.c),
)


_LIVE_ORIGINS = (
    select(keys.c.origins)
    .where(_has_origins, keys.c.expires_at.is_(None) | (keys.c.expires_at > NOW))
    .distinct()
)


@dataclass(frozen=True, slots=True)
class ValidKey:
    """A key that may be used."""

    id: str
    account_id: str
    kind: str
    expires_at: datetime | None
    scopes: Sequence[str] | None
    app_ids: Sequence[str] | None
    origins: Sequence[str] | None
    documents: str
    document_sets: Sequence[str] | None
    customer_id: str | None
    documents_version: int


_IN_ACCOUNT = select(
    keys.c.id,
    keys.c.kind,
    keys.c.scopes,
    keys.c.app_ids,
    keys.c.digest,
    keys.c.expires_at,
    keys.c.revoked_at,
    keys.c.origins,
    keys.c.documents,
    keys.c.document_sets,
).where(keys.c.id == bindparam("id"), keys.c.account_id == bindparam("account_id"))
_OTHER_LASTING = (
    select(keys.c.id)
    .where(
        keys.c.account_id == bindparam("account_id"),
        keys.c.id != bindparam("id"),
        keys.c.kind == "secret",
        keys.c.documents == "any",
        *(keys.c[name].is_(None) for name in ("expires_at", "revoked_at", "app_ids", "origins")),
    )
    .limit(1)
)


@dataclass(frozen=True, slots=True)
class ManagedKey:
    """A key of an account, with the columns that decide what it may do and who may change it."""

    id: str
    kind: str
    scopes: Sequence[str] | None
    app_ids: Sequence[str] | None
    digest: str
    expires_at: datetime | None
    revoked_at: datetime | None
    origins: Sequence[str] | None
    documents: str
    document_sets: Sequence[str] | None

    @property
    def lasts(self) -> bool:
        """Whether this is a secret key that works, never expires and is not limited."""
        limits = (self.expires_at, self.revoked_at, self.app_ids, self.origins)
        return self.kind == "secret" and self.documents == "any" and limits == (None,) * len(limits)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key, with the columns that are needed to revoke the key."""

    id: str
    account_id: str
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class ShownKey:
    """What the holder of a key may see about the key, including the name of the key's account.

    `log_since` is when the log of events began. `head_cursor` is the cursor of its last position.
    """

    account_name: str
    id: str
    name: str | None
    kind: str
    last4: str
    log_since: datetime
    head_cursor: str


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key of any account, with everything that may be shown of it. Times are text, not datetimes."""

    id: str
    account_name: str
    kind: str
    name: str | None
    last4: str
    scopes: Sequence[str] | None
    app_slugs: Sequence[str] | None
    origins: Sequence[str] | None
    documents: str
    document_sets: Sequence[str] | None
    created_by: str | None
    created_at: str
    last_used_at: str | None
    expires_at: str | None
    revoked_at: str | None


async def list_all(session: ReadSession, kind: str | None) -> Sequence[ListedKey]:
    """Return the keys of this kind of all accounts, oldest first. None means all kinds except sessions."""
    return [ListedKey(*row) for row in await session.rows(_LIST, {"kind": kind})]


async def insert(session: WriteSession, values: Mapping[str, object]) -> None:
    """Add a key."""
    await session.execute(keys.insert().values(values))


async def find(session: ReadSession, id: str) -> ShownKey | None:
    """Return the key with this id, even if the key is revoked or expired.

    Returns None if there is no such key.
    """
    row = await session.row(_WITH_ACCOUNT, {"id": id})
    return None if row is None else ShownKey(*row)


async def find_valid(session: ReadSession, digest: str, now: datetime) -> ValidKey | None:
    """Return the valid key whose token has this digest, or None.

    The token before the last rotation also counts, while it still works.
    """
    row = await session.row(_VALID, {"digest": digest, "now": now})
    return None if row is None else ValidKey(*row)


async def live_origins(session: ReadSession, now: datetime) -> Sequence[Sequence[str]]:
    """Return the different lists of origins of all keys of all accounts, except revoked and expired keys."""
    return [origins for (origins,) in await session.rows(_LIVE_ORIGINS, {"now": now})]


async def find_for_update(session: WriteSession, id: str, digest: str) -> StoredKey | None:
    """Lock the key with this id or this digest until the transaction ends and return it, or None."""
    statement = (
        select(keys.c.id, keys.c.account_id, keys.c.revoked_at)
        .where(or_(keys.c.id == id, keys.c.digest == digest))
        .with_for_update()
    )
    row = (await session.execute(statement)).mappings().first()
    return None if row is None else StoredKey(**row)


async def find_in_account(session: WriteSession, account_id: str, id: str) -> ManagedKey | None:
    """Return the account's key with this id, or None. Lock the account first (`db.accounts.lock`)."""
    row = (await session.execute(_IN_ACCOUNT, {"id": id, "account_id": account_id})).mappings().first()
    return None if row is None else ManagedKey(**row)


async def has_other_lasting(session: WriteSession, account_id: str, id: str) -> bool:
    """Return whether an account has another key that is lasting (`ManagedKey.lasts`)."""
    found = await session.execute(_OTHER_LASTING, {"id": id, "account_id": account_id})
    return found.first() is not None
