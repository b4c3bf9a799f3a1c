"""A seller who issues and changes licenses of one app, through one of the APIs, on running servers.

Both APIs are called with REST's names, and their responses are compared in REST's format.
"""

import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any
from uuid import uuid4

import httpx
import jwt

from tests.apis.both import (
    CREATE_LICENSE,
    CREATE_TIER,
    LICENSE,
    REGENERATE,
    REINSTATE,
    REVOKE,
    UPDATE_TIER,
    Values,
    as_input,
    as_license,
    snake_case,
)
from tests.commands.test_serve import TOKEN
from tests.processes import Server, until

ATLAS = "atlas"
PATH = f"/api/v1/apps/{ATLAS}"
UNLIMITED = {
    "LICENSEGRAPH_RATE_LIMIT_PER_MINUTE": "0",
    "LICENSEGRAPH_BUDGET_PER_SECOND": "0",
    "LICENSEGRAPH_VERIFY_LIMIT_PER_MINUTE": "0",
}
"""Variables for servers that do not count requests."""

CREATE_APP = """mutation ($slug: String!) {
  outcome: createApp(input: {name: "Atlas", slug: $slug, signingAlgorithm: EDDSA}) {
    app { id } userErrors { code } } }"""
PAYLOAD = f"license {{ {LICENSE} }} userErrors {{ code message field }}"
UPDATE = f"""mutation ($input: UpdateLicenseInput!, $key: String) {{
  outcome: updateLicense(input: $input, idempotencyKey: $key) {{ {PAYLOAD} }} }}"""
RENEW = f"""mutation ($input: RenewLicenseInput!, $key: String) {{
  outcome: renewLicense(input: $input, idempotencyKey: $key) {{ previousExpiresAt {PAYLOAD} }} }}"""
TRANSFER = f"""mutation ($input: TransferLicenseInput!, $key: String) {{
  outcome: transferLicense(input: $input, idempotencyKey: $key) {{ {PAYLOAD} }} }}"""
MUTATIONS = {
    "update": UPDATE,
    "renew": RENEW,
    "transfer": TRANSFER,
    "revoke": REVOKE,
    "reinstate": REINSTATE,
    "regenerate": REGENERATE,
}
STATE = f"""query ($id: ID!) {{ node(id: $id) {{ ... on License {{
  {LICENSE} trial version updatedAt events(first: 20) {{ nodes {{ type changes }} }} }} }} }}"""
CUSTOMER = """query ($id: ID!) { node(id: $id) { ... on Customer {
  licenses(first: 1) { totalCount } events(first: 20) { nodes { type subjectId } } } } }"""
VERIFY = """query ($slug: String!, $by: LicenseProof!) {
  verifyLicense(appSlug: $slug, by: $by) { valid reason } }"""

INVALID_CODES = {"BLANK", "INVALID", "TOO_LONG", "NOT_FOUND"}
"""The codes of user errors for which REST responds with 422."""


def moment(text: str) -> datetime:
    """Parse a time of a response."""
    return datetime.fromisoformat(text)


def text_of(time: datetime) -> str:
    """Return a time as both APIs show it."""
    return time.astimezone(UTC).isoformat()[:19] + "Z"


def in_days(days: float) -> str:
    """Return the time that is this many days from now."""
    return text_of(datetime.now(UTC) + timedelta(days=days))


def in_seconds(seconds: float) -> str:
    """Return the time that is this many seconds from now."""
    return text_of(datetime.now(UTC) + timedelta(seconds=seconds))


def later(text: str, days: float) -> str:
    """Return the time that is this many days later."""
    return text_of(moment(text) + timedelta(days=days))


def near(text: str | None, expected: str) -> bool:
    """Whether a time is the expected one, or up to ten seconds later, because calls take time."""
    return text is not None and timedelta() <= moment(text) - moment(expected) <= timedelta(seconds=10)


@dataclass(frozen=True)
class Wrong:
    """What one of the APIs says is wrong with a call."""

    status: int | None
    """The status of REST's response."""
    fields: frozenset[Any]
    """In REST the names of the wrong fields, in the graph pairs of a name and a code."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a call: the license as the response shows it, or what is wrong."""

    license: Values | None
    wrong: Wrong | None = None
    previous_expires_at: str | None = None
    """Only in the graph."""

    @property
    def done(self) -> Values:
        assert self.license is not None, self.wrong
        return self.license


@dataclass(frozen=True)
class Shop:
    """An app with the features export, sso and beta, and with the tiers team (export, sso) and pro (export).

    `foreign_tier` and `foreign_customer` belong to another app of the same account.
    """

    clients: Sequence[httpx.Client]
    """Clients of all servers, with a secret key."""
    team: Values
    pro: Values
    foreign_tier: str
    foreign_customer: str

    def expired(self, count: int) -> list[Values]:
        """Issue licenses that expire at once, and wait until the events of that are written."""
        seller = RestSeller(self)
        made = [seller.license(expires_at=in_seconds(2)) for _ in range(count)]
        until(lambda: all(len(seller.state(each["id"])["events"]) == 2 for each in made))
        return [{**each, "status": "expired"} for each in made]


