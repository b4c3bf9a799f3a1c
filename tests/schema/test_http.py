"""GraphQL over HTTP: methods, media types and statuses. All errors have GraphQL's shape."""

import json

import httpx
import pytest

from db.engine import Database
from tests.factories import Account, make_app, make_key
from tests.schema.conftest import Graph

pytestmark = pytest.mark.surface

RESPONSE = "application/graphql-response+json"
JSON = "application/json"
TYPENAME = {"query": "{ __typename }"}


def code(response: httpx.Response) -> str:
    (error,) = response.json()["errors"]
    assert set(error) <= {"message", "locations", "path", "extensions"}
    assert error["message"]
    return str(error["extensions"]["code"])


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (RESPONSE, RESPONSE),
        (f"{RESPONSE}, {JSON};q=0.9", RESPONSE),
        (f"{JSON}, {RESPONSE};q=0.5", JSON),
        (f"{RESPONSE}; charset=utf-8, {JSON}; charset=utf-8", RESPONSE),
        (f"text/html, {RESPONSE};q=0", None),
        (f"{JSON};q=0", None),
        (f"{JSON};q=0.0, text/html", None),
        ("*/*;q=0", None),
        ("application/*;q=0", None),
        (f"{JSON};q=0, {RESPONSE};q=0, */*", None),
        (f"{JSON};q=0, */*", RESPONSE),
        (f"*/*, {JSON};q=0", RESPONSE),
        (f"{RESPONSE};q=0, */*", JSON),
        (f"{JSON};q=0, application/*;q=0.1", RESPONSE),
        (f"{JSON}, */*;q=0", JSON),
        (f"{RESPONSE}, application/*;q=0", RESPONSE),
        (f"{JSON};Q=0, {RESPONSE}", RESPONSE),
        (f"{RESPONSE}, */*", RESPONSE),
        (f"{JSON}, {RESPONSE}", JSON),
        (f"{RESPONSE};q=0.5, */*", JSON),
        (f"{JSON};q=nan", None),
        (f"{JSON};q=2", None),
        ("text/plain", None),
        (f"{RESPONSE};q=nonsense", None),
    ],
)
async def test_media_type_is_negotiated(
    client: httpx.AsyncClient, accept: str | None, answered: str | None
) -> None:
    headers = {} if accept is None else {"Accept": accept}
    request = client.build_request("POST", "/graphql", json=TYPENAME, headers=headers)
    if accept is None:
        del request.headers["Accept"]

    response = await client.send(request)

    assert response.headers["content-type"] == f"{answered or JSON}; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    if answered:
        assert response.status_code == 200
        assert response.json()["data"] == {"__typename": "Query"}
    else:
        assert response.status_code == 406
        assert code(response) == "BAD_USER_INPUT"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nonsense }", "GRAPHQL_VALIDATION_FAILED"),
        (
            "query($x: Int!) { __typename @skip(if: true) a: __typename @include(if: $x) }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
        ("query A { __typename } query B { __typename }", "BAD_USER_INPUT"),
        ("fragment F on Query { __typename }", "GRAPHQL_VALIDATION_FAILED"),
        ("query($x: String!) { app(slug: $x) { id } }", "BAD_USER_INPUT"),
    ],
)
async def test_refused_documents_are_400_in_the_new_media_type_and_200_in_the_old(
    graph: Graph, document: str, expected: str
) -> None:
    new = await graph.post(document, Accept=RESPONSE)
    old = await graph.post(document, Accept=JSON)

    assert (new.status_code, old.status_code) == (400, 200)
    assert {error["extensions"]["code"] for error in new.json()["errors"]} == {expected}
    assert new.json() == old.json()
    assert "data" not in new.json()


