"""The keyring creates and seals keys, signs tokens, and verifies them."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

import resolvers.keyring
from db.deadlines import Timeouts
from resolvers.errors import Busy
from resolvers.keyring import (
    KEYS_WAITING,
    Algorithm,
    Keyring,
    MasterKeyError,
    NewSigningKey,
    jwk_of,
    verifies,
)
from tests.keyrings import MASTER_KEY, RSA_BITS, unlocked

CLAIMS = {
    "sub": "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11",
    "aud": "editor",
    "tier": None,
    "features": ["é", "b"],
}
OTHER_MASTER_KEY = base64.b64encode(bytes(32)).decode()


@pytest.fixture(params=list(Algorithm))
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    found: Algorithm = request.param
    return found


@pytest.fixture
async def key(keyring: Keyring, algorithm: Algorithm) -> NewSigningKey:
    """A signing key. Tests that use this fixture run once for each algorithm."""
    return await keyring.make(algorithm)


@pytest.fixture
async def token(keyring: Keyring, key: NewSigningKey) -> str:
    [token] = await keyring.sign(key.id, key.sealed, [CLAIMS])
    return token


@pytest.fixture
def restarted() -> Iterator[Keyring]:
    """A keyring that has not unsealed any key yet, as after a restart."""
    keyring = unlocked()
    yield keyring
    keyring.close()


def encoded(value: object) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def with_header(token: str, **members: object) -> str:
    """Return the token with a different header and the same signature."""
    _, payload, signature = token.split(".")
    return f"{encoded(members)}.{payload}.{signature}"


# Creating and sealing keys


async def test_an_rsa_key_has_the_size_from_the_settings() -> None:
    keyring = Keyring(rsa_bits=RSA_BITS + 8)
    keyring.unlock(bytes(32))

    made = load_pem_public_key((await keyring.make(Algorithm.RS256)).public_key_pem.encode())
    keyring.close()

    assert isinstance(made, RSAPublicKey)
    assert (made.key_size, made.public_numbers().e) == (RSA_BITS + 8, 65_537)


async def test_an_eddsa_key_is_ed25519(keyring: Keyring) -> None:
    made = await keyring.make(Algorithm.EDDSA)

    assert isinstance(load_pem_public_key(made.public_key_pem.encode()), Ed25519PublicKey)


async def test_a_new_key_has_an_id_and_its_creation_time(key: NewSigningKey) -> None:
    assert key.id.startswith("sgn_")
    assert key.created_at.microsecond == 0
    assert key.public_key_pem.startswith("-----BEGIN PUBLIC KEY-----\n")


async def test_a_key_is_sealed_differently_each_time(keyring: Keyring) -> None:
    made = [await keyring.make(Algorithm.EDDSA) for _ in range(3)]

    assert len({each.sealed[:12] for each in made}) == 3
    assert len({each.public_key_pem for each in made}) == 3


async def test_a_sealed_key_opens_after_a_restart(key: NewSigningKey, restarted: Keyring) -> None:
    [token] = await restarted.sign(key.id, key.sealed, [CLAIMS])

    assert verifies(key.public_key_pem, token)


async def test_a_key_in_the_row_of_another_does_not_open(
    keyring: Keyring, key: NewSigningKey, restarted: Keyring
) -> None:
    other = await keyring.make(Algorithm.EDDSA)

    with pytest.raises(MasterKeyError, match=f"the private key of {other.id} does not open"):
        await restarted.sign(other.id, key.sealed, [CLAIMS])


@pytest.mark.parametrize("place", [0, 11, 12, 40, -1])
async def test_an_altered_key_does_not_open(key: NewSigningKey, restarted: Keyring, place: int) -> None:
    altered = bytearray(key.sealed)
    altered[place] ^= 1

    with pytest.raises(MasterKeyError, match="does not open"):
        await restarted.sign(key.id, bytes(altered), [CLAIMS])


@pytest.mark.parametrize("length", [0, 5, 12, 20])
async def test_a_truncated_key_does_not_open(key: NewSigningKey, restarted: Keyring, length: int) -> None:
    with pytest.raises(MasterKeyError, match="does not open"):
        await restarted.sign(key.id, key.sealed[:length], [CLAIMS])


async def test_a_key_does_not_open_under_another_master_key(key: NewSigningKey) -> None:
    other = unlocked(OTHER_MASTER_KEY)

    with pytest.raises(MasterKeyError, match="sealed under another master key"):
        await other.sign(key.id, key.sealed, [CLAIMS])
    other.close()


async def test_a_keyring_without_the_master_key_makes_and_opens_nothing(key: NewSigningKey) -> None:
    locked = Keyring()

    with pytest.raises(MasterKeyError, match="has not been given the master key"):
        await locked.make(Algorithm.EDDSA)
    with pytest.raises(MasterKeyError, match="has not been given the master key"):
        await locked.sign(key.id, key.sealed, [CLAIMS])


async def test_a_closed_keyring_holds_no_keys(keyring: Keyring, key: NewSigningKey, token: str) -> None:
    keyring.close()

    with pytest.raises(MasterKeyError):
        await keyring.sign(key.id, key.sealed, [CLAIMS])


async def test_nothing_shows_a_key(keyring: Keyring, key: NewSigningKey) -> None:
    with pytest.raises(MasterKeyError) as refused:
        await keyring.sign(key.id, key.sealed[:-1], [CLAIMS])

    shown = f"{keyring!r} {key!r} {refused.value!r} {refused.value.__cause__!r}"
    for secret in (MASTER_KEY, repr(base64.b64decode(MASTER_KEY)), repr(key.sealed)[2:20]):
        assert secret not in shown


# Signing


async def test_a_token_verifies_with_pyjwt(key: NewSigningKey, token: str, algorithm: Algorithm) -> None:
    jwa = {Algorithm.RS256: "RS256", Algorithm.EDDSA: "EdDSA"}[algorithm]

    assert jwt.decode(token, key.public_key_pem, algorithms=[jwa], audience="editor") == CLAIMS
    assert jwt.get_unverified_header(token) == {"alg": jwa, "typ": "JWT", "kid": key.id}


@pytest.mark.parametrize("count", [0, 1, 16, 17, 100])
async def test_tokens_are_in_the_order_of_their_claims(keyring: Keyring, count: int) -> None:
    key = await keyring.make(Algorithm.EDDSA)

    tokens = await keyring.sign(key.id, key.sealed, [{"jti": str(number)} for number in range(count)])

    assert all(verifies(key.public_key_pem, token) for token in tokens)
    assert [jwt.decode(token, options={"verify_signature": False})["jti"] for token in tokens] == [
        str(number) for number in range(count)
    ]


async def test_a_single_token_does_not_wait_for_a_long_list(
    keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await keyring.make(Algorithm.RS256)
    turns: list[int] = []
    sign = resolvers.keyring._sign

    def noted(key: Any, key_id: str, claims: Any) -> list[str]:
        turns.append(len(claims))
        return sign(key, key_id, claims)

    monkeypatch.setattr(resolvers.keyring, "_sign", noted)

    many = asyncio.create_task(keyring.sign(key.id, key.sealed, [CLAIMS] * 800))
    for _ in range(5):  # until the first call has begun to sign
        await asyncio.sleep(0)
    await keyring.sign(key.id, key.sealed, [CLAIMS])

    assert len(await many) == 800
    assert sorted(turns) == [1] + [16] * 50
    assert 0 < turns.index(1) < 25


async def test_keys_that_are_used_concurrently_are_not_confused(keyring: Keyring) -> None:
    keys = [await keyring.make(Algorithm.EDDSA) for _ in range(20)]

    signed = await asyncio.gather(*(keyring.sign(key.id, key.sealed, [CLAIMS]) for key in keys))

    assert [[verifies(key.public_key_pem, token) for key in keys].index(True) for [token] in signed] == list(
        range(20)
    )


# Verifying


async def test_a_token_only_verifies_under_its_own_key(
    keyring: Keyring, key: NewSigningKey, token: str
) -> None:
    others = [await keyring.make(algorithm) for algorithm in Algorithm]

    assert verifies(key.public_key_pem, token)
    assert not any(verifies(other.public_key_pem, token) for other in others)


async def test_only_the_signature_is_verified_and_not_the_claims(
    keyring: Keyring, key: NewSigningKey
) -> None:
    [expired] = await keyring.sign(key.id, key.sealed, [{"exp": 1, "nbf": 9_999_999_999, "aud": "editor"}])

    assert verifies(key.public_key_pem, expired)


async def test_a_token_that_was_altered_anywhere_does_not_verify(key: NewSigningKey, token: str) -> None:
    for place in range(0, len(token), 7):
        letter = "B" if token[place] != "B" else "C"
        assert not verifies(key.public_key_pem, token[:place] + letter + token[place + 1 :]), place


async def test_a_truncated_token_does_not_verify(key: NewSigningKey, token: str) -> None:
    assert not any(verifies(key.public_key_pem, token[:length]) for length in range(0, len(token), 5))
    assert not verifies(key.public_key_pem, token[:-1])


@pytest.mark.parametrize("tail", ["=", "==", ".", "\n", " ", ".x", "A"])
async def test_a_token_with_trailing_bytes_does_not_verify(key: NewSigningKey, token: str, tail: str) -> None:
    assert not verifies(key.public_key_pem, token + tail)


@pytest.mark.parametrize(
    "alg", ["none", "None", "", "HS256", "RS384", "PS256", "ES256", None, 1, ["RS256"], {}]
)
async def test_another_algorithm_in_the_header_does_not_verify(
    key: NewSigningKey, token: str, alg: object
) -> None:
    _, payload, _ = token.split(".")

    assert not verifies(key.public_key_pem, with_header(token, alg=alg, typ="JWT"))
    assert not verifies(key.public_key_pem, f"{encoded({'alg': alg})}.{payload}.")


async def test_the_algorithm_of_the_other_kind_of_key_does_not_verify(
    key: NewSigningKey, token: str, algorithm: Algorithm
) -> None:
    [other] = set(Algorithm) - {algorithm}

    assert not verifies(key.public_key_pem, with_header(token, alg=other.jwa, typ="JWT", kid=key.id))


@pytest.mark.parametrize("alg", ["HS256", "RS256", "EdDSA"])
async def test_a_token_signed_with_the_public_key_as_secret_does_not_verify(
    key: NewSigningKey, alg: str
) -> None:
    signed = f"{encoded({'alg': alg, 'typ': 'JWT', 'kid': key.id})}.{encoded(CLAIMS)}"
    signature = hmac.digest(key.public_key_pem.encode(), signed.encode(), hashlib.sha256)

    assert not verifies(key.public_key_pem, f"{signed}.{encoded(signature)}")


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"alg": "RS256", "crit": ["exp"]},
        {"alg": "RS256", "b64": False, "crit": ["b64"]},
        [],
        "RS256",
        None,
    ],
)
async def test_a_header_of_another_form_does_not_verify(key: NewSigningKey, token: str, members: Any) -> None:
    _, payload, signature = token.split(".")

    assert not verifies(key.public_key_pem, f"{encoded(members)}.{payload}.{signature}")


@pytest.fixture(scope="module")
def any_key() -> NewSigningKey:
    keyring = unlocked()
    made = asyncio.run(keyring.make(Algorithm.RS256))
    keyring.close()
    return made


_segments = (
    st.text("-_AQaz09", max_size=30)
    | st.binary(max_size=30).map(encoded)
    | st.just(encoded({"alg": "RS256"}))
)


@given(st.text() | st.lists(_segments, max_size=5).map(".".join))
def test_text_that_is_not_a_token_does_not_verify(any_key: NewSigningKey, text: str) -> None:
    assert not verifies(any_key.public_key_pem, text)


# Key sets


async def test_a_member_of_a_key_set_verifies_tokens(
    key: NewSigningKey, token: str, algorithm: Algorithm
) -> None:
    member = jwk_of(key.id, key.public_key_pem)

    read = jwt.PyJWK.from_dict(member)

    assert (read.key_id, read.algorithm_name, read.public_key_use) == (key.id, algorithm.jwa, "sig")
    assert jwt.decode(token, read, audience="editor") == CLAIMS


async def test_a_member_of_a_key_set_has_these_members_and_no_others(keyring: Keyring) -> None:
    rsa, eddsa = [await keyring.make(algorithm) for algorithm in Algorithm]

    rsa_member, eddsa_member = [jwk_of(key.id, key.public_key_pem) for key in (rsa, eddsa)]

    assert list(rsa_member) == ["kty", "use", "alg", "kid", "n", "e"]
    assert (rsa_member["kty"], rsa_member["e"]) == ("RSA", "AQAB")
    assert list(eddsa_member) == ["kty", "use", "alg", "kid", "x", "crv"]
    assert (eddsa_member["kty"], eddsa_member["crv"]) == ("OKP", "Ed25519")


# Concurrent creation of keys


class Held:
    """Creates keys like the keyring, but waits until the test allows it."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.made = 0
        self._make = resolvers.keyring._make

    def make(self, *arguments: Any) -> tuple[str, bytes]:
        self.made += 1
        assert self.let_go.wait(30)
        return self._make(*arguments)


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Delay the creation of keys until the test allows it."""
    held = Held()
    monkeypatch.setattr(resolvers.keyring, "_make", held.make)
    yield held
    held.let_go.set()


async def test_signing_does_not_wait_for_the_creation_of_keys(keyring: Keyring, held: Held) -> None:
    held.let_go.set()
    key = await keyring.make(Algorithm.EDDSA)
    held.let_go.clear()
    making = [asyncio.create_task(keyring.make(Algorithm.EDDSA)) for _ in range(8)]
    await asyncio.sleep(0.05)

    (token,) = await keyring.sign(key.id, key.sealed, [{"sub": "x"}])

    assert verifies(key.public_key_pem, token)
    assert not any(task.done() for task in making)
    held.let_go.set()
    await asyncio.gather(*making)


async def test_a_key_that_is_made_ahead_holds_up_no_request(keyring: Keyring, held: Held) -> None:
    ahead = asyncio.create_task(keyring.make_ahead(Algorithm.EDDSA))
    await asyncio.sleep(0.05)
    making = asyncio.create_task(keyring.make(Algorithm.EDDSA))
    await asyncio.sleep(0.05)

    assert held.made == 2
    held.let_go.set()
    assert (await ahead).id != (await making).id


async def test_a_key_that_is_made_ahead_has_no_deadline(held: Held) -> None:
    keyring = Keyring(rsa_bits=RSA_BITS, timeouts=Timeouts(statement=0.05))
    keyring.unlock(bytes(32))

    ahead = asyncio.create_task(keyring.make_ahead(Algorithm.EDDSA))
    await asyncio.sleep(0.15)

    held.let_go.set()
    assert (await ahead).public_key_pem.startswith("-----BEGIN PUBLIC KEY-----")
    keyring.close()


async def test_too_many_waiting_callers_are_refused(keyring: Keyring, held: Held) -> None:
    making = [asyncio.create_task(keyring.make(Algorithm.EDDSA)) for _ in range(KEYS_WAITING)]
    await asyncio.sleep(0.05)

    with pytest.raises(Busy):
        await keyring.make(Algorithm.EDDSA)

    held.let_go.set()
    assert len({key.id for key in await asyncio.gather(*making)}) == KEYS_WAITING
    await keyring.make(Algorithm.EDDSA)


async def test_a_caller_that_gives_up_leaves_the_queue(keyring: Keyring, held: Held) -> None:
    making = [asyncio.create_task(keyring.make(Algorithm.EDDSA)) for _ in range(5)]
    await asyncio.sleep(0.05)
    for task in making[1:]:
        task.cancel()
    await asyncio.wait(making[1:])

    held.let_go.set()
    await making[0]
    await keyring.make(Algorithm.EDDSA)
    assert held.made == 2


async def test_waiting_for_a_key_has_the_deadline_of_a_statement(held: Held) -> None:
    keyring = Keyring(rsa_bits=RSA_BITS, timeouts=Timeouts(statement=0.1))
    keyring.unlock(bytes(32))

    with pytest.raises(Busy):
        await keyring.make(Algorithm.EDDSA)

    held.let_go.set()
    keyring.close()


def test_a_sealed_secret_opens_only_in_its_place(keyring: Keyring) -> None:
    sealed = keyring.seal(b"sk_live_1", "here")
    altered = sealed[:-1] + bytes([sealed[-1] ^ 1])

    assert keyring.open(sealed, "here") == b"sk_live_1"
    assert b"sk_live_1" not in sealed
    assert keyring.seal(b"sk_live_1", "here") != sealed
    for secret, about in ((sealed, "there"), (altered, "here"), (b"", "here")):
        with pytest.raises(MasterKeyError, match="does not open"):
            keyring.open(secret, about)


def test_another_master_key_opens_no_secret(keyring: Keyring) -> None:
    other = unlocked(OTHER_MASTER_KEY)

    with pytest.raises(MasterKeyError, match="does not open"):
        other.open(keyring.seal(b"sk_live_1", "here"), "here")
    other.close()
