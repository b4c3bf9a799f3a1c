"""Tokens: what software checks a license by, online or with no network at all.

A token is a JWT, signed under a key of its app (`resolvers.keyring`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db import clock, ids, signing_keys, tokens
from db.engine import WriteSession
from db.tokens import NewToken
from resolvers.keyring import Keyring


@dataclass(frozen=True, slots=True)
class Terms:
    """What a token says of its license."""

    license_id: str
    installation_id: str
    app_slug: str
    tier: str | None
    features: Sequence[str]
    expires_at: datetime | None

    def claims(self, issuer: str, at: datetime) -> dict[str, Any]:
        """The claims of a new token that is issued at a moment, by the wire contract's section 5.4."""
        expiry = {} if self.expires_at is None else {"exp": int(self.expires_at.timestamp())}
        return {
            "sub": self.installation_id,
            "aud": self.app_slug,
            "iss": issuer,
            "iat": int(at.timestamp()),
            **expiry,
            "jti": ids.new_id(ids.LICENSE).id,
            "tier": self.tier,
            "features": list(self.features),
            "lic_id": self.license_id,
        }


async def issue(keyring: Keyring, session: WriteSession, app_id: str, generation: int, terms: Terms) -> None:
    """Give a license a new token, which is shown from now on.

    The app is locked against a change of its keys, of which `generation` is the current one.
    """
    keys = await signing_keys.in_use(session, app_id, generation)
    await _add(keyring, session, keys, terms)


async def complete(
    keyring: Keyring, session: WriteSession, app_id: str, generation: int, terms: Terms
) -> None:
    """Give a license a token under each key in use that it has none of. The app is locked as in `issue`."""
    keys = await signing_keys.in_use(session, app_id, generation)
    signed = await tokens.generations(session, terms.license_id)
    await _add(keyring, session, [key for key in keys if key.generation not in signed], terms)


async def _add(
    keyring: Keyring,
    session: WriteSession,
    keys: Sequence[signing_keys.StoredSigningKey],
    terms: Terms,
) -> None:
    for key in keys:
        claims = terms.claims(keyring.issuer, clock.now())
        (text,) = await keyring.sign(key.id, key.sealed, [claims])
        await tokens.add(session, terms.license_id, NewToken(claims["jti"], key.generation, text))