@pytest.mark.parametrize(
    ("content", "content_type", "status"),
    [
        (b"{", JSON, 400),
        (b"", JSON, 400),
        (b"null", JSON, 400),
        (b'"text"', JSON, 400),
        (b'[{"query": "{ __typename }"}]', JSON, 400),
        (b"{}", JSON, 400),
        (b'{"query": ""}', JSON, 400),
        (b'{"query": "   "}', JSON, 400),
        (b'{"query": null}', JSON, 400),
        (b'{"query": 1}', JSON, 400),
        (b'{"query": "{ __typename }", "variables": [1]}', JSON, 400),
        (b'{"query": "{ __typename }", "variables": 0}', JSON, 400),
        (b'{"query": "{ __typename }", "variables": ""}', JSON, 400),
        (b'{"query": "{ __typename }", "extensions": [{}]}', JSON, 400),
        (b'{"extensions": {}}', JSON, 400),
        (b'{"extensions": []}', JSON, 400),
        (b'{"query": [], "extensions": {"persistedQuery": {"version": 1}}}', JSON, 400),
        (b'{"extensions": {"persistedQuery": null}}', JSON, 400),
        (b'{"query": "{ __typename }", "variables": "x"}', JSON, 400),
        (b'{"query": "{ __typename }", "operationName": 1}', JSON, 400),
        (b'{"query": "{ __typename }", "extensions": 1}', JSON, 400),
        (b'{"query": "{ __typename }\\u0000"}', JSON, 400),
        (b'{"query": "{ a\\ud800 }"}', JSON, 400),
        (b'{"query": "{ __typename }", "variables": {"x": NaN}}', JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b"[" * 100_000, JSON, 400),
        (b"{ __typename }", "application/graphql", 415),
        (b'{"query": "{ __typename }"}', "text/plain", 415),
        (b"query=x", "application/x-www-form-urlencoded", 415),
        (b'{"query": "{ __typename }"}', "", 415),
    ],
)
async def test_broken_requests_are_answered_in_graphql_s_shape(
    client: httpx.AsyncClient, content: bytes, content_type: str, status: int
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}

    response = await client.post("/graphql", content=content, headers=headers)

    assert response.status_code == status
    assert response.headers["content-type"] == f"{JSON}; charset=utf-8"
    assert code(response) == "BAD_USER_INPUT"


@pytest.mark.parametrize("name", ["variables", "extensions"])
async def test_an_empty_list_is_an_empty_object_as_in_php(client: httpx.AsyncClient, name: str) -> None:
    query = 'query($name: String = "App") { __type(name: $name) { name } }'

    posted = await client.post("/graphql", json={"query": query, name: []})
    got = await client.get("/graphql", params={"query": query, name: "[]"})

    for response in (posted, got):
        assert response.status_code == 200
        assert response.json()["data"] == {"__type": {"name": "App"}}


PERSISTED = {"persistedQuery": {"version": 1, "sha256Hash": "a" * 64}}


@pytest.mark.parametrize(("accept", "status"), [(JSON, 200), (RESPONSE, 400)])
@pytest.mark.parametrize("rest", [{}, {"operationName": "A"}, {"variables": {"x": 1}}, {"query": ""}])
async def test_a_persisted_query_is_not_supported_so_that_clients_send_its_text(
    client: httpx.AsyncClient, accept: str, status: int, rest: dict[str, object]
) -> None:
    headers = {"Accept": accept}
    parameters = {name: json.dumps(value) for name, value in rest.items() if name == "variables"}

    posted = await client.post("/graphql", json={"extensions": PERSISTED, **rest}, headers=headers)
    got = await client.get(
        "/graphql", params={"extensions": json.dumps(PERSISTED), **parameters}, headers=headers
    )

    for response in (posted, got):
        assert response.status_code == status
        assert response.headers["content-type"] == f"{accept}; charset=utf-8"
        assert response.json() == {
            "errors": [
                {
                    "message": "PersistedQueryNotSupported",
                    "extensions": {"code": "PERSISTED_QUERY_NOT_SUPPORTED"},
                }
            ]
        }


async def test_the_text_of_a_persisted_query_is_executed(graph: Graph) -> None:
    body = {"query": "{ apps { totalCount } }", "extensions": PERSISTED}
    headers = {"Authorization": f"Bearer {graph.token}"}

    posted = await graph.client.post("/graphql", json=body, headers=headers)
    parameters = {"query": "{ apps { totalCount } }", "extensions": json.dumps(PERSISTED)}
    got = await graph.client.get("/graphql", params=parameters, headers=headers)

    for response in (posted, got):
        assert response.json()["data"] == {"apps": {"totalCount": 0}}


async def test_content_type_may_carry_parameters(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "Application/JSON; charset=UTF-8"}

    response = await client.post("/graphql", content=b'{"query": "{ __typename }"}', headers=headers)

    assert response.json()["data"] == {"__typename": "Query"}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_other_methods_are_405(client: httpx.AsyncClient, method: str) -> None:
    response = await client.request(method, "/graphql")

    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST"
    assert code(response) == "BAD_USER_INPUT"


async def test_queries_may_be_sent_by_get(graph: Graph, database: Database, account: Account) -> None:
    await make_app(database, account, slug="atlas")
    parameters = {
        "query": "query A($slug: String!) { app(slug: $slug) { slug } } query B { __typename }",
        "variables": '{"slug": "atlas"}',
        "operationName": "A",
    }
    headers = {"Authorization": f"Bearer {graph.token}"}

    response = await graph.client.get("/graphql", params=parameters, headers=headers)

    assert response.status_code == 200
    assert response.json()["data"] == {"app": {"slug": "atlas"}}


