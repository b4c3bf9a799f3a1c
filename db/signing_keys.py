"""Signing keys: what an app's tokens are signed with, one generation after the other.

The generation that `apps.signing_generation` names is current: tokens are signed under it, and of each
license the last token up to it is the one that is shown. A later one is being prepared: whatever is signed
meanwhile is signed under both. Earlier ones are retired: they sign nothing any more, and are published for as
long as tokens of theirs may be about, or until they are dropped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from sqlalchemy import (
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    Table,
    UniqueConstraint,
    bindparam,
    case,
    select,
)

from db.engine import ReadSession, WriteSession
from db.metadata import metadata
from db.types import PlainText, UtcDateTime

NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""When a token expires that never does."""

PUBLISHED_FOR = timedelta(days=30)
"""How long a retired key stays published after the last token that it signed has expired."""

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("id", PlainText, primary_key=True),  # `kid` in the header of tokens
    Column("app_id", PlainText, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("public_key_pem", PlainText, nullable=False),
    Column("sealed", LargeBinary),  # the private key, encrypted; null from when it is retired
    Column("created_at", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime),
    # When the last of its tokens expires: those of licenses that are gone; once it is retired, all.
    Column("last_expiry", UtcDateTime),
    Column("dropped_at", UtcDateTime),
    UniqueConstraint("app_id", "generation"),
)

_OF_APP = signing_keys.c.app_id == bindparam("of_app")
_SIGNING = select(signing_keys.c.id, signing_keys.c.generation, signing_keys.c.sealed).where(_OF_APP)
_OF_GENERATION = _SIGNING.where(
    signing_keys.c.generation == bindparam("of_generation"), signing_keys.c.sealed.is_not(None)
)
_IN_USE = _SIGNING.where(signing_keys.c.generation >= bindparam("from_generation")).order_by(
    signing_keys.c.generation
)
_later = case(
    (signing_keys.c.last_expiry > bindparam("expiry", type_=UtcDateTime()), signing_keys.c.last_expiry),
    else_=bindparam("expiry", type_=UtcDateTime()),
)
_RETIRE = (
    signing_keys.update()
    .where(_OF_APP, signing_keys.c.generation == bindparam("of_generation"))
    .values(retired_at=bindparam("at", type_=UtcDateTime()), last_expiry=_later, sealed=None)
)
_DROP = (
    signing_keys.update()
    .where(_OF_APP, signing_keys.c.retired_at.is_not(None), signing_keys.c.dropped_at.is_(None))
    .values(dropped_at=bindparam("at", type_=UtcDateTime()))
)
_NOTE_EXPIRY = (
    signing_keys.update()
    .where(
        _OF_APP,
        signing_keys.c.generation == bindparam("of_generation"),
        signing_keys.c.last_expiry.is_(None)
        | (signing_keys.c.last_expiry < bindparam("expiry", type_=UtcDateTime())),
    )
    .values(last_expiry=bindparam("expiry", type_=UtcDateTime()))
)


@dataclass(frozen=True, slots=True)
class StoredSigningKey:
    """A key that signs: the current one, or the one that is being prepared."""

    id: str
    generation: int
    sealed: bytes  # encrypted (`resolvers.keyring`)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """The public half of a key, and what is known of its end."""

    id: str
    generation: int
    public_key_pem: str
    retired_at: datetime | None
    last_expiry: datetime | None
    dropped_at: datetime | None

    @property
    def published_until(self) -> datetime | None:
        """From when on the key is published no more; None: no such moment is known."""
        if self.dropped_at is not None or self.retired_at is None:
            return self.dropped_at
        last = max(self.last_expiry or self.retired_at, self.retired_at)
        return None if last == NEVER else last + PUBLISHED_FOR

    def is_published(self, now: datetime) -> bool:
        """Whether tokens that this key has signed are good."""
        return self.published_until is None or now < self.published_until


PUBLIC_COLUMNS = tuple(signing_keys.c[field.name] for field in fields(PublicKey))
"""The columns that make a `PublicKey`, in its order."""


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add a key. False when its app has one of this generation."""
    return await session.insert_if_free(signing_keys, values)


async def in_use(session: WriteSession, app_id: str, generation: int) -> Sequence[StoredSigningKey]:
    """The keys that an app's tokens are signed with: the current one, and the next if there is one."""
    rows = await session.execute(_IN_USE, {"of_app": app_id, "from_generation": generation})
    return [StoredSigningKey(**row) for row in rows.mappings()]


async def find(session: ReadSession, app_id: str, generation: int) -> StoredSigningKey | None:
    """The key of a generation; None when there is none yet, or it is retired."""
    row = await session.row(_OF_GENERATION, {"of_app": app_id, "of_generation": generation})
    return None if row is None else StoredSigningKey(*row)


async def retire(
    session: WriteSession, app_id: str, generation: int, last_expiry: datetime, now: datetime
) -> None:
    """Have a key sign nothing any more, and forget its private half. `last_expiry` is that of its tokens."""
    values = {"of_app": app_id, "of_generation": generation, "expiry": last_expiry, "at": now}
    await session.execute(_RETIRE, values)


async def drop_retired(session: WriteSession, app_id: str, now: datetime) -> None:
    """Publish an app's retired keys no more."""
    await session.execute(_DROP, {"of_app": app_id, "at": now})


async def note_expiry(session: WriteSession, app_id: str, generation: int, expiry: datetime | None) -> None:
    """Take note of when a token expires whose license is being deleted; None: never."""
    values = {"of_app": app_id, "of_generation": generation, "expiry": expiry or NEVER}
    await session.execute(_NOTE_EXPIRY, values)
