"""Registered documents: the texts that keys with the policy REGISTERED may send."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime

import orjson
from sqlalchemy import (
    BindParameter,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    func,
    or_,
    select,
    type_coerce,
)

from db import clock, ids
from db.accounts import accounts
from db.engine import ReadSession, WriteSession
from db.metadata import metadata
from db.shaping.json import ids_in, parsed
from db.shaping.nouns import Attribute, Condition, Kind, Noun, Ordering, Unique, column
from db.tenancy import ACCOUNT, is_no_customer
from db.types import PlainText, Texts, UtcDateTime, json_text

documents = Table(
    "documents",
    metadata,
    Column("id", PlainText, primary_key=True),
    Column("account_id", PlainText, ForeignKey("accounts.id", ondelete="CASCADE"), nullable=False),
    Column("document_id", PlainText, nullable=False),
    Column("set", PlainText, nullable=False),
    # The SHA-256 of the text. With the prefix `HASHED`, it is also an id of the document.
    Column("digest", PlainText, nullable=False),
    Column("operations", Texts, nullable=False),
    Column("text", PlainText, nullable=False),
    Column("max_cost", Integer, nullable=False),
    Column("registered_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime),
    UniqueConstraint("account_id", "document_id", "set"),
    Index(None, "account_id", "id"),
    Index(None, "account_id", "set", "id"),
    Index(None, "account_id", "digest"),
)

# The SHA-256 of the text that each document id of an account stands for. A row stays when the last set with
# the id is deleted, so an id never stands for another text. An id that is a SHA-256 needs no row.
document_ids = Table(
    "document_ids",
    metadata,
    Column("account_id", PlainText, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True),
    Column("document_id", PlainText, primary_key=True),
    Column("digest", PlainText, nullable=False),
)

HASHED = "sha256:"
"""The prefix of an id that is the SHA-256 of its text."""

SUBJECT = "document_set"
"""The type of subject that a set has in events. A set has no row, only those of its documents."""

REGISTERED_DOCUMENT = Noun(
    name="RegisteredDocument",
    table=documents,
    prefix=ids.DOCUMENT,
    owned=lambda row: row["account_id"] == ACCOUNT,
    reached=lambda row: (row["account_id"] == ACCOUNT) & is_no_customer(),
    attributes={
        "id": column("id"),
        "document_id": column("document_id", Kind.TEXT),
        "set": column("set"),
        "operations": Attribute(Kind.JSON, ("operations",), lambda row: parsed(row["operations"])),
        # The field has a cost because a text is much longer than the rest of the document.
        "text": Attribute(Kind.TEXT, ("text",), lambda row: row["text"], cost=5),
        "max_cost": column("max_cost", Kind.INTEGER),
        "registered_at": column("registered_at"),
        "last_used_at": column("last_used_at", nullable=True),
    },
    lookups={"id": Unique("id")},
    filters={"set": Condition(lambda row, value: row["set"] == value, columns=("set",), selective=True)},
    orders={"created_at": Ordering()},
)

_IDS: BindParameter[str] = bindparam("ids", type_=Text())
_SETS: BindParameter[str] = bindparam("sets", type_=Text())
_OF_ACCOUNT = documents.c.account_id == ACCOUNT
_IN_SET = documents.c.set == bindparam("set", type_=Text())

_ALLOWED = select(documents.c.id, documents.c.text).where(
    _OF_ACCOUNT, or_(_SETS.is_(None), ids_in(documents.c.set, _SETS))
)
_BY_DIGEST = _ALLOWED.where(documents.c.digest == bindparam("digest", type_=Text()))
_BY_DOCUMENT_ID = _ALLOWED.where(documents.c.document_id == bindparam("document_id", type_=Text()))

_LOCK_ACCOUNT = select(accounts.c.id).where(accounts.c.id == ACCOUNT).with_for_update(key_share=True)
_COUNT = select(func.count()).where(_OF_ACCOUNT)
_COUNT_IN_SET = _COUNT.where(_IN_SET)
_IN_SET_BY_DOCUMENT_ID = select(documents.c.document_id, documents.c.id).where(
    _OF_ACCOUNT, _IN_SET, ids_in(documents.c.document_id, _IDS)
)
_BOUND = select(document_ids.c.document_id, document_ids.c.digest).where(
    document_ids.c.account_id == ACCOUNT, ids_in(document_ids.c.document_id, _IDS)
)
_DELETE_SET = documents.delete().where(_OF_ACCOUNT, _IN_SET).returning(documents.c.id)
_SETS_CHANGED = (
    accounts.update()
    .where(accounts.c.id == ACCOUNT)
    .values(documents_version=accounts.c.documents_version + 1)
)
_NOTE_USES = (
    documents.update()
    .where(ids_in(documents.c.id, _IDS))
    .values(last_used_at=bindparam("at", type_=UtcDateTime()))
)
_LIST_SETS = (
    select(
        accounts.c.name,
        documents.c.set,
        func.count(),
        type_coerce(func.max(documents.c.registered_at), Text()),
        type_coerce(func.max(documents.c.last_used_at), Text()),
    )
    .join(accounts, accounts.c.id == documents.c.account_id)
    .group_by(accounts.c.name, documents.c.set)
    .order_by(accounts.c.name, documents.c.set)
)
_ALL = (
    select(
        documents.c.id,
        accounts.c.id.label("account_id"),
        accounts.c.name,
        documents.c.set,
        documents.c.document_id,
        documents.c.text,
    )
    .join(accounts, accounts.c.id == documents.c.account_id)
    .where(documents.c.id > bindparam("after", type_=Text()))
    .order_by(documents.c.id)
    .limit(bindparam("limit", type_=Integer()))
)


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A row to add. The fields are the columns of the table except `last_used_at`, in their order."""

    id: str
    account_id: str
    document_id: str
    set: str
    digest: str
    operations: Sequence[str]
    text: str
    max_cost: int
    registered_at: datetime


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A registered text, and the ids of its rows in the sets that were searched."""

    text: str
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListedSet:
    """A set of an account: how many documents it has, and when one was last registered and last used."""

    account: str
    set: str
    documents: int
    registered_at: str
    last_used_at: str | None


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A registered document of any account, with what is needed to check it and to name it."""

    id: str
    account_id: str
    account: str
    set: str
    document_id: str
    text: str


