"""Signing keys: made, sealed and used by a `Keyring`; and what anybody can do with the public half.

A private key is stored sealed, which is encrypted with AES-256-GCM under the installation's master key.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

import jwt
from cachetools import LRUCache
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_pem_public_key,
)

from db import ids
from db.deadlines import UNLIMITED, Timeouts, seconds_left
from resolvers.errors import Busy

# RSA keys are made one at a time: each keeps a processor for up to seconds.
KEYS_WAITING = 16
THREADS = min(4, os.cpu_count() or 1)
# One turn of a thread. Whoever wants a single signature waits for a turn and not for a whole rotation.
SIGNATURES_PER_TURN = 16
CACHED_PRIVATE_KEYS = 256
CACHED_PUBLIC_KEYS = 1_024

_PUBLIC_EXPONENT = 65_537
_NONCE_BYTES = 12
# Stricter than PyJWT, which overlooks padding: one signed token has one spelling.
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)

_PrivateKey: TypeAlias = RSAPrivateKey | Ed25519PrivateKey
_PublicKey: TypeAlias = RSAPublicKey | Ed25519PublicKey


class Algorithm(StrEnum):
    """How an app's tokens are signed."""

    RS256 = "RS256"
    EDDSA = "EDDSA"

    @property
    def jwa(self) -> str:
        """Its name in tokens and key sets (RFC 7518, RFC 8037)."""
        return "EdDSA" if self is Algorithm.EDDSA else self.value


class MasterKeyError(Exception):
    """There is no master key, or it does not open what is sealed. The message, one line, shows no key."""


@dataclass(frozen=True, slots=True)
class NewSigningKey:
    """A fresh signing key, as it is stored. `id` is the `kid` of the tokens that it signs."""

    id: str
    created_at: datetime
    public_key_pem: str
    sealed: bytes = field(repr=False)


class Keyring:
    """The one home of the master key and of private keys that are not sealed.

    Made locked: before `unlock` it raises MasterKeyError wherever it needs the master key. To be closed.
    """

    def __init__(
        self, *, rsa_bits: int = 4096, issuer: str = "license-server", timeouts: Timeouts = UNLIMITED
    ) -> None:
        """`rsa_bits` is the size of new RS256 keys; `issuer` is what tokens name as theirs.

        A key is waited for no longer than for a statement.
        """
        self.issuer = issuer
        self._rsa_bits = rsa_bits
        self._cipher: AESGCM | None = None
        self._private_keys: LRUCache[str, _PrivateKey] = LRUCache(CACHED_PRIVATE_KEYS)
        self._timeouts = timeouts
        self._threads = ThreadPoolExecutor(THREADS, "keyring")
        self._maker = ThreadPoolExecutor(1, "key-maker")
        self._waiting = 0

    def unlock(self, master_key: bytes) -> None:
        """Take the master key, of 32 bytes. Which one it is, `resolvers.master_key` knows."""
        self._cipher = AESGCM(master_key)

    async def make(self, algorithm: Algorithm) -> NewSigningKey:
        """Make a signing key, in a thread that signs nothing.

        Raises Busy when `KEYS_WAITING` others wait for theirs, and when it has not come in time.
        """
        cipher = self._unlocked()
        if self._waiting >= KEYS_WAITING:
            raise Busy("Too many signing keys are being made. Try again later.")
        new = ids.new_id(ids.SIGNING_KEY)
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds_left(self._timeouts.of_statement())):
                # Whoever gives up before it is begun leaves the queue.
                pem, sealed = await asyncio.get_running_loop().run_in_executor(
                    self._maker, _make, algorithm, self._rsa_bits, cipher, new.id
                )
        except TimeoutError:
            raise Busy("The signing key was not made in time. Try again later.") from None
        finally:
            self._waiting -= 1
        return NewSigningKey(new.id, new.created_at, pem, sealed)

    async def sign(self, key_id: str, sealed: bytes, claims: Sequence[Mapping[str, object]]) -> list[str]:
        """A token for each set of claims, in their order, signed in threads with one signing key.

        Raises MasterKeyError when the key cannot be unsealed.
        """
        private_key = self._private_keys.get(key_id)
        if private_key is None:
            private_key = self._private_keys[key_id] = _unseal(self._unlocked(), key_id, sealed)
        loop = asyncio.get_running_loop()
        # No more turns wait in the threads' queue than there are threads: who comes later is next.
        lanes = asyncio.Semaphore(THREADS)

        async def turn(start: int) -> list[str]:
            async with lanes:
                part = claims[start : start + SIGNATURES_PER_TURN]
                return await loop.run_in_executor(self._threads, _sign, private_key, key_id, part)

        parts = await asyncio.gather(*map(turn, range(0, len(claims), SIGNATURES_PER_TURN)))
        return [token for part in parts for token in part]

    def close(self) -> None:
        """Forget every key and end the threads, once they are done with what they have begun."""
        self._cipher = None
        self._private_keys.clear()
        for threads in (self._threads, self._maker):
            threads.shutdown(wait=False, cancel_futures=True)

    def _unlocked(self) -> AESGCM:
        if self._cipher is None:
            raise MasterKeyError("the keyring has not been given the master key")
        return self._cipher


