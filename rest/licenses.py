"""Licenses at /api/v1."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field
from starlette.responses import Response

from asgi.limits import Quota
from db.licenses import LicenseStatus
from db.shaping.selection import Scalar, Selected
from resolvers import licenses
from resolvers.costs import MUTATION_COST
from resolvers.inputs import Input, RequiredText, Uuid, check, invalid
from resolvers.licenses import (
    CreateLicense,
    DurationDays,
    ExpiresAfter,
    ExpiresBefore,
    IsTrial,
    OfInstallation,
    OfTier,
    RevokeLicense,
    StartsWith,
    VerifiedAfter,
    VerifiedBefore,
    WasVerified,
    WithFeature,
)
from resolvers.paging import FilterText
from resolvers.reading import Json
from resolvers.viewer import Scope, Viewer
from rest import envelopes, snapshots
from rest.apps import APP, APPS, found_in_app, page_in_app, require_app
from rest.envelopes import ABOUT_META, Answer, AnyMeta, Shows, Versioned, cost_of, fields_of, with_version
from rest.errors import not_found
from rest.numeric_strings import NUMERIC
from rest.operations import Call, operation
from rest.paging import TRUE_OR_FALSE, WITH_PLUS, FilterOf, PageQuery
from rest.snapshots import AsOfQuery

LICENSES = f"{APP}/licenses"
LICENSE = f"{LICENSES}/{{id}}"

StatusWord = Literal["active", "expired", "revoked"]


class License(Versioned):
    """A customer's right to run an app on one installation."""

    id: str = Field(description="Id, starting with lic_.")
    installation_id: str = Field(
        description="UUID of the installation that the license is for. An installation has at most one "
        "active license per app."
    )
    token: str | None = Field(
        None,
        description="The license's current token: a JWT that an installation can verify without a network "
        "connection. Left out in lists and in the response to revoke. Also left out if the key does not have "
        "the scope `read_tokens`, unless the request has `current_token`. Null if no token was ever signed.",
    )
    status: Annotated[StatusWord, Shows("status_word")] = Field(
        description="Status at the time of the request."
    )
    tier: Annotated[str | None, Shows("tier_slug")] = Field(
        description="Slug of the license's tier. Null if the license has no tier."
    )
    features: list[str] = Field(
        description="Slugs of the features in the license's current token: first the features of the tier, "
        "then the license's own features."
    )
    expires_at: datetime | None = Field(
        description="When the license expires. Null if the license never expires."
    )
    created_at: datetime = Field(description="When the license was issued.")
    customer_id: str = Field(description="Id of the license's customer.")
    tier_id: str | None = Field(description="Id of the license's tier. Null if the license has no tier.")
    jti: str | None = Field(description="Id of the license's current token. Every token has a different id.")
    revoked_at: datetime | None = Field(
        description="When the license was revoked. Null if the license is not revoked."
    )
    metadata: dict[str, Any] = Field(description="Custom data. {} if there is none.")


class LicenseAnswer(Answer):
    """One license."""

    data: License = Field(description="The license.")


class LicensePage(Answer):
    """A page of licenses."""

    data: list[License] = Field(description="Licenses on this page.")
    meta: AnyMeta = Field(description=ABOUT_META)


def _status(word: object) -> object:
    words = [status.lower() for status in LicenseStatus]
    if word not in words:
        raise invalid(f"must be one of: {', '.join(words)}")
    return LicenseStatus(str(word).upper())


class LicensesQuery(PageQuery):
    """Selects licenses that meet all given conditions. An empty condition is ignored."""

    noun: ClassVar[str] = "License"

    status: Annotated[LicenseStatus | None, BeforeValidator(_status, json_schema_input_type=StatusWord)] = (
        Field(None, description="Status at the time of the request.")
    )
    installation_id: OfInstallation = None
    customer_id: FilterText = Field("", description="Id of the customer.")
    tier_id: FilterText = Field("", description="Id of the tier.")
    tier: Annotated[OfTier, FilterOf("tier_slug")] = ""
    feature: WithFeature = ""
    expires_before: Annotated[ExpiresBefore, WITH_PLUS] = None
    expires_after: Annotated[ExpiresAfter, WITH_PLUS] = None
    verified_before: Annotated[VerifiedBefore, WITH_PLUS] = None
    verified_after: Annotated[VerifiedAfter, WITH_PLUS] = None
    search: StartsWith = ""
    trial: Annotated[IsTrial, TRUE_OR_FALSE] = None
    verified: Annotated[WasVerified, TRUE_OR_FALSE] = None


