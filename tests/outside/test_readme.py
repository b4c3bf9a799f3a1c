"""The samples of the README verify what they say they verify."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.outside import node
from tests.outside.conftest import Vendor, altered
from tests.processes import PROGRAM

SLUG = "my-app"


def sample(language: str) -> str:
    """The README's only block of code in a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", (PROGRAM.parent / "README.md").read_text(), re.DOTALL)
    return str(found)


def spoilt(token: str) -> list[str]:
    """What no sample may take: a signature altered, no signature, claims altered."""
    _, claims, signature = token.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    head = token.partition(".")[0]
    better = {**jwt.decode(token, options={"verify_signature": False}), "tier": "team"}
    forged = base64.urlsafe_b64encode(json.dumps(better).encode()).decode().rstrip("=")
    return [altered(token), f"{none}.{claims}.", f"{head}.{forged}.{signature}"]


def test_python(vendor: Vendor) -> None:
    code = sample("python").replace("http://localhost:4000", vendor.url)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)
    check, token = names["check"], vendor.issue(SLUG)

    assert check(token) == jwt.decode(token, options={"verify_signature": False})
    for bad in (*spoilt(token), vendor.issue("atlas")):
        with pytest.raises(jwt.PyJWTError):
            check(bad)
    vendor.rotate(SLUG)
    assert check(token)["aud"] == SLUG


@pytest.mark.skipif(node.missing() is not None, reason=str(node.missing()))
def test_javascript(tmp_path: Path, vendor: Vendor) -> None:
    (tmp_path / "node_modules").symlink_to(node.MODULES)
    (tmp_path / "my-app.pem").write_text(vendor.pem(SLUG))
    (tmp_path / "check.mjs").write_text(sample("js"))
    (tmp_path / "run.mjs").write_text("""
        import { check } from "./check.mjs";
        const outcome = (token) => check(token).catch((error) => error.code);
        console.log(JSON.stringify(await Promise.all(process.argv.slice(2).map(outcome))));
    """)
    token = vendor.issue(SLUG)

    outcomes = node.answer(tmp_path, "run.mjs", token, *spoilt(token), vendor.issue("atlas"))

    assert outcomes == [
        jwt.decode(token, options={"verify_signature": False}),
        "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
        "ERR_JOSE_ALG_NOT_ALLOWED",
        "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
        "ERR_JOSE_ALG_NOT_ALLOWED",
    ]