def verifies(public_key_pem: str, token: str) -> bool:
    """Whether a token is signed by this key. Its claims, `exp` among them, are not looked at.

    The key alone decides on the algorithm, and a token whose header names another is not signed by it.
    """
    if not _TOKEN.fullmatch(token):
        return False
    public_key = _public_key(public_key_pem)
    try:
        _JWS.decode(token, public_key, algorithms=[_algorithm_of(public_key).jwa])
    except jwt.PyJWTError:
        return False
    return True


def jwk_of(key_id: str, public_key_pem: str) -> dict[str, str]:
    """A public key as a member of a key set (RFC 7517, RFC 8037)."""
    public_key = _public_key(public_key_pem)
    algorithm = _algorithm_of(public_key).jwa
    members = _JWS.get_algorithm_by_name(algorithm).to_jwk(public_key, as_dict=True)
    members.pop("key_ops", None)  # which says what `use` says, and the two shall not stand together
    return {"kty": members.pop("kty"), "use": "sig", "alg": algorithm, "kid": key_id, **members}


_JWS = jwt.PyJWS(algorithms=[algorithm.jwa for algorithm in Algorithm])


def _algorithm_of(key: _PrivateKey | _PublicKey) -> Algorithm:
    return Algorithm.RS256 if isinstance(key, RSAPrivateKey | RSAPublicKey) else Algorithm.EDDSA


@lru_cache(CACHED_PUBLIC_KEYS)
def _public_key(pem: str) -> _PublicKey:
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, _PublicKey)
    return key


def _make(algorithm: Algorithm, rsa_bits: int, cipher: AESGCM, key_id: str) -> tuple[str, bytes]:
    key: _PrivateKey = (
        generate_private_key(_PUBLIC_EXPONENT, rsa_bits)
        if algorithm is Algorithm.RS256
        else Ed25519PrivateKey.generate()
    )
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    nonce = os.urandom(_NONCE_BYTES)
    # The id is sealed in as well: a key does not open in another key's row.
    return pem.decode(), nonce + cipher.encrypt(nonce, private, key_id.encode())


def _unseal(cipher: AESGCM, key_id: str, sealed: bytes) -> _PrivateKey:
    try:
        private = cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], key_id.encode())
    except (InvalidTag, ValueError):
        raise MasterKeyError(
            f"the private key of {key_id} does not open: it was altered, or sealed under another master key"
        ) from None
    # Only we can have sealed it: to prove its primes again would take 0.2 s, and not 0.04 ms.
    key = load_der_private_key(private, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, _PrivateKey)
    return key


def _sign(key: _PrivateKey, key_id: str, claims: Sequence[Mapping[str, object]]) -> list[str]:
    algorithm, headers = _algorithm_of(key).jwa, {"kid": key_id}
    return [jwt.encode(dict(each), key, algorithm, headers) for each in claims]
