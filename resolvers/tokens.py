"""Tokens: software uses a license's token to check the license, online or offline.

A token is a JWT, signed with a key of its app (`resolvers.keyring`).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from db import clock, ids, signing_keys, tokens
from db.engine import WriteSession
from db.licenses import StoredLicense
from db.tokens import NewToken
from resolvers.keyring import Keyring

# Whitespace and invisible characters: soft hyphens, zero-width spaces, word joiners and byte order marks.
_SPACE = r"[\s\u00ad\u200b\u2060\ufeff]"
_NO_PART = re.compile(rf"^{_SPACE}*bearer{_SPACE}+|{_SPACE}+", re.IGNORECASE)


def without_spaces(text: str) -> str:
    """Return a token without whitespace, invisible characters and a leading "Bearer".

    Files and mail clients can add whitespace anywhere. A token contains none, so all whitespace is removed.
    """
    return _NO_PART.sub("", text)


@dataclass(frozen=True, slots=True)
class Terms:
    """The facts that a token states about its license."""

    license_id: str
    installation_id: str
    app_slug: str
    tier: str | None
    features: Sequence[str]
    expires_at: datetime | None
    trial: bool

    def claims(self, issuer: str, at: datetime) -> dict[str, Any]:
        """Return the claims of a new token, issued at the time `at`."""
        expiry = {} if self.expires_at is None else {"exp": int(self.expires_at.timestamp())}
        trial = {"trial": True} if self.trial else {}
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
            **trial,
        }


async def issue(session: WriteSession, keyring: Keyring, app_id: str, generation: int, terms: Terms) -> None:
    """Give a license new tokens, one from each key in use. They replace its earlier tokens.

    `generation` is the generation of the app's current key. The caller has locked the app, so that its keys
    cannot change, and has cleared the earlier tokens.
    """
    keys = await signing_keys.in_use(session, app_id, generation)
    await _add(session, keyring, keys, terms)


async def replace(session: WriteSession, keyring: Keyring, license: StoredLicense, terms: Terms) -> None:
    """Give a license new tokens in place of its earlier ones. The license and its app are locked."""
    await tokens.clear(session, license.id)
    await issue(session, keyring, license.app_id, license.signing_generation, terms)


async def complete(
    session: WriteSession, keyring: Keyring, app_id: str, generation: int, terms: Terms
) -> None:
    """Give a license the tokens that it lacks: one for each key in use. The caller has locked the app."""
    keys = await signing_keys.in_use(session, app_id, generation)
    signed = await tokens.generations(session, terms.license_id)
    await _add(session, keyring, [key for key in keys if key.generation not in signed], terms)


async def _add(
    session: WriteSession,
    keyring: Keyring,
    keys: Sequence[signing_keys.StoredSigningKey],
    terms: Terms,
) -> None:
    for key in keys:
        claims = terms.claims(keyring.issuer, clock.now())
        (text,) = await keyring.sign(key.id, key.sealed, [claims])
        await tokens.add(session, terms.license_id, NewToken(claims["jti"], key.generation, text))
