"""Signing keys: each app signs its tokens with its own keys, one generation after another.

`apps.signing_generation` is the current generation. Tokens are signed with the key of this generation. Each
license shows its newest token that is signed with this key or an earlier one. The key of the next generation
is created in advance. This next key is published, but does not sign until a rotation activates it. From then
on, new tokens are signed with both keys, until the next key becomes the current one. Earlier keys are
retired: they no longer sign. A retired key stays published as long as tokens that it signed may be in use,
unless it is dropped earlier.
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
"""The expiry that is stored for tokens that never expire."""

PUBLISHED_FOR = timedelta(days=30)
"""For how long, at least, a retired key stays published after the last token that it signed has expired."""

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("id", PlainText, primary_key=True),  # `kid` in the header of tokens
    Column("app_id", PlainText, ForeignKey("apps.id", ondelete="CASCADE"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("public_key_pem", PlainText, nullable=False),
    Column("sealed", LargeBinary),  # the encrypted private key; null once the key is retired
    Column("created_at", UtcDateTime, nullable=False),
    Column("retired_at", UtcDateTime),
    # The latest expiry of the tokens that this key signed. Until the key is retired, only tokens that outlive
    # their license count: it was deleted, or it expires earlier now. From then on, all tokens count.
    Column("last_expiry", UtcDateTime),
    Column("dropped_at", UtcDateTime),
    # When a rotation began to sign with this key. Null if no rotation has activated the key yet, if it is the
    # app's first key, or if it was activated before this column existed.
    Column("activated_at", UtcDateTime),
    UniqueConstraint("app_id", "generation"),
)

_OF_APP = signing_keys.c.app_id == bindparam("of_app")
_SIGNING = select(signing_keys.c.id, signing_keys.c.generation, signing_keys.c.sealed).where(_OF_APP)
_OF_GENERATION = _SIGNING.where(
    signing_keys.c.generation == bindparam("of_generation"), signing_keys.c.sealed.is_not(None)
)
_IN_USE = _SIGNING.where(
    (signing_keys.c.generation == bindparam("current"))
    | ((signing_keys.c.generation > bindparam("current")) & signing_keys.c.activated_at.is_not(None))
).order_by(signing_keys.c.generation)
_ACTIVATE = (
    signing_keys.update()
    .where(
        _OF_APP,
        signing_keys.c.generation == bindparam("of_generation"),
        signing_keys.c.activated_at.is_(None),
    )
    .values(activated_at=bindparam("at", type_=UtcDateTime()))
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
        (signing_keys.c.generation == bindparam("of_generation"))
        | (
            (signing_keys.c.generation > bindparam("of_generation"))
            & signing_keys.c.activated_at.is_not(None)
        ),
        signing_keys.c.last_expiry.is_(None)
        | (signing_keys.c.last_expiry < bindparam("expiry", type_=UtcDateTime())),
    )
    .values(last_expiry=bindparam("expiry", type_=UtcDateTime()))
)


@dataclass(frozen=True, slots=True)
class StoredSigningKey:
    """A key that is not retired: the current one, or the next one."""

    id: str
    generation: int
    sealed: bytes  # encrypted (`resolvers.keyring`)


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A public key, with the times that determine when it stops being published."""

    id: str
    generation: int
    public_key_pem: str
    retired_at: datetime | None
    last_expiry: datetime | None
    dropped_at: datetime | None

    def published_until(self, renewal_grace: timedelta) -> datetime | None:
        """Return when the key stops being published, or None if this is not known or never happens.

        For the time `renewal_grace` after it has expired, a token can be exchanged for a new one. A retired
        key therefore stays published for at least as long after its last token has expired.
        """
        if self.dropped_at is not None or self.retired_at is None:
            return self.dropped_at
        last = max(self.last_expiry or self.retired_at, self.retired_at)
        longer = max(PUBLISHED_FOR, renewal_grace)
        return None if last > NEVER - longer else last + longer

    def is_published(self, now: datetime, renewal_grace: timedelta) -> bool:
        """Return whether the key is still published, so that tokens that it signed are accepted."""
        end = self.published_until(renewal_grace)
        return end is None or now < end


PUBLIC_COLUMNS = tuple(signing_keys.c[field.name] for field in fields(PublicKey))
"""The columns for the fields of `PublicKey`, in order."""


async def insert(session: WriteSession, values: Mapping[str, object]) -> bool:
    """Add a key. Returns False if the app already has a key of this generation."""
    return await session.insert_if_free(signing_keys, values)


async def in_use(session: WriteSession, app_id: str, generation: int) -> Sequence[StoredSigningKey]:
    """Return the keys that sign an app's tokens: the current key and, during a rotation, the next key."""
    rows = await session.execute(_IN_USE, {"of_app": app_id, "current": generation})
    return [StoredSigningKey(**row) for row in rows.mappings()]


async def find(session: ReadSession, app_id: str, generation: int) -> StoredSigningKey | None:
    """Return the key of a generation. Returns None if there is no such key yet, or if it is retired."""
    row = await session.row(_OF_GENERATION, {"of_app": app_id, "of_generation": generation})
    return None if row is None else StoredSigningKey(*row)


async def activate(session: WriteSession, app_id: str, generation: int, now: datetime) -> None:
    """Record that a rotation begins to sign with a key, unless the key has already been activated."""
    await session.execute(_ACTIVATE, {"of_app": app_id, "of_generation": generation, "at": now})


async def retire(
    session: WriteSession, app_id: str, generation: int, last_expiry: datetime, now: datetime
) -> None:
    """Retire a key and delete its private key.

    `last_expiry` is the latest expiry of the app's licenses. If a later expiry is stored already, it is kept.
    """
    values = {"of_app": app_id, "of_generation": generation, "expiry": last_expiry, "at": now}
    await session.execute(_RETIRE, values)


async def drop_retired(session: WriteSession, app_id: str, now: datetime) -> None:
    """Stop publishing an app's retired keys."""
    await session.execute(_DROP, {"of_app": app_id, "at": now})


async def note_expiry(session: WriteSession, app_id: str, generation: int, expiry: datetime | None) -> None:
    """Record the expiry of a token that outlives its license, with the keys that may have signed it.

    These are the current key, of this generation, and during a rotation the next key. None means that the
    token never expires. A later expiry that is already recorded is kept.
    """
    values = {"of_app": app_id, "of_generation": generation, "expiry": expiry or NEVER}
    await session.execute(_NOTE_EXPIRY, values)
