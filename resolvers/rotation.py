"""Rotation: an app gets a new signing key, and every live license a token under it, at one moment.

The next key is stored first. From then on whoever issues a token signs it under both keys
(`resolvers.tokens`), so that only licenses which were there before are left to be signed: some hundreds at a
time, each batch a short transaction of its own, until none is found. Then one short transaction makes the
next key the current one. What is broken off in the middle is taken up by whoever rotates next: the key that
is there is used, and the tokens are kept. Who rotates at the same time helps with the same key.

Whoever adds a token, here as anywhere, holds the app against a change of its keys: nothing is ever signed
under a key that is not current or next.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

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

Progress: TypeAlias = Callable[[int, int], object]
"""Is told how many licenses have been signed for, of how many that there were to sign for."""


@dataclass(frozen=True, slots=True)
class RotatedApp:
    """An app whose keys have been rotated, and how many live licenses have a token under the new one."""

    id: str
    licenses_resigned: int


def _nothing(_signed: int, _of: int) -> None:
    pass


async def rotate_app_keys(
    viewer: Viewer, database: Database, slug: str, *, immediately: bool = False
) -> RotatedApp:
    """Give an app a new signing key, and drop those before it `immediately` or in good time. Raises Faults.

    Refused where there are more live licenses than a request signs for (`Policy.rotation_limit`).
    """
    viewer.require(Scope.WRITE)
    limit = viewer.policy.rotation_limit
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


async def rotate_any_app(
    database: Database,
    keyring: Keyring,
    slug: str,
    *,
    immediately: bool = False,
    progress: Progress = _nothing,
) -> RotatedApp:
    """As `rotate`, for whoever runs the installation: the app of this slug, whosever it is. Raises Faults."""
    async with database.read() as session:
        app = await apps.for_signing(session, slug) if is_slug(slug) else None
    if app is None:
        raise unknown(slug, "app")
    return await rotate(database, keyring, app, immediately=immediately, progress=progress)


async def rotate(
    database: Database,
    keyring: Keyring,
    app: SigningApp,
    *,
    immediately: bool = False,
    progress: Progress = _nothing,
) -> RotatedApp:
    """Give an app a new signing key, however many licenses it has.

    Raises Faults when the app is deleted meanwhile.
    """
    generation = app.generation + 1
    key = await _next_key(database, keyring, app, generation)
    if key is not None:
        await _sign_ahead(database, keyring, app, key, progress)
    async with database.read() as session:
        signed = await rotation.count_signed(session, app.id, generation, clock.now())
    await _switch(database, app, generation, immediately=immediately)
    await _clear_superseded(database, app, generation)
    return RotatedApp(app.id, signed)


async def _next_key(
    database: Database, keyring: Keyring, app: SigningApp, generation: int
) -> StoredSigningKey | None:
    """The key that is to be current next: made now, or by a rotation broken off or under way.

    None: meanwhile others have made it the current one, and yet another after it.
    """
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
    return key


async def _sign_ahead(
    database: Database, keyring: Keyring, app: SigningApp, key: StoredSigningKey, progress: Progress
) -> None:
    async with database.read() as session:
        total = await rotation.count_unsigned(session, app.id, key.generation, clock.now())
    done = -1
    progress(0, total)
    signed = 0
    # Until there is nothing left: those that were being changed just then are left out.
    while done < signed:
        done = signed
        after: str | None = ""
        while after is not None:
            async with database.read() as session:
                found, after = await rotation.next_unsigned(
                    session, app.id, key.generation, clock.now(), after, LICENSES_PER_TRANSACTION
                )
            if found:
                if not await _sign(database, keyring, app, key, found):
                    return
                signed += len(found)
                progress(min(signed, total), total)


async def _sign(
    database: Database,
    keyring: Keyring,
    app: SigningApp,
    key: StoredSigningKey,
    found: Sequence[UnsignedLicense],
) -> bool:
    """Give some licenses a token under the next key. False: it is the next one no longer."""
    claims = [_claims(license, app, keyring.issuer) for license in found]
    signed = await keyring.sign(key.id, key.sealed, claims)
    rows = [
        (license.id, each["jti"], token) for license, each, token in zip(found, claims, signed, strict=True)
    ]
    async with database.write() as session:
        held = await apps.hold(session, app.id)
        if held is None:
            raise unknown(app.slug, "app_slug")
        if held.generation >= key.generation:
            return False
        await rotation.add_tokens(session, key.generation, rows)
    return True


def _claims(license: UnsignedLicense, app: SigningApp, issuer: str) -> dict[str, Any]:
    terms = Terms(
        license.id, license.installation_id, app.slug, license.tier, license.features, license.expires_at
    )
    return terms.claims(issuer, clock.now())


async def _switch(database: Database, app: SigningApp, generation: int, *, immediately: bool) -> None:
    """Make the next key the current one, unless another rotation has done so."""
    now = clock.now()
    async with database.write() as session:
        locked = await _lock(session, app)
        if locked.generation < generation:
            last_expiry = await rotation.last_expiry(session, app.id)
            await signing_keys.retire(session, app.id, locked.generation, last_expiry or now, now)
            await apps.set_generation(session, app.id, generation)
        if immediately:
            await signing_keys.drop_retired(session, app.id, now)


async def _clear_superseded(database: Database, app: SigningApp, generation: int) -> None:
    after: str | None = ""
    while after is not None:
        started = time.perf_counter()
        async with database.write() as session:
            after = await rotation.clear_superseded(
                session, app.id, generation, after, LICENSES_PER_TRANSACTION
            )
        # For as long as it took others may write, as they may while tokens are signed; see `resolvers.purge`.
        await asyncio.sleep(time.perf_counter() - started)


async def _lock(session: WriteSession, app: SigningApp) -> SigningApp:
    locked = await apps.lock(session, app.id)
    if locked is None:
        raise unknown(app.slug, "app_slug")
    return locked
