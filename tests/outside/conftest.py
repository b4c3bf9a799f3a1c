"""A server with one app for each algorithm, and helpers for verifying the tokens of its licenses."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.commands.test_serve import TOKEN
from tests.keyrings import RSA_BITS
from tests.processes import Server, serving

ALGORITHMS = {"RS256": "my-app", "EdDSA": "atlas"}
"""The slug of each algorithm's app. The server creates `my-app` when it starts for the first time."""

_MAKE = """mutation {
  createApp(input: {name: "Atlas", slug: "atlas", signingAlgorithm: EDDSA}) { userErrors { code } }
  createCustomer(input: {appSlug: "atlas", email: "ada@example.com"}) { customer { id } }
}"""
_ISSUE = """mutation($customer: ID!) {
  createLicense(input: {customerId: $customer, durationDays: 30}) { license { token } }
}"""
_ISSUE_UNTIL = """mutation($customer: ID!, $until: DateTime!) {
  createLicense(input: {customerId: $customer, expiresAt: $until}) { license { id token } }
}"""
_CUSTOMER = "query($slug: String!) { app(slug: $slug) { customers(first: 1) { nodes { id } } } }"
_RENEW = """mutation($id: ID!) {
  renewLicense(input: {id: $id, durationDays: 365}) { userErrors { code } }
}"""
_PEM = "query($slug: String!) { app(slug: $slug) { publicKeyPem } }"
_ROTATE = """mutation($slug: String!, $retire: RetireOldKey!) {
  rotateAppKeys(input: {appSlug: $slug, retire: $retire}) { userErrors { code } }
}"""


@dataclass(frozen=True, slots=True)
class Vendor:
    """A vendor with a key for a running server."""

    url: str
    client: httpx.Client

    def ask(self, document: str, **variables: object) -> Any:
        answer = self.client.post("/graphql", json={"query": document, "variables": variables}).json()
        assert "errors" not in answer, answer
        return answer["data"]

    def issue(self, slug: str) -> str:
        """Issue a license that expires in thirty days, and return its token."""
        return str(self.ask(_ISSUE, customer=self._customer(slug))["createLicense"]["license"]["token"])

    def issue_until(self, slug: str, until: datetime) -> tuple[str, str]:
        """Issue a license that expires at a given time, and return its id and its token."""
        values = {"customer": self._customer(slug), "until": f"{until:%Y-%m-%dT%H:%M:%SZ}"}
        license = self.ask(_ISSUE_UNTIL, **values)["createLicense"]["license"]
        return license["id"], license["token"]

    def renew(self, id: str) -> None:
        """Renew a license for a year."""
        assert self.ask(_RENEW, id=id)["renewLicense"]["userErrors"] == []

    def _customer(self, slug: str) -> str:
        return str(self.ask(_CUSTOMER, slug=slug)["app"]["customers"]["nodes"][0]["id"])

    def pem(self, slug: str) -> str:
        return str(self.ask(_PEM, slug=slug)["app"]["publicKeyPem"])

    def rotate(self, slug: str, *, retire: str = "AFTER_LAST_EXPIRY") -> None:
        assert self.ask(_ROTATE, slug=slug, retire=retire)["rotateAppKeys"]["userErrors"] == []

    def jwks_url(self, slug: str) -> str:
        return f"{self.url}/api/v1/apps/{slug}/jwks.json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on SQLite. One kind of database is enough, because tokens are verified without a database."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, LICENSEGRAPH_RSA_BITS=str(RSA_BITS)) as server:
        yield server


@pytest.fixture(scope="module")
def vendor(server: Server) -> Iterator[Vendor]:
    headers = {"Authorization": f"Bearer {TOKEN.findall(server.printed)[0]}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        vendor = Vendor(server.url, client)
        vendor.ask(_MAKE)
        yield vendor


@pytest.fixture(params=ALGORITHMS)
def algorithm(request: pytest.FixtureRequest) -> str:
    """A signing algorithm, as named in a token's `alg`. Tests run once for each algorithm."""
    return str(request.param)


@pytest.fixture
def slug(algorithm: str) -> str:
    """The slug of the app that uses the algorithm."""
    return ALGORITHMS[algorithm]


@dataclass(frozen=True, slots=True)
class Exchanged:
    """A token that has expired, and the one that its holder got for it."""

    old: str
    new: str


@pytest.fixture(scope="module")
def exchanged(vendor: Vendor) -> dict[str, Exchanged]:
    """The tokens of installations whose licenses were renewed after they had expired, one for each app.

    Each installation has nothing but its old token. It sends no key.
    """
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=3)
    issued = {slug: vendor.issue_until(slug, until) for slug in ALGORITHMS.values()}
    time.sleep(max(0, (until - datetime.now(UTC)).total_seconds()) + 0.1)
    tokens = {}
    for slug, (id, old) in issued.items():
        vendor.renew(id)
        path = f"{vendor.url}/api/v1/apps/{slug}/licenses/{id}/regenerate"
        answer = httpx.post(path, json={"current_token": old}, timeout=60)
        tokens[slug] = Exchanged(old, answer.json()["data"]["token"])
    return tokens


def altered(token: str) -> str:
    """Return a token with an altered signature."""
    head, _, signature = token.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
