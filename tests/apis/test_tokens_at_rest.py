"""No token of a key or a session is stored or logged: the database and the log are of no use to a thief."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from tests.commands.test_serve import TOKEN
from tests.keyrings import MASTER_KEY
from tests.processes import serving

KINDS = ("secret", "public", "restricted")
CREATE = (
    "mutation ($input: CreateApiKeyInput!) { outcome: createApiKey(input: $input) { token apiKey { id } } }"
)
ROTATE = "mutation ($id: ID!) { outcome: rotateApiKey(input: {id: $id}) { token } }"
REVOKE = "mutation ($id: ID!) { outcome: revokeApiKey(input: {id: $id}) { userErrors { code } } }"
SESSION = """mutation ($id: ID!) {
  outcome: createCustomerSession(input: {customerId: $id}) { session { token } } }"""
CUSTOMER = """mutation {
  outcome: createCustomer(input: {appSlug: "my-app", email: "a@b.example"}) { customer { id } } }"""
LICENSE = """mutation ($id: ID!) {
  outcome: createLicense(input: {customerId: $id, forever: true}) { license { id token } } }"""
REGENERATE = """mutation ($token: String!) {
  outcome: regenerateLicense(input: {currentToken: $token}) { license { token } } }"""
VERIFY = """query ($token: String!) {
  verifyLicense(appSlug: "my-app", by: {token: $token}) { reason } }"""
NODE = "query ($id: ID!) { node(id: $id) { id } }"
PART = 8
"""Not even this number of successive characters of a token may be stored. Its last four are."""


class Vendor:
    """Calls a server as a vendor does, and collects the tokens that the server shows."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self.tokens = [token]
        self.license_tokens: list[str] = []
        self._client = client

    async def graph(self, document: str, **variables: Any) -> Any:
        response = await self._post(self.tokens[0], document, variables)
        assert "errors" not in response.json(), response.text
        return response.json()["data"]["outcome"]

    async def rest(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        response = await self._client.post(f"/api/v1{path}", json=body, headers=_bearer(self.tokens[0]))
        assert response.is_success, response.text
        return response.json()["data"]

    async def make_keys(self) -> None:
        """Create keys of every kind, rotate them and create sessions, through both APIs.

        Then issue a license, and regenerate it.
        """
        for kind in KINDS:
            scopes = ["read", "manage_keys"] if kind == "restricted" else None
            upper = None if scopes is None else [scope.upper() for scope in scopes]
            made = await self.graph(CREATE, input={"kind": kind.upper(), "name": kind, "scopes": upper})
            rotated = await self.graph(ROTATE, id=made["apiKey"]["id"])
            again = await self.rest(f"/api-keys/{made['apiKey']['id']}/rotate")
            of_rest = await self.rest("/api-keys", {"kind": kind, "name": kind, "scopes": scopes})
            self.tokens += [made["token"], rotated["token"], again["key"], of_rest["key"]]
        id = (await self.graph(CUSTOMER))["customer"]["id"]
        self.tokens.append((await self.graph(SESSION, id=id))["session"]["token"])
        self.tokens.append((await self.rest(f"/apps/my-app/customers/{id}/sessions", {}))["token"])
        license = (await self.graph(LICENSE, id=id))["license"]
        regenerated = await self.graph(REGENERATE, token=license["token"])
        self.license_tokens += [license["token"], regenerated["license"]["token"]]

    async def use(self, token: str) -> None:
        """Send a key's token where it belongs."""
        await self._post(token, "{ viewer { keyId } }", {})
        await self._client.get("/api/v1/apps", headers=_bearer(token))

    async def misplace(self, token: str) -> None:
        """Send a key's token where users put it by mistake."""
        own = self.tokens[0]
        for path in (f"/apps/{token}", f"/api-keys/{token}", f"/apps?key={token}", f"/{token}"):
            await self._client.get(f"/api/v1{path}", headers=_bearer(own))
        await self._post(own, REVOKE, {"id": token})
        await self._post(own, NODE, {"id": token})
        await self._post(own, VERIFY, {"token": token})
        await self._post(own, f'{{ app(slug: "{token}") {{ id }} }}', {})
        await self._post(own, f"query {token} {{ viewer {{ keyId }} }}", {})
        for headers in ({"X-API-Key": token}, {"Authorization": token}, {"Authorization": f"Basic {token}"}):
            others = {"User-Agent": token, "X-Request-Id": token}
            await self._client.get("/api/v1/apps", headers={**headers, **others})

    async def send_license_token(self, token: str) -> None:
        """Send a license's token where it belongs, and where users put it by mistake."""
        verify = "/apps/my-app/licenses/verify"
        for path in (f"{verify}?token={token}", f"{verify}/{token}", f"/{token}", f"/apps/{token}"):
            await self._client.get(f"/api/v1{path}", headers={"X-Request-Id": token[:120]})
        await self._post(token, NODE, {"id": token})

    async def _post(self, token: str, document: str, variables: Mapping[str, Any]) -> httpx.Response:
        body = {"query": document, "variables": variables}
        return await self._client.post("/graphql", json=body, headers=_bearer(token))


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def contents(database_url: str) -> dict[str, str]:
    """Return the rows of every table as text."""
    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"))) as connection:
            names = [
                name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            ]
            return {name: repr(connection.execute(f'SELECT * FROM "{name}"').fetchall()) for name in names}
    connected = await asyncpg.connect(database_url)
    try:
        await connected.execute("SET bytea_output = 'escape'")
        tables = await connected.fetch(
            "SELECT schemaname, tablename FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        rows = {
            name: await connected.fetch(f'SELECT t::text FROM "{schema}"."{name}" t')
            for schema, name in tables
        }
        return {name: repr([text for (text,) in found]) for name, found in rows.items()}
    finally:
        await connected.close()


def files(database_url: str) -> dict[str, bytes]:
    """Return the contents of the files of an SQLite database, by suffix. `-wal` has the latest changes.

    For PostgreSQL, nothing is returned.
    """
    if not database_url.startswith("sqlite"):
        return {}
    file = Path(database_url.removeprefix("sqlite:///"))
    found = file.parent.glob(f"{file.name}*")
    return {each.name.removeprefix(file.name): each.read_bytes() for each in found}


def parts(tokens: Iterable[str]) -> Iterator[str]:
    """Yield the random text of each token, in parts of at most `PART` characters."""
    for token in tokens:
        random = token.rpartition("_")[2]
        yield from (random[start : start + PART] for start in range(0, len(random), PART))


def _pieces(token: str) -> list[str]:
    """Return a license's token in pieces, without the header, which is the same in all tokens."""
    _, claims, signature = token.split(".")
    return [
        text[start : start + 16] for text in (claims, signature) for start in range(0, len(text) - 15, 16)
    ]


async def test_no_token_is_in_the_database_or_in_the_log(tmp_path: Path, unmigrated_url: str) -> None:
    variables = {
        "DATABASE_URL": unmigrated_url,
        "LICENSEGRAPH_MASTER_KEY": MASTER_KEY,
        "LICENSEGRAPH_LOG_LEVEL": "debug",
        "LICENSEGRAPH_LOG_FORMAT": "console" if unmigrated_url.startswith("sqlite") else "json",
        "LICENSEGRAPH_REFUSED_LIMIT_PER_MINUTE": "0",
    }
    with serving(tmp_path, **variables) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            vendor = Vendor(client, TOKEN.findall(server.printed)[0])
            await vendor.make_keys()
            for token in vendor.tokens:
                await vendor.use(token)
            for token in {token[:8]: token for token in vendor.tokens}.values():
                await vendor.misplace(token)
            for token in vendor.license_tokens:
                await vendor.send_license_token(token)
        running = files(unmigrated_url)
        assert server.stop() == 0

    tables, log = await contents(unmigrated_url), (tmp_path / "server.log").read_text()
    stored = [*running.items(), *files(unmigrated_url).items()]
    assert len(set(vendor.tokens)) == 1 + 4 * len(KINDS) + 2
    # The search works: in the same places, it finds the digests of the tokens, which are stored.
    for token in vendor.tokens:
        assert token.startswith(("sk_live_", "pk_live_", "rk_live_", "cs_live_"))
    digests = [hashlib.sha256(token.encode()).hexdigest() for token in vendor.tokens]
    found = [digest for digest in digests if digest in tables["keys"]]
    assert len(found) == len(digests) - len(KINDS)  # the second rotation of a key forgets the first token
    if running:
        assert {"", "-wal"} <= set(running)
        assert all(any(digest.encode() in data for data in running.values()) for digest in found)
    assert log.count("request.answered") > 100

    for part in parts(vendor.tokens):
        assert [name for name, text in tables.items() if part in text] == []
        assert [name for name, data in stored if part.encode() in data] == []
        assert part not in log
    # A license's token is stored, because vendors read it again. It is in one table, and not in the log.
    for token in vendor.license_tokens:
        assert {name for name, text in tables.items() if token in text} <= {"tokens"}
        assert [each for each in _pieces(token) if each in log] == []
    assert vendor.license_tokens[-1] in tables["tokens"]
