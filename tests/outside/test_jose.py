"""In Node.js, jose verifies tokens with the key set of a running server."""

import time
from typing import Any

import pytest

from tests.outside import node
from tests.outside.conftest import Exchanged, Vendor, altered

pytestmark = pytest.mark.skipif(node.missing() is not None, reason=str(node.missing()))


def verified(vendor: Vendor, slug: str, algorithm: str, token: str) -> Any:
    return node.answer(node.FOLDER, "verify.mjs", vendor.jwks_url(slug), slug, algorithm, token)


def test_a_token_is_valid_through_a_rotation_until_its_key_is_dropped(
    vendor: Vendor, algorithm: str, slug: str
) -> None:
    token = vendor.issue(slug)
    assert verified(vendor, slug, algorithm, token)["payload"]["aud"] == slug
    assert verified(vendor, slug, algorithm, altered(token)) == {
        "code": "ERR_JWS_SIGNATURE_VERIFICATION_FAILED"
    }

    vendor.rotate(slug)
    assert verified(vendor, slug, algorithm, token)["payload"]["aud"] == slug
    assert verified(vendor, slug, algorithm, vendor.issue(slug))["payload"]["aud"] == slug

    vendor.rotate(slug, retire="IMMEDIATELY")
    assert verified(vendor, slug, algorithm, token) == {"code": "ERR_JWKS_NO_MATCHING_KEY"}


def test_an_installation_whose_license_was_renewed_after_it_expired_gets_its_token_by_itself(
    vendor: Vendor, exchanged: dict[str, Exchanged], algorithm: str, slug: str
) -> None:
    tokens = exchanged[slug]

    assert verified(vendor, slug, algorithm, tokens.old) == {"code": "ERR_JWT_EXPIRED"}
    payload = verified(vendor, slug, algorithm, tokens.new)["payload"]
    assert 364 < (payload["exp"] - time.time()) / (24 * 60 * 60) <= 365
