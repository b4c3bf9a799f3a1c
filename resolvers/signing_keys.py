"""Signing keys: the published keys of an app, and its next key, which is created ahead of time.

A next key is published before a rotation signs with it (`resolvers.rotation`). Therefore software that has
just fetched an app's key set can also verify tokens that are signed after a rotation.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from db import apps, clock, signing_keys, verification
from db.apps import ListedKey, SigningApp
from db.engine import Database, ReadSession
from resolvers.background import Background
from resolvers.inputs import is_slug
from resolvers.keyring import Algorithm, Keyring, NewSigningKey, jwk_of
from resolvers.viewer import Scope, Viewer

FIRST_GENERATION = 1

SPREAD_SECONDS = 5
"""The maximum delay before a process looks for missing keys.

The delay is random. If several processes start together, one of them creates a key, and the others find it.
"""

_background = Background("next_keys")


@dataclass(frozen=True, slots=True)
class KeySet:
    """An app's published keys as JWKs (RFC 7517), and whether its next key is among them."""

    keys: Sequence[dict[str, str]]
    has_next: bool


class KeyStatus(StrEnum):
    """What a signing key is used for: see `db.signing_keys`."""

    NEXT = "NEXT"
    CURRENT = "CURRENT"
    RETIRED = "RETIRED"


@dataclass(frozen=True, slots=True)
class PublishedKey:
    """A published signing key, with times as text. `published_until` is None if no end is known."""

    kid: str
    status: KeyStatus
    public_key_pem: str
    created_at: str
    retired_at: str | None
    published_until: str | None


def row_of(key: NewSigningKey, app_id: str, generation: int) -> dict[str, object]:
    """Return the database row for a new key."""
    return {
        "id": key.id,
        "app_id": app_id,
        "generation": generation,
        "public_key_pem": key.public_key_pem,
        "sealed": key.sealed,
        "created_at": key.created_at,
    }


async def public_key_pem(session: ReadSession, slug: str) -> str | None:
    """Return an app's current public key as PEM (SubjectPublicKeyInfo), or None if the app does not exist."""
    return await verification.public_key_pem(session, slug) if is_slug(slug) else None


async def published_keys(viewer: Viewer, session: ReadSession, slug: str) -> list[PublishedKey] | None:
    """Return the published keys of an app: the next key, the current key, and then retired keys.

    Returns None if the viewer can reach no such app.
    """
    viewer.require(Scope.READ)
    found = await apps.published_keys(session, viewer.tenant, slug) if is_slug(slug) else None
    if found is None:
        return None
    now = clock.now()
    return [
        PublishedKey(
            key.public.id,
            _status_of(key),
            key.public.public_key_pem,
            clock.as_text(key.created_at),
            _text(key.public.retired_at),
            _text(key.public.published_until(viewer.policy.renewal_grace)),
        )
        for key in found
        if key.public.is_published(now, viewer.policy.renewal_grace)
    ]


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else clock.as_text(moment)


def _status_of(key: ListedKey) -> KeyStatus:
    if key.public.generation == key.current:
        return KeyStatus.CURRENT
    return KeyStatus.NEXT if key.public.generation > key.current else KeyStatus.RETIRED


async def key_set(viewer: Viewer, session: ReadSession, slug: str) -> KeySet | None:
    """Return an app's public keys: the current one, the next one, then retired ones.

    A retired key is included while tokens that it signed may be in use. Returns None if the app does not
    exist.
    """
    keys = await verification.public_keys(session, slug) if is_slug(slug) else None
    if keys is None:
        return None
    current, now = keys[0], clock.now()
    grace = viewer.policy.renewal_grace
    published = [jwk_of(key.id, key.public_key_pem) for key in keys if key.is_published(now, grace)]
    return KeySet(published, any(key.generation > current.generation for key in keys))


async def make_missing(database: Database, keyring: Keyring) -> int:
    """Create a signing key for each app that was created before apps had signing keys.

    Return the number of these apps.
    """
    async with database.read() as session:
        found = await apps.without_signing_keys(session)
    for app in found:
        key = await keyring.make(Algorithm(app.algorithm))
        async with database.write() as session:
            if await apps.lock(session, app.id) is not None:
                await signing_keys.insert(session, row_of(key, app.id, app.generation))
    return len(found)


def make_next_keys_soon(database: Database) -> None:
    """Create missing next keys soon if a server is running in this process. Otherwise, do nothing."""
    _background.begin_soon(database)


def making_next_keys(database: Database, keyring: Keyring) -> AbstractAsyncContextManager[None]:
    """Create missing next keys in the background while the block runs."""

    async def work() -> None:
        await asyncio.sleep(random.uniform(0, SPREAD_SECONDS))  # noqa: S311  (no secret)
        await make_next_keys(database, keyring)

    return _background.running(database, work)


async def make_next_keys(database: Database, keyring: Keyring) -> None:
    """Create the next key of each app that does not have one yet."""
    async with database.read() as session:
        found = list(await apps.without_next_signing_key(session))
    # The order is random so that several processes start with different apps, and so that an app that fails
    # does not always block the same other apps.
    random.shuffle(found)
    for app in found:
        started = time.perf_counter()
        await make_next_key(database, keyring, app)
        # Wait for as long as this key took, to leave processor time for requests.
        await asyncio.sleep(time.perf_counter() - started)


async def make_next_key(database: Database, keyring: Keyring, app: SigningApp) -> None:
    """Create an app's next key, unless it exists, or the app was rotated or deleted in the meantime."""
    generation = app.generation + 1
    async with database.read() as session:
        if await signing_keys.find(session, app.id, generation) is not None:
            return
    key = await keyring.make_ahead(Algorithm(app.algorithm))
    async with database.write() as session:
        held = await apps.lock_shared(session, app.id)
        if held is not None and held.generation == app.generation:
            await signing_keys.insert(session, row_of(key, app.id, generation))
