"""Verification: whether a license holds, and if not, why. Anybody may ask who knows what it is known by.

Nothing that is answered tells whose the license is.
"""

import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import jwt

from db import clock, verification
from db.engine import ReadSession
from db.licenses import LicenseStatus
from db.signing_keys import PublicKey
from db.verification import ShownLicense
from resolvers.errors import BadUserInput, Unauthenticated
from resolvers.inputs import is_slug, is_storable
from resolvers.keyring import verifies
from resolvers.reading import Json
from resolvers.viewer import Viewer

MAX_VALUES = 100
# More than a token can have: an app has at most 200 features, each with a slug of at most 63 characters.
MAX_TOKEN_LENGTH = 32_768
BAD_TOKEN = "The token is not a good one of this license."  # noqa: S105  (what is said of one)


class Reason(StrEnum):
    """Why a license holds or does not. What is wrong with a token itself comes before what its license is."""

    MALFORMED_TOKEN = "MALFORMED_TOKEN"  # noqa: S105
    WRONG_APP = "WRONG_APP"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    RETIRED_KEY = "RETIRED_KEY"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    NOT_FOUND = "NOT_FOUND"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    VALID = "VALID"


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a license holds, why, and since when, where that is known; and what it is, if there is one.

    Moments are texts as every answer shows them; `features` is a JSON array.
    """

    reason: Reason
    since: str | None = None
    status: LicenseStatus | None = None
    installation_id: str | None = None
    tier: str | None = None
    features: Json = "[]"
    expires_at: str | None = None

    @property
    def valid(self) -> bool:
        """Whether it holds."""
        return self.reason is Reason.VALID


@dataclass(frozen=True, slots=True)
class Proven:
    """The license that a good token is of, its app and its account."""

    account_id: str
    app_slug: str
    license_id: str


async def verify_license(
    _viewer: Viewer, session: ReadSession, app_slug: str, by: str, value: str
) -> Verification | None:
    """Judge one license of an app, by "installation_id", "jti" or "token"; None without an app."""
    if not is_slug(app_slug):
        return None
    if by == "token":
        return await _verify_token(session, app_slug, value)
    now = clock.now()
    # What no database can hold is known by nobody.
    asked = value if is_storable(value) else ""
    has_app, found = await verification.license_by(session, app_slug, by, asked, now)
    return _judged(found, clock.as_text(now)) if has_app else None


async def verify_licenses(
    _viewer: Viewer, session: ReadSession, app_slug: str, by: str, values: Sequence[str]
) -> list[Verification] | None:
    """Judge licenses of an app, by "installation_id" or "jti", in the order asked; None without an app.

    At most `MAX_VALUES`, else BadUserInput.
    """
    require_few(f"{by}s", values)
    if not is_slug(app_slug):
        return None
    now = clock.now()
    storable = [value for value in values if is_storable(value)]
    found = await verification.licenses_by(session, app_slug, by, storable, now)
    return None if found is None else [_judged(found.get(value), clock.as_text(now)) for value in values]


def require_few(name: str, values: Sequence[str]) -> None:
    """Refuse more values than are judged at once. Raises BadUserInput."""
    if len(values) > MAX_VALUES:
        raise BadUserInput(name, f"holds more than {MAX_VALUES} values")


async def prove(session: ReadSession, token: str) -> Proven:
    """Find out whose license a token is a good one of. Raises Unauthenticated.

    Good is what is unexpired and signed by a key that is published, whatever its license is: that is for the
    caller to judge.
    """
    claims = _claims(token)
    slug = None if claims is None else claims.body.get("aud")
    if claims is None or not isinstance(slug, str) or not is_slug(slug):
        raise Unauthenticated(BAD_TOKEN)
    now = clock.now()
    facts = await verification.facts_of_token(session, slug, claims.key_id, claims.license_id)
    if facts is None or _fault_of_key(facts.key, token, now) is not None or facts.license is None:
        raise Unauthenticated(BAD_TOKEN)
    if _has_expired(facts.license, clock.as_text(now)):
        raise Unauthenticated(BAD_TOKEN)
    return Proven(facts.account_id, slug, facts.license.id)


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a token says before it is known who says so. A key or a license that it does not name is ""."""

    body: Mapping[str, Any]
    key_id: str
    license_id: str


def _claims(token: str) -> _Claims | None:
    """What a token says, or None for what is no token."""
    if len(token) > MAX_TOKEN_LENGTH or not is_storable(token):
        return None
    try:
        read = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, binascii.Error, RecursionError):
        return None
    header, body = read["header"], read["payload"]
    return _Claims(body, _text(header.get("kid")), _text(body.get("lic_id")))


def _text(value: object) -> str:
    return value if isinstance(value, str) and is_storable(value) else ""


async def _verify_token(session: ReadSession, app_slug: str, token: str) -> Verification | None:
    claims = _claims(token)
    key_id, license_id = ("", "") if claims is None else (claims.key_id, claims.license_id)
    facts = await verification.facts_of_token(session, app_slug, key_id, license_id)
    if facts is None:
        return None
    if claims is None:
        return Verification(Reason.MALFORMED_TOKEN)
    if claims.body.get("aud") != app_slug:
        return Verification(Reason.WRONG_APP)
    now = clock.now()
    return _fault_of_key(facts.key, token, now) or _judged(facts.license, clock.as_text(now))


def _fault_of_key(key: PublicKey | None, token: str, now: datetime) -> Verification | None:
    """What is wrong with a token's key or its signature."""
    if key is None:
        return Verification(Reason.UNKNOWN_KEY)
    if not key.is_published(now):
        end = key.published_until
        return Verification(Reason.RETIRED_KEY, None if end is None else clock.as_text(end))
    if not verifies(key.public_key_pem, token):
        return Verification(Reason.BAD_SIGNATURE)
    return None


def _has_expired(license: ShownLicense, now: str) -> bool:
    return license.expires_at is not None and license.expires_at <= now


def _judged(license: ShownLicense | None, now: str) -> Verification:
    if license is None:
        return Verification(Reason.NOT_FOUND)
    reason, status, since = Reason.VALID, LicenseStatus.ACTIVE, None
    if license.revoked_at is not None:
        reason, status, since = Reason.REVOKED, LicenseStatus.REVOKED, license.revoked_at
    elif _has_expired(license, now):
        reason, status, since = Reason.EXPIRED, LicenseStatus.EXPIRED, license.expires_at
    return Verification(
        reason,
        since,
        status,
        license.installation_id,
        license.tier,
        license.features,
        license.expires_at,
    )
