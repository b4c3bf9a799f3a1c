"""In Node.js, jose verifies tokens with the key set of a running server."""

from typing import Any

import pytest

from tests.outside import node
from tests.outside.conftest import Vendor, altered

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
