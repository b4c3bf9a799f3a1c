"""Verification: whether a license is valid, and if not, why. No key is needed.

A result never identifies the customer.
"""

import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import jwt

from db import clock, verification
from db.engine import ReadSession
from db.licenses import LicenseStatus
from db.signing_keys import PublicKey
from db.tenancy import Tenant
from db.verification import ShownLicense
from resolvers.errors import BadUserInput, Unauthenticated
from resolvers.inputs import is_slug, is_storable
from resolvers.keyring import verifies
from resolvers.reading import Json
from resolvers.tokens import without_spaces
from resolvers.verdict import has_expired, status_at
from resolvers.viewer import Viewer

MAX_VALUES = 100
# The longest possible token is shorter: an app has at most 200 features, each with a slug of at most 63
# characters.
MAX_TOKEN_LENGTH = 32_768
BAD_TOKEN = "The token is not valid for this license."  # noqa: S105  (a message)


class Reason(StrEnum):
    """Why a license is valid or not.

    A fault of the token comes first. Then comes MOVED, because renewing or reinstating the license would not
    make the token valid. The state of the license comes last.
    """

    MALFORMED_TOKEN = "MALFORMED_TOKEN"  # noqa: S105
    WRONG_APP = "WRONG_APP"
    UNKNOWN_KEY = "UNKNOWN_KEY"
    RETIRED_KEY = "RETIRED_KEY"
    BAD_SIGNATURE = "BAD_SIGNATURE"
    NOT_FOUND = "NOT_FOUND"
    MOVED = "MOVED"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"
    VALID = "VALID"


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a license is valid, the reason, and since when this reason applies, if known.

    The other fields describe the license. Times are text in the format of all responses. `features` is a JSON
    array. If the license has moved away from the installation that a token is for, `installation_id` is this
    installation, and nothing else about the license is known.
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
        """Whether the license is valid."""
        return self.reason is Reason.VALID


@dataclass(frozen=True, slots=True)
class Proven:
    """The license that a valid token belongs to, its app and its account."""

    account_id: str
    app_id: str
    app_slug: str
    license_id: str
    installation_id: str
    jti: str


async def verify_license(
    viewer: Viewer, session: ReadSession, app_slug: str, by: str, value: str
) -> Verification | None:
    """Find a license of an app by "installation_id", "jti" or "token", and verify it.

    Returns None if the app does not exist, or is not among the apps that the viewer's key is limited to.
    """
    if not is_slug(app_slug):
        return None
    if by == "token":
        return await _verify_token(viewer, session, app_slug, value)
    now = clock.now()
    # A value that the databases cannot store matches no license.
    asked = value if is_storable(value) else ""
    has_app, found = await verification.license_by(session, app_slug, by, asked, now, _limits_of(viewer))
    return _judged(session, found, clock.as_text(now)) if has_app else None


async def verify_licenses(
    viewer: Viewer, session: ReadSession, app_slug: str, by: str, values: Sequence[str]
) -> list[Verification] | None:
    """Find licenses of an app by "installation_id" or "jti", and verify them in the given order.

    Returns None in the same cases as `verify_license`. Raises BadUserInput for more than `MAX_VALUES` values.
    """
    require_few(f"{by}s", values)
    if not is_slug(app_slug):
        return None
    now = clock.now()
    storable = [value for value in values if is_storable(value)]
    found = await verification.licenses_by(session, app_slug, by, storable, now, _limits_of(viewer))
    if found is None:
        return None
    return [_judged(session, found.get(value), clock.as_text(now)) for value in values]


def _limits_of(viewer: Viewer) -> Tenant | None:
    """Return the tenant to whose apps a verification is limited, or None if it may be of any app.

    A customer verifies like anyone without a key.
    """
    return None if viewer.is_customer or viewer.tenant.app_ids is None else viewer.tenant


def require_few(name: str, values: Sequence[str]) -> None:
    """Raise BadUserInput if there are more values than one request may verify."""
    if len(values) > MAX_VALUES:
        raise BadUserInput(name, f"holds more than {MAX_VALUES} values")


