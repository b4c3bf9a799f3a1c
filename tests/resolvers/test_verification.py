"""Verification: whether a license is valid and, if it is not, the reason. Verifying writes nothing."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from db.clock import as_text
from db.engine import Database
from db.licenses import LicenseStatus, licenses
from db.tokens import tokens
from resolvers.apps import delete_app
from resolvers.errors import BadUserInput, Faults, Unauthenticated
from resolvers.keyring import Algorithm
from resolvers.licenses import (
    create_license,
    delete_license,
    exchange_token,
    regenerate_license,
    reinstate_license,
    revoke_license,
)
from resolvers.rotation import rotate_app_keys
from resolvers.tiers import update_tier
from resolvers.verification import (
    MAX_TOKEN_LENGTH,
    Reason,
    Verification,
    verify_license,
    verify_licenses,
)
from resolvers.viewer import Viewer, anonymous
from tests.factories import (
    Account,
    App,
    License,
    make_app,
    make_customer,
    make_feature,
    make_license,
    make_signing_key,
    make_tier,
    make_token,
)
from tests.keyrings import KEYRING
from tests.resolvers.calling import everything, faults_of, read, row, rows, write
from tests.resolvers.conftest import Clock
from tests.statements import Statements

PLACE = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
ELSEWHERE = "00000000-0000-4000-8000-000000000000"
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Issued:
    """An issued license: what its holder knows, and its app."""

    id: str
    app: App
    token: str
    pem: str

    @property
    def jti(self) -> str:
        return str(claims_of(self.token)["jti"])


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


async def current_token(database: Database, id: str) -> str:
    """Return the text of a license's newest token whose text is stored."""
    held = [each for each in await rows(database, tokens) if each["license_id"] == id and each["token"]]
    return str(max(held, key=lambda each: each["number"])["token"])


async def issue(database: Database, viewer: Viewer, app: App, **values: object) -> Issued:
    customer = await make_customer(database, app)
    terms = {"duration_days": 30} if not {"forever", "expires_at"} & set(values) else {}
    given = {"customer_id": customer.id, "installation_id": PLACE, **terms, **values}
    id = await write(database, create_license, viewer, given)
    pem = (await everything(database))["signing_keys"]
    (of_app,) = (key["public_key_pem"] for key in pem if key["app_id"] == app.id and key["sealed"])
    return Issued(id, app, await current_token(database, id), of_app)


@pytest.fixture(params=list(Algorithm))
async def app(request: pytest.FixtureRequest, database: Database, account: Account) -> App:
    return await make_app(database, account, slug="editor", algorithm=request.param)


@pytest.fixture
async def issued(database: Database, viewer: Viewer, app: App, clock: Clock) -> Issued:
    """A license of the tier "team" that expires after 30 days."""
    export = await make_feature(database, app, slug="export")
    await make_feature(database, app, slug="beta_api")
    tier = await make_tier(database, app, slug="team", features=[export])
    return await issue(database, viewer, app, tier_id=tier.id, features=["beta_api"])


@pytest.fixture
def ask(database: Database, viewer: Viewer) -> Any:
    """A function that verifies a license without a key, and checks that nothing is written."""

    async def ask(by: str, value: str, app_slug: str = "editor") -> Verification | None:
        before = await everything(database)
        found: Any = await read(database, verify_license, anonymous(viewer.policy), app_slug, by, value)
        assert await everything(database) == before
        return found  # type: ignore[no-any-return]

    return ask


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def compact(value: object) -> str:
    return encoded(json.dumps(value, separators=(",", ":")).encode())


def with_header(token: str, **changes: object) -> str:
    """Return a token with these header fields changed and the same signature. None removes a field."""
    _, body, signature = token.split(".")
    header = {**jwt.get_unverified_header(token), **changes}
    return ".".join((compact({key: it for key, it in header.items() if it is not None}), body, signature))


def with_claims(token: str, **changes: object) -> str:
    header, _, signature = token.split(".")
    return ".".join((header, compact({**claims_of(token), **changes}), signature))


