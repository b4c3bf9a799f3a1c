"""Keys: made, listed, revoked, and turned into viewers. Nothing else slices, masks or digests a key."""

import hashlib
import re
import secrets
import string
from enum import StrEnum

from sqlalchemy import bindparam, select
from sqlalchemy.types import Text

from db import clock
from db.engine import ReadSession
from db.keys import keys
from resolvers.errors import Unauthenticated
from resolvers.viewer import Policy, Scope, Viewer

_RANDOM_LENGTH = 32  # of 62 letters and digits: 190 bits
_TOKEN = re.compile(r"[sp]k_(?:live|test)_[0-9A-Za-z]{16,128}")


class KeyKind(StrEnum):
    """What a key may do: a secret key reads and writes, a public key reads."""

    SECRET = "secret"  # noqa: S105  (a kind, not a password)
    PUBLIC = "public"


_PREFIXES = {KeyKind.SECRET: "sk_live_", KeyKind.PUBLIC: "pk_live_"}


def new_token(kind: KeyKind) -> str:
    """A new key in full. It is shown once and kept nowhere."""
    alphabet = string.ascii_letters + string.digits
    return _PREFIXES[kind] + "".join(secrets.choice(alphabet) for _ in range(_RANDOM_LENGTH))


def digest(token: str) -> str:
    """What is stored of a key: its SHA-256 in hexadecimal. Being random, a key needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


_by_digest = select(keys.c.id, keys.c.account_id, keys.c.kind).where(
    keys.c.digest == bindparam("digest", type_=Text()),
    keys.c.revoked_at.is_(None),
    keys.c.expires_at.is_(None) | (keys.c.expires_at > bindparam("now", type_=Text())),
)


async def viewer_of(session: ReadSession, token: str, policy: Policy) -> Viewer:
    """The viewer a key stands for. Raises Unauthenticated, alike for every key that does not serve."""
    if not _TOKEN.fullmatch(token):
        raise Unauthenticated
    row = await session.row(_by_digest, {"digest": digest(token), "now": clock.as_text(clock.now())})
    if row is None:
        raise Unauthenticated
    key_id, account_id, kind = row
    scopes = {Scope.READ}
    if kind == KeyKind.SECRET:
        scopes |= {Scope.READ_CUSTOMERS, Scope.WRITE}
    elif policy.public_keys_read_customers:
        scopes |= {Scope.READ_CUSTOMERS}
    return Viewer(account_id, frozenset(scopes), policy, key_id)
