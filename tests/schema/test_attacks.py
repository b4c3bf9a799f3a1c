"""Documents designed to be expensive cause little work, and even less if a key is needed but missing."""

import asyncio
import threading
from typing import Any

import pytest
from graphql import get_introspection_query, validate

from db.engine import Database
from resolvers.errors import Busy
from schema.pipeline import documents, pipeline, worker
from schema.pipeline.execute import Executor
from schema.pipeline.plan import plan
from schema.pipeline.worker import MOST_WAITING
from tests.factories import Account, make_app
from tests.schema.conftest import Graph

# A document of 767 bytes that once blocked a server for 11 s.
FRAGMENTS = "{{__schema{{types{{...F}}}}}} fragment F on __Type{{{}}} fragment G on __Type{{{}}}".format(
    " ".join(f"a{i}:fields{{type{{...G ofType{{...G}}}}}}" for i in range(10)),
    " ".join(f"b{i}:fields{{type{{name ofType{{name}}}}}}" for i in range(10)),
)
ALIASES = "{{{}}} {}".format(
    " ".join(f"a{i}:__schema{{...S}}" for i in range(50)),
    "fragment S on __Schema{types{fields{name args{name type{name ofType{name}}}type{name}}}}",
)
FULL = get_introspection_query(
    specified_by_url=True,
    directive_is_repeatable=True,
    schema_description=True,
    input_value_deprecation=True,
)
REPEATED = {
    "objects": 'app(slug: "x") {{{}}}'.format("customers { nodes { id } } " * 150),
    "under objects": 'app(slug: "x") {{{}}}'.format(f"customers {{ {'nodes { id } ' * 15} }} " * 15),
    "scalars": 'app(slug: "x") {{{}}}'.format("id " * 150),
    "introspection": f"__schema {{ {'types { name } ' * 150} }}",
    "by fragments": 'app(slug: "x") {{{}}}'.format(" ".join(f"...F{i}" for i in range(150))),
}