def flipped(token: str) -> str:
    """Return the token with one bit of its signature flipped."""
    head, _, signature = token.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[len(raw) // 2] ^= 1
    return f"{head}.{encoded(bytes(raw))}"


def truncated(token: str) -> str:
    """Return the token without the last byte of its signature."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{encoded(base64.urlsafe_b64decode(signature + '==')[:-1])}"


def of_a_stranger(token: str, headers: dict[str, Any] | None = None) -> str:
    """Return a token with the same claims, signed with another key of the same algorithm.

    Without `headers`, its header has the id of the original key.
    """
    algorithm = jwt.get_unverified_header(token)["alg"]
    key: Any = generate_private_key(65_537, 2048) if algorithm == "RS256" else Ed25519PrivateKey.generate()
    return jwt.encode(claims_of(token), key, algorithm, headers or {"kid": kid_of(token)})


def unsigned(token: str) -> str:
    head = compact({"alg": "none", "typ": "JWT", "kid": kid_of(token)})
    return f"{head}.{token.split('.')[1]}."


def by_the_pem(issued: Issued) -> str:
    """Return a token with the same claims, signed with HS256 and the public key's PEM as the secret.

    This is an algorithm confusion attack. The signature is computed here, because PyJWT refuses a PEM as a
    secret.
    """
    signing = (
        f"{compact({'alg': 'HS256', 'typ': 'JWT', 'kid': kid_of(issued.token)})}.{issued.token.split('.')[1]}"
    )
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
        signing.encode(), issued.pem.encode()
    )
    return f"{signing}.{encoded(signature)}"


# Valid licenses


@pytest.mark.parametrize("by", ["token", "jti", "installation_id"])
async def test_a_valid_license(ask: Any, issued: Issued, clock: Clock, by: str) -> None:
    value = {"token": issued.token, "jti": issued.jti, "installation_id": PLACE}[by]

    assert await ask(by, value) == Verification(
        Reason.VALID,
        since=None,
        status=LicenseStatus.ACTIVE,
        installation_id=PLACE,
        tier="team",
        features='["export","beta_api"]',
        expires_at=as_text(clock.now + 30 * DAY),
    )


async def test_a_license_without_tier_or_expiry_is_valid(
    database: Database, viewer: Viewer, app: App, ask: Any
) -> None:
    issued = await issue(database, viewer, app, forever=True)

    assert await ask("token", issued.token) == Verification(
        Reason.VALID, None, LicenseStatus.ACTIVE, PLACE, None, "[]", None
    )


@pytest.mark.parametrize("by", ["token", "jti", "installation_id"])
async def test_an_unknown_app_has_no_result(ask: Any, issued: Issued, by: str) -> None:
    value = {"token": issued.token, "jti": issued.jti, "installation_id": PLACE}[by]

    for slug in ("unknown", "", "Editor", "a\x00b", "\ud800"):
        assert await ask(by, value, slug) is None


# Invalid tokens


BROKEN: dict[str, tuple[Callable[[Issued], str], Reason]] = {
    "empty": (lambda it: "", Reason.MALFORMED_TOKEN),
    "blank": (lambda it: "   ", Reason.MALFORMED_TOKEN),
    "one segment": (lambda it: "abc", Reason.MALFORMED_TOKEN),
    "two segments": (lambda it: it.token.rpartition(".")[0], Reason.MALFORMED_TOKEN),
    "four segments": (lambda it: f"{it.token}.abc", Reason.MALFORMED_TOKEN),
    "only dots": (lambda it: "..", Reason.MALFORMED_TOKEN),
    "truncated header": (lambda it: it.token[10:], Reason.MALFORMED_TOKEN),
    "huge": (lambda it: f"{it.token}{'A' * MAX_TOKEN_LENGTH}", Reason.MALFORMED_TOKEN),
    "NUL": (lambda it: f"{it.token}\x00", Reason.MALFORMED_TOKEN),
    "surrogate": (lambda it: f"{it.token}\ud800", Reason.MALFORMED_TOKEN),
    "NUL inside": (lambda it: f"{it.token[:9]}\x00{it.token[9:]}", Reason.MALFORMED_TOKEN),
    "only Bearer": (lambda it: "Bearer ", Reason.MALFORMED_TOKEN),
    "Bearer without a space": (lambda it: f"Bearer{it.token}", Reason.MALFORMED_TOKEN),
    "Bearer in the middle": (lambda it: f"{it.token[:9]} Bearer {it.token[9:]}", Reason.MALFORMED_TOKEN),
    "another scheme": (lambda it: f"Basic {it.token}", Reason.MALFORMED_TOKEN),
    "not ASCII": (lambda it: f"ü{it.token}", Reason.MALFORMED_TOKEN),
    "header is no object": (lambda it: f"{compact([])}.{it.token.partition('.')[2]}", Reason.MALFORMED_TOKEN),
    "header is no JSON": (lambda it: f"{encoded(b'{')}.{it.token.partition('.')[2]}", Reason.MALFORMED_TOKEN),
    "claims are no object": (
        lambda it: ".".join((it.token.split(".")[0], compact([]), it.token.split(".")[2])),
        Reason.MALFORMED_TOKEN,
    ),
    "claims nested too deeply": (
        lambda it: ".".join((it.token.split(".")[0], encoded(b"[" * 12_000), "abc"))[:MAX_TOKEN_LENGTH],
        Reason.MALFORMED_TOKEN,
    ),
    "kid is no text": (lambda it: with_header(it.token, kid=7), Reason.MALFORMED_TOKEN),
    "kid is missing": (lambda it: with_header(it.token, kid=None), Reason.UNKNOWN_KEY),
    "kid is unknown": (
        lambda it: with_header(it.token, kid="key_01h455vb4pex5vsknk084sn02q"),
        Reason.UNKNOWN_KEY,
    ),
    "kid is empty": (lambda it: with_header(it.token, kid=""), Reason.UNKNOWN_KEY),
    "kid cannot be stored": (lambda it: with_header(it.token, kid="a\x00b"), Reason.UNKNOWN_KEY),
    "header altered": (lambda it: with_header(it.token, typ="jwt"), Reason.BAD_SIGNATURE),
    "expiry altered": (lambda it: with_claims(it.token, exp=4_000_000_000), Reason.BAD_SIGNATURE),
    "tier altered": (lambda it: with_claims(it.token, tier="enterprise"), Reason.BAD_SIGNATURE),
    "license altered": (
        lambda it: with_claims(it.token, lic_id="lic_01h455vb4pex5vsknk084sn02q"),
        Reason.BAD_SIGNATURE,
    ),
    "license that cannot be stored": (
        lambda it: with_claims(it.token, lic_id="a\x00b"),
        Reason.BAD_SIGNATURE,
    ),
    "signature altered": (lambda it: flipped(it.token), Reason.BAD_SIGNATURE),
    "signature truncated": (lambda it: truncated(it.token), Reason.BAD_SIGNATURE),
    "signature padded": (lambda it: f"{it.token}==", Reason.BAD_SIGNATURE),
    "signature of a stranger": (lambda it: of_a_stranger(it.token), Reason.BAD_SIGNATURE),
    "stranger's own kid": (lambda it: of_a_stranger(it.token, {"kid": "me"}), Reason.UNKNOWN_KEY),
    "alg none": (lambda it: unsigned(it.token), Reason.BAD_SIGNATURE),
    "alg None": (lambda it: with_header(it.token, alg="None"), Reason.BAD_SIGNATURE),
    "HS256 under the PEM": (by_the_pem, Reason.BAD_SIGNATURE),
    "RS512 in name": (lambda it: with_header(it.token, alg="RS512"), Reason.BAD_SIGNATURE),
    "another aud": (lambda it: with_claims(it.token, aud="viewer"), Reason.WRONG_APP),
    "several aud": (lambda it: with_claims(it.token, aud=["editor"]), Reason.WRONG_APP),
    "no aud": (lambda it: with_claims(it.token, aud=None), Reason.WRONG_APP),
}


@pytest.mark.surface
@pytest.mark.parametrize("fault", BROKEN)
async def test_an_invalid_token(
    database: Database, viewer: Viewer, ask: Any, issued: Issued, fault: str
) -> None:
    spoil, reason = BROKEN[fault]
    token = spoil(issued)

    assert await ask("token", token) == Verification(reason)
    await cannot_renew(database, viewer, token)


async def cannot_renew(database: Database, viewer: Viewer, token: str) -> None:
    before = await everything(database)
    with pytest.raises(Unauthenticated, match="not valid for this license"):
        await write(database, exchange_token, anonymous(viewer.policy), token)
    assert await everything(database) == before


async def test_a_token_of_another_app(
    database: Database, viewer: Viewer, account: Account, ask: Any, issued: Issued
) -> None:
    other = await make_app(database, account, slug="viewer")
    theirs = await issue(database, viewer, other)

    assert await ask("token", theirs.token) == Verification(Reason.WRONG_APP)
    assert await ask("token", theirs.token, "viewer") == replace(
        await ask("installation_id", PLACE, "viewer"), reason=Reason.VALID
    )
    # The signing key belongs to another app, whatever the audience claim says.
    forged = with_claims(theirs.token, aud="editor")
    assert await ask("token", forged) == Verification(Reason.UNKNOWN_KEY)
    assert await ask("jti", theirs.jti) == Verification(Reason.NOT_FOUND)


async def test_the_form_is_checked_before_the_app_and_the_app_before_the_key(
    ask: Any, issued: Issued
) -> None:
    both = with_header(with_claims(issued.token, aud="viewer"), kid="unknown")

    assert await ask("token", both) == Verification(Reason.WRONG_APP)
    assert await ask("token", f"{both}.more") == Verification(Reason.MALFORMED_TOKEN)


# Retired and dropped keys


async def test_a_token_of_a_retired_key_is_valid_until_60_days_after_the_last_one_expires(
    database: Database, viewer: Viewer, ask: Any, issued: Issued, clock: Clock
) -> None:
    await write(database, rotate_app_keys, viewer, "editor")
    new = await current_token(database, issued.id)
    end = clock.now + 90 * DAY

    assert kid_of(new) != kid_of(issued.token)
    assert (await ask("token", new)).reason is Reason.VALID
    assert (await ask("token", issued.token)).reason is Reason.VALID
    assert (await ask("jti", issued.jti)).reason is Reason.VALID

    clock.now = end - timedelta(seconds=1)
    assert (await ask("token", issued.token)).reason is Reason.EXPIRED
    clock.now = end
    assert await ask("token", issued.token) == Verification(Reason.RETIRED_KEY, since=as_text(end))
    assert await ask("token", flipped(issued.token)) == Verification(Reason.RETIRED_KEY, since=as_text(end))


async def test_a_token_of_a_dropped_key_is_invalid_at_once(
    database: Database, viewer: Viewer, ask: Any, issued: Issued, clock: Clock
) -> None:
    clock.passes(days=1)
    await rotate_app_keys(viewer, database, KEYRING, "editor", immediately=True)
    dropped_at = clock.now
    clock.passes(days=1)

    assert await ask("token", issued.token) == Verification(Reason.RETIRED_KEY, since=as_text(dropped_at))
    await cannot_renew(database, viewer, issued.token)
    # The license itself is still valid when it is looked up by jti or by a newer token.
    assert (await ask("jti", issued.jti)).reason is Reason.VALID
    assert (await ask("token", await current_token(database, issued.id))).reason is Reason.VALID


async def test_a_license_that_never_expires_keeps_its_retired_key(
    database: Database, viewer: Viewer, app: App, ask: Any, clock: Clock
) -> None:
    issued = await issue(database, viewer, app, forever=True)
    await write(database, rotate_app_keys, viewer, "editor")
    clock.passes(days=36_500)

    assert (await ask("token", issued.token)).reason is Reason.VALID


# Revoked, expired and deleted licenses


async def test_a_revoked_license(
    database: Database, viewer: Viewer, ask: Any, issued: Issued, clock: Clock
) -> None:
    held = await ask("token", issued.token)
    clock.passes(hours=1)
    revoked_at = clock.now
    await write(database, revoke_license, viewer, issued.id, {"reason": "Refunded"})
    clock.passes(hours=1)

    revoked = replace(held, reason=Reason.REVOKED, since=as_text(revoked_at), status="REVOKED")
    for by, value in (("token", issued.token), ("jti", issued.jti), ("installation_id", PLACE)):
        assert await ask(by, value) == revoked

    clock.passes(days=31)  # expired as well, but revoked takes precedence
    assert await ask("token", issued.token) == revoked


@pytest.mark.parametrize("by", ["token", "jti", "installation_id"])
async def test_an_expired_license(ask: Any, issued: Issued, clock: Clock, by: str) -> None:
    value = {"token": issued.token, "jti": issued.jti, "installation_id": PLACE}[by]
    held = await ask(by, value)
    end = clock.now + 30 * DAY

    clock.now = end - timedelta(seconds=1)
    assert await ask(by, value) == held
    clock.now = end
    expired = replace(held, reason=Reason.EXPIRED, since=as_text(end), status="EXPIRED")
    assert await ask(by, value) == expired
    clock.passes(days=10)
    assert await ask(by, value) == expired


async def test_a_reinstated_license_is_valid_again(
    database: Database, viewer: Viewer, ask: Any, issued: Issued
) -> None:
    held = await ask("token", issued.token)
    await write(database, revoke_license, viewer, issued.id, {})
    await write(database, reinstate_license, viewer, issued.id)

    assert await ask("token", issued.token) == held


async def test_a_deleted_license(database: Database, viewer: Viewer, ask: Any, issued: Issued) -> None:
    await write(database, delete_license, viewer, issued.id)

    for by, value in (("token", issued.token), ("jti", issued.jti), ("installation_id", PLACE)):
        assert await ask(by, value) == Verification(Reason.NOT_FOUND)
    await cannot_renew(database, viewer, issued.token)


async def test_a_superseded_token_of_a_live_license_is_valid_and_shows_the_current_features(
    database: Database, viewer: Viewer, ask: Any, issued: Issued, clock: Clock
) -> None:
    held = await ask("token", issued.token)
    (tier_id,) = {each["tier_id"] for each in await rows(database, licenses)}
    await write(database, update_tier, viewer, tier_id, {"features": []})
    # The features change only when the license is regenerated.
    assert await ask("token", issued.token) == held

    await write(database, regenerate_license, viewer, issued.id)

    now = replace(held, features='["beta_api"]')
    for by, value in (("token", issued.token), ("jti", issued.jti), ("installation_id", PLACE)):
        assert await ask(by, value) == now


@pytest.mark.parametrize(
    "jti", ["", "nope", "lic_01h455vb4pex5vsknk084sn02q", "a\x00b", "\ud800", "x" * 100_000, "%"]
)
async def test_an_unknown_jti(ask: Any, issued: Issued, jti: str) -> None:
    assert await ask("jti", jti) == Verification(Reason.NOT_FOUND)


async def test_a_token_signed_ahead_is_not_known_yet(database: Database, ask: Any, app: App) -> None:
    await make_signing_key(database, app, 2)
    license = await make_license(database, await make_customer(database, app))
    ahead = await make_token(database, license, 2, "signed.ahead.x")

    assert await ask("jti", ahead) == Verification(Reason.NOT_FOUND)
    assert (await ask("jti", license.jti)).reason is Reason.VALID


async def test_an_installation_is_verified_by_its_active_license_or_else_the_newest(
    database: Database, app: App, ask: Any, clock: Clock
) -> None:
    ada = await make_customer(database, app)

    async def make(**values: Any) -> License:
        clock.passes(seconds=1)
        return await make_license(database, ada, installation_id=PLACE, **values)

    await make(revoked_at=clock.now)
    await make(is_current=False, expires_at=clock.now)
    assert (await ask("installation_id", PLACE)).reason is Reason.EXPIRED

    await make()
    later = await make(revoked_at=clock.now)
    assert (await ask("installation_id", PLACE)).reason is Reason.VALID
    assert (await ask("jti", later.jti)).reason is Reason.REVOKED


async def test_an_unknown_installation(ask: Any, issued: Issued) -> None:
    assert await ask("installation_id", ELSEWHERE) == Verification(Reason.NOT_FOUND)


# Several licenses in one request


async def test_several_are_verified_in_order_by_one_statement(
    database: Database, viewer: Viewer, statements: Statements, app: App, clock: Clock
) -> None:
    ada = await make_customer(database, app)
    made = [await make_license(database, ada, revoked_at=clock.now if n % 2 else None) for n in range(50)]
    for by, values in (
        ("installation_id", [each.installation_id for each in made]),
        ("jti", [each.jti for each in made]),
    ):
        asked = [*reversed(values), *(ELSEWHERE if by == "installation_id" else "none" for _ in range(40))]
        asked += values[:10]
        with statements.recorded(database) as sent:
            found: Any = await read(database, verify_licenses, anonymous(viewer.policy), "editor", by, asked)

        assert len(sent) == 1
        assert [each.reason.value for each in found] == [
            *["REVOKED", "VALID"] * 25,
            *["NOT_FOUND"] * 40,
            *["VALID", "REVOKED"] * 5,
        ]


async def test_an_empty_list_and_a_list_that_is_too_long(
    database: Database, viewer: Viewer, app: App
) -> None:
    nobody = anonymous(viewer.policy)

    async def ask_many(slug: str, values: list[str]) -> Any:
        return await read(database, verify_licenses, nobody, slug, "jti", values)

    assert await ask_many("editor", []) == []
    assert await ask_many("unknown", []) is None
    assert await ask_many("editor", ["a\x00b", "\ud800"]) == [Verification(Reason.NOT_FOUND)] * 2
    assert len(await ask_many("editor", ["x"] * 100)) == 100
    with pytest.raises(BadUserInput, match="more than 100") as refused:
        await ask_many("editor", ["x"] * 101)
    assert refused.value.argument == "jtis"


# A valid token lets its holder regenerate the license


async def test_the_holder_of_a_valid_token_regenerates_it(
    database: Database, viewer: Viewer, issued: Issued, ask: Any, clock: Clock
) -> None:
    clock.passes(days=1)

    exchanged = await write(database, exchange_token, anonymous(viewer.policy), issued.token)

    new = await current_token(database, issued.id)
    assert exchanged.id == issued.id
    assert claims_of(new) == {
        **claims_of(issued.token),
        "iat": int(clock.now.timestamp()),
        "jti": claims_of(new)["jti"],
    }
    assert claims_of(new)["jti"] != issued.jti
    assert (await ask("token", new)).reason is Reason.VALID
    # A superseded token can also be exchanged for a new one, even after a rotation.
    await write(database, rotate_app_keys, viewer, "editor")
    await write(database, exchange_token, anonymous(viewer.policy), issued.token)
    assert (await row(database, licenses, issued.id))["updated_at"] == clock.now


async def test_a_revoked_license_is_not_renewed(database: Database, viewer: Viewer, issued: Issued) -> None:
    await write(database, revoke_license, viewer, issued.id, {})
    before = await everything(database)

    with pytest.raises(Faults) as raised:
        await write(database, exchange_token, anonymous(viewer.policy), issued.token)

    assert faults_of(raised.value) == [("WRONG_STATE", "current_token")]
    assert await everything(database) == before


async def test_an_expired_token_regenerates_nothing(
    database: Database, viewer: Viewer, issued: Issued, clock: Clock
) -> None:
    clock.passes(days=30)
    await cannot_renew(database, viewer, issued.token)
    await write(database, revoke_license, viewer, issued.id, {})
    await cannot_renew(database, viewer, issued.token)


async def test_a_token_of_a_deleted_app_is_useless(
    database: Database, viewer: Viewer, issued: Issued, ask: Any
) -> None:
    await write(database, delete_app, viewer, "editor")

    for by, value in (("token", issued.token), ("jti", issued.jti), ("installation_id", PLACE)):
        assert await ask(by, value) is None
    await cannot_renew(database, viewer, issued.token)