async def prove(viewer: Viewer, session: ReadSession, text: str) -> Proven:
    """Return the license that a valid token belongs to. Raises Unauthenticated.

    A token is valid if its signature is correct, its key is published, it has not expired or only expired
    within `Policy.renewal_grace`, and its license exists, is for the same installation and has not expired.
    The caller checks whether the license is revoked.
    """
    claims = claims_of(text)
    slug = None if claims is None else claims.body.get("aud")
    if claims is None or not isinstance(slug, str) or not is_slug(slug):
        raise Unauthenticated(BAD_TOKEN)
    now, grace = clock.now(), viewer.policy.renewal_grace
    facts = await verification.facts_of_token(session, slug, claims.key_id, claims.license_id)
    if facts is None or _fault_of_key(facts.key, claims.token, now, grace) is not None:
        raise Unauthenticated(BAD_TOKEN)
    # From here on, the claims are known to be ours.
    license = facts.license
    if license is None or license.installation_id != claims.installation_id:
        raise Unauthenticated(BAD_TOKEN)
    if has_expired(clock.as_text(now), license.expires_at) or has_expired(now - grace, claims.expires_at):
        raise Unauthenticated(BAD_TOKEN)
    jti = str(claims.body.get("jti"))
    return Proven(facts.account_id, facts.app_id, slug, license.id, license.installation_id, jti)


@dataclass(frozen=True, slots=True)
class Claims:
    """The content of a token before its signature is checked.

    If the token names no key, license or installation, `key_id`, `license_id` or `installation_id` is "".
    """

    token: str
    body: Mapping[str, Any]
    key_id: str
    license_id: str
    installation_id: str

    @property
    def expires_at(self) -> datetime | None:
        """When the token expires, or None if it never expires. Only for a token that we have signed."""
        seconds = self.body.get("exp")
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def claims_of(text: str) -> Claims | None:
    """Return the content of a token, or None if the text is not a token."""
    token = without_spaces(text)
    if len(token) > MAX_TOKEN_LENGTH or not is_storable(token):
        return None
    try:
        read = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError, binascii.Error, RecursionError):
        return None
    header, body = read["header"], read["payload"]
    return Claims(token, body, _text(header.get("kid")), _text(body.get("lic_id")), _text(body.get("sub")))


def _text(value: object) -> str:
    return value if isinstance(value, str) and is_storable(value) else ""


async def _verify_token(
    viewer: Viewer, session: ReadSession, app_slug: str, text: str
) -> Verification | None:
    claims = claims_of(text)
    key_id, license_id = ("", "") if claims is None else (claims.key_id, claims.license_id)
    facts = await verification.facts_of_token(session, app_slug, key_id, license_id, _limits_of(viewer))
    if facts is None:
        return None
    if claims is None:
        return Verification(Reason.MALFORMED_TOKEN)
    if claims.body.get("aud") != app_slug:
        return Verification(Reason.WRONG_APP)
    now = clock.now()
    fault = _fault_of_key(facts.key, claims.token, now, viewer.policy.renewal_grace)
    return fault or _judged(session, facts.license, clock.as_text(now), claims.installation_id)


def _fault_of_key(
    key: PublicKey | None, token: str, now: datetime, renewal_grace: timedelta
) -> Verification | None:
    """Return what is wrong with a token's key or signature, or None if nothing is."""
    if key is None:
        return Verification(Reason.UNKNOWN_KEY)
    if not key.is_published(now, renewal_grace):
        end = key.published_until(renewal_grace)
        return Verification(Reason.RETIRED_KEY, None if end is None else clock.as_text(end))
    if not verifies(key.public_key_pem, token):
        return Verification(Reason.BAD_SIGNATURE)
    return None


def _judged(
    session: ReadSession, license: ShownLicense | None, now: str, installation_id: str | None = None
) -> Verification:
    """Return whether a license that was found is valid. A valid license is in use, which is noted.

    If the license was found by a token, `installation_id` is the installation that the token names.
    """
    if license is None:
        return Verification(Reason.NOT_FOUND)
    if installation_id is None:
        installation_id = license.token_installation_id
    if installation_id not in {None, license.installation_id}:
        return Verification(Reason.MOVED, license.moved_at, installation_id=installation_id)
    status = status_at(now, revoked_at=license.revoked_at, expires_at=license.expires_at)
    reason, since = {
        LicenseStatus.ACTIVE: (Reason.VALID, None),
        LicenseStatus.REVOKED: (Reason.REVOKED, license.revoked_at),
        LicenseStatus.EXPIRED: (Reason.EXPIRED, license.expires_at),
    }[status]
    if reason is Reason.VALID:
        session.database.verified(license.id, now)
    return Verification(
        reason,
        since,
        status,
        license.installation_id,
        license.tier,
        license.features,
        license.expires_at,
    )
