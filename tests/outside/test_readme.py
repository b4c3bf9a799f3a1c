"""The README's code samples verify tokens as described, with only the packages that the README installs."""

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.outside import environments, node
from tests.outside.conftest import Vendor, altered
from tests.outside.environments import sample

SLUG = "my-app"
DAY = 24 * 60 * 60

_RUN_PYTHON = """
import json, sys
from datetime import datetime, timedelta

import jwt.api_jwt

slow = timedelta(seconds=int(sys.argv[1]))


class Clock(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) - slow


jwt.api_jwt.datetime = Clock

from sample import check

outcomes = []
for file in sys.argv[2:]:
    try:
        outcomes.append(check(open(file).read()))
    except jwt.PyJWTError as error:
        outcomes.append(type(error).__name__)
print(json.dumps(outcomes))
"""
_RUN_NODE = """
import { readFile } from "node:fs/promises";
import { check } from "./check.mjs";
const outcome = async (file) => check(await readFile(file, "utf8")).catch((error) => error.code);
console.log(JSON.stringify(await Promise.all(process.argv.slice(2).map(outcome))));
"""


def spoilt(token: str) -> list[str]:
    """Return tokens that every sample must refuse: an altered signature, no signature, altered claims."""
    _, claims, signature = token.split(".")
    none = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    head = token.partition(".")[0]
    better = {**said(token), "tier": "team"}
    forged = base64.urlsafe_b64encode(json.dumps(better).encode()).decode().rstrip("=")
    return [altered(token), f"{none}.{claims}.", f"{head}.{forged}.{signature}"]


def said(token: str) -> dict[str, Any]:
    """Return the claims of a token, without verifying the token."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def files(folder: Path, tokens: list[str]) -> list[str]:
    """Write each token to a file of its own, with a newline at the end. Return the file names."""
    for number, token in enumerate(tokens):
        (folder / f"{number}.jwt").write_text(f"{token}\n")
    return [f"{number}.jwt" for number in range(len(tokens))]


class Python:
    """Runs the README's Python sample in a separate environment."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._python = folder, environments.python(folder)

    def outcomes(self, vendor: Vendor, *tokens: str, slow: int = 0) -> Any:
        """Return the claims of each token, or the name of the error.

        The sample runs with a clock that is `slow` seconds behind.
        """
        code = sample("python").replace("http://localhost:4000", vendor.url)
        (self._folder / "sample.py").write_text(code)
        (self._folder / "run.py").write_text(_RUN_PYTHON)
        done = subprocess.run(
            [self._python, "run.py", str(slow), *files(self._folder, list(tokens))],
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    return Python(tmp_path_factory.mktemp("python"))


@pytest.fixture(scope="module")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    environments.node(folder)
    return folder


def test_python(vendor: Vendor, python: Python) -> None:
    token = vendor.issue(SLUG)

    outcomes = python.outcomes(vendor, token, *spoilt(token), vendor.issue("atlas"))
    vendor.rotate(SLUG)
    renewed = vendor.issue(SLUG)

    assert outcomes == [
        said(token),
        "InvalidSignatureError",
        "PyJWKClientError",
        "InvalidSignatureError",
        "PyJWKClientError",
    ]
    assert python.outcomes(vendor, token, renewed) == [said(token), said(renewed)]


@pytest.mark.parametrize(
    ("slow", "is_valid"), [(1, True), (50, True), (-29 * DAY, True), (DAY, False), (-31 * DAY, False)]
)
def test_python_allows_for_clocks_that_differ(
    vendor: Vendor, python: Python, slow: int, is_valid: bool
) -> None:
    token = vendor.issue(SLUG)

    (outcome,) = python.outcomes(vendor, token, slow=slow)

    refusal = "ImmatureSignatureError" if slow > 0 else "ExpiredSignatureError"
    assert outcome == (said(token) if is_valid else refusal)


def test_javascript(vendor: Vendor, node_folder: Path) -> None:
    (node_folder / "my-app.pem").write_text(vendor.pem(SLUG))
    (node_folder / "check.mjs").write_text(sample("js"))
    (node_folder / "run.mjs").write_text(_RUN_NODE)
    token = vendor.issue(SLUG)

    arguments = files(node_folder, [token, *spoilt(token), vendor.issue("atlas")])
    outcomes = node.answer(node_folder, "run.mjs", *arguments)

    assert outcomes == [
        said(token),
        "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
        "ERR_JOSE_ALG_NOT_ALLOWED",
        "ERR_JWS_SIGNATURE_VERIFICATION_FAILED",
        "ERR_JOSE_ALG_NOT_ALLOWED",
    ]


def test_the_first_app_signs_with_what_every_library_verifies(vendor: Vendor) -> None:
    assert jwt.get_unverified_header(vendor.issue(SLUG))["alg"] == "RS256"
