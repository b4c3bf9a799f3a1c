"""Key rotation: tokens are signed in advance with an app's next key, in batches.

After the rotation, the texts of superseded tokens are deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import orjson
from sqlalchemy import (
    ColumnElement,
    Integer,
    ScalarSelect,
    Text,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert

from db.engine import ReadSession, WriteSession
from db.licenses import is_active, licenses
from db.shaping.json import arrays_in, item
from db.signing_keys import NEVER
from db.tiers import tiers
from db.tokens import KEPT_SUPERSEDED, next_number, tokens

_APP = bindparam("app_id", type_=Text())
_GENERATION = bindparam("generation", type_=Integer())
_AFTER = bindparam("after", type_=Text())
_LIMIT = bindparam("limit", type_=Integer())

_live = and_(licenses.c.app_id == _APP, is_active(licenses.c))


def _token_under(license_id: ColumnElement[str]) -> ScalarSelect[str]:
    """Return SQL for the jti of a license's token from the given generation of keys, or null.

    This does not use EXISTS, because PostgreSQL might turn EXISTS into a join with all tokens for every
    batch.
    """
    found = tokens.alias()
    return (
        select(found.c.jti)
        .where(found.c.license_id == license_id, found.c.generation == _GENERATION)
        .limit(literal_column("1"))
        .correlate_except(found)
        .scalar_subquery()
    )


_COUNT_LIVE = select(func.count()).select_from(select(licenses.c.id).where(_live).limit(_LIMIT).subquery())
_signed = _token_under(licenses.c.id).is_not(None)
_unsigned = _token_under(licenses.c.id).is_(None)
_COUNT_SIGNED = select(func.count()).select_from(licenses).where(_live, _signed)
_COUNT_UNSIGNED = select(func.count()).select_from(licenses).where(_live, _unsigned)


# A batch contains the app's next licenses in the order of ids, with or without a token. If the batch were
# limited to licenses without a token, PostgreSQL would expect few rows and sort all remaining licenses for
# every batch.
_batch = (
    select(licenses)
    .where(licenses.c.app_id == _APP, licenses.c.id > _AFTER)
    .order_by(licenses.c.id)
    .limit(_LIMIT)
    .subquery()
)
_NEXT = (
    select(
        _batch.c.id,
        _batch.c.installation_id,
        _batch.c.expires_at,
        _batch.c.features,
        tiers.c.slug,
        func.coalesce(tiers.c.trial, false()),
        and_(is_active(_batch.c), _token_under(_batch.c.id).is_(None)),
    )
    .outerjoin(tiers, tiers.c.id == _batch.c.tier_id)
    .order_by(_batch.c.id)
)
_LAST = select(func.max(_batch.c.id))

_EXPIRES = select(func.max(licenses.c.expires_at)).where(licenses.c.app_id == _APP)
_NEVER_EXPIRES = (
    select(licenses.c.id).where(licenses.c.app_id == _APP, licenses.c.expires_at.is_(None)).limit(1)
)

_new = arrays_in(bindparam("rows", type_=Text())).table_valued("value", name="new")
# While the tokens were signed, some of the licenses may have been deleted, or may have got new tokens from
# both keys. This statement's snapshot may not show those new tokens, but their numbers would conflict, so
# conflicts are ignored. SKIP LOCKED avoids deadlocks with other transactions that lock several licenses one
# after another, for example to delete a customer.
_ADD = (
    insert(tokens)
    .from_select(
        ["jti", "license_id", "number", "generation", "token"],
        select(
            item(_new.c.value, 1),
            licenses.c.id,
            next_number(licenses.c.id),
            _GENERATION,
            item(_new.c.value, 2),
        )
        .select_from(_new.join(licenses, licenses.c.id == item(_new.c.value, 0)))
        .where(_unsigned)
        .order_by(licenses.c.id)
        .suffix_with(text("FOR KEY SHARE OF licenses SKIP LOCKED"), dialect="postgresql"),
    )
    .on_conflict_do_nothing()
)

_old = tokens.alias()
# Locked tokens are skipped, because the transaction that holds the lock deletes or clears them anyway.
_superseded = (
    select(_old.c.jti)
    .join(licenses, licenses.c.id == _old.c.license_id)
    .where(
        licenses.c.app_id == _APP,
        licenses.c.id > _AFTER,
        licenses.c.id <= bindparam("last", type_=Text()),
        _old.c.token.is_not(None),
        _old.c.generation < _GENERATION,
        _token_under(_old.c.license_id).is_not(None),
    )
    .with_for_update(of=_old, key_share=True, skip_locked=True)
)
_CLEAR = tokens.update().where(tokens.c.jti.in_(_superseded)).values(token=None)
_newest = tokens.alias()
_too_old = (
    select(_old.c.jti)
    .select_from(
        licenses.join(
            _newest, and_(_newest.c.license_id == licenses.c.id, _newest.c.number > KEPT_SUPERSEDED + 1)
        ).join(
            _old,
            and_(
                _old.c.license_id == licenses.c.id,
                _old.c.number < _newest.c.number - KEPT_SUPERSEDED,
                _old.c.token.is_(None),
            ),
        )
    )
    .where(
        licenses.c.app_id == _APP,
        licenses.c.id > _AFTER,
        licenses.c.id <= bindparam("last", type_=Text()),
    )
    .with_for_update(of=_old, skip_locked=True)
)
_DROP = tokens.delete().where(tokens.c.jti.in_(_too_old))


@dataclass(frozen=True, slots=True)
class UnsignedLicense:
    """A license without a token from the next key, with the contents that its token will have."""

    id: str
    installation_id: str
    expires_at: datetime | None
    features: Sequence[str]
    tier: str | None
    trial: bool


async def count_live(session: ReadSession, app_id: str, now: datetime, at_most: int = 2**31 - 1) -> int:
    """Return how many licenses of an app are neither revoked nor expired. Counting stops at `at_most`."""
    row = await session.row(_COUNT_LIVE, {"app_id": app_id, "now": now, "limit": at_most})
    assert row is not None
    return int(row[0])


async def count_signed(session: ReadSession, app_id: str, generation: int, now: datetime) -> int:
    """Return how many of an app's active licenses have a token from this generation of keys."""
    values = {"app_id": app_id, "now": now, "generation": generation}
    row = await session.row(_COUNT_SIGNED, values)
    assert row is not None
    return int(row[0])


