"""Licenses: issued, revoked, reinstated, deleted."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from db import clock, customers, ids, licenses
from db.engine import ReadSession, UniqueViolation, WriteSession
from db.licenses import StoredLicense
from resolvers import reading
from resolvers.errors import Fault, FaultCode, fault, unknown
from resolvers.inputs import (
    Input,
    Metadata,
    Moment,
    RequiredText,
    Text,
    Uuid,
    check,
    empty_is_none,
    invalid,
    is_storable,
)
from resolvers.reading import Json, Shape
from resolvers.viewer import Scope, Viewer

REASON_LENGTH = 500
MAX_DURATION_DAYS = 36_500


def _in_the_future(moment: datetime) -> datetime:
    if moment.replace(microsecond=0) <= clock.now():
        raise invalid("must be in the future")
    return moment


class CreateLicense(Input):
    """A new license of a customer: exactly one of `expires_at`, `duration_days`, `forever` says how long."""

    customer_id: RequiredText
    installation_id: Uuid | None = None
    expires_at: Annotated[Moment, AfterValidator(_in_the_future)] | None = None
    duration_days: Annotated[int, Field(ge=1, le=MAX_DURATION_DAYS)] | None = None
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


async def license(viewer: Viewer, session: ReadSession, id: str, shape: Shape) -> Json | None:
    """The license of this id, or None."""
    return await reading.one(viewer, session, "License", "id", id, shape)


async def create_license(viewer: Viewer, session: WriteSession, values: Mapping[str, object]) -> str:
    """Issue a license and answer its id. Raises Faults.

    A revoked or expired license of the same installation makes room; an active one is TAKEN.
    """
    viewer.require(Scope.WRITE)
    given = check(CreateLicense, values)
    owner = await customers.find_for_update(session, viewer.account_id, given.customer_id)
    if owner is None:
        raise unknown(given.customer_id, "customer_id")
    new = ids.new_id(ids.LICENSE)
    installation_id = given.installation_id or str(uuid.uuid4())
    await licenses.retire(session, owner.app_id, installation_id, new.created_at)
    row = {
        "id": new.id,
        "app_id": owner.app_id,
        "customer_id": given.customer_id,
        "installation_id": installation_id,
        "is_current": True,
        "expires_at": given.end(new.created_at),
        "metadata": given.metadata,
        "created_at": new.created_at,
        "updated_at": new.created_at,
    }
    if not await licenses.insert(session, row):
        raise _installation_taken()
    return new.id


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
    return id


async def delete_license(viewer: Viewer, session: WriteSession, id: str) -> str:
    """Delete a license and answer its id. Raises Faults."""
    viewer.require(Scope.WRITE)
    await _require_license(viewer, session, id)
    await licenses.delete(session, id)
    return id


async def _require_license(viewer: Viewer, session: WriteSession, id: str) -> StoredLicense:
    found = await licenses.find_for_update(session, viewer.account_id, id) if is_storable(id) else None
    if found is None:
        raise unknown(id, "id")
    return found


def _installation_taken() -> Exception:
    return fault(FaultCode.TAKEN, "already has an active license", "installation_id")