@contextmanager
def open_shop(servers: Sequence[Server]) -> Iterator[Shop]:
    """Create a shop in the empty database of these servers."""
    (token,) = {token for server in servers for token in TOKEN.findall(server.printed)}
    headers = {"Authorization": f"Bearer {token}"}
    clients = [httpx.Client(base_url=each.url, headers=headers, timeout=60) for each in servers]
    for slug in (ATLAS, "borealis"):
        assert graph(clients[0], CREATE_APP, slug=slug)["outcome"]["userErrors"] == []

    def made(path: str, **body: Any) -> Values:
        response = clients[0].post(f"/api/v1/apps/{path}", json=body)
        assert response.status_code == 201, response.text
        found: Values = response.json()["data"]
        return found

    for slug in ("export", "sso", "beta"):
        made("atlas/features", slug=slug, name=slug)
    team = made("atlas/tiers", slug="team", name="Team", features=["export", "sso"])
    pro = made("atlas/tiers", slug="pro", name="Pro", features=["export"])
    tier = made("borealis/tiers", slug="team", name="Team")
    customer = made("borealis/customers", email="ada@example.com")
    yield Shop(clients, team, pro, tier["id"], customer["id"])
    for client in clients:
        client.close()


class Seller(ABC):
    """Issues and changes licenses of a shop."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self._clients = cycle(shop.clients)

    @property
    def client(self) -> httpx.Client:
        """A client of the next server."""
        return next(self._clients)

    @abstractmethod
    def issue(self, **values: Any) -> Outcome:
        """Issue a license, by default of the tier team, for a new customer and a new installation."""

    @abstractmethod
    def call(self, verb: str, id: str, *, key: str | None = None, **values: Any) -> Outcome:
        """Change a license. `key` is an idempotency key."""

    @abstractmethod
    def tier(self, **values: Any) -> Values:
        """Create a tier."""

    @abstractmethod
    def change_tier(self, id: str, **values: Any) -> None:
        """Change a tier."""

    @abstractmethod
    def wrong(self, **codes: str) -> Wrong:
        """Return what this API says if these fields are wrong. `base` stands for the whole input."""

    def license(self, **values: Any) -> Values:
        """Issue a license, by default for 30 days, and return it."""
        terms = {"duration_days", "expires_at", "forever"}
        return self.issue(**({} if terms & values.keys() else {"duration_days": 30}), **values).done

    def revoked(self, **values: Any) -> Values:
        """Issue a license, revoke it and return it."""
        license = self.license(**values)
        self.revoke(license["id"])
        return license

    def update(self, id: str, **values: Any) -> Outcome:
        return self.call("update", id, **values)

    def renew(self, id: str, **values: Any) -> Outcome:
        return self.call("renew", id, **values)

    def transfer(self, id: str, customer_id: str, **values: Any) -> Outcome:
        return self.call("transfer", id, customer_id=customer_id, **values)

    def revoke(self, id: str) -> None:
        assert self.call("revoke", id).wrong is None

    def state(self, id: str) -> Values:
        """Return a license with its version and the types of its events, newest first."""
        node = graph(self.client, STATE, id=id)["node"]
        events = node.pop("events")["nodes"]
        changes = [each["changes"] for each in events]
        return {**(as_license(node) or {}), "events": [each["type"] for each in events], "changes": changes}

    def customer(self) -> str:
        """Create a customer, and return the id."""
        body = {"email": f"{secrets.token_hex(8)}@example.com"}
        return str(self.client.post(f"{PATH}/customers", json=body).json()["data"]["id"])

    def licenses_of(self, customer: str) -> int:
        """Return the number of a customer's licenses."""
        return int(graph(self.client, CUSTOMER, id=customer)["node"]["licenses"]["totalCount"])

    def history_of(self, customer: str) -> list[tuple[str, str]]:
        """Return the types and subjects of a customer's events, newest first."""
        events = graph(self.client, CUSTOMER, id=customer)["node"]["events"]["nodes"]
        return [(each["type"], each["subjectId"]) for each in events]

    def reason(self, **by: str) -> str:
        """Verify a license, and return the reason that the response states."""
        verified = graph(self.client, VERIFY, slug=ATLAS, by=as_input(by))["verifyLicense"]
        assert verified["valid"] == (verified["reason"] == "VALID")
        return str(verified["reason"])

    def claims(self, token: str) -> Values:
        """Verify a token with PyJWT and the published key set, and return its claims."""
        keys = jwt.PyJWKSet.from_dict(self.client.get(f"{PATH}/jwks.json").json())
        key = keys[jwt.get_unverified_header(token)["kid"]]
        return dict(jwt.decode(token, key, algorithms=["EdDSA"], audience=ATLAS, issuer="license-server"))

    def _values(self, values: Values) -> Values:
        values = {"installation_id": str(uuid4()), "tier_id": self.shop.team["id"], **values}
        return values if "customer_id" in values else {**values, "customer_id": self.customer()}


