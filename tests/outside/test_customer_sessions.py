"""The samples of docs/customer-sessions.md create sessions, and read the customer as a browser would."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.commands.test_serve import curls, send
from tests.outside import node
from tests.outside.conftest import Vendor
from tests.outside.environments import CUSTOMER_SESSIONS, file_of, sample
from tests.processes import until

# A browser adds the origin of the page to each request. Node.js has no page, so this program adds an origin.
_RUN = """
import { customerOf } from "./portal.mjs";
const [url, token, origin] = process.argv.slice(2);
const send = globalThis.fetch;
globalThis.fetch = (to, { headers, ...others }) =>
  send(to, { headers: { ...headers, Origin: origin }, ...others });
console.log(JSON.stringify(await customerOf(url, token)));
"""
_KEY = """mutation {
  createApiKey(input: {
    kind: RESTRICTED, name: "portal", scopes: [READ, READ_CUSTOMERS, READ_TOKENS, WRITE_CUSTOMERS]
  }) { token }
}"""
_ADA = """mutation {
  createCustomer(input: {appSlug: "my-app", email: "ada@portal.example"}) { customer { id } }
}"""
_LICENSE = """mutation($customer: ID!) {
  createLicense(input: {customerId: $customer, durationDays: 30}) { license { token expiresAt } }
}"""
_DELETE = "mutation($id: ID!) { deleteCustomer(input: {id: $id}) { userErrors { code } } }"

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


@pytest.fixture
def ada(vendor: Vendor) -> str:
    """The id of a customer."""
    return str(vendor.ask(_ADA)["createCustomer"]["customer"]["id"])


def session_by_rest(vendor: Vendor, customer: str) -> Any:
    """Send the docs' curl command, with a new key, and return the session."""
    key = vendor.ask(_KEY)["createApiKey"]["token"]
    command = sample("sh", CUSTOMER_SESSIONS)
    for variable, value in (("$URL", vendor.url), ("$KEY", key), ("$CUSTOMER_ID", customer)):
        assert variable in command
        command = command.replace(variable, value)
    (words,) = curls(command)
    response = send(words)
    assert response.status_code == 201, response.text
    return response.json()["data"]


def session_by_graph(vendor: Vendor, customer: str) -> Any:
    """Send the docs' mutation, and return the session."""
    payload = vendor.ask(sample("graphql", CUSTOMER_SESSIONS), customer=customer)["createCustomerSession"]
    assert payload["userErrors"] == []
    return payload["session"]


def seen(folder: Path, vendor: Vendor, token: str) -> Any:
    """Run the docs' code with a session's token. Return the customer, or None if the session has ended."""
    (folder / "portal.mjs").write_text(file_of("portal.mjs", CUSTOMER_SESSIONS))
    (folder / "run.mjs").write_text(_RUN)
    return node.answer(folder, "run.mjs", vendor.url, token, "https://portal.example")


@pytest.mark.parametrize("create", [session_by_rest, session_by_graph])
def test_a_page_shows_the_customer_until_the_session_ends(
    create: Any, vendor: Vendor, ada: str, tmp_path: Path
) -> None:
    license = vendor.ask(_LICENSE, customer=ada)["createLicense"]["license"]

    token = create(vendor, ada)["token"]

    assert token.startswith("cs_live_")
    assert seen(tmp_path, vendor, token) == {
        "email": "ada@portal.example",
        "licenses": {"nodes": [{"status": "ACTIVE", **license, "tier": None}]},
    }
    assert vendor.ask(_DELETE, id=ada)["deleteCustomer"]["userErrors"] == []
    until(lambda: seen(tmp_path, vendor, token) is None, 10)
