"""`openssl` verifies a token, using only the app's public key."""

import base64
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.outside.conftest import Vendor, altered

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")

COMMANDS = {
    "RS256": ("dgst", "-sha256", "-verify", "key.pem", "-signature", "signature", "signed"),
    "EdDSA": (
        *("pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "key.pem"),
        *("-sigfile", "signature", "-in", "signed"),
    ),
}


def is_signed(folder: Path, algorithm: str, pem: str, token: str) -> bool:
    signed, _, signature = token.rpartition(".")
    (folder / "key.pem").write_text(pem)
    (folder / "signed").write_text(signed)
    (folder / "signature").write_bytes(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)))
    done = subprocess.run(
        ["openssl", *COMMANDS[algorithm]], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stdout + done.stderr
    assert ("Verified OK" in said or "Verified Successfully" in said) == (done.returncode == 0), said
    assert done.returncode == 0 or "erif" in said, said
    return done.returncode == 0


def test_a_token_only_verifies_under_the_key_of_its_app(
    tmp_path: Path, vendor: Vendor, algorithm: str, slug: str
) -> None:
    token, old = vendor.issue(slug), vendor.pem(slug)
    vendor.rotate(slug)
    renewed, new = vendor.issue(slug), vendor.pem(slug)

    assert is_signed(tmp_path, algorithm, old, token)
    assert is_signed(tmp_path, algorithm, new, renewed)
    assert not is_signed(tmp_path, algorithm, new, token)
    assert not is_signed(tmp_path, algorithm, old, renewed)
    assert not is_signed(tmp_path, algorithm, old, altered(token))


def test_the_public_key_is_the_file_that_openssl_writes(tmp_path: Path, vendor: Vendor, slug: str) -> None:
    pem = vendor.pem(slug)

    done = subprocess.run(
        ["openssl", "pkey", "-pubin", "-pubout"], input=pem, capture_output=True, text=True, check=True
    )

    assert done.stdout == pem


def test_anyone_can_get_the_public_key(vendor: Vendor, slug: str) -> None:
    answer = httpx.get(f"{vendor.url}/api/v1/apps/{slug}/public-key")

    assert (answer.status_code, answer.text) == (200, vendor.pem(slug))
