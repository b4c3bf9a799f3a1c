"""Customer sessions: keys that act as one customer, for some minutes or hours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Integer, Text, bindparam, select

from db.engine import WriteSession
from db.keys import SESSION, is_valid, keys

MOST_LIVE = 100
"""How many live sessions a customer can have."""

_CREATOR = (
    select(keys.c.expires_at, keys.c.origins, keys.c.documents, keys.c.document_sets)
    .where(keys.c.id == bindparam("id", type_=Text()), is_valid(keys.c))
    .with_for_update(read=True, key_share=True)
)
_customer = bindparam("customer_id", type_=Text())
_other = keys.alias("other")
_newest = (
    select(_other.c.id)
    .where(_other.c.customer_id == _customer, is_valid(_other.c))
    .order_by(_other.c.id.desc())
    .limit(bindparam("kept", type_=Integer()))
)
_DELETE_OLD = keys.delete().where(
    keys.c.kind == SESSION, keys.c.customer_id == _customer, keys.c.id.not_in(_newest)
)


@dataclass(frozen=True, slots=True)
class Creator:
    """A key that creates a session, with the limits that the session takes from it."""

    expires_at: datetime | None
    origins: Sequence[str] | None
    documents: str
    document_sets: Sequence[str] | None


async def find_creator(session: WriteSession, key_id: str, now: datetime) -> Creator | None:
    """Return a key, or None if it is not valid any more.

    The key is locked: it cannot be deleted until the transaction ends.
    """
    row = (await session.execute(_CREATOR, {"id": key_id, "now": now})).first()
    return None if row is None else Creator(*tuple(row))


async def add(session: WriteSession, values: Mapping[str, object], now: datetime) -> None:
    """Add a session, and delete the customer's sessions that have ended.

    If the customer would have more than `MOST_LIVE` live sessions, the oldest ones are deleted too. The
    caller has locked the customer.
    """
    kept = {"customer_id": values["customer_id"], "kept": MOST_LIVE - 1, "now": now}
    await session.execute(_DELETE_OLD, kept)
    await session.execute(keys.insert().values(values))
