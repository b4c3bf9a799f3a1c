"""Rotation: an app gets a new signing key, and all active licenses switch to this key at the same moment.

1. Activate the next key, which usually exists already (`resolvers.signing_keys`). From now on, a license that
   needs a new token gets two: one from each key (`resolvers.tokens`).
2. Sign a token with the next key for each active license that does not have one yet. Each batch of up to 500
   licenses is a short transaction of its own. Repeat until no such license is left.
3. Make the next key the current one, in one short transaction.

If a rotation is interrupted, the next rotation continues it with the same key and the tokens signed so far.
If two rotations run at the same time, both use the same key.

Every transaction that adds a token locks the app, so that the app's keys cannot change in the meantime.
Therefore a token is always signed with the current key or the next key.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from db import apps, clock, events, rotation, signing_keys
from db.apps import APP, SigningApp
from db.engine import Database, WriteSession
from db.events import Actor, EventType
from db.rotation import UnsignedLicense
from db.signing_keys import StoredSigningKey
from resolvers.errors import FaultCode, fault, unknown
from resolvers.inputs import is_slug
from resolvers.keyring import Algorithm, Keyring
from resolvers.signing_keys import make_next_key, make_next_keys_soon, row_of
from resolvers.tokens import Terms
from resolvers.viewer import Scope, Viewer

LICENSES_PER_TRANSACTION = 500

Progress: TypeAlias = Callable[[int, int], object]
"""A function that gets the number of licenses signed so far and the number of licenses to sign."""


@dataclass(frozen=True, slots=True)
class RotatedApp:
    """The id of an app whose keys were rotated, and the number of active licenses with a new token."""

    id: str
    licenses_resigned: int


def _no_progress(_signed: int, _of: int) -> None:
    pass


async def rotate_app_keys(
    viewer: Viewer, database: Database, keyring: Keyring, slug: str, *, immediately: bool = False
) -> RotatedApp:
    """Give an app a new signing key. Raises Faults, and Busy if a missing key cannot be created in time.

    Retired keys stay published while their tokens may be in use. If `immediately` is true, retired keys are
    no longer published at all. If the app has more than `Policy.rotation_limit` active licenses, the fault is
    WRONG_STATE.
    """
    viewer.require(Scope.ROTATE_SIGNING_KEYS)
    limit = viewer.policy.rotation_limit
    async with database.read() as reader:
        app = await apps.for_signing(reader, slug, viewer.tenant) if is_slug(slug) else None
        if app is None:
            raise unknown(slug, "app_slug")
        if limit and await rotation.count_live(reader, app.id, clock.now(), limit + 1) > limit:
            message = (
                f"has more than {limit:,} active licenses, more than a request can sign for; "
                f"run: ./licensegraph keys rotate --app {slug}"
            )
            raise fault(FaultCode.WRONG_STATE, message, "app_slug")
    return await rotate(database, keyring, viewer.actor, app, immediately=immediately)


async def rotate_any_app(
    database: Database,
    keyring: Keyring,
    actor: Actor,
    slug: str,
    *,
    immediately: bool = False,
    progress: Progress = _no_progress,
) -> RotatedApp:
    """Rotate the keys of the app with this slug, in any account. Only for commands. Raises Faults.

    This also creates the key for the next rotation, because there may be no running server to create it.
    """
    async with database.read() as session:
        app = await apps.for_signing(session, slug) if is_slug(slug) else None
    if app is None:
        raise unknown(slug, "app")
    rotated = await rotate(database, keyring, actor, app, immediately=immediately, progress=progress)
    await make_next_key(database, keyring, replace(app, generation=app.generation + 1))
    return rotated


async def rotate(
    database: Database,
    keyring: Keyring,
    actor: Actor,
    app: SigningApp,
    *,
    immediately: bool = False,
    progress: Progress = _no_progress,
) -> RotatedApp:
    """Give an app a new signing key. The number of its licenses is not limited.

    Raises Faults if the app is deleted in the meantime, and Busy if a missing key cannot be created in time.
    """
    generation = app.generation + 1
    # Repeating the work until the switch changes nothing, so only the switch belongs to the caller's
    # transaction, if there is one.
    apart = await database.apart()
    key = await _next_key(apart, keyring, app, generation)
    if key is not None:
        await _sign_ahead(apart, keyring, app, key, progress)
    async with database.read() as session:
        signed = await rotation.count_signed(session, app.id, generation, clock.now())
    await _switch(database, actor, RotatedApp(app.id, signed), app, generation, immediately=immediately)
    await database.after_commit(make_next_keys_soon)
    await database.after_commit(lambda committed: _clear_superseded(committed, app, generation))
    return RotatedApp(app.id, signed)


async def _next_key(
    database: Database, keyring: Keyring, app: SigningApp, generation: int
) -> StoredSigningKey | None:
    """Activate the app's next key and return it. Create the key if the app has none.

    Returns None if other rotations have already switched to this key and then to a later one.
    """
    async with database.read() as session:
        found = await signing_keys.find(session, app.id, generation)
    made = await keyring.make(Algorithm(app.algorithm)) if found is None else None
    async with database.write() as session:
        # Wait for transactions that began before the next key was active, because they sign only with the
        # current key. Transactions that begin later sign with both keys.
        await _lock(session, app)
        if made is not None:
            await signing_keys.insert(session, row_of(made, app.id, generation))
        await signing_keys.activate(session, app.id, generation, clock.now())
    async with database.read() as session:
        return await signing_keys.find(session, app.id, generation)


async def _sign_ahead(
    database: Database, keyring: Keyring, app: SigningApp, key: StoredSigningKey, progress: Progress
) -> None:
    async with database.read() as session:
        total = await rotation.count_unsigned(session, app.id, key.generation, clock.now())
    done = -1
    progress(0, total)
    signed = 0
    # Repeat until a pass finds no license, because a pass skips licenses that other transactions have locked.
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
    """Give each of these licenses a token from the next key.

    Returns False if another rotation has already made that key, or a later one, the current key.
    """
    claims = [_claims(license, app, keyring.issuer) for license in found]
    signed = await keyring.sign(key.id, key.sealed, claims)
    rows = [
        (license.id, each["jti"], token) for license, each, token in zip(found, claims, signed, strict=True)
    ]
    async with database.write() as session:
        held = await apps.lock_shared(session, app.id)
        if held is None:
            raise unknown(app.slug, "app_slug")
        if held.generation >= key.generation:
            return False
        await rotation.add_tokens(session, key.generation, rows)
    return True


def _claims(license: UnsignedLicense, app: SigningApp, issuer: str) -> dict[str, Any]:
    terms = Terms(
        license.id,
        license.installation_id,
        app.slug,
        license.tier,
        license.features,
        license.expires_at,
        license.trial,
    )
    return terms.claims(issuer, clock.now())


async def _switch(
    database: Database,
    actor: Actor,
    rotated: RotatedApp,
    app: SigningApp,
    generation: int,
    *,
    immediately: bool,
) -> None:
    """Make the next key the current one, unless another rotation has already done so.

    If `immediately` is true, retired keys are no longer published.
    """
    now = clock.now()
    async with database.write() as session:
        locked = await _lock(session, app)
        if locked.generation < generation:
            last_expiry = await rotation.last_expiry(session, app.id)
            await signing_keys.retire(session, app.id, locked.generation, last_expiry or now, now)
            before = await events.image_of(session, APP, app.id)
            after = await events.apply(session, APP, app.id, {"signing_generation": generation})
            await events.record(
                session,
                actor,
                APP,
                app.id,
                EventType.APP_KEYS_ROTATED,
                changes=events.differences(before, after),
                more={"licenses_resigned": rotated.licenses_resigned},
            )
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
        # Wait for as long as this batch took, so that other transactions can write; see `resolvers.purge`.
        await asyncio.sleep(time.perf_counter() - started)


async def _lock(session: WriteSession, app: SigningApp) -> SigningApp:
    locked = await apps.lock(session, app.id)
    if locked is None:
        raise unknown(app.slug, "app_slug")
    return locked
