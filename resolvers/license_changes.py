"""Changes to issued licenses: what they state, their terms, and their customers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from db import clock, events, expiry, licenses, signing_keys, tiers
from db import tokens as stored_tokens
from db.engine import UniqueViolation, WriteSession
from db.events import Actor, EventType
from db.license_changes import lock_customers
from db.licenses import LICENSE, LicenseStatus, StoredLicense
from resolvers import tokens, trials
from resolvers.errors import Fault, FaultCode, Faults, unknown
from resolvers.inputs import (
    MAX_DURATION_DAYS,
    UNCHANGED,
    Changes,
    Days,
    FeatureSlugs,
    Input,
    Metadata,
    Moment,
    RequiredText,
    Text,
    Uuid,
    check,
    check_each,
    empty_is_none,
    invalid,
    is_storable,
)
from resolvers.keyring import Keyring
from resolvers.licenses import (
    faults_of_term,
    installation_taken,
    joined_features,
    record_change,
    require_license,
    settle_expiry,
    terms_of,
)
from resolvers.tiers import require_features
from resolvers.verdict import has_expired, status_at
from resolvers.versions import Versions, require_version
from resolvers.viewer import Scope, Viewer

_LONGEST = timedelta(days=MAX_DURATION_DAYS)
_EXPIRY = ("expires_at", "duration_days", "forever")
_TERM = ("duration_days", "until", "forever")

DaysFromNow = Annotated[
    Days | None,
    Field(description=f"Number of days from now until the license expires, 1 to {MAX_DURATION_DAYS:,}."),
]
TermDays = Annotated[
    Days | None,
    Field(description=f"Length of the new term in days, 1 to {MAX_DURATION_DAYS:,}. By default, the tier's."),
]


class UpdateLicense(Changes):
    """Changes to a license. Fields left out keep their values.

    Give at most one of expiresAt, durationDays and forever.
    """

    tier_id: Annotated[Text | None, BeforeValidator(empty_is_none)] = Field(
        UNCHANGED,
        description="Id of the license's new tier, or null for no tier. The license gets the "
        "tier's features.",
    )
    features: FeatureSlugs = Field(
        UNCHANGED,
        description="Slugs of all features that the license has in addition to those of its tier. They "
        "replace the license's own features.",
    )
    installation_id: Uuid = Field(
        UNCHANGED,
        description="UUID of the installation that the license moves to. It must not have an active license "
        "of the app.",
    )
    expires_at: Moment | None = Field(
        UNCHANGED,
        description=f"When the license expires: in the future, at most {MAX_DURATION_DAYS:,} days from now.",
    )
    duration_days: DaysFromNow = UNCHANGED
    forever: bool | None = Field(UNCHANGED, description="true for a license that never expires.")
    metadata: Metadata = UNCHANGED

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> Iterable[Fault]:
        return faults_of_term(values, _EXPIRY, required=False)


class RenewFrom(StrEnum):
    """When the new term of a renewed license begins."""

    EXPIRY = "expiry"
    NOW = "now"
    EXPIRY_OR_NOW = "expiry_or_now"


def _start(word: object) -> object:
    words = [each.value for each in RenewFrom]
    if word not in words:
        raise invalid(f"must be one of: {', '.join(words)}")
    return RenewFrom(str(word))


class RenewLicense(Input):
    """A new term for a license. Give at most one of durationDays, until and forever.

    None of them is needed if the license's tier has durationDays.
    """

    model_config = ConfigDict(populate_by_name=True)

    duration_days: TermDays = None
    until: Moment | None = Field(
        None,
        description=f"When the new term ends: in the future, at most {MAX_DURATION_DAYS:,} days from now.",
    )
    forever: bool | None = Field(None, description="true for a license that never expires.")
    # "from" is a keyword of Python.
    from_: Annotated[
        RenewFrom, BeforeValidator(_start, json_schema_input_type=Literal["expiry", "now", "expiry_or_now"])
    ] = Field(
        RenewFrom.EXPIRY_OR_NOW,
        alias="from",
        description="When a term of some days begins: at the license's expiry, now, or at the later of both.",
    )

    @classmethod
    def faults_of_the_whole(cls, values: Mapping[str, object]) -> Iterable[Fault]:
        return faults_of_term(values, _TERM, required=False)


class TransferLicense(Input):
    """The customer who gets a license."""

    customer_id: RequiredText = Field(description="Id of the customer of the same app who gets the license.")


@dataclass(frozen=True, slots=True)
class Renewed:
    """The id of a renewed license, and when it expired or would have expired before."""

    id: str
    previous_expires_at: datetime | None


async def update_license(
    viewer: Viewer,
    session: WriteSession,
    keyring: Keyring,
    id: str,
    values: Mapping[str, object],
    if_version: Versions = None,
) -> str:
    """Change a license and return its id. Raises Faults with everything that is wrong.

    The license gets a new token, unless only its metadata change. A revoked license can only get other
    metadata, and an expired one also a new expiry. A new expiry makes it active again, so that everything
    else can change with it.
    """
    viewer.require(Scope.WRITE_LICENSES)
    given, faults = check_each(UpdateLicense, values)
    found = await _require(viewer, session, id, if_version, faults)
    now = clock.now()
    new = await _with_grants(session, found, given, faults)
    if given.installation_id is not UNCHANGED:
        new = replace(new, installation_id=given.installation_id)
    term = next((name for name in _EXPIRY if values.get(name) is not None), "")
    if not any(each.field[:1] in {(), (term,)} for each in faults):
        new = _with_expiry(new, given, term, now, faults)
    state = _faults_of_state(found, new, term, now, faults)
    faults += state
    if not state:
        faults += await _faults_of_trial(session, found, new)
        faults += await _faults_of_seat(session, found, new, now, faults)
    if faults:
        raise Faults(faults)
    metadata = {} if given.metadata is UNCHANGED else {"metadata": given.metadata}
    if new != found:
        await _sign(viewer.actor, session, keyring, found, new, now, EventType.LICENSE_UPDATED, metadata)
    elif metadata:
        changes = {**metadata, "updated_at": now}
        await events.change(
            session, viewer.actor, LICENSE, id, found.image, changes, EventType.LICENSE_UPDATED
        )
    return id


async def renew_license(
    viewer: Viewer,
    session: WriteSession,
    keyring: Keyring,
    id: str,
    values: Mapping[str, object],
    if_version: Versions = None,
) -> Renewed:
    """Give a license a new term and a new token. An expired license becomes active again. Raises Faults.

    If the license is revoked or never expires, the fault is WRONG_STATE.
    """
    viewer.require(Scope.WRITE_LICENSES)
    given, faults = check_each(RenewLicense, values)
    found = await _require(viewer, session, id, if_version, faults)
    now, new = clock.now(), found
    if found.revoked_at is not None:
        faults.append(Fault(FaultCode.WRONG_STATE, "is of a revoked license", ("id",)))
    elif found.expires_at is None:
        faults.append(Fault(FaultCode.WRONG_STATE, "is of a license that never expires", ("id",)))
    elif not faults:
        new = _renewed(found, found.expires_at, given, now, faults)
        faults += await _faults_of_seat(session, found, new, now, faults)
    if faults:
        raise Faults(faults)
    if new != found:
        await _sign(viewer.actor, session, keyring, found, new, now, EventType.LICENSE_RENEWED)
    return Renewed(id, found.expires_at)


async def transfer_license(
    viewer: Viewer,
    session: WriteSession,
    id: str,
    values: Mapping[str, object],
    if_version: Versions = None,
) -> str:
    """Give a license to another customer of its app, and return its id. Raises Faults.

    The token stays as it is, because it does not name the customer.
    """
    viewer.require(Scope.WRITE_LICENSES)
    given = check(TransferLicense, values)
    exists = is_storable(id) and await lock_customers(session, viewer.tenant, id, given.customer_id)
    found = await require_license(viewer, session, id)
    require_version(found, if_version)
    if not exists:
        raise unknown(given.customer_id, "customer_id")
    if given.customer_id == found.customer_id:
        return id
    if found.trial:
        used = await trials.follow(session, found, customer_id=given.customer_id)
        if used:
            raise Faults(used)
    changes = {"customer_id": given.customer_id, "updated_at": clock.now()}
    after = await events.apply(session, LICENSE, id, changes)
    await events.record(
        session,
        viewer.actor,
        LICENSE,
        id,
        EventType.LICENSE_TRANSFERRED,
        changes=events.differences(found.image, after),
        other_customer_id=found.customer_id,
    )
    return id


async def _require(
    viewer: Viewer, session: WriteSession, id: str, if_version: Versions, faults: Sequence[Fault]
) -> StoredLicense:
    """Lock a license and return it. Raises Faults, with those that were found before if there is none."""
    try:
        found = await require_license(viewer, session, id)
    except Faults as missing:
        raise Faults([*missing.faults, *faults]) from None
    require_version(found, if_version)
    return found


async def _with_grants(
    session: WriteSession, found: StoredLicense, given: UpdateLicense, faults: list[Fault]
) -> StoredLicense:
    """Return a license with its new tier and features. If neither changes, no features are read."""
    new = found
    if given.tier_id is None:
        new = replace(new, tier_id=None, tier_slug=None, trial=False)
    elif given.tier_id not in {UNCHANGED, found.tier_id}:
        tier = await tiers.find_for_key_share(session, found.app_id, given.tier_id)
        if tier is None:
            faults += unknown(given.tier_id, "tier_id").faults
        else:
            new = replace(new, tier_id=given.tier_id, tier_slug=tier.slug, trial=tier.trial)
    if given.features is not UNCHANGED and sorted(set(given.features)) != [*found.own_features]:
        try:
            own = await require_features(session, found.app_id, given.features)
        except Faults as wrong:
            faults += wrong.faults
        else:
            new = replace(new, own_features=[*own])
    if new != found:
        of_tier = [] if new.tier_id is None else await tiers.feature_slugs(session, new.tier_id)
        new = replace(new, features=joined_features(of_tier, new.own_features))
    return new


def _with_expiry(
    license: StoredLicense, given: UpdateLicense, term: str, now: datetime, faults: list[Fault]
) -> StoredLicense:
    """Return a license with its new expiry. `term` is the field that sets it, or "" if none does."""
    match term:
        case "duration_days":
            return replace(license, expires_at=now + timedelta(days=given.duration_days or 0))
        case "expires_at":
            assert given.expires_at is not None
            end = _whole_seconds(given.expires_at)
            if end != license.expires_at:
                faults += _faults_of_end(end, now, term)
            return replace(license, expires_at=end)
        case "forever":
            return replace(license, expires_at=None)
        case _:
            return license


def _renewed(
    found: StoredLicense, expires_at: datetime, given: RenewLicense, now: datetime, faults: list[Fault]
) -> StoredLicense:
    """Return a license that expires at `expires_at` with its new term."""
    if given.forever:
        return replace(found, expires_at=None)
    if given.until is not None:
        end = _whole_seconds(given.until)
        if end != expires_at:
            faults += _faults_of_end(end, now, "until")
        return replace(found, expires_at=end)
    days = given.duration_days or found.duration_days
    if days is None:
        faults += faults_of_term({}, _TERM, required=True)
        return found
    match given.from_:
        case RenewFrom.EXPIRY:
            start = expires_at
        case RenewFrom.NOW:
            start = now
        case RenewFrom.EXPIRY_OR_NOW:
            start = max(now, expires_at)
    # A license may expire so late that no later time can be written.
    end = now + _LONGEST + timedelta(days=1) if start > now + _LONGEST else start + timedelta(days=days)
    faults += _faults_of_end(end, now, *(() if given.duration_days is None else ("duration_days",)))
    return replace(found, expires_at=end)


def _whole_seconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _faults_of_end(end: datetime, now: datetime, *field: str) -> list[Fault]:
    if end <= now:
        return [Fault(FaultCode.INVALID, "must end in the future", field)]
    if end > now + _LONGEST:
        return [Fault(FaultCode.INVALID, f"must end at most {MAX_DURATION_DAYS:,} days from now", field)]
    return []


def _faults_of_state(
    found: StoredLicense, new: StoredLicense, term: str, now: datetime, earlier: Sequence[Fault]
) -> list[Fault]:
    """Return a fault for each change that the license's state does not allow.

    If the new expiry is wrong, nobody knows whether the license would be active.
    """
    changed = {
        "tier_id": new.tier_id != found.tier_id,
        "features": new.own_features != found.own_features,
        "installation_id": new.installation_id != found.installation_id,
        term: new.expires_at != found.expires_at,
    }
    wrong = {name for each in earlier for name in each.field[:1] or ("",)}
    match status_at(now, revoked_at=found.revoked_at, expires_at=new.expires_at):
        case LicenseStatus.ACTIVE:
            return []
        case LicenseStatus.EXPIRED if not wrong.isdisjoint((*_EXPIRY, "")):
            return []
        case status:
            message = f"cannot be changed, because the license is {status.lower()}"
    names = [name for name, is_changed in changed.items() if is_changed and name not in wrong]
    return [Fault(FaultCode.WRONG_STATE, message, (name,)) for name in names]


async def _faults_of_trial(session: WriteSession, found: StoredLicense, new: StoredLicense) -> list[Fault]:
    if not new.trial:
        return []
    if not found.trial:
        return await trials.begin(session, found.app_id, found.id, found.customer_id, new.installation_id)
    if new.installation_id != found.installation_id:
        return await trials.follow(session, found, installation_id=new.installation_id)
    return []


def _takes_seat(found: StoredLicense, new: StoredLicense, now: datetime) -> bool:
    """Return whether a license that is active after the change was not its installation's active license."""
    return has_expired(now, found.expires_at) or new.installation_id != found.installation_id


