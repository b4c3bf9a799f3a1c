"""Rotation: tokens signed ahead under an app's next key, some hundreds at a time, and cleared up after."""

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
    """The jti of the license's token under the generation, or null.

    Not EXISTS: for each batch PostgreSQL might join all tokens that there are.
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


# A walk along the app's licenses, whatever they are: looking for some of them alone, PostgreSQL would think
# them few, and sort all that are left for every batch.
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
# Licenses may have gone meanwhile, or have been given new tokens under both keys: those that PostgreSQL does
# not see yet stand in the way of the numbers here. It waits for nobody's licenses, holding some: whoever
# deletes a customer does that.
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
# Who holds one of these is about to remove it, or its text.
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
    """A license that has no token under a key yet, as its token is to tell of it."""

    id: str
    installation_id: str
    expires_at: datetime | None
    features: Sequence[str]
    tier: str | None


async def count_live(session: ReadSession, app_id: str, now: datetime, at_most: int = 2**31 - 1) -> int:
    """How many licenses of an app are neither revoked nor expired, counted no further than `at_most`."""
    row = await session.row(_COUNT_LIVE, {"app_id": app_id, "now": now, "limit": at_most})
    assert row is not None
    return int(row[0])


async def count_signed(session: ReadSession, app_id: str, generation: int, now: datetime) -> int:
    """How many of them have a token under this generation of keys."""
    values = {"app_id": app_id, "now": now, "generation": generation}
    row = await session.row(_COUNT_SIGNED, values)
    assert row is not None
    return int(row[0])


async def count_unsigned(session: ReadSession, app_id: str, generation: int, now: datetime) -> int:
    """How many of them have none."""
    values = {"app_id": app_id, "now": now, "generation": generation}
    row = await session.row(_COUNT_UNSIGNED, values)
    assert row is not None
    return int(row[0])


async def last_expiry(session: WriteSession, app_id: str) -> datetime | None:
    """When the last of an app's licenses expires (`NEVER`: one does not), or None without a license."""
    if (await session.execute(_NEVER_EXPIRES, {"app_id": app_id})).first() is not None:
        return NEVER
    found: datetime | None = (await session.execute(_EXPIRES, {"app_id": app_id})).scalar()
    return found


async def next_unsigned(
    session: ReadSession, app_id: str, generation: int, now: datetime, after: str, limit: int
) -> tuple[list[UnsignedLicense], str | None]:
    """Those that have none among the next `limit` licenses of the app in the order of ids.

    And the id of the last one looked at; None: there are no more.
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
    """Add tokens (each a license's id, a jti, the text) to licenses that lack one of this generation.

    The app is held (`db.apps.hold`). A license that somebody is changing is left out.
    """
    values = {"rows": orjson.dumps(signed).decode(), "generation": generation}
    await session.execute(_ADD, values)


async def clear_superseded(
    session: WriteSession, app_id: str, generation: int, after: str, limit: int
) -> str | None:
    """Remove the texts of tokens that have one under a newer key, of the next licenses in the order of ids.

    And the tokens that are too many by now (`db.tokens.KEPT_SUPERSEDED`).
    Answers the id of the last of them; None: there are no more.
    """
    place = {"app_id": app_id, "after": after}
    last: str | None = (await session.execute(_LAST, {**place, "limit": limit})).scalar()
    if last is not None:
        await session.execute(_CLEAR, {**place, "last": last, "generation": generation})
        await session.execute(_DROP, {**place, "last": last})
    return last