async def count_unsigned(session: ReadSession, app_id: str, generation: int, now: datetime) -> int:
    """Return how many of an app's active licenses have no token from this generation of keys."""
    values = {"app_id": app_id, "now": now, "generation": generation}
    row = await session.row(_COUNT_UNSIGNED, values)
    assert row is not None
    return int(row[0])


async def last_expiry(session: WriteSession, app_id: str) -> datetime | None:
    """Return the latest expiry of an app's licenses, or None if the app has no licenses.

    If a license never expires, this is `NEVER`.
    """
    if (await session.execute(_NEVER_EXPIRES, {"app_id": app_id})).first() is not None:
        return NEVER
    found: datetime | None = (await session.execute(_EXPIRES, {"app_id": app_id})).scalar()
    return found


async def next_unsigned(
    session: ReadSession, app_id: str, generation: int, now: datetime, after: str, limit: int
) -> tuple[list[UnsignedLicense], str | None]:
    """Read an app's first `limit` licenses after the id `after`, in the order of ids.

    Returns those that are active and have no token from this generation of keys. The second value is the id
    of the last license that was read, or None if no license was left.
    """
    values = {
        "app_id": app_id,
        "generation": generation,
        "now": now,
        "after": after,
        "limit": limit,
    }
    rows = await session.rows(_NEXT, values)
    found = [UnsignedLicense(*facts) for *facts, is_unsigned in rows if is_unsigned]
    return found, rows[-1][0] if rows else None


async def add_tokens(session: WriteSession, generation: int, signed: Sequence[tuple[str, str, str]]) -> None:
    """Add tokens (license id, jti, text) to licenses that have no token from this generation of keys.

    The caller has locked the app (`db.apps.lock_shared`). Licenses that other transactions have locked are
    skipped.
    """
    values = {"rows": orjson.dumps(signed).decode(), "generation": generation}
    await session.execute(_ADD, values)


async def clear_superseded(
    session: WriteSession, app_id: str, generation: int, after: str, limit: int
) -> str | None:
    """Clear the superseded tokens of an app's first `limit` licenses after the id `after`.

    If a license has a token from `generation`, the texts of its tokens from earlier generations are deleted.
    All superseded tokens beyond the last `db.tokens.KEPT_SUPERSEDED` are deleted completely. Returns the id
    of the last of these licenses, or None if no license was left.
    """
    place = {"app_id": app_id, "after": after}
    last: str | None = (await session.execute(_LAST, {**place, "limit": limit})).scalar()
    if last is not None:
        await session.execute(_CLEAR, {**place, "last": last, "generation": generation})
        await session.execute(_DROP, {**place, "last": last})
    return last