async def _faults_of_seat(
    session: WriteSession, found: StoredLicense, new: StoredLicense, now: datetime, earlier: Sequence[Fault]
) -> list[Fault]:
    """Free the installation's seat, if its license is not active.

    The fault of a seat that is taken is only returned together with earlier ones. If there are none, the
    unique index decides.
    """
    if not _takes_seat(found, new, now):
        return []
    await licenses.retire(session, found.app_id, new.installation_id, now)
    other = await licenses.find_current(session, found.app_id, new.installation_id) if earlier else None
    if other in {None, found.id}:
        return []
    return [*(await installation_taken(session, found.app_id, new.installation_id)).faults]


async def _sign(
    actor: Actor,
    session: WriteSession,
    keyring: Keyring,
    found: StoredLicense,
    new: StoredLicense,
    now: datetime,
    type: EventType,
    more: Mapping[str, object] = MappingProxyType({}),
) -> None:
    """Store what a license states from now on, sign its new token, and write the event.

    The license is active afterwards. `more` are other columns to store.
    """
    names = ("tier_id", "features", "own_features", "installation_id", "expires_at")
    columns = {name: getattr(new, name) for name in names if getattr(new, name) != getattr(found, name)}
    if new.installation_id != found.installation_id:
        columns["moved_at"] = now
        await stored_tokens.leave_installation(session, found.id, found.installation_id)
    takes_seat = _takes_seat(found, new, now)
    if takes_seat:
        columns["is_current"] = True
    await settle_expiry(session, found, now)
    try:
        changes = {**columns, **more, "updated_at": now}
        await events.apply(session, LICENSE, found.id, changes, unique=takes_seat)
    except UniqueViolation:
        raise await installation_taken(session, found.app_id, new.installation_id) from None
    if _is_later(found.expires_at, new.expires_at):
        await signing_keys.note_expiry(session, found.app_id, found.signing_generation, found.expires_at)
    await tokens.replace(session, keyring, found, terms_of(new, new.features))
    await record_change(actor, session, found, type)
    if "expires_at" in columns:
        await expiry.catch_up(session, found.id, new.expires_at)


def _is_later(one: datetime | None, other: datetime | None) -> bool:
    """Return whether one expiry is later than another. None stands for never."""
    return other is not None and (one is None or one > other)
