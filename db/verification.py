"""What anyone may read about an app by the app's slug: public keys, and whether licenses are valid.

These statements have no condition on the account: a caller only has to know the app's slug and an identifier
of the license. There is one exception: with a key that is limited to some apps, licenses of other apps cannot
be verified. Each read is one statement that starts from the app. If a statement returns no row, the app does
not exist.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
from db.tenancy import Tenant, is_listed
from db.tiers import tiers
from db.tokens import tokens

_SLUG = bindparam("slug", type_=Text())
_SHOWN = (
    licenses.c.id,
    licenses.c.installation_id,
    tiers.c.slug,
    # These columns are returned in their stored form.
    type_coerce(licenses.c.features, Text()),
    type_coerce(licenses.c.expires_at, Text()),
    type_coerce(licenses.c.revoked_at, Text()),
)
_SHOWN_BY_TOKEN = (*_SHOWN, type_coerce(licenses.c.moved_at, Text()))
_SHOWN_BY_JTI = (*_SHOWN_BY_TOKEN, tokens.c.installation_id)


def _of_app(shown: Sequence[Any], found: FromClause) -> Select[Any]:
    with_tier = found.outerjoin(tiers, tiers.c.id == licenses.c.tier_id)
    return select(*shown).select_from(with_tier).where(apps.c.slug == _SLUG)


def _in(statements: "_Statements", tenant: Tenant | None) -> tuple[Select[Any], Mapping[str, Any]]:
    """Return the statement for a tenant, and the tenant's parameters. Without a tenant, it reads any app."""
    if tenant is None:
        return statements.any_app, {}
    return statements.listed_apps, tenant.parameters


@dataclass(frozen=True, slots=True, eq=False)
class _Statements:
    """A statement for callers who may read any app, and one for callers who are limited to some apps."""

    any_app: Select[Any]
    listed_apps: Select[Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "listed_apps", self.any_app.where(is_listed(apps.c)))


def _is_of_installation(row: FromClause, asked: ColumnElement[str]) -> ColumnElement[bool]:
    return and_(row.c.app_id == apps.c.id, row.c.installation_id == asked)


def _first_of_installation(found: Select[Any], row: FromClause) -> Select[Any]:
    preferred = LICENSE.lookups["installation_id"].preferred
    assert preferred is not None
    return found.order_by(*preferred(row.c)).limit(literal_column("1"))


def _joined_by_jti(found: FromClause, asked: ColumnElement[str]) -> FromClause:
    # Tokens that were signed in advance for a rotation are not issued yet, so this condition excludes them.
    issued = and_(tokens.c.jti == asked, tokens.c.generation <= apps.c.signing_generation)
    own = and_(licenses.c.id == tokens.c.license_id, licenses.c.app_id == apps.c.id)
    return found.outerjoin(tokens, issued).outerjoin(licenses, own)


_asked = bindparam("asked", type_=Text())
_ONE = {
    "installation_id": _Statements(
        _first_of_installation(
            _of_app(_SHOWN, apps.outerjoin(licenses, _is_of_installation(licenses, _asked))), licenses
        )
    ),
    "jti": _Statements(_of_app(_SHOWN_BY_JTI, _joined_by_jti(apps, _asked))),
}

_all = texts_in(_asked).table_valued("value", name="each")
# PostgreSQL's planner assumes that a list has 100 rows. The planner would therefore scan a table of some ten
# thousand licenses instead of using the index. With a LIMIT of unknown value, the planner assumes a tenth of
# these rows, which is 10.
_each = select(_all.c.value).limit(bindparam("count", type_=Integer())).subquery("asked")
_license = licenses.alias()
_first = _first_of_installation(
    select(_license.c.id).where(_is_of_installation(_license, _each.c.value)), _license
).correlate(apps, _each)
_MANY = {
    "installation_id": _Statements(
        _of_app(
            (_each.c.value, *_SHOWN),
            apps.outerjoin(_each, true()).outerjoin(licenses, licenses.c.id == _first.scalar_subquery()),
        )
    ),
    "jti": _Statements(
        _of_app((_each.c.value, *_SHOWN_BY_JTI), _joined_by_jti(apps.outerjoin(_each, true()), _each.c.value))
    ),
}

