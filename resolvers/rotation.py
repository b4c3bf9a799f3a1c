"""Rotation: an app gets a new signing key, and every live license a token under it, at one moment.

The next key is stored first. From then on whoever issues a token signs it under both keys
(`resolvers.tokens`), so that only licenses which were there before are left to be signed: some hundreds at a
time, each batch a short transaction of its own. Then one short transaction makes the next key the current
one. What is broken off in the middle is taken up by whoever rotates next: the key that is there is used, and
the tokens are kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from db import apps, clock, rotation, signing_keys
from db.apps import SigningApp
from db.engine import Database, WriteSession
from db.rotation import UnsignedLicense
from db.signing_keys import StoredSigningKey
from resolvers.errors import FaultCode, fault, unknown
from resolvers.inputs import is_slug
from resolvers.keyring import Algorithm, Keyring
from resolvers.signing_keys import row_of
from resolvers.tokens import Terms
from resolvers.viewer import Scope, Viewer

LICENSES_PER_TRANSACTION = 500


@dataclass(frozen=True, slots=True)
class RotatedApp:
    """An app whose keys have been rotated, and how many live licenses have a token under the new one."""

    id: str
    licenses_resigned: int


def _nothing(_signed: int) -> None:
    pass


async def rotate_app_keys(
    viewer: Viewer, session: WriteSession, slug: str, *, immediately: bool = False
) -> RotatedApp:
    """Give an app a new signing key, and drop those before it `immediately` or in good time. Raises Faults.

    Refused where there are more live licenses than a request signs for (`Policy.rotation_limit`). The session
    is not used: a rotation is many transactions.
    """
    viewer.require(Scope.WRITE)
    database, limit = session.database, viewer.policy.rotation_limit
    async with database.read() as reader:
        app = await apps.for_signing(reader, slug, viewer.account_id) if is_slug(slug) else None
        if app is None:
            raise unknown(slug, "app_slug")
        if limit and await rotation.count_live(reader, app.id, clock.now(), limit + 1) > limit:
            message = (
                f"has more than {limit:,} live licenses, which a request does not sign for; "
                f"run: python server.py keys rotate --app {slug}"
            )
            raise fault(FaultCode.WRONG_STATE, message, "app_slug")
    return await rotate(database, viewer.policy.keyring, app, immediately=immediately)


async def rotate(
    database: Database,
    keyring: Keyring,
    app: SigningApp,
    *,
    immediately: bool = False,
    progress: Callable[[int], object] = _nothing,
) -> RotatedApp:
    """Give an app a new signing key, however many licenses it has.

    `progress` is told how many more have been signed. Raises Faults when the app is deleted meanwhile.
    """
    key = await _next_key(database, keyring, app)
    await _sign_ahead(database, keyring, app, key, progress)
    async with database.read() as session:
        signed = await rotation.count_signed(session, app.id, key.generation, clock.now())
    await _switch(database, app, key, immediately=immediately)
    await _clear_superseded(database, app, key)
    return RotatedApp(app.id, signed)


async def _next_key(database: Database, keyring: Keyring, app: SigningApp) -> StoredSigningKey:
    """The key that follows the current one: made now, or by a rotation broken off or under way."""
    generation = app.generation + 1
    async with database.read() as session:
        key = await signing_keys.find(session, app.id, generation)
    if key is None:
        made = await keyring.make(Algorithm(app.algorithm))
        async with database.write() as session:
            # Whoever is issuing a token under one key is done when this goes on, or sees the other.
            await _lock(session, app)
            await signing_keys.insert(session, row_of(made, app.id, generation))
        async with database.read() as session:
            key = await signing_keys.find(session, app.id, generation)
    if key is None or key.sealed is None:
        raise unknown(app.slug, "app_slug")
    return key


async def _sign_ahead(
    database: Database,
    keyring: Keyring,
    app: SigningApp,
    key: StoredSigningKey,
    progress: Callable[[int], object],
) -> None:
    after = ""
    while True:
        now = clock.now()
        async with database.read() as session:
            found = await rotation.unsigned(
                session, app.id, key.generation, now, after, LICENSES_PER_TRANSACTION
            )
        if not found:
            return
        claims = [_claims(license, app, keyring.issuer) for license in found]
        signed = await keyring.sign(key.id, key.sealed, claims)
        rows = [
            (license.id, each["jti"], token)
            for license, each, token in zip(found, claims, signed, strict=True)
        ]
        async with database.write() as session:
            await rotation.add_tokens(session, key.generation, rows)
        progress(len(found))
        after = found[-1].id


def _claims(license: UnsignedLicense, app: SigningApp, issuer: str) -> dict[str, Any]:
    terms = Terms(
        license.id, license.installation_id, app.slug, license.tier, license.features, license.expires_at
    )
    return terms.claims(issuer, clock.now())


async def _switch(database: Database, app: SigningApp, key: StoredSigningKey, *, immediately: bool) -> None:
    """Make the next key the current one, unless another rotation has done so."""
    now = clock.now()
    async with database.write() as session:
        locked = await _lock(session, app)
        if locked.generation < key.generation:
            last_expiry = await rotation.last_expiry(session, app.id)
            await signing_keys.retire(session, app.id, locked.generation, last_expiry or now, now)
            await apps.set_generation(session, app.id, key.generation)
        if immediately:
            await signing_keys.drop_retired(session, app.id, now)


async def _clear_superseded(database: Database, app: SigningApp, key: StoredSigningKey) -> None:
    after: str | None = ""
    while after is not None:
        async with database.write() as session:
            after = await rotation.clear_superseded(
                session, app.id, key.generation, after, LICENSES_PER_TRANSACTION
            )


async def _lock(session: WriteSession, app: SigningApp) -> SigningApp:
    locked = await apps.lock(session, app.id)
    if locked is None:
        raise unknown(app.slug, "app_slug")
    return locked