class RestSeller(Seller):
    """Calls REST."""

    def issue(self, **values: Any) -> Outcome:
        return rest_outcome(self.client.post(f"{PATH}/licenses", json=self._values(values)))

    def call(self, verb: str, id: str, *, key: str | None = None, **values: Any) -> Outcome:
        method, path = ("PATCH", "") if verb == "update" else ("POST", f"/{verb}")
        headers = {} if key is None else {"Idempotency-Key": key}
        url = f"{PATH}/licenses/{id}{path}"
        return rest_outcome(self.client.request(method, url, json=values, headers=headers))

    def tier(self, **values: Any) -> Values:
        slug = f"t_{secrets.token_hex(8)}"
        response = self.client.post(f"{PATH}/tiers", json={"slug": slug, "name": slug, **values})
        assert response.status_code == 201, response.text
        return dict(response.json()["data"])

    def change_tier(self, id: str, **values: Any) -> None:
        response = self.client.patch(f"{PATH}/tiers/{id}", json=values)
        assert response.status_code == 200, response.text

    def wrong(self, **codes: str) -> Wrong:
        if codes == {"id": "NOT_FOUND"}:
            return Wrong(404, frozenset())
        is_invalid = bool(INVALID_CODES & set(codes.values()))
        return Wrong(422 if is_invalid else 409, frozenset(codes))


class GraphSeller(Seller):
    """Calls the graph."""

    def issue(self, **values: Any) -> Outcome:
        input = as_input(self._values(values))
        return graph_outcome(graph(self.client, CREATE_LICENSE, input=input)["outcome"])

    def call(self, verb: str, id: str, *, key: str | None = None, **values: Any) -> Outcome:
        if "from" in values:
            values["from"] = values["from"].upper()
        input = {"id": id, **as_input(values)}
        variables = {"input": input} if key is None else {"input": input, "key": key}
        return graph_outcome(graph(self.client, MUTATIONS[verb], **variables)["outcome"])

    def tier(self, **values: Any) -> Values:
        slug = f"t_{secrets.token_hex(8)}"
        input = {"appSlug": ATLAS, "slug": slug, "name": slug, **as_input(values)}
        outcome = graph(self.client, CREATE_TIER, input=input)["outcome"]
        assert outcome["userErrors"] == []
        return dict(outcome["tier"])

    def change_tier(self, id: str, **values: Any) -> None:
        outcome = graph(self.client, UPDATE_TIER, input={"id": id, **as_input(values)})["outcome"]
        assert outcome["userErrors"] == []

    def wrong(self, **codes: str) -> Wrong:
        return Wrong(None, frozenset(codes.items()))


def rest_outcome(response: httpx.Response) -> Outcome:
    """Return the outcome of a call to REST."""
    if response.is_success:
        return Outcome(response.json()["data"])
    assert response.status_code in {404, 409, 422}, response.text
    details = response.json()["error"].get("details", {})
    return Outcome(None, Wrong(response.status_code, frozenset(details) - {"existing_id"}))


def graph_outcome(outcome: Values) -> Outcome:
    """Return the outcome of a mutation."""
    if not outcome["userErrors"]:
        return Outcome(as_license(outcome["license"]), None, outcome.get("previousExpiresAt"))
    assert outcome["license"] is None
    fields = ((each["field"] or ["base"])[0] for each in outcome["userErrors"])
    codes = (each["code"] for each in outcome["userErrors"])
    return Outcome(None, Wrong(None, frozenset(zip(map(snake_case, fields), codes, strict=True))))


def graph(client: httpx.Client, query: str, **variables: Any) -> Values:
    """Send a document to the graph, and return the data of the response. Fails if the response has errors."""
    answer = client.post("/graphql", json={"query": query, "variables": variables}).json()
    assert "errors" not in answer, answer
    return dict(answer["data"])


def expected_claims(license: Values) -> Values:
    """Return the claims that the token of a license must have, except for `iat` and `trial`."""
    expiry = license["expires_at"]
    return {
        "sub": license["installation_id"],
        "aud": ATLAS,
        "iss": "license-server",
        "jti": license["jti"],
        "tier": license["tier"],
        "features": license["features"],
        "lic_id": license["id"],
        **({} if expiry is None else {"exp": int(moment(expiry).timestamp())}),
    }
