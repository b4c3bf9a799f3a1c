"""Licenses: issued, revoked, reinstated, deleted."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from db import clock, ids, licenses, signing_keys, tiers
from db import tokens as stored_tokens
from db.engine import Database, ReadSession, UniqueViolation, WriteSession
from db.licenses import StoredLicense
from resolvers import reading, tokens
from resolvers.apps import require_app
from resolvers.errors import Fault, FaultCode, Faults, Unauthenticated, fault, unknown
from resolvers.inputs import (
    FeatureSlugs,
    FutureMoment,
    Input,
    Metadata,
    RequiredText,
    Text,
    Uuid,
    check,
    empty_is_none,
    is_storable,
)
from resolvers.reading import Json, Shape
from resolvers.tiers import require_features
from resolvers.tokens import Terms
from resolvers.verification import BAD_TOKEN, prove
from resolvers.viewer import Scope, Viewer, holder

REASON_LENGTH = 500
MAX_DURATION_DAYS = 36_500

DurationDays = Annotated[int, Field(ge=1, le=MAX_DURATION_DAYS)]


class CreateLicense(Input):
    """A new license of a customer: exactly one of `expires_at`, `duration_days`, `forever` says how long."""

    customer_id: RequiredText
    tier_id: Annotated[Text | None, BeforeValidator(empty_is_none)] = None
    features: FeatureSlugs = []
    installation_id: Uuid | None = None
    expires_at: FutureMoment | None = None
    duration_days: DurationDays | None = None
    forever: bool | None = None
    metadata: Metadata = {}

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> Iterable[Fault]:
        forever = values.get("forever")
        terms = (
            values.get("expires_at") is not None,
            values.get("duration_days") is not None,
            forever is not None and forever is not False,
        )
        if sum(terms) != 1:
            message = "needs exactly one of: an expiry, a duration in days, or to be forever"
            yield Fault(FaultCode.INVALID, message)

    def end(self, start: datetime) -> datetime | None:
        """When a license that is issued at `start` expires; None: never."""
        if self.duration_days is not None:
            return start + timedelta(days=self.duration_days)
        return self.expires_at


class RevokeLicense(Input):
    """Why a license is revoked, if one cares to say."""

    reason: Annotated[
        Annotated[Text, Field(max_length=REASON_LENGTH)] | None, BeforeValidator(empty_is_none)
    ] = None


@dataclass(frozen=True, slots=True)
class Renewed:
    """A license that its holder has renewed, and the viewer who may read it."""

    id: str
    viewer: Viewer


async def license(viewer: Viewer, session: ReadSession, id: str, shape: Shape) -> Json | None:
    """The license of this id, or None."""
    return await reading.one(viewer, session, "License", "id", id, shape)


async def license_in_app(
    viewer: Viewer, session: ReadSession, app_slug: str, lookup: str, value: str, shape: Shape
) -> tuple[bool, Json | None]:
    """The license of an app by `lookup`: "id", or "installation_id", by which the active one comes first.

    Answers whether there is such an app, and the license or None.
    """
    return await reading.one_in_app(viewer, session, app_slug, "License", lookup, value, shape)


async def create_license(
    viewer: Viewer,
    session: WriteSession,
    values: Mapping[str, object],
    app_slug: str | None = None,
    model: type[CreateLicense] = CreateLicense,
) -> str:
    """Issue a license with its token, and answer its id. Raises Faults.

    A revoked or expired license of the same installation makes room; an active one is TAKEN. `app_slug` is
    the app that the customer must be of, where that is not left to the customer; `model` is the input as the
    door takes it.
    """
    viewer.require(Scope.WRITE)
    given = check(model, values)
    owner = await licenses.find_owner(session, viewer.account_id, given.customer_id)
    if owner is None or app_slug not in {None, owner.app_slug}:
        faults = unknown(given.customer_id, "customer_id").faults
        if app_slug is not None:
            # The app is known without the customer, and so is what else is wrong.
            faults += await _faults_of_grant(session, await require_app(viewer, session, app_slug), given)
        raise Faults(faults)
    tier, features, own_features = await _granted(session, owner.app_id, given.tier_id, given.features)
    new = ids.new_id(ids.LICENSE)
    installation_id = given.installation_id or str(uuid.uuid4())
    await licenses.retire(session, owner.app_id, installation_id, new.created_at)
    expires_at = given.end(new.created_at)
    row = {
        "id": new.id,
        "app_id": owner.app_id,
        "customer_id": given.customer_id,
        "tier_id": given.tier_id,
        "installation_id": installation_id,
        "is_current": True,
        "expires_at": expires_at,
        "features": features,
        "own_features": own_features,
        "metadata": given.metadata,
        "created_at": new.created_at,
        "updated_at": new.created_at,
    }
    if not await licenses.insert(session, row):
        raise _installation_taken()
    terms = Terms(new.id, installation_id, owner.app_slug, tier, features, expires_at)
    await tokens.issue(viewer.policy.keyring, session, owner.app_id, owner.signing_generation, terms)
    return new.id


async def regenerate_license(viewer: Viewer, session: WriteSession, id: str) -> str:
    """Give a license a new token, with its tier's features as they are now, and answer its id. Raises Faults.

    A revoked or expired license is WRONG_STATE.
    """
    viewer.require(Scope.WRITE)
    return await _regenerate(viewer, session, await _require_license(viewer, session, id), "id")


async def renew_license(
    viewer: Viewer,
    database: Database,
    current_token: str,
    shapes: Sequence[Shape] = (),
    addressed: tuple[str, str] | None = None,
) -> Renewed:
    """As `regenerate_license`, for whoever has a good token of the license, whatever the viewer's key.

    `shapes` is what is to be read of it afterwards, which is judged before anything is written. `addressed`
    is the app's slug and the license's id where the caller named them beside the token: one of another
    license is not good. Raises Unauthenticated for a token that is not good, Forbidden, and Faults.
    """
    async with database.read() as reader:
        proven = await prove(reader, current_token)
    if addressed not in {None, (proven.app_slug, proven.license_id)}:
        raise Unauthenticated(BAD_TOKEN)
    allowed = holder(viewer, proven.account_id)
    for shape in shapes:
        reading.require_shape(allowed, "License", shape)
    async with database.write() as session:
        found = await licenses.find_for_update(session, proven.account_id, proven.license_id)
        if found is None:
            raise Unauthenticated(BAD_TOKEN)
        return Renewed(await _regenerate(viewer, session, found, "current_token"), allowed)


async def _regenerate(viewer: Viewer, session: WriteSession, found: StoredLicense, field: str) -> str:
    """Give a license a new token. `field` is what the caller named it by."""
    now = clock.now()
    if found.revoked_at is not None:
        raise fault(FaultCode.WRONG_STATE, "is of a revoked license", field)
    if found.expires_at is not None and found.expires_at <= now:
        raise fault(FaultCode.WRONG_STATE, "is of an expired license", field)
    of_tier = [] if found.tier_id is None else await tiers.feature_slugs(session, found.tier_id)
    features = _joined(of_tier, found.own_features)
    await licenses.update(session, found.id, {"features": features, "updated_at": now})
    await stored_tokens.clear(session, found.id)
    terms = _terms(found, features)
    await tokens.issue(viewer.policy.keyring, session, found.app_id, found.signing_generation, terms)
    return found.id


async def revoke_license(viewer: Viewer, session: WriteSession, id: str, values: Mapping[str, object]) -> str:
    """Revoke a license and answer its id. Revoking again changes nothing. Raises Faults."""
    viewer.require(Scope.WRITE)
    given = check(RevokeLicense, values)
    found = await _require_license(viewer, session, id)
    if found.revoked_at is None:
        now = clock.now()
        await licenses.update(
            session, id, {"revoked_at": now, "revoked_reason": given.reason, "updated_at": now}
        )
    return id


async def reinstate_license(viewer: Viewer, session: WriteSession, id: str) -> str:
    """Take a revocation back and answer the license's id. Raises Faults.

    A license that has not expired meanwhile asks for the place of its installation's active license.
    """
    viewer.require(Scope.WRITE)
    found = await _require_license(viewer, session, id)
    if found.revoked_at is None:
        raise fault(FaultCode.WRONG_STATE, "is not revoked", "id")
    now = clock.now()
    changes: dict[str, object] = {"revoked_at": None, "revoked_reason": None, "updated_at": now}
    if found.expires_at is None or found.expires_at > now:
        await licenses.retire(session, found.app_id, found.installation_id, now)
        changes["is_current"] = True
    try:
        await licenses.update(session, id, changes)
    except UniqueViolation:
        raise _installation_taken() from None
    if "is_current" in changes:
        # Keys may have been rotated while it was revoked.
        terms = _terms(found, found.features)
        await tokens.complete(viewer.policy.keyring, session, found.app_id, found.signing_generation, terms)
    return id


async def delete_license(viewer: Viewer, session: WriteSession, id: str) -> str:
    """Delete a license and answer its id. Raises Faults."""
    viewer.require(Scope.WRITE)
    found = await _require_license(viewer, session, id)
    await signing_keys.note_expiry(session, found.app_id, found.signing_generation, found.expires_at)
    await licenses.delete(session, id)
    return id


async def _granted(
    session: WriteSession, app_id: str, tier_id: str | None, own: Sequence[str]
) -> tuple[str | None, Sequence[str], Sequence[str]]:
    """The slug of a new license's tier, all its features and its own ones. Raises Faults."""
    faults: list[Fault] = []
    tier = of_tier = None
    if tier_id is not None:
        tier = await tiers.find(session, app_id, tier_id)
        if tier is None:
            faults += unknown(tier_id, "tier_id").faults
        else:
            of_tier = await tiers.feature_slugs(session, tier_id)
    try:
        own_features = list(await require_features(session, app_id, own))
    except Faults as unknown_features:
        faults += unknown_features.faults
    if faults:
        raise Faults(faults)
    return tier, _joined(of_tier or (), own_features), own_features


async def _faults_of_grant(session: WriteSession, app_id: str, given: CreateLicense) -> tuple[Fault, ...]:
    try:
        await _granted(session, app_id, given.tier_id, given.features)
    except Faults as found:
        return found.faults
    return ()


def _joined(of_tier: Sequence[str], own: Sequence[str]) -> list[str]:
    """The features of a license: its tier's, then its own, each by slug."""
    return [*of_tier, *(slug for slug in own if slug not in of_tier)]


def _terms(found: StoredLicense, features: Sequence[str]) -> Terms:
    return Terms(found.id, found.installation_id, found.app_slug, found.tier_slug, features, found.expires_at)


async def _require_license(viewer: Viewer, session: WriteSession, id: str) -> StoredLicense:
    found = await licenses.find_for_update(session, viewer.account_id, id) if is_storable(id) else None
    if found is None:
        raise unknown(id, "id")
    return found


def _installation_taken() -> Exception:
    return fault(FaultCode.TAKEN, "already has an active license", "installation_id")