@pytest.mark.parametrize("parameters", [{}, {"query": ""}, {"query": "{ __typename }", "variables": "{"}])
async def test_broken_gets_are_400(client: httpx.AsyncClient, parameters: dict[str, str]) -> None:
    response = await client.get("/graphql", params=parameters)

    assert response.status_code == 400
    assert code(response) == "BAD_USER_INPUT"


async def test_a_mutation_by_get_is_405_and_does_nothing(graph: Graph) -> None:
    mutation = 'mutation { createApp(input: {name: "X", slug: "x"}) { app { id } } }'
    headers = {"Authorization": f"Bearer {graph.token}"}

    response = await graph.client.get("/graphql", params={"query": mutation}, headers=headers)

    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert code(response) == "BAD_USER_INPUT"
    assert await graph.data("{ apps { totalCount } }") == {"apps": {"totalCount": 0}}


async def test_without_a_key_only_open_documents_run(graph: Graph) -> None:
    nobody = graph.with_token(None)

    assert await nobody.data("{ __typename }") == {"__typename": "Query"}
    assert (await nobody.data("{ __schema { queryType { name } } }"))["__schema"]["queryType"] == {
        "name": "Query"
    }
    for accept in (JSON, RESPONSE):
        refused = await nobody.post("{ __typename apps { totalCount } }", Accept=accept)
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"] == "Bearer"
        assert code(refused) == "UNAUTHENTICATED"
        assert "data" not in refused.json()


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer sk_live_" + "a" * 32,
        "Bearer nonsense",
        "Bearer",
        "",
        "Basic c2s6",
        "Bearer sk_live_ü",
        "sk_live_x",
    ],
)
async def test_a_bad_key_refuses_the_whole_request(client: httpx.AsyncClient, authorization: str) -> None:
    headers = [(b"Authorization", authorization.encode())]

    response = await client.post("/graphql", json=TYPENAME, headers=headers)

    assert response.status_code == 401
    assert code(response) == "UNAUTHENTICATED"


async def test_the_scheme_is_not_case_sensitive(graph: Graph) -> None:
    headers = {"Authorization": f"bEARER {graph.token}"}

    response = await graph.client.post("/graphql", json={"query": "{ apps { totalCount } }"}, headers=headers)

    assert response.json()["data"] == {"apps": {"totalCount": 0}}


async def test_a_public_key_reads_and_its_mutations_are_forbidden(
    graph: Graph, database: Database, account: Account
) -> None:
    await make_app(database, account, slug="atlas")
    public = graph.with_token(await make_key(database, account, kind="public"))

    response = await public.post(
        """mutation {
          a: createApp(input: {name: "X", slug: "x"}) { app { id } userErrors { code } }
          b: deleteApp(input: {slug: "atlas"}) { deletedAppId }
        }"""
    )

    assert response.status_code == 200
    assert response.json()["data"] == {"a": None, "b": None}
    assert [e["extensions"]["code"] for e in response.json()["errors"]] == ["FORBIDDEN", "FORBIDDEN"]
    assert await public.data("{ apps { nodes { slug } } }") == {"apps": {"nodes": [{"slug": "atlas"}]}}


async def test_the_answer_says_the_cost(graph: Graph) -> None:
    answer = (await graph.post("{ apps(first: 7) { totalCount nodes { id } } }")).json()

    assert answer["data"] == {"apps": {"totalCount": 0, "nodes": []}}
    available = answer["extensions"]["cost"].pop("available")
    assert 99_998 <= available <= 100_000
    assert answer["extensions"] == {
        "cost": {"requested": 8, "maximum": 20_000, "actual": 2, "restoreRate": 5_000}
    }


async def test_a_trailing_slash_is_the_same_address(client: httpx.AsyncClient) -> None:
    response = await client.post("/graphql/", json=TYPENAME)

    assert response.status_code == 200
    assert response.json()["data"] == {"__typename": "Query"}


async def test_every_answer_has_a_request_id(client: httpx.AsyncClient) -> None:
    given = await client.post("/graphql", json=TYPENAME, headers={"X-Request-Id": "abc-1.2_3"})
    made = await client.post("/graphql", content=b"{", headers={"X-Request-Id": "not allowed!"})

    assert given.headers["x-request-id"] == "abc-1.2_3"
    assert len(made.headers["x-request-id"]) == 36