_BY_TOKEN = _Statements(
    _of_app(
        (apps.c.account_id, apps.c.id, *PUBLIC_COLUMNS, *_SHOWN_BY_TOKEN),
        apps.outerjoin(
            signing_keys,
            and_(signing_keys.c.id == bindparam("kid", type_=Text()), signing_keys.c.app_id == apps.c.id),
        ).outerjoin(
            licenses,
            and_(licenses.c.id == bindparam("license_id", type_=Text()), licenses.c.app_id == apps.c.id),
        ),
    )
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
    """The stored values of a license that anyone may know. None of these values identifies the customer.

    Times are texts that sort chronologically. The features are a JSON array. `moved_at` is only read if the
    license is found by a token or a jti. `token_installation_id` is the installation that the token with the
    given jti is for, or None if the license has not moved since.
    """

    id: str
    installation_id: str
    tier: str | None
    features: str
    expires_at: str | None
    revoked_at: str | None
    moved_at: str | None = None
    token_installation_id: str | None = None


@dataclass(frozen=True, slots=True)
class TokenFacts:
    """A token's app and its account, and the key and the license that the token names.

    The key is None if the app has no such key, and the license is None if the app has no such license.
    """

    account_id: str
    app_id: str
    key: PublicKey | None
    license: ShownLicense | None


async def license_by(
    session: ReadSession, slug: str, by: str, value: str, now: datetime, tenant: Tenant | None = None
) -> tuple[bool, ShownLicense | None]:
    """Find a license of an app. `by` is "installation_id" or "jti".

    Returns whether the app exists, and the license or None. Of an installation's licenses, this finds the
    license that is active at `now`, or the newest license if none is active. If a tenant is given, only its
    apps exist (`db.tenancy.is_listed`).
    """
    statement, limits = _in(_ONE[by], tenant)
    row = await session.row(statement, {"slug": slug, "asked": value, "now": now, **limits})
    return (False, None) if row is None else (True, _shown(row))


async def licenses_by(
    session: ReadSession,
    slug: str,
    by: str,
    values: Sequence[str],
    now: datetime,
    tenant: Tenant | None = None,
) -> dict[str, ShownLicense | None] | None:
    """Find the licenses of an app for many values in one statement, in the same way as `license_by`.

    Returns the license or None for each value. Returns None if the app does not exist.
    """
    statement, limits = _in(_MANY[by], tenant)
    parameters = {
        "slug": slug,
        "asked": orjson.dumps(values).decode(),
        "count": len(values),
        "now": now,
        **limits,
    }
    rows = await session.rows(statement, parameters)
    if not rows:
        return None
    return {asked: _shown(found) for asked, *found in rows if asked is not None}


async def facts_of_token(
    session: ReadSession, slug: str, kid: str, license_id: str, tenant: Tenant | None = None
) -> TokenFacts | None:
    """Return the key and the license that a token names, or None if the app does not exist.

    The key and the license must belong to the app. If a tenant is given, only its apps exist.
    """
    statement, limits = _in(_BY_TOKEN, tenant)
    row = await session.row(statement, {"slug": slug, "kid": kid, "license_id": license_id, **limits})
    if row is None:
        return None
    split = 2 + len(PUBLIC_COLUMNS)
    key, license = row[2:split], row[split:]
    return TokenFacts(row[0], row[1], None if key[0] is None else PublicKey(*key), _shown(license))


async def public_keys(session: ReadSession, slug: str) -> list[PublicKey] | None:
    """Return all keys of an app, even unpublished ones: first the current key, then the others, newest first.

    Returns None if the app does not exist.
    """
    rows = await session.rows(_KEYS, {"slug": slug})
    if not rows:
        return None
    return sorted((PublicKey(*key) for _, *key in rows), key=lambda key: key.generation != rows[0][0])


async def public_key_pem(session: ReadSession, slug: str) -> str | None:
    """Return the PEM of an app's current public key, or None if the app does not exist."""
    row = await session.row(_CURRENT_PEM, {"slug": slug})
    return None if row is None else str(row[0])


def _shown(row: Sequence[Any]) -> ShownLicense | None:
    return None if row[0] is None else ShownLicense(*row)
