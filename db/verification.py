"""What anybody may ask about an app by its slug: its public keys, and whether licenses of it hold.

No account stands in these statements: who knows the slug and what a license is known by may know this much.
Each is one statement, which begins with the app: without a row there is no such app.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    literal_column,
    select,
    true,
    type_coerce,
)

from db.apps import apps
from db.engine import ReadSession
from db.licenses import LICENSE, licenses
from db.shaping.json import texts_in
from db.signing_keys import PUBLIC_COLUMNS, PublicKey, signing_keys
from db.tiers import tiers
from db.tokens import tokens

_SLUG = bindparam("slug", type_=Text())
_SHOWN = (
    licenses.c.id,
    licenses.c.installation_id,
    tiers.c.slug,
    # These are answered as they are stored.
    type_coerce(licenses.c.features, Text()),
    type_coerce(licenses.c.expires_at, Text()),
    type_coerce(licenses.c.revoked_at, Text()),
)


def _of_app(shown: Sequence[Any], found: FromClause) -> Select[Any]:
    with_tier = found.outerjoin(tiers, tiers.c.id == licenses.c.tier_id)
    return select(*shown).select_from(with_tier).where(apps.c.slug == _SLUG)


def _is_of_installation(row: FromClause, asked: ColumnElement[str]) -> ColumnElement[bool]:
    return and_(row.c.app_id == apps.c.id, row.c.installation_id == asked)


def _first_of_installation(found: Select[Any], row: FromClause) -> Select[Any]:
    preferred = LICENSE.lookups["installation_id"].preferred
    assert preferred is not None
    return found.order_by(*preferred(row.c)).limit(literal_column("1"))


def _joined_by_jti(found: FromClause, asked: ColumnElement[str]) -> FromClause:
    # A token that has been signed ahead is nobody's yet.
    issued = and_(tokens.c.jti == asked, tokens.c.generation <= apps.c.signing_generation)
    own = and_(licenses.c.id == tokens.c.license_id, licenses.c.app_id == apps.c.id)
    return found.outerjoin(tokens, issued).outerjoin(licenses, own)


_asked = bindparam("asked", type_=Text())
_ONE = {
    "installation_id": _first_of_installation(
        _of_app(_SHOWN, apps.outerjoin(licenses, _is_of_installation(licenses, _asked))), licenses
    ),
    "jti": _of_app(_SHOWN, _joined_by_jti(apps, _asked)),
}

_all = texts_in(_asked).table_valued("value", name="each")
# The bound is for PostgreSQL. It takes a list for a hundred rows, for which it would read a table of some ten
# thousand licenses from end to end instead of looking them up; of an unknown bound it expects a tenth.
_each = select(_all.c.value).limit(bindparam("count", type_=Integer())).subquery("asked")
_license = licenses.alias()
_first = _first_of_installation(
    select(_license.c.id).where(_is_of_installation(_license, _each.c.value)), _license
).correlate(apps, _each)
_MANY = {
    "installation_id": _of_app(
        (_each.c.value, *_SHOWN),
        apps.outerjoin(_each, true()).outerjoin(licenses, licenses.c.id == _first.scalar_subquery()),
    ),
    "jti": _of_app((_each.c.value, *_SHOWN), _joined_by_jti(apps.outerjoin(_each, true()), _each.c.value)),
}

_BY_TOKEN = _of_app(
    (apps.c.account_id, *PUBLIC_COLUMNS, *_SHOWN),
    apps.outerjoin(
        signing_keys,
        and_(signing_keys.c.id == bindparam("kid", type_=Text()), signing_keys.c.app_id == apps.c.id),
    ).outerjoin(
        licenses,
        and_(licenses.c.id == bindparam("license_id", type_=Text()), licenses.c.app_id == apps.c.id),
    ),
)
_keys = apps.join(signing_keys, signing_keys.c.app_id == apps.c.id)
_KEYS = (
    select(apps.c.signing_generation, *PUBLIC_COLUMNS)
    .select_from(_keys)
    .where(apps.c.slug == _SLUG)
    .order_by(signing_keys.c.generation.desc())
)
_CURRENT_PEM = (
    select(signing_keys.c.public_key_pem)
    .select_from(_keys)
    .where(apps.c.slug == _SLUG, signing_keys.c.generation == apps.c.signing_generation)
)


@dataclass(frozen=True, slots=True)
class ShownLicense:
    """What anybody may know of a license, as it is stored. Nothing of it tells whose it is.

    Moments are texts, which sort as time does, and the features are a JSON array.
    """

    id: str
    installation_id: str
    tier: str | None
    features: str
    expires_at: str | None
    revoked_at: str | None


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What is stored of the app, the key and the license that a token names. None: there is none such."""

    account_id: str
    key: PublicKey | None
    license: ShownLicense | None


async def license_by(
    session: ReadSession, slug: str, by: str, value: str, now: datetime
) -> tuple[bool, ShownLicense | None]:
    """The license of an app by "installation_id" or "jti": whether there is such an app, and the license.

    Of an installation's licenses the one that is active `now` is found, else the newest.
    """
    row = await session.row(_ONE[by], {"slug": slug, "asked": value, "now": now})
    return (False, None) if row is None else (True, _shown(row))


async def licenses_by(
    session: ReadSession, slug: str, by: str, values: Sequence[str], now: datetime
) -> dict[str, ShownLicense | None] | None:
    """As `license_by`, for many values in one statement: what each has found. None without an app."""
    parameters = {
        "slug": slug,
        "asked": orjson.dumps(values).decode(),
        "count": len(values),
        "now": now,
    }
    rows = await session.rows(_MANY[by], parameters)
    if not rows:
        return None
    return {asked: _shown(found) for asked, *found in rows if asked is not None}


async def facts_of_token(session: ReadSession, slug: str, kid: str, license_id: str) -> TokenFacts | None:
    """What is stored of what a token of an app names; None without an app."""
    row = await session.row(_BY_TOKEN, {"slug": slug, "kid": kid, "license_id": license_id})
    if row is None:
        return None
    split = 1 + len(PUBLIC_COLUMNS)
    key, license = row[1:split], row[split:]
    return TokenFacts(row[0], None if key[0] is None else PublicKey(*key), _shown(license))


async def public_keys(session: ReadSession, slug: str) -> list[PublicKey] | None:
    """All keys an app has ever had, the current one first, then the newest first; None without an app."""
    rows = await session.rows(_KEYS, {"slug": slug})
    if not rows:
        return None
    return sorted((PublicKey(*key) for _, *key in rows), key=lambda key: key.generation != rows[0][0])


async def public_key_pem(session: ReadSession, slug: str) -> str | None:
    """The PEM of an app's current key; None without an app."""
    row = await session.row(_CURRENT_PEM, {"slug": slug})
    return None if row is None else str(row[0])


def _shown(row: Sequence[Any]) -> ShownLicense | None:
    return None if row[0] is None else ShownLicense(*row)
