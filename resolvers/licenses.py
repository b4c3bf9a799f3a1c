"""Licenses: reading, issuing, regenerating, revoking, reinstating and deleting them."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator, Field

from db import clock, events, expiry, ids, licenses, signing_keys, tiers
from db.engine import Database, ReadSession, UniqueViolation, WriteSession
from db.events import Actor, ActorKind, EventType
from db.licenses import LICENSE, LicenseStatus, StoredLicense
from db.shaping.selection import Fields, Selected
from db.tiers import GrantedTier
from resolvers import reading, tokens, trials
from resolvers.apps import require_app
from resolvers.errors import Fault, FaultCode, Faults, Unauthenticated, fault, unknown
from resolvers.inputs import (
    MAX_DURATION_DAYS,
    Days,
    FeatureSlugs,
    FutureMoment,
    Input,
    Metadata,
    Moment,
    RequiredText,
    Text,
    Uuid,
    check,
    empty_is_none,
    is_storable,
)
from resolvers.keyring import Keyring
from resolvers.paging import FilterText
from resolvers.reading import Json
from resolvers.tiers import require_features
from resolvers.tokens import Terms
from resolvers.verdict import has_expired, status_at
from resolvers.verification import BAD_TOKEN, prove
from resolvers.versions import Versions, require_version
from resolvers.viewer import REQUEST_ID, Scope, Viewer, holder

REASON_LENGTH = 500

DurationDays = Annotated[
    Days | None,
    Field(
        description=f"Number of days for which the license is valid, 1 to {MAX_DURATION_DAYS:,}. By default, "
        "the tier's."
    ),
]

ExpiresBefore = Annotated[
    Moment | None,
    Field(description="Expires before this time (exclusive). Excludes licenses that never expire."),
]
ExpiresAfter = Annotated[
    Moment | None,
    Field(description="Expires after this time (exclusive). Excludes licenses that never expire."),
]
OfTier = Annotated[FilterText, Field(description="Slug of the tier, exact match.")]
WithFeature = Annotated[FilterText, Field(description="Slug of a feature in the current token, exact match.")]
VerifiedBefore = Annotated[
    Moment | None,
    Field(description="Last verified before this time (exclusive). Excludes licenses never verified."),
]
VerifiedAfter = Annotated[Moment | None, Field(description="Last verified after this time (exclusive).")]
WasVerified = Annotated[
    bool | None,
    Field(description="true for licenses that were verified, false for those that never were."),
]
StartsWith = Annotated[
    FilterText,
    Field(
        description="The start of an installation id, in any letter case and with or without hyphens, or of "
        "a token's id (`jti`): the current token's, or one of the 100 tokens before it."
    ),
]
OfInstallation = Annotated[Uuid | None, Field(description="UUID of the installation.")]
IsTrial = Annotated[
    bool | None, Field(description="true for trials, which are licenses of trial tiers, false for others.")
]
_TERMS = ("expires_at", "duration_days", "forever")


class LicenseFilters(Input):
    """Selects licenses that meet all given conditions. Empty strings are ignored."""

    status: LicenseStatus | None = Field(None, description="Status at the time of the request.")
    expires_before: ExpiresBefore = None
    expires_after: ExpiresAfter = None
    tier_slug: OfTier = ""
    feature: WithFeature = ""
    installation_id: OfInstallation = None
    verified_before: VerifiedBefore = None
    verified_after: VerifiedAfter = None
    search: StartsWith = ""
    trial: IsTrial = None
    verified: WasVerified = None


def faults_of_term(values: Mapping[str, object], names: Sequence[str], *, required: bool) -> Iterable[Fault]:
    """Return the fault of an input that sets none or several of the fields for a license's term.

    `names` are those fields; the last one is `forever`.
    """
    forever = values.get("forever")
    given = sum(values.get(name) is not None for name in names if name != "forever")
    given += forever is not None and forever is not False
    if given > 1 or (given == 0 and (required or forever is not None)):
        yield Fault(FaultCode.INVALID, "needs exactly one of", names=tuple(names))


class CreateLicense(Input):
    """A new license. Give exactly one of expiresAt, durationDays and forever.

    None of them is needed if the tier has durationDays.
    """

    customer_id: RequiredText = Field(description="Id of the customer who gets the license.")
    tier_id: Annotated[Text | None, BeforeValidator(empty_is_none)] = Field(
        None, description="Id of a tier of the customer's app. By default, the license has no tier."
    )
    features: FeatureSlugs = Field(
        [], description="Slugs of features that the license has in addition to those of its tier."
    )
    installation_id: Uuid | None = Field(
        None, description="UUID of the customer's installation. By default, a new UUID is created."
    )
    expires_at: FutureMoment | None = Field(
        None, description="When the license expires. Must be in the future."
    )
    duration_days: DurationDays = None
    forever: bool | None = Field(None, description="true for a license that never expires.")
    metadata: Metadata = {}

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> Iterable[Fault]:
        return faults_of_term(values, _TERMS, required=not values.get("tier_id"))

    @property
    def has_term(self) -> bool:
        """Return whether the term is given. If not, it is that of the tier."""
        return self.expires_at is not None or self.duration_days is not None or bool(self.forever)

    def end(self, start: datetime, tier: GrantedTier | None) -> datetime | None:
        """Return when a license issued at `start` expires, or None if it never expires."""
        days = self.duration_days
        if not self.has_term and tier is not None:
            days = tier.duration_days
        return self.expires_at if days is None else start + timedelta(days=days)


class RevokeLicense(Input):
    """The reason for revoking a license."""

    reason: Annotated[
        Annotated[Text, Field(max_length=REASON_LENGTH)] | None, BeforeValidator(empty_is_none)
    ] = Field(None, description=f"Reason, at most {REASON_LENGTH} characters. An empty reason becomes null.")


@dataclass(frozen=True, slots=True)
class Regenerated:
    """The id of a license that has a new token, and a viewer who may read the license."""

    id: str
    viewer: Viewer


async def license(viewer: Viewer, session: ReadSession, id: str, selected: Selected[Fields]) -> Json | None:
    """Return the license with this id, or None."""
    return await reading.one(viewer, session, "License", "id", id, selected)


async def license_in_app(
    viewer: Viewer, session: ReadSession, app_slug: str, lookup: str, value: str, selected: Selected[Fields]
) -> tuple[bool, Json | None]:
    """Find a license of an app. Return whether the account has the app, and the license or None.

    `lookup` is "id" or "installation_id". An installation id finds the active license of the installation or,
    if there is none, its newest license.
    """
    return await reading.one_in_app(viewer, session, app_slug, "License", lookup, value, selected)


async def create_license(
    viewer: Viewer,
    session: WriteSession,
    keyring: Keyring,
    values: Mapping[str, object],
    app_slug: str | None = None,
) -> str:
    """Issue a license with its token and return its id. Raises Faults.

    The new license becomes the installation's current license, in place of a revoked or expired one. If the
    installation has an active license, the fault is TAKEN. If the tier is a trial tier, and the customer or
    the installation has had a trial, it is TRIAL_USED. If `app_slug` is given, the customer must belong to
    that app.
    """
    viewer.require(Scope.WRITE_LICENSES)
    given = check(CreateLicense, values)
    owner = await licenses.find_owner_for_update(session, viewer.tenant, given.customer_id)
    if owner is None or app_slug not in {None, owner.app_slug}:
        faults = unknown(given.customer_id, "customer_id").faults
        if app_slug is not None:
            # The customer is unknown, but the app is given, so the other faults can be reported too.
            faults += await _faults_of_grant(session, await require_app(viewer, session, app_slug), given)
        raise Faults(faults)
    tier, features, own_features = await _granted(session, owner.app_id, given)
    new = ids.new_id(ids.LICENSE)
    installation_id = given.installation_id or str(uuid.uuid4())
    is_trial = tier is not None and tier.trial
    if is_trial:
        used = await trials.begin(session, owner.app_id, new.id, given.customer_id, installation_id)
        if used:
            raise Faults(used)
    await licenses.retire(session, owner.app_id, installation_id, new.created_at)
    expires_at = given.end(new.created_at, tier)
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
        raise await installation_taken(session, owner.app_id, installation_id)
    tier_slug = None if tier is None else tier.slug
    terms = Terms(new.id, installation_id, owner.app_slug, tier_slug, features, expires_at, is_trial)
    await tokens.issue(session, keyring, owner.app_id, owner.signing_generation, terms)
    await events.record(session, viewer.actor, LICENSE, new.id, EventType.LICENSE_CREATED)
    await expiry.catch_up(session, new.id, expires_at)
    return new.id


def regeneration_scope(viewer: Viewer) -> Scope:
    """Return the scope that a viewer needs to give a license a new token.

    This is READ_TOKENS for a customer, and WRITE_LICENSES for anyone else.
    """
    return Scope.READ_TOKENS if viewer.is_customer else Scope.WRITE_LICENSES


async def regenerate_license(
    viewer: Viewer, session: WriteSession, keyring: Keyring, id: str, if_version: Versions = None
) -> str:
    """Give a license a new token and return the license's id. Raises Faults.

    The token has the license's own features and the current features of its tier. If the license is revoked
    or has expired, the fault is WRONG_STATE.
    """
    viewer.require(regeneration_scope(viewer))
    found = await require_license(viewer, session, id)
    require_version(found, if_version)
    return await _regenerate(viewer.actor, session, keyring, found, "id")


async def exchange_token(
    viewer: Viewer,
    database: Database,
    keyring: Keyring,
    current_token: str,
    selected: Sequence[Selected[Fields]] = (),
    addressed: tuple[str, str] | None = None,
    if_version: Versions = None,
) -> Regenerated:
    """Exchange a license's valid token for a new one, as `regenerate_license` does. No API key is needed.

    The token itself may have expired, but not its license: see `prove`. So if a license is renewed after it
    has expired, its installation gets the new token without anyone's help.

    `selected` has the fields that the caller will read. If the caller may not read them, nothing is written.
    `addressed` is an app's slug and a license's id. If it is given, the token must belong to that license.
    """
    async with database.read() as reader:
        proven = await prove(viewer, reader, current_token)
    if addressed not in {None, (proven.app_slug, proven.license_id)}:
        raise Unauthenticated(BAD_TOKEN)
    allowed = holder(viewer, proven.account_id, proven.app_id)
    for each in selected:
        reading.require_selected(allowed, "License", each)
    async with database.write() as session:
        found = await licenses.find_for_update(session, allowed.tenant, proven.license_id)
        # The license may have moved to another installation in the meantime.
        if found is None or found.installation_id != proven.installation_id:
            raise Unauthenticated(BAD_TOKEN)
        require_version(found, if_version)
        holder_of_token = Actor(ActorKind.TOKEN, proven.jti, REQUEST_ID.get())
        id = await _regenerate(holder_of_token, session, keyring, found, "current_token")
        return Regenerated(id, allowed)


async def _regenerate(
    actor: Actor, session: WriteSession, keyring: Keyring, found: StoredLicense, field: str
) -> str:
    """Give a license a new token.

    `field` is the input field that identified the license. Faults name this field.
    """
    now = clock.now()
    match status_at(now, revoked_at=found.revoked_at, expires_at=found.expires_at):
        case LicenseStatus.REVOKED:
            raise fault(FaultCode.WRONG_STATE, "is of a revoked license", field)
        case LicenseStatus.EXPIRED:
            raise fault(FaultCode.WRONG_STATE, "is of an expired license", field)
    of_tier = [] if found.tier_id is None else await tiers.feature_slugs(session, found.tier_id)
    features = joined_features(of_tier, found.own_features)
    await events.apply(session, LICENSE, found.id, {"features": features, "updated_at": now})
    await tokens.replace(session, keyring, found, terms_of(found, features))
    await record_change(actor, session, found, EventType.LICENSE_REGENERATED)
    return found.id


async def revoke_license(
    viewer: Viewer,
    session: WriteSession,
    id: str,
    values: Mapping[str, object],
    if_version: Versions = None,
) -> str:
    """Revoke a license and return its id. Revoking again changes nothing. Raises Faults."""
    viewer.require(Scope.WRITE_LICENSES)
    given = check(RevokeLicense, values)
    found = await require_license(viewer, session, id)
    require_version(found, if_version)
    if found.revoked_at is None:
        now = clock.now()
        await settle_expiry(session, found, now)
        changes = {"revoked_at": now, "revoked_reason": given.reason, "updated_at": now}
        await events.change(
            session, viewer.actor, LICENSE, id, found.image, changes, EventType.LICENSE_REVOKED
        )
    return id


async def reinstate_license(
    viewer: Viewer, session: WriteSession, keyring: Keyring, id: str, if_version: Versions = None
) -> str:
    """Undo the revocation of a license and return its id. Raises Faults.

    A license that has not expired becomes active again. If its installation already has another active
    license, the fault is TAKEN, and nothing changes.
    """
    viewer.require(Scope.WRITE_LICENSES)
    found = await require_license(viewer, session, id)
    require_version(found, if_version)
    if found.revoked_at is None:
        raise fault(FaultCode.WRONG_STATE, "is not revoked", "id")
    now = clock.now()
    changes: dict[str, object] = {"revoked_at": None, "revoked_reason": None, "updated_at": now}
    if not has_expired(now, found.expires_at):
        await licenses.retire(session, found.app_id, found.installation_id, now)
        changes["is_current"] = True
    try:
        await events.apply(session, LICENSE, id, changes, unique=True)
    except UniqueViolation:
        raise await installation_taken(session, found.app_id, found.installation_id) from None
    if "is_current" in changes:
        # The app's keys may have been rotated while the license was revoked. Then the license lacks a token
        # of the current key.
        terms = terms_of(found, found.features)
        await tokens.complete(session, keyring, found.app_id, found.signing_generation, terms)
    await record_change(viewer.actor, session, found, EventType.LICENSE_REINSTATED)
    if "is_current" in changes:
        await expiry.catch_up(session, id, found.expires_at)
    return id


async def delete_license(viewer: Viewer, session: WriteSession, id: str, if_version: Versions = None) -> str:
    """Delete a license and return its id. Raises Faults."""
    viewer.require(Scope.WRITE_LICENSES)
    found = await require_license(viewer, session, id)
    require_version(found, if_version)
    await signing_keys.note_expiry(session, found.app_id, found.signing_generation, found.expires_at)
    await settle_expiry(session, found, clock.now())
    await events.record(session, viewer.actor, LICENSE, id, EventType.LICENSE_DELETED)
    await licenses.delete(session, id)
    return id


async def record_change(actor: Actor, session: WriteSession, before: StoredLicense, type: EventType) -> None:
    """Write the event of a change to a license and its tokens."""
    changes = events.differences(before.image, await events.image_of(session, LICENSE, before.id))
    await events.record(session, actor, LICENSE, before.id, type, changes=changes)


async def settle_expiry(session: WriteSession, found: StoredLicense, now: datetime) -> None:
    """Write the event of a license's expiry if it is still missing. The next change hides the expiry."""
    if found.revoked_at is None and found.expires_at is not None and has_expired(now, found.expires_at):
        await expiry.settle(session, found.id, found.expires_at)