@pytest.fixture
def validated(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The documents that have been validated."""
    found: list[object] = []

    def counted(schema: Any, document: Any, *arguments: Any, **options: Any) -> Any:
        found.append(document)
        return validate(schema, document, *arguments, **options)

    monkeypatch.setattr(documents, "validate", counted)
    return found


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each operation that graphql-core executes."""
    found: list[object] = []
    execute = Executor.execute_operation

    def counted(executor: Any, *arguments: Any, **options: Any) -> Any:
        found.append(executor)
        return execute(executor, *arguments, **options)

    monkeypatch.setattr(Executor, "execute_operation", counted)
    return found


@pytest.mark.parametrize(
    "query",
    [
        '{ app(slug: "x") { id } }',
        'query { ...Q } fragment Q on Query { ... on Query { app(slug: "x") { nonsense } } }',
        '{ __typename apps { nodes { id } } verifyLicense(appSlug: "x", by: {jti: "y"}) { valid } }',
        'mutation { deleteApp(input: {slug: "x"}) { deletedAppId } }',
    ],
)
async def test_a_document_that_needs_a_key_is_not_validated_without_one(
    graph: Graph, validated: list[object], query: str
) -> None:
    response = await graph.with_token(None).post(query)

    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert validated == []


async def test_the_operation_that_is_selected_decides_if_a_key_is_needed(
    graph: Graph,
) -> None:
    query = 'query Closed { app(slug: "x") { id } } query Open { __typename }'

    async def status(operation: str) -> int:
        body = {"query": query, "operationName": operation}
        return (await graph.client.post("/graphql", json=body)).status_code

    assert await status("Closed") == 401
    assert await status("Open") == 200


async def test_long_lists_of_variables_are_refused_before_they_are_read(graph: Graph) -> None:
    query = 'query($ids: [UUID!]!) { verifyLicenses(appSlug: "x", by: {installationIds: $ids}) { valid } }'

    code, message = await graph.with_token(None).refusal(query, ids=["no id"] * 100_000)

    assert (code, message) == ("BAD_USER_INPUT", "variables hold more than 10000 values.")


@pytest.mark.parametrize("query", [FRAGMENTS, ALIASES], ids=["fragments", "aliases"])
async def test_introspection_costs_what_it_selects(graph: Graph, executed: list[object], query: str) -> None:
    code, _ = await graph.with_token(None).refusal(query)

    assert code == "COST_LIMIT_EXCEEDED"
    assert executed == []


async def test_introspection_costs_half_of_the_fields_that_it_returns(graph: Graph) -> None:
    def fields(value: Any) -> int:
        if isinstance(value, dict):
            return len(value) + sum(map(fields, value.values()))
        return sum(map(fields, value)) if isinstance(value, list) else 0

    for query in (FULL, '{ __type(name: "License") { name fields(includeDeprecated: true) { name } } }'):
        answer = (await graph.with_token(None).post(query)).json()

        assert answer["extensions"]["cost"]["requested"] == pytest.approx(
            fields(answer["data"]) / 2, abs=1 + 0.01 * fields(answer["data"])
        )


async def test_a_type_given_by_a_variable_costs_as_much_as_the_largest(graph: Graph) -> None:
    query = "query($name: String!) { __type(name: $name) { fields { name type { name } } } }"

    costs = set()
    for name in ("Query", "String", "License", "Nonsense"):
        answer = (await graph.post(query, {"name": name})).json()
        costs.add(answer["extensions"]["cost"]["requested"])

    assert len(costs) == 1
    assert costs.pop() > 20


@pytest.mark.parametrize("depth", [20, 21])
async def test_the_depth_of_introspection_is_limited(graph: Graph, depth: int) -> None:
    levels = depth - 3
    query = f"{{ __schema {{ types {{ {'ofType { ' * levels} name {'} ' * levels} }} }} }}"

    if depth == 20:
        assert (await graph.data(query))["__schema"]["types"]
    else:
        assert (await graph.refusal(query))[0] == "GRAPHQL_VALIDATION_FAILED"


async def test_a_known_introspection_is_executed_once(graph: Graph, executed: list[object]) -> None:
    first = (await graph.with_token(None).post(FULL)).json()["data"]
    again = (await graph.post(FULL)).json()["data"]

    assert first == again
    assert len(first["__schema"]["types"]) > 90
    assert len(executed) == 1


async def test_introspection_with_variables_is_executed_for_each_value(graph: Graph) -> None:
    query = "query($name: String!) { __type(name: $name) { name } }"

    for name in ("App", "License"):
        assert (await graph.data(query, name=name)) == {"__type": {"name": name}}


@pytest.mark.parametrize("fields", REPEATED.values(), ids=REPEATED)
async def test_fields_that_are_repeated_too_often_are_not_validated(
    graph: Graph, validated: list[object], fields: str
) -> None:
    fragments = " ".join(f"fragment F{i} on App {{ id }}" for i in range(150)) if "...F0" in fields else ""

    code, message = await graph.refusal(f"{{ {fields} }} {fragments}")

    assert (code, "too often" in message) == ("GRAPHQL_VALIDATION_FAILED", True)
    assert validated == []


async def test_fields_may_be_repeated_as_often_as_component_fragments_do(
    graph: Graph, database: Database, account: Account
) -> None:
    await make_app(database, account, slug="x")
    fragments = " ".join(f"fragment F{i} on App {{ id slug name }}" for i in range(40))

    spread = " ".join(f"...F{i}" for i in range(40))
    data = await graph.data(f'{{ app(slug: "x") {{ {spread} }} }} {fragments}')

    assert data["app"]["slug"] == "x"


async def test_an_unused_fragment_counts_too(graph: Graph, validated: list[object]) -> None:
    query = f"{{ __typename }} fragment F on App {{ {'customers { nodes { id } } ' * 150} }}"

    code, _ = await graph.refusal(query)

    assert code == "GRAPHQL_VALIDATION_FAILED"
    assert validated == []


async def test_others_are_answered_while_documents_are_read(graph: Graph) -> None:
    """Documents are parsed and validated in a thread, so the server keeps responding.

    If too many documents are waiting for the thread, the server asks clients to retry.
    """
    fields = " ".join(f'a{i}: app(slug: "x") {{ id name slug }}' for i in range(50))
    long = f"{{ {fields} }}"
    many = [asyncio.create_task(graph.post(f"{long} # {number}")) for number in range(2 * MOST_WAITING)]
    await asyncio.sleep(0)

    answers = await asyncio.gather(*many)

    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) >= MOST_WAITING
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["Retry-After"] == "1"
    assert refused.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"


async def test_concurrent_requests_with_a_new_introspection_execute_it_once(
    graph: Graph, executed: list[object]
) -> None:
    # Without a key, requests have no budget of points.
    anyone = graph.with_token(None)
    answers = await asyncio.gather(*(anyone.post(FULL) for _ in range(3 * MOST_WAITING)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert len(executed) == 1


async def test_a_long_document_that_many_ask_for_at_once_is_planned_once(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans: list[object] = []

    def counted(*arguments: Any) -> Any:
        plans.append(arguments)
        return plan(*arguments)

    monkeypatch.setattr(pipeline, "plan", counted)
    fields = " ".join(f'a{i}: app(slug: "x") {{ id name slug }}' for i in range(50))
    answers = await asyncio.gather(*(graph.post(f"{{ {fields} }}") for _ in range(3 * MOST_WAITING)))

    assert {answer.status_code for answer in answers} == {200}
    assert len(plans) == 1


async def test_waiting_for_the_thread_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "WAIT_S", 0.1)
    thread, goes_on = worker.Worker(), threading.Event()
    first = asyncio.create_task(thread.run(goes_on.wait))
    await asyncio.sleep(0)

    with pytest.raises(Busy):
        await thread.run(int)
    goes_on.set()

    with pytest.raises(Busy):
        await first
