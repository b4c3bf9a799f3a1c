"""Signing keys as others see them: the PEM of the current one, and the set of all that are published."""

from collections.abc import Sequence

from db import apps, clock, signing_keys, verification
from db.engine import Database, ReadSession
from resolvers.inputs import is_slug
from resolvers.keyring import Algorithm, Keyring, NewSigningKey, jwk_of

FIRST_GENERATION = 1


def row_of(key: NewSigningKey, app_id: str, generation: int) -> dict[str, object]:
    """A key that has been made, as it is stored."""
    return {
        "id": key.id,
        "app_id": app_id,
        "generation": generation,
        "public_key_pem": key.public_key_pem,
        "sealed": key.sealed,
        "created_at": key.created_at,
    }


async def public_key_pem(session: ReadSession, slug: str) -> str | None:
    """The PEM (SubjectPublicKeyInfo) of an app's current key, for anybody; None without an app."""
    return await verification.public_key_pem(session, slug) if is_slug(slug) else None


async def key_set(session: ReadSession, slug: str) -> Sequence[dict[str, str]] | None:
    """An app's keys as JWKs (RFC 7517), for anybody: the current one first, then the next, then retired ones.

    Retired ones are among them for as long as their tokens are good. None without an app.
    """
    keys = await verification.public_keys(session, slug) if is_slug(slug) else None
    if keys is None:
        return None
    now = clock.now()
    return [jwk_of(key.id, key.public_key_pem) for key in keys if key.is_published(now)]


async def make_missing(database: Database, keyring: Keyring) -> int:
    """Make the first key of apps that are older than signing keys, and answer how many they were."""
    async with database.read() as session:
        found = await apps.without_signing_keys(session)
    for app in found:
        key = await keyring.make(Algorithm(app.algorithm))
        async with database.write() as session:
            if await apps.lock(session, app.id) is not None:
                await signing_keys.insert(session, row_of(key, app.id, app.generation))
    return len(found)
