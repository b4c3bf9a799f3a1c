"""PyJWT's key set client verifies tokens against a running server, before and after rotations."""

import jwt
import pytest
from jwt import PyJWKClient, PyJWKClientError

from tests.outside.conftest import Exchanged, Vendor, altered

DAY = 24 * 60 * 60


def claims(vendor: Vendor, slug: str, algorithm: str, token: str) -> dict[str, object]:
    """Verify a token with the current key set, and return its claims."""
    key = PyJWKClient(vendor.jwks_url(slug)).get_signing_key_from_jwt(token)
    return jwt.decode(token, key, algorithms=[algorithm], audience=slug, issuer="license-server")


def test_a_token_is_valid_through_a_rotation_until_its_key_is_dropped(
    vendor: Vendor, algorithm: str, slug: str
) -> None:
    token = vendor.issue(slug)
    assert claims(vendor, slug, algorithm, token)["aud"] == slug

    vendor.rotate(slug)
    renewed = vendor.issue(slug)
    assert claims(vendor, slug, algorithm, token)["aud"] == slug
    assert claims(vendor, slug, algorithm, renewed)["aud"] == slug
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, vendor.pem(slug), algorithms=[algorithm], audience=slug)

    vendor.rotate(slug, retire="IMMEDIATELY")
    for dropped in (token, renewed):
        with pytest.raises(PyJWKClientError, match="Unable to find a signing key"):
            claims(vendor, slug, algorithm, dropped)
        with pytest.raises(jwt.InvalidSignatureError):
            jwt.decode(dropped, vendor.pem(slug), algorithms=[algorithm], audience=slug)
    assert claims(vendor, slug, algorithm, vendor.issue(slug))["aud"] == slug


def test_an_installation_whose_license_was_renewed_after_it_expired_gets_its_token_by_itself(
    vendor: Vendor, exchanged: dict[str, Exchanged], algorithm: str, slug: str
) -> None:
    tokens = exchanged[slug]

    with pytest.raises(jwt.ExpiredSignatureError):
        claims(vendor, slug, algorithm, tokens.old)
    old = jwt.decode(tokens.old, options={"verify_signature": False})
    new = claims(vendor, slug, algorithm, tokens.new)
    assert 364 * DAY < int(str(new["exp"])) - old["exp"] < 366 * DAY
    changed = {"exp", "iat", "jti"}
    assert {name: new[name] for name in old if name not in changed} == {
        name: old[name] for name in old if name not in changed
    }


def test_a_token_that_was_altered_or_is_of_another_app_is_invalid(
    vendor: Vendor, algorithm: str, slug: str
) -> None:
    token = vendor.issue(slug)

    with pytest.raises(jwt.InvalidSignatureError):
        claims(vendor, slug, algorithm, altered(token))
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, vendor.pem(slug), algorithms=[algorithm], audience="another")