class InstallationQuery(Input):
    """The license to return."""

    installation_id: Uuid = Field(
        description="UUID of the installation, in any letter case, with or without hyphens or braces."
    )


class NewLicense(CreateLicense):
    """A new license. Give exactly one of `duration_days`, `expires_at` and `forever`.

    None of them is needed if the tier has `duration_days`.
    """

    tier_id: RequiredText = Field(description="Id of a tier of the app.")
    installation_id: Uuid = Field(description="UUID of the customer's installation.")
    duration_days: Annotated[DurationDays, NUMERIC] = None


class RegenerateLicense(Input):
    """A token of the license. With this token, no API key is needed to regenerate the license."""

    current_token: str | None = Field(
        None,
        description="A token of the license. The license must be active and still be for the token's "
        "installation. The token's signing key must still be published. The token itself may have expired, "
        "by default at most 60 days ago. Whitespace and a leading `Bearer ` are ignored. With this token, no "
        "API key is needed. An API key that is sent anyway must be valid.",
    )


FIELDS = fields_of(License)
_WITHOUT_TOKEN = fields_of(License, without="token")
_ONE, _ONE_WITHOUT_TOKEN = with_version(FIELDS), with_version(_WITHOUT_TOKEN)
ID = (Scalar("id", "id"),)


@operation(
    "GET",
    LICENSES,
    scope=Scope.READ,
    query=LicensesQuery,
    check_first=require_app,
    cost=None,
    answers={200: LicensePage},
)
async def list_licenses(call: Call) -> Response:
    """List licenses. Returns the licenses of an app without their tokens, newest first."""
    query = call.checked(LicensesQuery, call.query)
    return await page_in_app(call, query.selection(_WITHOUT_TOKEN))


@operation(
    "POST",
    LICENSES,
    scope=Scope.WRITE_LICENSES,
    reads=Scope.READ,
    body=NewLicense,
    check_first=require_app,
    cost=MUTATION_COST + cost_of(FIELDS),
    answers={201: LicenseAnswer},
)
async def create_license(call: Call) -> Response:
    """Issue a license. An installation can have only one active license per app."""
    values = await call.body()
    check(NewLicense, values)
    slug = call.path["slug"]
    async with call.database.write() as session:
        id = await licenses.create_license(call.viewer, session, call.keyring, values, slug)
    return envelopes.created(
        await read_license(call.viewer, call, id), call.location(f"{APPS}/{slug}/licenses/{id}")
    )


@operation(
    "GET",
    f"{LICENSES}/by-installation",
    scope=Scope.READ,
    query=InstallationQuery,
    check_first=require_app,
    cost=1 + cost_of(FIELDS),
    answers={200: LicenseAnswer},
)
async def get_license_by_installation(call: Call) -> Response:
    """Get the license of an installation. An active license takes precedence over others.

    If no license is active, the newest one is returned.
    """
    query = call.checked(InstallationQuery, call.query)
    fields = _fields_for(call.viewer)
    return envelopes.one(await require_license(call, "installation_id", query.installation_id, fields))


async def _require_license(call: Call) -> None:
    """Raise Problem unless the app in the path has the license in the path."""
    await require_license(call, "id", call.path["id"], ID)


@operation(
    "GET",
    LICENSE,
    scope=Scope.READ,
    query=AsOfQuery,
    check_first=_require_license,
    cost=1 + cost_of(FIELDS),
    answers={200: LicenseAnswer},
)
async def get_license(call: Call) -> Response:
    """Get a license by id. A license of another app counts as not found."""
    as_of = call.checked(AsOfQuery, call.query).as_of
    if as_of is not None:
        return await snapshots.in_app(call, "License", as_of)
    return envelopes.one(await require_license(call, "id", call.path["id"], _fields_for(call.viewer)))


@operation(
    "DELETE",
    LICENSE,
    scope=Scope.WRITE_LICENSES,
    conditional=True,
    cost=MUTATION_COST,
    answers={204: None},
)
async def delete_license(call: Call) -> Response:
    """Delete a license. Deletion is permanent. To keep the history, revoke the license instead."""
    await require_license(call, "id", call.path["id"], ID)
    if_version = call.if_version
    async with call.database.write() as session:
        await licenses.delete_license(call.viewer, session, call.path["id"], if_version)
    return envelopes.nothing()