async def _granted(
    session: WriteSession, app_id: str, given: CreateLicense
) -> tuple[GrantedTier | None, Sequence[str], Sequence[str]]:
    """Return a new license's tier, all features of the license, and its own features. Raises Faults."""
    faults: list[Fault] = []
    tier = of_tier = None
    if given.tier_id is not None:
        tier = await tiers.find_for_key_share(session, app_id, given.tier_id)
        if tier is None:
            faults += unknown(given.tier_id, "tier_id").faults
        else:
            of_tier = await tiers.feature_slugs(session, given.tier_id)
            if tier.duration_days is None and not given.has_term:
                faults += faults_of_term({}, _TERMS, required=True)
    try:
        own_features = list(await require_features(session, app_id, given.features))
    except Faults as unknown_features:
        faults += unknown_features.faults
    if faults:
        raise Faults(faults)
    return tier, joined_features(of_tier or (), own_features), own_features


async def _faults_of_grant(session: WriteSession, app_id: str, given: CreateLicense) -> tuple[Fault, ...]:
    try:
        await _granted(session, app_id, given)
    except Faults as found:
        return found.faults
    return ()


def joined_features(of_tier: Sequence[str], own: Sequence[str]) -> list[str]:
    """Return all features of a license: first those of its tier, then its own that the tier does not have.

    Both arguments are sorted by slug.
    """
    return [*of_tier, *(slug for slug in own if slug not in of_tier)]


def terms_of(found: StoredLicense, features: Sequence[str]) -> Terms:
    """Return what a token of a license states."""
    return Terms(
        found.id,
        found.installation_id,
        found.app_slug,
        found.tier_slug,
        features,
        found.expires_at,
        found.trial,
    )


async def require_license(viewer: Viewer, session: WriteSession, id: str) -> StoredLicense:
    """Lock a license and return it. Raises Faults if there is none with this id."""
    found = await licenses.find_for_update(session, viewer.tenant, id) if is_storable(id) else None
    if found is None:
        raise unknown(id, "id")
    return found


async def installation_taken(session: WriteSession, app_id: str, installation_id: str) -> Faults:
    """Return the error for an installation that already has an active license."""
    other = await licenses.find_current(session, app_id, installation_id)
    return fault(FaultCode.TAKEN, "already has an active license", "installation_id", existing_id=other)
