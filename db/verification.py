"""What anybody may ask about an app by its slug: its public keys, and whether licenses of it hold.

No account stands in these statements: who knows the slug and what a license is known by may know this much.
Each is one statement, which begins with the app: without a row there is no such app.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import FromClause, Integer, Select, Text, and_, bindparam, literal_column, select, true

from db import clock
from db.apps import apps
from db.engine import ReadSession, ResultRow
from db.licenses import LICENSE, licenses
from db.shaping.json import texts_in
from db.signing_keys import PUBLIC_COLUMNS, PublicKey, signing_keys
from db.tiers import tiers
from db.tokens import tokens

_SLUG = bindparam("slug", type_=Text())
_each = texts_in(bindparam("asked", type_=Text())).table_valued("value", name="each")
# The bound is for PostgreSQL. It takes a list for a hundred rows, for which it would read a table of some ten
# thousand licenses from end to end instead of looking them up; of an unknown bound it expects a tenth.
_asked = select(_each.c.value).limit(bindparam("count", type_=Integer())).subquery("asked")
_license = licenses.alias()
_first_of_installation = (
    select(_license.c.id)
    .where(_license.c.app_id == apps.c.id, _license.c.installation_id == _asked.c.value)
    .order_by(*(LICENSE.lookups["installation_id"].preferred or (lambda _: []))(_license.c))
    .limit(literal_column("1"))
    .correlate(apps, _asked)
    .scalar_subquery()
)
_SHOWN = (
    licenses.c.id,
    licenses.c.installation_id,
    tiers.c.slug,
    licenses.c.features,
    licenses.c.expires_at,
    licenses.c.revoked_at,
)


def _with_tier(found: FromClause) -> FromClause:
    return found.outerjoin(tiers, tiers.c.id == licenses.c.tier_id)


def _of_app(shown: Sequence[Any], found: FromClause) -> Select[Any]:
    return select(*shown).select_from(found).where(apps.c.slug == _SLUG)


_BY_INSTALLATION = _of_app(
    (_asked.c.value, *_SHOWN),
    _with_tier(apps.outerjoin(_asked, true()).outerjoin(licenses, licenses.c.id == _first_of_installation)),
)
_BY_JTI = _of_app(
    (_asked.c.value, *_SHOWN),
    _with_tier(
        apps.outerjoin(_asked, true())
        # One that has been signed ahead is nobody's yet.
        .outerjoin(
            tokens, and_(tokens.c.jti == _asked.c.value, tokens.c.generation <= apps.c.signing_generation)
        )
        .outerjoin(licenses, and_(licenses.c.id == tokens.c.license_id, licenses.c.app_id == apps.c.id))
    ),
)
_BY_TOKEN = _of_app(
    (apps.c.account_id, *PUBLIC_COLUMNS, *_SHOWN),
    _with_tier(
        apps.outerjoin(
            signing_keys,
            and_(signing_keys.c.id == bindparam("kid", type_=Text()), signing_keys.c.app_id == apps.c.id),
        ).outerjoin(
            licenses,
            and_(licenses.c.id == bindparam("license_id", type_=Text()), licenses.c.app_id == apps.c.id),
        )
    ),
)
_KEYS = _of_app(
    (apps.c.signing_generation, *PUBLIC_COLUMNS),
    apps.join(signing_keys, signing_keys.c.app_id == apps.c.id),
).order_by(signing_keys.c.generation.desc())
_CURRENT_PEM = _of_app(
    (signing_keys.c.public_key_pem,),
    apps.join(
        signing_keys,
        and_(signing_keys.c.app_id == apps.c.id, signing_keys.c.generation == apps.c.signing_generation),
    ),
)
_STATEMENTS = {"installation_id": _BY_INSTALLATION, "jti": _BY_JTI}


@dataclass(frozen=True, slots=True)
class ShownLicense:
    """What anybody may know of a license. Nothing of it tells whose it is."""

    id: str
    installation_id: str
    tier: str | None
    features: Sequence[str]
    expires_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """What is stored of the app, the key and the license that a token names. None: there is none such."""

    account_id: str
    key: PublicKey | None
    license: ShownLicense | None


async def licenses_by(
    session: ReadSession, slug: str, by: str, values: Sequence[str], now: datetime
) -> dict[str, ShownLicense | None] | None:
    """The licenses of an app by "installation_id" or "jti", by what was asked for; None without an app.

    Of an installation's licenses the active one is found, else the newest. One statement for them all.
    """
    parameters = {
        "slug": slug,
        "asked": orjson.dumps(values).decode(),
        "count": len(values),
        "now": clock.as_text(now),
    }
    rows = await session.rows(_STATEMENTS[by], parameters)
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
    return TokenFacts(row[0], None if key[0] is None else _public_key(key), _shown(license))


async def public_keys(session: ReadSession, slug: str) -> list[PublicKey] | None:
    """All keys an app has ever had, the current one first, then the newest first; None without an app."""
    rows = await session.rows(_KEYS, {"slug": slug})
    if not rows:
        return None
    return sorted((_public_key(key) for _, *key in rows), key=lambda key: key.generation != rows[0][0])


async def public_key_pem(session: ReadSession, slug: str) -> str | None:
    """The PEM of an app's current key; None without an app."""
    row = await session.row(_CURRENT_PEM, {"slug": slug})
    return None if row is None else str(row[0])


def _shown(row: Sequence[Any]) -> ShownLicense | None:
    id, installation_id, tier, features, *moments = row
    if id is None:
        return None
    return ShownLicense(id, installation_id, tier, orjson.loads(features), *map(_moment, moments))


def _public_key(row: ResultRow | Sequence[Any]) -> PublicKey:
    id, generation, pem, *moments = row
    return PublicKey(id, generation, pem, *map(_moment, moments))


def _moment(text: str | None) -> datetime | None:
    return None if text is None else clock.from_text(text)