def subject_id(account_id: str, set: str) -> str:
    """Return the id of a set as the subject of events (`SUBJECT`)."""
    return f"{account_id}/{set}"


async def find(
    session: ReadSession, account_id: str, document_id: str, sets: Sequence[str] | None
) -> FoundDocument | None:
    """Return the text with this id in one of these sets, or in any set if `sets` is None.

    An id that is a SHA-256 finds its text, whatever id the text was registered with. Returns None if there is
    no such text.
    """
    values: dict[str, object] = {
        "account": account_id,
        "sets": None if sets is None else orjson.dumps(sets).decode(),
    }
    if document_id.startswith(HASHED):
        rows = await session.rows(_BY_DIGEST, {**values, "digest": document_id.removeprefix(HASHED)})
    else:
        rows = await session.rows(_BY_DOCUMENT_ID, {**values, "document_id": document_id})
    return FoundDocument(rows[0][1], tuple(row[0] for row in rows)) if rows else None


async def lock_account(session: WriteSession, account_id: str) -> None:
    """Lock an account, so that changes of its documents wait for each other until the transaction ends."""
    await session.execute(_LOCK_ACCOUNT, {"account": account_id})


async def count(session: WriteSession, account_id: str) -> int:
    """Return how many documents an account has."""
    return int((await session.execute(_COUNT, {"account": account_id})).scalar_one())


async def count_in_set(session: WriteSession, account_id: str, set: str) -> int:
    """Return how many documents a set of an account has."""
    values = {"account": account_id, "set": set}
    return int((await session.execute(_COUNT_IN_SET, values)).scalar_one())


async def ids_in_set(
    session: WriteSession, account_id: str, set: str, document_ids: Collection[str]
) -> Mapping[str, str]:
    """Return the ids of the rows with these document ids in a set, by document id.

    Document ids that are not in the set are left out.
    """
    values = {"account": account_id, "set": set, "ids": _json(document_ids)}
    return {row.document_id: row.id for row in await session.execute(_IN_SET_BY_DOCUMENT_ID, values)}


async def digests_of(
    session: ReadSession, account_id: str, document_ids: Collection[str]
) -> Mapping[str, str]:
    """Return the SHA-256 of the text that each document id stands for. Unknown ids are left out."""
    rows = await session.rows(_BOUND, {"account": account_id, "ids": _json(document_ids)})
    return {row[0]: row[1] for row in rows}


async def bind(session: WriteSession, account_id: str, digests: Mapping[str, str]) -> Mapping[str, str]:
    """Bind document ids to texts for ever. `digests` has the SHA-256 of the text for each id.

    The account must be locked. An id that is already bound to another text keeps that text. Returns the ids
    for which this is so, each with the SHA-256 of the text that it keeps.
    """
    values = {"account": account_id, "ids": _json(digests)}
    bound = {row.document_id: row.digest for row in await session.execute(_BOUND, values)}
    new = [(account_id, id, digest) for id, digest in digests.items() if id not in bound]
    if new:
        await session.load(document_ids, document_ids.c.keys(), new)
    return {id: digest for id, digest in bound.items() if digest != digests[id]}


async def insert(session: WriteSession, new: Sequence[NewDocument]) -> None:
    """Add documents to an account. The account must be locked."""
    names = [name for name in documents.c.keys() if name != "last_used_at"]  # noqa: SIM118
    rows = [
        tuple(
            clock.as_text(value)
            if isinstance(value, datetime)
            else (value if isinstance(value, str | int) else json_text(value))
            for value in astuple(each)
        )
        for each in new
    ]
    await session.load(documents, names, rows)


async def delete_set(session: WriteSession, account_id: str, set: str) -> int:
    """Delete a set and return how many documents it had.

    Each process notices the deletion when it next looks up a key of the account.
    """
    deleted = (await session.execute(_DELETE_SET, {"account": account_id, "set": set})).all()
    if deleted:
        await session.execute(_SETS_CHANGED, {"account": account_id})
    return len(deleted)


async def note_uses(session: WriteSession, used: Collection[str], at: datetime) -> None:
    """Store `at` as the time of last use of the documents with these row ids."""
    await session.execute(_NOTE_USES, {"ids": _json(used), "at": at})


async def list_sets(session: ReadSession) -> Sequence[ListedSet]:
    """Return the sets of all accounts."""
    return [ListedSet(*row) for row in await session.rows(_LIST_SETS, {})]


async def after(session: ReadSession, id: str, limit: int) -> Sequence[StoredDocument]:
    """Return the first `limit` documents of all accounts after this row id, in the order of row ids."""
    rows = await session.rows(_ALL, {"after": id, "limit": limit})
    return [StoredDocument(*row) for row in rows]


def _json(texts: Collection[str]) -> str:
    return orjson.dumps(list(texts)).decode()
