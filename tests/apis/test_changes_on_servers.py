"""Two servers on one database: a change of a key or of its documents takes effect on both within a second."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from db.engine import Database
from tests.apis.calling import mutate
from tests.factories import Account, App, Customer, key_id, make_app, make_customer, make_document, make_key

VIEWER = "query Viewer { viewer { accountName } }"
BOLT = '{ app(slug: "bolt") { slug } }'
CUSTOMERS = '{ app(slug: "atlas") { customers { totalCount } } }'
REVOKE = "mutation ($id: ID!) { outcome: revokeApiKey(input: {id: $id}) { userErrors { code } } }"
UPDATE = """mutation ($input: UpdateApiKeyInput!) {
  outcome: updateApiKey(input: $input) { userErrors { code } } }"""
ROTATE = """mutation ($id: ID!, $hours: Int!) {
  outcome: rotateApiKey(input: {id: $id, overlapHours: $hours}) { token userErrors { code } } }"""
DELETE_SET = """mutation ($set: String!) {
  outcome: deleteDocumentSet(input: {set: $set}) { deletedDocumentCount userErrors { code } } }"""
EVERYTHING = ["read", "read_customers", "write_customers"]


@dataclass(frozen=True)
class Request:
    """A request with a key: to REST if `path` is given, or else to the graph."""

    token: str
    body: Mapping[str, Any] = field(default_factory=lambda: {"query": VIEWER})
    path: str | None = None

    async def sent_to(self, client: httpx.AsyncClient) -> str:
        """Send the request. Return the status, and the code of an error or, if a field is null, "nothing"."""
        headers = {"Authorization": f"Bearer {self.token}"}
        if self.path is not None:
            response = await client.get(f"/api/v1{self.path}", headers=headers)
            error = response.json().get("error", {})
            return f"{response.status_code} {error['code']}" if error else str(response.status_code)
        # With this media type, the response to a request that is refused as a whole has an error's status.
        headers["Accept"] = "application/graphql-response+json"
        response = await client.post("/graphql", json=self.body, headers=headers)
        answer = response.json()
        if "errors" in answer:
            return f"{response.status_code} {answer['errors'][0]['extensions']['code']}"
        return "200 nothing" if None in answer["data"].values() else "200"


@dataclass(frozen=True)
class Installation:
    """Two servers on one database."""

    clients: list[httpx.AsyncClient]
    """Both servers, with a secret key."""
    database: Database
    account: Account
    bolt: App
    customer: Customer

    @property
    def first(self) -> httpx.AsyncClient:
        return self.clients[0]

    @property
    def second(self) -> httpx.AsyncClient:
        return self.clients[1]

    async def made(self, **terms: Any) -> tuple[str, str]:
        """Create a key, by default a restricted one, and return its token and id."""
        terms = {"kind": "restricted", "scopes": EVERYTHING, **terms}
        token = await make_key(self.database, self.account, **terms)
        return token, await key_id(self.database, token)

    async def check(self, request: Request, then: str, change: Callable[[], Awaitable[Any]]) -> None:
        """Make a change, and check its effect on both servers.

        Before the change, the request succeeds. At most a second after the change, its outcome is `then`.
        """
        # These requests put the key into the cache of every server.
        assert [await request.sent_to(client) for client in self.clients] == ["200"] * len(self.clients)
        await change()
        changed = time.monotonic()

        async def follow(client: httpx.AsyncClient) -> None:
            while True:
                began = time.monotonic()
                outcome = await request.sent_to(client)
                if outcome == then:
                    return
                assert outcome == "200"
                assert began - changed < 1, f"{request} still worked after {began - changed:.2f} s"
                await asyncio.sleep(0.05)

        await asyncio.gather(*map(follow, self.clients))
        assert [await request.sent_to(client) for client in self.clients] == [then] * len(self.clients)


async def revoked_by_graph(it: Installation) -> None:
    token, id = await it.made(kind="secret", scopes=None)
    await it.check(Request(token), "401 UNAUTHENTICATED", lambda: mutate(it.first, REVOKE, id=id))


async def revoked_by_rest(it: Installation) -> None:
    token, id = await it.made()
    await it.check(
        Request(token, path="/apps"),
        "401 unauthorized",
        lambda: it.second.delete(f"/api/v1/api-keys/{id}"),
    )


async def session_of_a_revoked_key(it: Installation) -> None:
    _, id = await it.made()
    token, _ = await it.made(kind="session", scopes=["read"], customer=it.customer, created_by=id)
    session = Request(token, {"query": "{ viewer { customer { id } } }"})
    await it.check(session, "401 UNAUTHENTICATED", lambda: mutate(it.second, REVOKE, id=id))


async def rotated(it: Installation) -> None:
    token, id = await it.made()
    new: list[str] = []

    async def rotate() -> None:
        new.append((await mutate(it.first, ROTATE, id=id, hours=0))["token"])
        # The new token works at once.
        assert [await Request(new[0]).sent_to(client) for client in it.clients] == ["200", "200"]

    await it.check(Request(token), "401 UNAUTHENTICATED", rotate)
    # This rotation starts an overlap, in which both tokens work. The next rotation ends it.
    await mutate(it.second, ROTATE, id=id, hours=24)
    await it.check(
        Request(new[0], path="/apps"),
        "401 unauthorized",
        lambda: it.first.post(f"/api/v1/api-keys/{id}/rotate", json={"overlap_hours": 24}),
    )


async def narrowed_to_scopes(it: Installation) -> None:
    token, id = await it.made()
    by_graph = Request(token, {"query": CUSTOMERS})
    input = {"id": id, "scopes": ["READ"]}
    await it.check(by_graph, "200 FORBIDDEN", lambda: mutate(it.first, UPDATE, input=input))


async def narrowed_to_apps(it: Installation) -> None:
    token, id = await it.made()
    await it.check(
        Request(token, {"query": BOLT}),
        "200 nothing",
        lambda: it.second.patch(f"/api/v1/api-keys/{id}", json={"apps": ["atlas"]}),
    )


async def narrowed_to_origins(it: Installation) -> None:
    token, id = await it.made(apps=[it.bolt])
    input = {"id": id, "origins": ["https://portal.example"]}
    await it.check(
        Request(token, path="/apps"), "403 forbidden", lambda: mutate(it.second, UPDATE, input=input)
    )


async def narrowed_to_registered_documents(it: Installation) -> None:
    token, id = await it.made()
    await it.check(
        Request(token, {"query": CUSTOMERS}),
        "403 DOCUMENT_NOT_REGISTERED",
        lambda: it.first.patch(f"/api/v1/api-keys/{id}", json={"documents": "registered"}),
    )


async def narrowed_to_a_set(it: Installation) -> None:
    token, id = await it.made(documents="registered")
    input = {"id": id, "documentSets": ["a"]}
    await it.check(
        Request(token, {"query": BOLT}),
        "403 DOCUMENT_NOT_REGISTERED",
        lambda: mutate(it.first, UPDATE, input=input),
    )


async def set_of_a_named_document_deleted(it: Installation) -> None:
    await make_document(it.database, it.account, text=VIEWER, document_id="viewer", set="named")
    token, _ = await it.made(documents="registered")
    request = Request(token, {"documentId": "viewer"})
    await it.check(request, "400 DOCUMENT_NOT_FOUND", lambda: mutate(it.second, DELETE_SET, set="named"))


async def set_of_a_text_deleted(it: Installation) -> None:
    text = "{ apps { totalCount } }"
    await make_document(it.database, it.account, text=text, set="sent")
    token, _ = await it.made(documents="registered")
    request = Request(token, {"query": text})
    await it.check(request, "403 DOCUMENT_NOT_REGISTERED", lambda: mutate(it.first, DELETE_SET, set="sent"))


CASES: Sequence[Callable[[Installation], Awaitable[None]]] = (
    revoked_by_graph,
    revoked_by_rest,
    session_of_a_revoked_key,
    rotated,
    narrowed_to_scopes,
    narrowed_to_apps,
    narrowed_to_origins,
    narrowed_to_registered_documents,
    narrowed_to_a_set,
    set_of_a_named_document_deleted,
    set_of_a_text_deleted,
)


async def test_a_change_takes_effect_within_a_second_on_every_server(
    clients: list[httpx.AsyncClient], database: Database, account: Account, atlas: App
) -> None:
    bolt, customer = await make_app(database, account, slug="bolt"), await make_customer(database, atlas)
    await make_document(database, account, text=BOLT, set="b")
    installation = Installation(clients, database, account, bolt, customer)

    await asyncio.gather(*(case(installation) for case in CASES))
