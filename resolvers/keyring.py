"""Signing keys: a `Keyring` creates, encrypts and uses them.

`verifies` and `jwk_of` only need the public key.

A private key is stored sealed: encrypted with AES-256-GCM under the installation's master key. So are other
secrets that must be shown again (`Keyring.seal`).
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

# The maximum number of requests that wait for a new key. Keys are created one at a time, because an RSA key
# can keep a processor busy for seconds. Keys that no request waits for are created in a thread of their own,
# so that they do not delay requests.
KEYS_WAITING = 16
THREADS = min(4, os.cpu_count() or 1)
# The number of tokens that a thread signs in one turn. A single signature then waits for at most one turn,
# not for a whole rotation.
SIGNATURES_PER_TURN = 16
CACHED_PRIVATE_KEYS = 256
CACHED_PUBLIC_KEYS = 1_024

_PUBLIC_EXPONENT = 65_537
_NONCE_BYTES = 12
# PyJWT also accepts tokens with padding. This pattern does not, so a signed token can only be written in one
# way.
_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)

_PrivateKey: TypeAlias = RSAPrivateKey | Ed25519PrivateKey
_PublicKey: TypeAlias = RSAPublicKey | Ed25519PublicKey


class Algorithm(StrEnum):
    """An algorithm that signs an app's tokens."""

    RS256 = "RS256"
    EDDSA = "EDDSA"

    @property
    def jwa(self) -> str:
        """The algorithm's name in tokens and key sets (RFC 7518, RFC 8037)."""
        return "EdDSA" if self is Algorithm.EDDSA else self.value


class MasterKeyError(Exception):
    """There is no usable master key, or it cannot decrypt a stored key.

    The message is one line and shows no key.
    """


@dataclass(frozen=True, slots=True)
class NewSigningKey:
    """A new signing key, as it is stored. `id` is the `kid` of the tokens that it signs."""

    id: str
    created_at: datetime
    public_key_pem: str
    sealed: bytes = field(repr=False)


