"""The OpenAPI document: validators find no fault in it, and the clients generated from it work."""

import json
import subprocess
import sys
from pathlib import Path

import openapi_spec_validator
import pytest

from rest.openapi import document
from schema.pipeline.names import camel_case
from tests.outside import node
from tests.outside.conftest import Vendor
from tests.rest.expecting import CUSTOMER_ID, MOMENT

needs_npm = pytest.mark.skipif(node.missing(node.OPENAPI) is not None, reason=str(node.missing(node.OPENAPI)))
SLUG = "atlas"
JANE = {
    "id": CUSTOMER_ID,
    "email": "jane@example.com",
    "name": "Jane Smith",
    "external_id": "cus_stripe_123",
    "metadata": {"company": "Acme Corp", "plan": "annual"},
    "created_at": MOMENT,
}
METHODS = [each["operationId"] for path in document()["paths"].values() for each in path.values()]
"""The ids of all operations, one for each path and method."""

ROTATE = """
import json, sys
from client import AuthenticatedClient
from client.api.signing_keys import get_public_key, rotate_keys

url, key, slug = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=key)
rotated = rotate_keys.sync_detailed(slug, client=client, retire="immediately")
pem = get_public_key.sync(slug, client=client)
print(json.dumps({
    "status": rotated.status_code,
    "licenses_resigned": rotated.parsed.data.licenses_resigned,
    "same_key": rotated.parsed.data.public_key_pem == pem,
}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the OpenAPI document, in which clients are generated."""
    folder = tmp_path_factory.mktemp("clients")
    (folder / "openapi.json").write_text(json.dumps(document()))
    (folder / "node_modules").symlink_to(node.OPENAPI / "node_modules")
    for program in node.OPENAPI.glob("*.ts"):
        (folder / program.name).write_text(program.read_text())
    return folder


def key_of(vendor: Vendor) -> str:
    return str(vendor.client.headers["Authorization"].removeprefix("Bearer "))


def compiled(folder: Path, program: str) -> str:
    """Check the types of a TypeScript program, compile it, and return the name of the JavaScript file."""
    options = (
        "--strict --target es2022 --lib es2023,dom,dom.iterable --module commonjs --moduleResolution node10"
    )
    node.run(folder, "node_modules/typescript/bin/tsc", *options.split(), "--skipLibCheck", program)
    return f"{program.removesuffix('.ts')}.js"


def test_openapi_spec_validator_finds_nothing() -> None:
    openapi_spec_validator.validate(document())
    openapi_spec_validator.validate(document("/tools/licenses"))


@needs_npm
@pytest.mark.parametrize("path_prefix", ["", "/tools/licenses"])
def test_redocly_and_spectral_find_nothing(tmp_path: Path, path_prefix: str) -> None:
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document(path_prefix)))

    assert node.answer(node.OPENAPI, "lint.mjs", str(file)) == []


@needs_npm
def test_a_client_of_openapi_fetch_walks_through_the_customers_page(folder: Path, vendor: Vendor) -> None:
    node.run(folder, "node_modules/openapi-typescript/bin/cli.js", "openapi.json", "-o", "schema.ts")
    program = compiled(folder, "customers_page.ts")

    outcome = node.answer(folder, program, vendor.url, key_of(vendor), SLUG)

    (existing,) = outcome["taken"][2].pop("existing_id")
    assert existing.startswith("cus_")
    joe, ada = "joe@example.com", "ada@example.com"  # ada is the customer that the vendor already has
    assert outcome == {
        "created": [201, JANE],
        "again": [200, JANE],
        "joe": [201, {}],
        "lists": [
            [[JANE["email"]], {"total": 1, "page": 1, "per_page": 20}],
            [[JANE["email"]], {"total": 1, "page": 1, "per_page": 20}],
            [[joe, JANE["email"], ada], {"total": 3, "page": 1, "per_page": 20}],
        ],
        "found": [JANE, JANE, JANE],
        "taken": [
            409,
            "conflict",
            {"email": ["has already been taken"], "external_id": ["has already been taken"]},
        ],
        "license": [201, "active"],
        "licenses": [1, 204, 0],
    }


@needs_npm
def test_hey_api_generates_a_client_with_every_operation(folder: Path, vendor: Vendor) -> None:
    node.run(folder, "node_modules/@hey-api/openapi-ts/bin/run.js", "-i", "openapi.json", "-o", "hey-api")
    program = compiled(folder, "rotate.ts")

    generated = (folder / "hey-api" / "sdk.gen.ts").read_text()
    assert [name for name in METHODS if f"export const {camel_case(name)} =" not in generated] == []
    rotated = node.answer(folder, program, vendor.url, key_of(vendor), SLUG)
    assert rotated == {"status": 200, "licenses_resigned": 0, "same_key": True}


def test_openapi_python_client_generates_a_client_with_every_operation(folder: Path, vendor: Vendor) -> None:
    # The generator only supports common media types. With this setting, it reads the PEM as text.
    (folder / "config.json").write_text(
        json.dumps({"content_type_overrides": {"application/x-pem-file": "text/plain"}, "post_hooks": []})
    )
    generated = python(
        folder,
        *("-m", "openapi_python_client", "generate", "--fail-on-warning"),
        *("--path", "openapi.json", "--output-path", "client", "--meta", "none", "--config", "config.json"),
    )

    assert "Warning" not in generated
    modules = {file.stem for file in (folder / "client" / "api").glob("*/*.py")}
    assert modules - {"__init__"} == set(METHODS)
    rotated = json.loads(python(folder, "-c", ROTATE, vendor.url, key_of(vendor), SLUG))
    assert rotated == {"status": 200, "licenses_resigned": 0, "same_key": True}


def python(folder: Path, *arguments: str) -> str:
    """Run Python in a folder, and return its output."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout
