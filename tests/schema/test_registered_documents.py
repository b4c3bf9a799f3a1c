"""Registered documents: which requests find one, and what keys with the policy REGISTERED may send."""

import hashlib
import json
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from db.engine import Database
from tests.factories import Account, make_account, make_app, make_document, make_key
from tests.schema.conftest import Graph
from tests.statements import Statements

RESPONSE = "application/graphql-response+json"
JSON = "application/json"

TEXT = "query Apps($first: Int) { apps(first: $first) { totalCount } }"
OTHER = "query Viewer { viewer { accountName } }"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def apollo(digest: str) -> dict[str, Any]:
    return {"persistedQuery": {"version": 1, "sha256Hash": digest}}


FORMS: dict[str, dict[str, Any]] = {
    "documentId": {"documentId": f"sha256:{sha(TEXT)}"},
    "documentId without prefix": {"documentId": sha(TEXT)},
    "Apollo": {"extensions": apollo(sha(TEXT))},
    "text": {"query": TEXT},
    "text and documentId": {"query": TEXT, "documentId": f"sha256:{sha(TEXT)}"},
    "text and Apollo": {"query": TEXT, "extensions": apollo(sha(TEXT))},
    "all": {"query": TEXT, "documentId": sha(TEXT), "extensions": apollo(sha(TEXT))},
}


@pytest.fixture
async def registered(graph: Graph, database: Database, account: Account) -> Graph:
    """A client whose key only sends registered documents. One document is registered."""
    await make_document(database, account, text=TEXT, operations=["Apps"])
    return graph.with_token(await make_key(database, account, documents="registered"))


async def post(graph: Graph, accept: str = JSON, **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {graph.token}", "Accept": accept}
    return await graph.client.post("/graphql", json=body, headers=headers)


async def get(graph: Graph, accept: str = JSON, **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {graph.token}", "Accept": accept}
    params = {name: each if isinstance(each, str) else json.dumps(each) for name, each in body.items()}
    return await graph.client.get("/graphql", params=params, headers=headers)


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    """Return the status, the code and the message of a response that has nothing but one error."""
    assert list(response.json()) == ["errors"], response.json()
    (error,) = response.json()["errors"]
    assert list(error["extensions"]) == ["code"]
    return response.status_code, error["extensions"]["code"], error["message"]


NOT_REGISTERED = (
    403,
    "DOCUMENT_NOT_REGISTERED",
    "This document is not registered, and this key only sends registered documents.",
)


@pytest.mark.parametrize("send", [post, get])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("policy", ["any", "registered"])
async def test_a_registered_document_is_sent_in_three_forms(
    registered: Graph, database: Database, account: Account, form: dict[str, Any], send: Any, policy: str
) -> None:
    await make_app(database, account)
    graph = registered.with_token(await make_key(database, account, documents=policy))

    response = await send(graph, **form, variables={"first": 1})

    assert response.status_code == 200
    assert response.json()["data"] == {"apps": {"totalCount": 1}}


@pytest.mark.parametrize("id", ["x-portal:Apps/1", "0cc175b9c0f1b6a831c399e269772661", "Apps_1.0~a-b"])
async def test_a_document_with_an_id_of_its_own_is_found_by_it_and_by_its_text(
    graph: Graph, database: Database, account: Account, id: str
) -> None:
    text = "query Own { apps { totalCount } }"
    await make_document(database, account, text=text, document_id=id)
    only_registered = graph.with_token(await make_key(database, account, documents="registered"))

    for client in (graph, only_registered):
        for form in ({"documentId": id}, {"documentId": sha(text)}, {"query": text, "documentId": id}):
            assert (await post(client, **form)).json()["data"] == {"apps": {"totalCount": 0}}
    assert (await post(only_registered, query=text)).status_code == 200


@pytest.mark.parametrize("id", ["9d3c7b1e", f"sha256:{sha(OTHER)}", sha(OTHER)])
async def test_apollo_s_form_takes_any_id_and_ignores_other_members(
    graph: Graph, database: Database, account: Account, id: str
) -> None:
    await make_document(database, account, text=OTHER, document_id="9d3c7b1e")
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": id, "miss": True}, "other": 1}

    assert (await post(graph, extensions=extensions)).json()["data"]["viewer"]


async def test_a_text_with_apollo_s_extension_is_judged_by_itself(registered: Graph, graph: Graph) -> None:
    """Apollo may reorder the definitions of a text after hashing it, so only the text counts."""
    form: dict[str, Any] = {"query": OTHER, "extensions": apollo(sha(TEXT))}

    assert (await post(graph, **form)).json()["data"]["viewer"]
    assert refusal(await post(registered, **form)) == NOT_REGISTERED
    by_id = {"query": OTHER, "documentId": sha(TEXT)}
    assert refusal(await post(graph, **by_id))[1] == "BAD_USER_INPUT"
    assert refusal(await post(registered, **by_id)) == NOT_REGISTERED


@pytest.mark.parametrize(("accept", "status"), [(JSON, 200), (RESPONSE, 400)])
async def test_an_unknown_id_is_not_found(registered: Graph, graph: Graph, accept: str, status: int) -> None:
    unknown = "0" * 64
    not_found = (status, "DOCUMENT_NOT_FOUND", "No document with this id is registered.")

    for send in (post, get):
        for client in (registered, graph):
            for id in (f"sha256:{unknown}", unknown, "x-portal:none", "none"):
                assert refusal(await send(client, accept, documentId=id)) == not_found
        assert refusal(await send(registered, accept, extensions=apollo(unknown))) == (
            status,
            "PERSISTED_QUERY_NOT_FOUND",
            "PersistedQueryNotFound",
        )
        assert refusal(await send(graph, accept, extensions=apollo(unknown))) == (
            status,
            "PERSISTED_QUERY_NOT_SUPPORTED",
            "PersistedQueryNotSupported",
        )


async def test_nothing_is_stored_because_a_client_sent_it(registered: Graph, graph: Graph) -> None:
    text = "{ apps { totalCount } }"

    assert (await post(graph, query=text, extensions=apollo(sha(text)))).status_code == 200

    assert refusal(await post(registered, query=text, extensions=apollo(sha(text)))) == NOT_REGISTERED
    assert refusal(await post(graph, documentId=sha(text)))[1] == "DOCUMENT_NOT_FOUND"


@pytest.mark.surface
@pytest.mark.parametrize("accept", [JSON, RESPONSE])
@pytest.mark.parametrize(
    "text",
    [
        TEXT + " ",
        TEXT.replace("{ apps", "{  apps"),
        "{ __typename }",
        "{ __schema { types { name } } }",
        '{ __type(name: "App") { fields { name } } }',
        "{ app",
        "{ appz { id } }",
        'mutation { deleteApp(input: {slug: "x"}) { deletedAppId } }',
        "a" * 500_000,
    ],
)
async def test_anything_else_is_refused_without_being_read(
    registered: Graph, monkeypatch: pytest.MonkeyPatch, text: str, accept: str
) -> None:
    def parse(*_: object, **__: object) -> None:
        raise AssertionError("the text was parsed")

    monkeypatch.setattr("schema.pipeline.documents.parse", parse)

    assert refusal(await post(registered, accept, query=text)) == NOT_REGISTERED


async def test_introspection_works_as_a_registered_text(
    graph: Graph, database: Database, account: Account
) -> None:
    text = "query Schema { __schema { queryType { name } } }"
    await make_document(database, account, text=text)
    registered = graph.with_token(await make_key(database, account, documents="registered"))

    assert await registered.data(text) == {"__schema": {"queryType": {"name": "Query"}}}


async def test_a_mutation_by_get_is_405(graph: Graph, database: Database, account: Account) -> None:
    text = 'mutation M { createApp(input: {name: "X", slug: "x"}) { app { id } } }'
    await make_document(database, account, text=text)

    assert (await get(graph, documentId=sha(text))).status_code == 405
    assert (await get(graph, extensions=apollo(sha(text)))).status_code == 405
    assert await graph.data("{ apps { totalCount } }") == {"apps": {"totalCount": 0}}


@pytest.mark.surface
@pytest.mark.parametrize(
    "body",
    [
        {"query": OTHER, "documentId": f"sha256:{sha(TEXT)}"},
        {"query": OTHER, "documentId": "own"},
        {"documentId": sha(OTHER), "extensions": apollo(sha(TEXT))},
        {"documentId": 7},
        {"documentId": ["a"]},
        {"documentId": {}},
        {"documentId": False},
        {"documentId": "md5:0cc175b9c0f1b6a831c399e269772661"},
        {"documentId": f"sha256:{sha(TEXT).upper()}"},
        {"documentId": f"sha256:{sha(TEXT)[:-1]}"},
        {"documentId": "x-:a"},
        {"documentId": "x-a:"},
        {"documentId": "x-a:b c"},
        {"documentId": "a" * 129},
        {"documentId": "ä"},
        {"documentId": "a\n"},
        {"documentId": "a\u0000"},
        {"extensions": {"persistedQuery": True}},
        {"extensions": {"persistedQuery": {"version": 2, "sha256Hash": sha(TEXT)}}},
        {"extensions": {"persistedQuery": {"version": 1}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "a b"}}},
        {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": 7}}},
    ],
)
async def test_ids_that_disagree_or_are_malformed_are_refused(
    registered: Graph, graph: Graph, database: Database, account: Account, body: dict[str, Any]
) -> None:
    await make_document(database, account, text=TEXT, document_id="own")
    await make_document(database, account, text=OTHER)

    for client in (registered, graph):
        for accept in (JSON, RESPONSE):
            status, code, _ = refusal(await post(client, accept, **body))
            assert (status, code) == (400, "BAD_USER_INPUT")


async def test_a_request_without_a_key_cannot_name_a_document(registered: Graph) -> None:
    response = await registered.client.post("/graphql", json={"documentId": sha(TEXT)})

    assert refusal(response)[:2] == (401, "UNAUTHENTICATED")
    assert response.headers["www-authenticate"] == "Bearer"


async def test_documents_of_another_account_do_not_exist(registered: Graph, database: Database) -> None:
    stranger = await make_account(database)
    any_ = registered.with_token(await make_key(database, stranger))
    only_registered = registered.with_token(await make_key(database, stranger, documents="registered"))
    assert (await post(registered, documentId=sha(TEXT))).status_code == 200

    for client in (any_, only_registered):
        assert refusal(await post(client, documentId=sha(TEXT)))[1] == "DOCUMENT_NOT_FOUND"
    assert refusal(await post(only_registered, query=TEXT)) == NOT_REGISTERED


async def test_a_key_may_be_limited_to_some_sets(graph: Graph, database: Database, account: Account) -> None:
    await make_document(database, account, text=TEXT, set="portal@1")
    await make_document(database, account, text=OTHER, set="portal@1")
    await make_document(database, account, text=OTHER, set="portal@2")

    async def allowed(*sets: str) -> tuple[int, int]:
        token = await make_key(database, account, documents="registered", document_sets=sets)
        client = graph.with_token(token)
        by_text = [(await post(client, query=text)).status_code for text in (TEXT, OTHER)]
        by_id = [(await post(client, RESPONSE, documentId=sha(text))).status_code for text in (TEXT, OTHER)]
        assert [400 if status == 403 else 200 for status in by_text] == by_id
        return by_text[0], by_text[1]

    assert await allowed("portal@1") == (200, 200)
    assert await allowed("portal@2") == (403, 200)
    assert await allowed("portal@2", "portal@1") == (200, 200)
    assert await allowed("portal") == (403, 403)
    assert await allowed() == (403, 403)


async def test_only_the_first_use_of_a_document_takes_a_statement(
    registered: Graph, database: Database, app: Starlette, statements: Statements
) -> None:
    forms: list[dict[str, Any]] = [FORMS["documentId"], FORMS["Apollo"], FORMS["text"]]
    for form in forms:
        with statements.recorded(app.state.database) as sent:
            assert (await post(registered, **form)).status_code == 200
        lookups = [each for each in sent if "documents" in each]
        if form is forms[0]:
            assert len(set(lookups)) == 1
        else:
            assert lookups == []


async def test_an_unknown_id_is_not_cached(registered: Graph, database: Database, account: Account) -> None:
    assert refusal(await post(registered, documentId="later"))[1] == "DOCUMENT_NOT_FOUND"

    await make_document(database, account, text=OTHER, document_id="later")

    assert (await post(registered, documentId="later")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_rest_is_closed_to_keys_that_only_send_registered_documents(
    registered: Graph, database: Database, account: Account, method: str
) -> None:
    await make_app(database, account, slug="atlas")
    headers = {"Authorization": f"Bearer {registered.token}"}

    for path in ("/api/v1/apps/atlas", "/api/v1/apps/atlas/customers", "/api/v1/apps/atlas/customers/cus_1"):
        response = await registered.client.request(method, path, headers=headers)
        if response.status_code != 405:
            assert response.status_code == 403
            assert response.json()["error"] == {
                "code": "forbidden",
                "message": "This key only sends registered documents, to /graphql.",
            }


async def test_rest_routes_that_need_no_key_stay_open(
    registered: Graph, database: Database, account: Account
) -> None:
    await make_app(database, account, slug="atlas")
    headers = {"Authorization": f"Bearer {registered.token}"}

    for path, status in (
        ("/api/health", 200),
        ("/api/openapi.json", 200),
        ("/api/v1/apps/atlas/public-key", 200),
        ("/api/v1/apps/atlas/jwks.json", 200),
        ("/api/v1/apps/atlas/licenses/verify?jti=x", 404),
    ):
        assert (await registered.client.get(path, headers=headers)).status_code == status, path
    regenerate = "/api/v1/apps/atlas/licenses/lic_1/regenerate"
    by_key = await registered.client.post(regenerate, headers=headers, json={})
    by_token = await registered.client.post(regenerate, headers=headers, json={"current_token": "a.b.c"})
    assert (by_key.status_code, by_token.status_code) == (403, 401)
