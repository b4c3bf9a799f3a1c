"""Changes to licenses at /api/v1: what they state, their terms, and their customers."""

from typing import Annotated

from starlette.responses import Response

from resolvers import license_changes
from resolvers.costs import MUTATION_COST
from resolvers.inputs import UNCHANGED
from resolvers.license_changes import DaysFromNow, RenewLicense, TermDays, TransferLicense, UpdateLicense
from resolvers.viewer import Scope
from rest import envelopes
from rest.envelopes import cost_of
from rest.licenses import FIELDS, LICENSE, LicenseAnswer, read_license, require_license
from rest.numeric_strings import NUMERIC
from rest.operations import Call, operation


class ChangedLicense(UpdateLicense):
    """Changes to a license. Fields left out keep their values.

    Give at most one of `expires_at`, `duration_days` and `forever`.
    """

    duration_days: Annotated[DaysFromNow, NUMERIC] = UNCHANGED


class RenewedLicense(RenewLicense):
    """A new term for a license. Give at most one of `duration_days`, `until` and `forever`.

    None of them is needed if the license's tier has `duration_days`.
    """

    duration_days: Annotated[TermDays, NUMERIC] = None


@operation(
    "PUT PATCH",
    LICENSE,
    scope=Scope.WRITE_LICENSES,
    reads=Scope.READ,
    body=ChangedLicense,
    conditional=True,
    cost=MUTATION_COST + cost_of(FIELDS),
    answers={200: LicenseAnswer},
)
async def update_license(call: Call) -> Response:
    """Change a license. PUT and PATCH do the same: fields left out keep their values.

    The license gets a new token, unless only its metadata change. An earlier token keeps its content until it
    expires: if a change takes something away, online verification shows this at once, but software that is
    offline only notices when its token expires. If the license moves to another installation, its earlier
    tokens no longer count as valid online. A revoked license can only get other metadata, and an expired one
    also a new expiry, which makes it active again.
    """
    id = call.path["id"]
    await require_license(call, "id", id)
    if_version = call.if_version
    values = await call.body()
    async with call.database.write() as session:
        await license_changes.update_license(call.viewer, session, call.keyring, id, values, if_version)
    return envelopes.one(await read_license(call.viewer, call, id))


@operation(
    "POST",
    f"{LICENSE}/renew",
    scope=Scope.WRITE_LICENSES,
    reads=Scope.READ,
    body=RenewedLicense,
    body_optional=True,
    conditional=True,
    cost=MUTATION_COST + cost_of(FIELDS),
    answers={200: LicenseAnswer},
)
async def renew_license(call: Call) -> Response:
    """Renew a license: give it a new term and a new token.

    An expired license becomes active again. This fails with `conflict` if the license is revoked or never
    expires, or if it has expired and its installation has another active license.
    """
    id = call.path["id"]
    await require_license(call, "id", id)
    if_version = call.if_version
    values = await call.body()
    async with call.database.write() as session:
        await license_changes.renew_license(call.viewer, session, call.keyring, id, values, if_version)
    return envelopes.one(await read_license(call.viewer, call, id))


@operation(
    "POST",
    f"{LICENSE}/transfer",
    scope=Scope.WRITE_LICENSES,
    reads=Scope.READ,
    body=TransferLicense,
    conditional=True,
    cost=MUTATION_COST + cost_of(FIELDS),
    answers={200: LicenseAnswer},
)
async def transfer_license(call: Call) -> Response:
    """Transfer a license to another customer of the app. The license keeps its token.

    The event is in the histories of both customers.
    """
    id = call.path["id"]
    await require_license(call, "id", id)
    if_version = call.if_version
    values = await call.body()
    async with call.database.write() as session:
        await license_changes.transfer_license(call.viewer, session, id, values, if_version)
    return envelopes.one(await read_license(call.viewer, call, id))
