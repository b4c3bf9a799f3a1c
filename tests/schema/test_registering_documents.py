"""Registering documents, listing them and deleting their sets."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pytest
from starlette.applications import Starlette

from db import documents as stored
from db.engine import Database
from resolvers import documents
from resolvers.viewer import Scope
from schema.pipeline.limits import Limits
from tests.factories import Account, make_account, make_app, make_document, make_key
from tests.schema.conftest import Graph, limited
from tests.statements import Statements, assert_one

REGISTER = """mutation Register($set: String!, $documents: [DocumentInput!]!) {
  registerDocuments(input: {set: $set, documents: $documents}) {
    added
    documents { id documentId set operations text maxCost lastUsedAt }
    userErrors { code field message }
  }
}"""
DELETE = """mutation Delete($set: String!) {
  deleteDocumentSet(input: {set: $set}) { deletedDocumentCount userErrors { code field message } }
}"""
LIST = "query($set: String) { registeredDocuments(set: $set) { totalCount nodes { documentId set } } }"

TEXT = "query Apps { apps { totalCount } }"
OTHER = "query Viewer { viewer { accountName } }"
BROKEN = "query Apps { appz { totalCount } }"


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def register(graph: Graph, *given: Mapping[str, Any] | str, set: str = "portal@1.4.2") -> Any:
    documents = [{"text": each} if isinstance(each, str) else each for each in given]
    return (await graph.data(REGISTER, set=set, documents=documents))["registerDocuments"]


async def errors(graph: Graph, *given: Mapping[str, Any] | str, set: str = "portal@1.4.2") -> list[Any]:
    """Return the codes and fields of the errors, after checking that nothing was registered."""
    before = await graph.data(LIST)
    payload = await register(graph, *given, set=set)
    assert payload["documents"] is None
    assert payload["added"] == 0
    assert await graph.data(LIST) == before
    return [(error["code"], error["field"]) for error in payload["userErrors"]]


async def listed(graph: Graph, set: str | None = None) -> list[tuple[str, str]]:
    page = (await graph.data(LIST, set=set))["registeredDocuments"]
    assert page["totalCount"] == len(page["nodes"])
    return [(node["documentId"], node["set"]) for node in page["nodes"]]


async def test_documents_are_registered_in_the_order_of_the_input(graph: Graph) -> None:
    payload = await register(graph, {"text": OTHER, "documentId": "x-portal:Viewer"}, TEXT)

    ids = [document.pop("id") for document in payload["documents"]]
    assert payload == {
        "added": 2,
        "documents": [
            {
                "documentId": "x-portal:Viewer",
                "set": "portal@1.4.2",
                "operations": ["Viewer"],
                "text": OTHER,
                "maxCost": 1,
                "lastUsedAt": None,
            },
            {
                "documentId": f"sha256:{sha(TEXT)}",
                "set": "portal@1.4.2",
                "operations": ["Apps"],
                "text": TEXT,
                "maxCost": 1,
                "lastUsedAt": None,
            },
        ],
        "userErrors": [],
    }
    assert all(id.startswith("doc_") for id in ids)
    found = await graph.data(
        """query($ids: [ID!]!, $id: ID!) {
          nodes(ids: $ids) { id ... on RegisteredDocument { documentId } }
          node(id: $id) { __typename ... on RegisteredDocument { registeredAt text } }
        }""",
        ids=ids,
        id=ids[1],
    )
    assert [node["id"] for node in found["nodes"]] == ids
    assert (found["node"]["__typename"], found["node"]["text"]) == ("RegisteredDocument", TEXT)


async def test_registering_again_changes_nothing(graph: Graph) -> None:
    first = await register(graph, TEXT, {"text": OTHER, "documentId": "own"})

    again = await register(graph, {"text": OTHER, "documentId": "own"}, "{ __typename }", TEXT, TEXT)

    assert (first["added"], again["added"]) == (2, 1)
    ids = [document["id"] for document in again["documents"]]
    assert ids[0] == first["documents"][1]["id"]
    assert ids[2:] == [first["documents"][0]["id"]] * 2
    assert len(await listed(graph)) == 3


async def test_a_document_can_be_in_several_sets(graph: Graph) -> None:
    await register(graph, TEXT, set="portal@1")
    payload = await register(graph, TEXT, OTHER, set="portal@2")

    assert payload["added"] == 2
    assert await listed(graph) == [
        (f"sha256:{sha(OTHER)}", "portal@2"),
        (f"sha256:{sha(TEXT)}", "portal@2"),
        (f"sha256:{sha(TEXT)}", "portal@1"),
    ]
    assert await listed(graph, "portal@1") == [(f"sha256:{sha(TEXT)}", "portal@1")]
    assert await listed(graph, "portal") == []
    assert len(await listed(graph, "")) == 3


@pytest.mark.parametrize("id", [sha(TEXT), f"sha256:{sha(TEXT)}", None])
async def test_a_sha_256_may_be_given_with_or_without_its_prefix(graph: Graph, id: str | None) -> None:
    payload = await register(graph, {"text": TEXT, "documentId": id})

    assert payload["documents"][0]["documentId"] == f"sha256:{sha(TEXT)}"


@pytest.mark.parametrize(
    "id", ["0cc175b9c0f1b6a831c399e269772661", "x-a:b", "x-a.b-c:d:e/f?#", "A", "a" * 128, "x-", "1._~-"]
)
async def test_other_ids_are_kept_as_given(graph: Graph, id: str) -> None:
    payload = await register(graph, {"text": TEXT, "documentId": id})

    assert payload["documents"][0]["documentId"] == id


@pytest.mark.surface
@pytest.mark.parametrize(
    "id",
    ["", " ", "a b", "a:b", "md5:0cc175b9", "sha256:", f"sha256:{sha(TEXT)[1:]}", "x-:b", "x-a:", "x-a: b",
     "x-ä:b", "a" * 129, f"x-a:{'b' * 125}", "ä", "a\n", "a\u0000"],
)  # fmt: skip
async def test_ids_of_another_form_are_invalid(graph: Graph, id: str) -> None:
    assert await errors(graph, {"text": TEXT, "documentId": id}) == [
        ("INVALID", ["documents", "0", "documentId"])
    ]


async def test_a_hash_must_be_that_of_the_text(graph: Graph) -> None:
    for id in (sha(OTHER), f"sha256:{sha(OTHER)}", sha(TEXT + " ")):
        payload = await register(graph, OTHER, {"text": TEXT, "documentId": id})

        assert payload["userErrors"] == [
            {
                "code": "INVALID",
                "field": ["documents", "1", "documentId"],
                "message": "is not the SHA-256 of the text",
            }
        ]
        assert await listed(graph) == []


async def test_an_id_stands_for_the_same_text_for_ever(graph: Graph) -> None:
    taken = [("TAKEN", ["documents", "0", "documentId"])]
    own = {"text": TEXT, "documentId": "own"}
    other = {"text": OTHER, "documentId": "own"}
    await register(graph, own, set="portal@1")

    assert await errors(graph, other, set="portal@1") == taken
    assert await errors(graph, other, set="portal@2") == taken
    assert await errors(graph, own, other, set="portal@3") == [("TAKEN", ["documents", "1", "documentId"])]
    await graph.data(DELETE, set="portal@1")
    assert await listed(graph) == []
    assert await errors(graph, other, set="portal@1") == taken
    assert (await register(graph, own, set="portal@1"))["added"] == 1


async def test_another_account_may_use_the_same_id_for_another_text(graph: Graph, database: Database) -> None:
    stranger = graph.with_token(await make_key(database, await make_account(database)))
    await register(graph, {"text": TEXT, "documentId": "own"})

    assert (await register(stranger, {"text": OTHER, "documentId": "own"}))["added"] == 1
    assert await listed(graph) == [("own", "portal@1.4.2")]


async def test_all_errors_are_reported_together_and_nothing_is_registered(graph: Graph) -> None:
    await register(graph, {"text": TEXT, "documentId": "own"}, set="before")
    given: list[Mapping[str, Any] | str] = [OTHER] * 17
    given += [
        BROKEN,
        "",
        {"text": "{", "documentId": "a b"},
        {"text": OTHER, "documentId": "own"},
        {"text": "{ a { b } c }", "documentId": sha(TEXT)},
    ]

    payload = await register(graph, *given, set="two words")

    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [
        ("INVALID", ["set"]),
        ("INVALID", ["documents", "17", "text"]),
        ("BLANK", ["documents", "18", "text"]),
        ("INVALID", ["documents", "19", "documentId"]),
        ("TAKEN", ["documents", "20", "documentId"]),
        ("INVALID", ["documents", "21", "text"]),
        ("INVALID", ["documents", "21", "text"]),
        ("INVALID", ["documents", "21", "documentId"]),
    ]
    assert payload["userErrors"][1]["message"] == (
        "is not valid: Cannot query field 'appz' on type 'Query'. Did you mean 'app' or 'apps'? "
        "(line 1, column 14)"
    )
    assert await listed(graph) == [("own", "before")]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{ appz { id } }",
        "query A($x: Nope) { __typename }",
        "fragment F on App { id }",
        "type A { b: Int }",
        "subscription { a }",
        "{ apps(first: 101) { totalCount } }",
        "{ apps(first: 1, last: 1) { totalCount } }",
        '{ apps(after: "nonsense") { totalCount } }',
        '{ license(id: "app_01h455vb4pex5vsknk084sn02q") { id } }',
        "{ " + " ".join(f"a{number}: __typename" for number in range(101)) + " }",
        "{ " + "__typename " * 5_001 + " }",
        "{ apps(first: 100) { nodes { customers(first: 100) { nodes { app { id } } } } } }",
        "{ a(x: " + "[" * 5_000 + "]" * 5_000 + ") }",
    ],
)
async def test_a_text_must_fit_the_schema_and_the_limits(graph: Graph, text: str) -> None:
    assert {code for code, _ in await errors(graph, text)} == {"INVALID"}


async def test_at_most_ten_errors_of_each_text_are_reported(graph: Graph) -> None:
    text = "{ " + " ".join(f"a{number}" for number in range(50)) + " }"

    assert await errors(graph, text, text) == [("INVALID", ["documents", place, "text"]) for place in
                                               ["0"] * 10 + ["1"] * 10]  # fmt: skip


@pytest.mark.parametrize("text", ["{ __typename }\u0000", "{ a\ud800 }"])
async def test_texts_that_cannot_be_stored_are_invalid(graph: Graph, text: str) -> None:
    body = {"query": REGISTER, "variables": {"set": "a", "documents": [{"text": text}]}}

    response = await graph.client.post(
        "/graphql",
        content=json.dumps(body),
        headers={"Authorization": f"Bearer {graph.token}", "Content-Type": "application/json"},
    )

    payload = response.json()["data"]["registerDocuments"]
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [
        ("INVALID", ["documents", "0", "text"])
    ]


PAGES = """query($n: Int, $c: String) {
  apps(first: 7, after: $c) { nodes { id } }
  few: apps(first: $n) { totalCount }
}"""
FILTERED = """query($s: String!, $f: CustomerFilter) {
  app(slug: $s) { customers(filter: $f) { nodes { id } } }
}"""
DEEP = "apps(first: $n) { nodes { %s } }"
for _ in range(4):
    DEEP %= "customers(first: $n) { nodes { app { %s } } }"
DEEP = f"query($n: Int) {{ {DEEP % 'id'} }}"


@pytest.mark.surface
@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("{ apps { nodes { id } } }", 20),
        ("query($n: Int) { apps(first: $n) { nodes { id } } }", 100),
        ("query($n: Int = 3) { apps(last: $n) { edges { node { id } } nodes { id } } }", 200),
        ("query($a: Int, $b: Int) { apps(first: $a, last: $b) { nodes { id } } }", 100),
        (PAGES, 8),
        ("query($n: Int) { apps(first: $n) { nodes { customers(first: 5) { nodes { id } } } } }", 600),
        ("query($s: String!, $e: String!) { app(slug: $s) { customer(by: {email: $e}) { id } } }", 2),
        ("query($x: Boolean!) { apps(first: 3) @skip(if: $x) { nodes { id @include(if: $x) } } }", 3),
        ("query($ids: [ID!]!) { nodes(ids: $ids) { id } }", 100),
        ('{ nodes(ids: ["app_1", "app_2"]) { id } }', 2),
        ("query($id: ID!) { customer(id: $id) { id } }", 1),
        ("query($s: String!) { signingKeys(appSlug: $s) { kid } }", 100),
        ("query A { apps(first: 3) { nodes { id } } } query B { apps(first: 4) { nodes { id } } }", 4),
        (FILTERED, 9_021),
        ("mutation($i: CreateCustomerInput!) { createCustomer(input: $i) { customer { id } } }", 11),
        ("mutation($i: RegisterDocumentsInput!) { registerDocuments(input: $i) { added } }", 1_010),
        (DEEP, 2**31 - 1),
    ],
)
async def test_the_largest_cost_counts_page_sizes_in_variables_as_100(
    graph: Graph, text: str, cost: int
) -> None:
    payload = await register(graph, text)

    assert payload["userErrors"] == []
    assert [document["maxCost"] for document in payload["documents"]] == [cost]


async def test_the_names_of_operations_are_returned(graph: Graph) -> None:
    payload = await register(graph, "{ __typename }", "query A { __typename } query B { __typename }")

    assert [document["operations"] for document in payload["documents"]] == [[], ["A", "B"]]


@pytest.mark.parametrize("set", ["a", "portal@1.4.2", "a/b_c-D.9", "x" * 64])
async def test_names_that_a_set_can_have(graph: Graph, set: str) -> None:
    assert (await register(graph, TEXT, set=set))["documents"][0]["set"] == set
    assert (await graph.data(DELETE, set=set))["deleteDocumentSet"]["deletedDocumentCount"] == 1


@pytest.mark.parametrize(
    ("set", "code"),
    [("", "BLANK"), ("x" * 65, "TOO_LONG"), ("a b", "INVALID"), ("ä", "INVALID"), ("a\n", "INVALID"),
     ("a\u0000", "INVALID"), ("a:b", "INVALID")],
)  # fmt: skip
async def test_names_that_no_set_can_have_are_refused(graph: Graph, set: str, code: str) -> None:
    assert await errors(graph, TEXT, set=set) == [(code, ["set"])]
    deleted = (await graph.data(DELETE, set=set))["deleteDocumentSet"]
    assert [(error["code"], error["field"]) for error in deleted["userErrors"]] == [(code, ["set"])]


async def test_a_call_has_1_to_1000_documents(graph: Graph) -> None:
    assert await errors(graph) == [("BLANK", ["documents"])]
    assert await errors(graph, *[TEXT] * 1_001) == [("INVALID", ["documents"])]
    assert (await register(graph, *[TEXT] * 1_000))["added"] == 1


async def test_an_account_has_at_most_10000_documents(
    graph: Graph, database: Database, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert documents.MOST_IN_ACCOUNT == 10_000
    monkeypatch.setattr(documents, "MOST_IN_ACCOUNT", 3)
    await make_document(database, await make_account(database))
    await register(graph, TEXT, OTHER, set="a")

    assert await errors(graph, TEXT, OTHER, set="b") == [("WRONG_STATE", ["documents"])]
    assert (await register(graph, TEXT, set="b"))["added"] == 1
    assert (await register(graph, TEXT, set="b"))["added"] == 0


async def test_concurrent_registrations_never_give_an_id_two_texts(graph: Graph) -> None:
    texts = [f"query Q{number} {{ __typename }}" for number in range(8)]

    payloads = await asyncio.gather(
        *(register(graph, {"text": text, "documentId": "own"}, set=f"s{n}") for n, text in enumerate(texts))
    )

    assert sum(payload["added"] for payload in payloads) == 1
    assert [error["code"] for payload in payloads for error in payload["userErrors"]] == ["TAKEN"] * 7
    assert len(await listed(graph)) == 1


async def test_a_set_is_deleted(graph: Graph) -> None:
    await register(graph, TEXT, OTHER, set="a")
    await register(graph, TEXT, set="b")

    assert (await graph.data(DELETE, set="a"))["deleteDocumentSet"] == {
        "deletedDocumentCount": 2,
        "userErrors": [],
    }
    assert await listed(graph) == [(f"sha256:{sha(TEXT)}", "b")]
    assert (await graph.data(DELETE, set="a"))["deleteDocumentSet"] == {
        "deletedDocumentCount": 0,
        "userErrors": [{"code": "NOT_FOUND", "field": ["set"], "message": "does not exist"}],
    }


async def test_another_account_s_documents_do_not_exist(graph: Graph, database: Database) -> None:
    stranger = graph.with_token(await make_key(database, await make_account(database)))
    id = (await register(graph, TEXT, set="a"))["documents"][0]["id"]

    assert await stranger.data(
        "query($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } }", id=id
    ) == {
        "node": None,
        "nodes": [None],
    }
    assert await listed(stranger) == []
    errors = (await stranger.data(DELETE, set="a"))["deleteDocumentSet"]["userErrors"]
    assert [error["code"] for error in errors] == ["NOT_FOUND"]
    assert len(await listed(graph)) == 1


async def test_documents_need_the_scope_manage_keys_and_no_other(
    graph: Graph, database: Database, account: Account
) -> None:
    id = (await register(graph, TEXT, set="a"))["documents"][0]["id"]
    everything_else = [scope.value for scope in Scope if scope not in {Scope.MANAGE_KEYS, Scope.WRITE}]
    without = graph.with_token(await make_key(database, account, kind="restricted", scopes=everything_else))
    only = graph.with_token(await make_key(database, account, kind="restricted", scopes=["manage_keys"]))
    node = "query($id: ID!) { node(id: $id) { id } }"

    for client in (without, graph.with_token(await make_key(database, account, kind="public"))):
        assert (await client.refusal(LIST))[0] == "FORBIDDEN"
        assert (await client.refusal(node, id=id))[0] == "FORBIDDEN"
        assert (await client.refusal(DELETE, set="a"))[0] == "FORBIDDEN"
        assert (await client.refusal(REGISTER, set="a", documents=[{"text": BROKEN}]))[0] == "FORBIDDEN"
    assert await listed(only) == [(f"sha256:{sha(TEXT)}", "a")]
    assert await only.data(node, id=id) == {"node": {"id": id}}
    assert (await register(only, OTHER, set="a"))["added"] == 1
    assert (await only.data(DELETE, set="a"))["deleteDocumentSet"]["deletedDocumentCount"] == 2


async def test_documents_are_read_by_pages_in_one_statement(
    graph: Graph, database: Database, account: Account, app: Starlette, statements: Statements
) -> None:
    for number in range(7):
        await make_document(database, account, text=f"query Q{number} {{ __typename }}", set=f"s{number % 2}")
    query = """query($set: String, $first: Int, $after: String, $last: Int, $before: String) {
      registeredDocuments(set: $set, first: $first, after: $after, last: $last, before: $before) {
        totalCount nodes { set text } pageInfo { endCursor startCursor hasNextPage hasPreviousPage }
      }
    }"""

    async def page(**variables: object) -> tuple[list[str], Any]:
        with statements.recorded(app.state.database) as sent:
            found = (await graph.data(query, **variables))["registeredDocuments"]
        assert_one(sent)
        return [node["text"][7] for node in found["nodes"]], found

    first, found = await page(first=2, set="s0")
    assert (first, found["totalCount"], found["pageInfo"]["hasNextPage"]) == (["6", "4"], 4, True)
    second, found = await page(first=2, set="s0", after=found["pageInfo"]["endCursor"])
    assert (second, found["pageInfo"]["hasNextPage"]) == (["2", "0"], False)
    assert (await page(last=1, set="s0", before=found["pageInfo"]["startCursor"]))[0] == ["4"]
    assert (await page(first=3))[0] == ["6", "5", "4"]


async def test_registering_costs_1_for_each_document(graph: Graph) -> None:
    documents = [{"text": TEXT}, {"text": OTHER}]
    without = (
        'mutation($d: [DocumentInput!]!) { registerDocuments(input: {set: "a", documents: $d}) { added } }'
    )

    async def cost(query: str, **variables: Any) -> int:
        return int((await graph.post(query, variables)).json()["extensions"]["cost"]["requested"])

    assert await cost(without, d=documents) == 12
    assert await cost(without.replace("added", "documents { id }"), d=documents) == 14
    assert await cost(without.replace("added", "documents { id text }"), d=documents) == 24
    assert await cost(without, d=documents * 500) == 1_010


async def test_registering_takes_a_few_statements_however_many_documents(
    graph: Graph, app: Starlette, statements: Statements
) -> None:
    texts = [{"text": f"query Q{n} {{ __typename }}", "documentId": f"id{n}"} for n in range(50)]

    with statements.recorded(app.state.database) as sent:
        assert (await register(graph, *texts))["added"] == 50

    # SQLite reports each row of a load as a statement of its own.
    assert len({each.partition("VALUES")[0] for each in sent}) <= 9


async def test_a_long_registration_leaves_the_worker_to_others(graph: Graph) -> None:
    aliases = " ".join(f"a{number}: id" for number in range(90))
    texts = [f"query Q{number} {{ apps {{ nodes {{ {aliases} }} }} }}" for number in range(100)]
    registering = asyncio.create_task(register(graph, *texts))
    await asyncio.sleep(0.1)

    for number in range(5):
        assert await graph.data(f"query New{number} {{ __typename }}")
    assert not registering.done()

    assert (await registering)["added"] == 100


async def test_introspection_cannot_be_registered_where_it_is_off(graph: Graph, database: Database) -> None:
    closed = limited(graph, database, Limits(), introspection=False)

    found = (await register(closed, "{ __schema { types { name } } }"))["userErrors"]

    assert {tuple(error["field"]) for error in found} == {("documents", "0", "text")}


async def test_the_limits_of_the_server_apply(graph: Graph, database: Database) -> None:
    small = limited(graph, database, Limits(max_cost=50, max_body_bytes=2_000))

    async def messages(text: str) -> list[str]:
        return [error["message"] for error in (await register(small, text))["userErrors"]]

    # With variables, a request may be within the limit.
    assert await messages("query($n: Int) { apps(first: $n) { nodes { id } } }") == []
    assert await messages("query($x: Boolean!) { apps(first: 60) @include(if: $x) { nodes { id } } }") == []
    assert await messages("{ apps(first: 60) { nodes { id } } }") == [
        "is not valid: The document could return 60 objects; at most 50 are allowed. Ask for smaller pages."
    ]
    assert (await stored_count(database)) == 2


async def stored_count(database: Database) -> int:
    async with database.read() as session:
        return len(await stored.after(session, "", 100))


async def test_a_text_may_name_an_app_that_does_not_exist(
    graph: Graph, database: Database, account: Account
) -> None:
    await make_app(database, account, slug="atlas")

    payload = await register(graph, 'query A { app(slug: "nowhere") { id } }')

    assert payload["added"] == 1