class Keyring:
    """Holds the master key and the decrypted private keys. No other object keeps a decrypted private key.

    A new keyring is locked: until `unlock` is called, methods that need the master key raise MasterKeyError.
    Close a keyring after use.
    """

    def __init__(
        self, *, rsa_bits: int = 4096, issuer: str = "license-server", timeouts: Timeouts = UNLIMITED
    ) -> None:
        """`rsa_bits` is the size of new RS256 keys, and `issuer` is the `iss` claim of tokens.

        `make` has the same time limit as a database statement (`timeouts`).
        """
        self.issuer = issuer
        self._rsa_bits = rsa_bits
        self._cipher: AESGCM | None = None
        self._private_keys: LRUCache[str, _PrivateKey] = LRUCache(CACHED_PRIVATE_KEYS)
        self._timeouts = timeouts
        self._threads = ThreadPoolExecutor(THREADS, "keyring")
        self._maker = ThreadPoolExecutor(1, "key-maker")
        self._maker_ahead = ThreadPoolExecutor(1, "key-maker-ahead")
        self._waiting = 0

    def unlock(self, master_key: bytes) -> None:
        """Set the master key, which is 32 bytes long. `resolvers.master_key` finds and checks it."""
        self._cipher = AESGCM(master_key)

    async def make(self, algorithm: Algorithm) -> NewSigningKey:
        """Create a signing key, in a thread that is not used for signing.

        Raises Busy if `KEYS_WAITING` calls are already waiting, or if the key is not created in time.
        """
        if self._waiting >= KEYS_WAITING:
            raise Busy("Too many signing keys are being made. Try again later.")
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds_left(self._timeouts.of_statement())):
                # If a call times out while its work is queued, the work is removed from the queue.
                return await self._made_by(self._maker, algorithm)
        except TimeoutError:
            raise Busy("The signing key was not made in time. Try again later.") from None
        finally:
            self._waiting -= 1

    async def make_ahead(self, algorithm: Algorithm) -> NewSigningKey:
        """Create a signing key that no request waits for.

        There is no time limit, and `make` is not delayed.
        """
        return await self._made_by(self._maker_ahead, algorithm)

    async def _made_by(self, maker: ThreadPoolExecutor, algorithm: Algorithm) -> NewSigningKey:
        cipher, new = self._unlocked(), ids.new_id(ids.SIGNING_KEY)
        pem, sealed = await asyncio.get_running_loop().run_in_executor(
            maker, _make, algorithm, self._rsa_bits, cipher, new.id
        )
        return NewSigningKey(new.id, new.created_at, pem, sealed)

    async def sign(self, key_id: str, sealed: bytes, claims: Sequence[Mapping[str, object]]) -> list[str]:
        """Return a token for each set of claims, in order.

        All tokens are signed with one key, in several threads. Raises MasterKeyError if the key cannot be
        decrypted.
        """
        private_key = self._private_keys.get(key_id)
        if private_key is None:
            private_key = self._private_keys[key_id] = _unseal(self._unlocked(), key_id, sealed)
        loop = asyncio.get_running_loop()
        # Never submit more turns than there are threads, so that other calls do not wait long for a turn.
        free = asyncio.Semaphore(THREADS)

        async def turn(start: int) -> list[str]:
            async with free:
                part = claims[start : start + SIGNATURES_PER_TURN]
                return await loop.run_in_executor(self._threads, _sign, private_key, key_id, part)

        parts = await asyncio.gather(*map(turn, range(0, len(claims), SIGNATURES_PER_TURN)))
        return [token for part in parts for token in part]

    def seal(self, secret: bytes, about: str) -> bytes:
        """Encrypt a secret under the master key. `about` says where it is stored."""
        return _seal(self._unlocked(), secret, about)

    def open(self, sealed: bytes, about: str) -> bytes:
        """Decrypt a secret. Raises MasterKeyError if it was altered, or sealed with another `about`."""
        secret = _open(self._unlocked(), sealed, about)
        if secret is None:
            raise MasterKeyError("a stored secret does not open: it was altered, or moved from its row")
        return secret

    def close(self) -> None:
        """Forget all keys. Work that has begun is finished, and queued work is cancelled."""
        self._cipher = None
        self._private_keys.clear()
        for threads in (self._threads, self._maker, self._maker_ahead):
            threads.shutdown(wait=False, cancel_futures=True)

    def _unlocked(self) -> AESGCM:
        if self._cipher is None:
            raise MasterKeyError("the keyring has not been given the master key")
        return self._cipher


def verifies(public_key_pem: str, token: str) -> bool:
    """Return whether this key signed the token. Claims are not checked, not even `exp`.

    The key determines the algorithm. A token whose header names another algorithm is not valid.
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
    """Return a public key as a member of a key set (RFC 7517, RFC 8037)."""
    public_key = _public_key(public_key_pem)
    algorithm = _algorithm_of(public_key).jwa
    members = _JWS.get_algorithm_by_name(algorithm).to_jwk(public_key, as_dict=True)
    members.pop("key_ops", None)  # `use` has the same meaning, and RFC 7517 advises against having both
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
    return pem.decode(), _seal(cipher, private, key_id)


def _seal(cipher: AESGCM, secret: bytes, about: str) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    # `about` is authenticated too, so the secret cannot be decrypted if it is moved to another row.
    return nonce + cipher.encrypt(nonce, secret, about.encode())


def _open(cipher: AESGCM, sealed: bytes, about: str) -> bytes | None:
    """Return the secret, or None if it was not sealed with this key and `about`."""
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError):
        return None


def _unseal(cipher: AESGCM, key_id: str, sealed: bytes) -> _PrivateKey:
    private = _open(cipher, sealed, key_id)
    if private is None:
        raise MasterKeyError(
            f"the private key of {key_id} does not open: it was altered, or sealed under another master key"
        )
    # This program encrypted the key itself, so its primes need no check. The check takes 0.2 s; loading the
    # key without it takes 0.04 ms.
    key = load_der_private_key(private, None, unsafe_skip_rsa_key_validation=True)
    assert isinstance(key, _PrivateKey)
    return key


def _sign(key: _PrivateKey, key_id: str, claims: Sequence[Mapping[str, object]]) -> list[str]:
    algorithm, headers = _algorithm_of(key).jwa, {"kid": key_id}
    return [jwt.encode(dict(each), key, algorithm, headers) for each in claims]