def _require_regeneration(viewer: Viewer) -> None:
    viewer.require(licenses.regeneration_scope(viewer))


async def _require_writable(call: Call) -> None:
    """Raise unless the key allows new tokens and the license exists."""
    _require_regeneration(call.viewer)
    await require_license(call, "id", call.path["id"], ID)


@operation(
    "POST",
    f"{LICENSE}/regenerate",
    scope=Scope.WRITE_LICENSES,
    check_first=_require_writable,
    check_viewer=_require_regeneration,
    proves_itself=lambda body: body.get("current_token") is not None,
    key_optional=True,
    conditional=True,
    body=RegenerateLicense,
    body_optional=True,
    cost=MUTATION_COST + cost_of(FIELDS),
    answers={200: LicenseAnswer},
)
async def regenerate_license(call: Call) -> Response:
    """Give a license a new token. With `current_token`, no key is needed.

    The new token has the current features of the license's tier, and the license's own features.
    """
    slug, id = call.path["slug"], call.path["id"]
    if_version = call.if_version
    token = call.checked(RegenerateLicense, await call.body()).current_token
    viewer = call.viewer
    if token is None:
        await _require_writable(call)
        async with call.database.write() as session:
            await licenses.regenerate_license(viewer, session, call.keyring, id, if_version)
    else:
        call.count(Quota.EXCHANGE)
        regenerated = await licenses.exchange_token(
            viewer, call.database, call.keyring, token, addressed=(slug, id), if_version=if_version
        )
        viewer = regenerated.viewer
    return envelopes.one(await read_license(viewer, call, id))


@operation(
    "POST",
    f"{LICENSE}/revoke",
    scope=Scope.WRITE_LICENSES,
    reads=Scope.READ,
    body=RevokeLicense,
    body_optional=True,
    conditional=True,
    cost=MUTATION_COST + cost_of(_WITHOUT_TOKEN),
    answers={200: LicenseAnswer},
)
async def revoke_license(call: Call) -> Response:
    """Revoke a license. If the license is already revoked, nothing changes."""
    id = call.path["id"]
    await require_license(call, "id", id, ID)
    if_version = call.if_version
    values = await call.body()
    async with call.database.write() as session:
        await licenses.revoke_license(call.viewer, session, id, values, if_version)
    return envelopes.one(await require_license(call, "id", id, _ONE_WITHOUT_TOKEN))


@operation(
    "POST",
    f"{LICENSE}/reinstate",
    scope=Scope.WRITE_LICENSES,
    reads=Scope.READ,
    conditional=True,
    cost=MUTATION_COST + cost_of(FIELDS),
    answers={200: LicenseAnswer},
)
async def reinstate_license(call: Call) -> Response:
    """Undo the revocation of a license. This fails with `conflict` if the license is not revoked.

    It also fails with `conflict` if the license has not expired and the installation has another active
    license.
    """
    id = call.path["id"]
    await require_license(call, "id", id, ID)
    if_version = call.if_version
    async with call.database.write() as session:
        await licenses.reinstate_license(call.viewer, session, call.keyring, id, if_version)
    return envelopes.one(await read_license(call.viewer, call, id))


def _fields_for(viewer: Viewer) -> tuple[Scalar, ...]:
    return _ONE if {Scope.READ_TOKENS, Scope.READ_LICENSE} & viewer.scopes else _ONE_WITHOUT_TOKEN


async def read_license(viewer: Viewer, call: Call, id: str) -> Json:
    """Read a license that was just written, for the viewer who wrote it."""
    async with call.database.read() as session:
        license = await licenses.license(viewer, session, id, Selected(_fields_for(viewer)))
    if license is None:
        raise not_found("license")
    return license


async def require_license(call: Call, lookup: str, value: str, fields: tuple[Scalar, ...] = ID) -> Json:
    """Return the license that a lookup finds in the app of the path. Raises Problem if there is none."""
    async with call.database.read() as session:
        has_app, license = await licenses.license_in_app(
            call.viewer, session, call.path["slug"], lookup, value, Selected(fields)
        )
    return found_in_app("license", has_app, license)
