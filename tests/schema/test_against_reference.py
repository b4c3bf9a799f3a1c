"""The application and the reference executor return the same bytes for any query."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import hypothesis
import pytest
import structlog
from graphql import build_schema
from hypothesis import given, note
from sqlalchemy import literal_column

from db import clock
from db.engine import Database
from db.shaping import search
from tests.reference.executor import Reference
from tests.schema.conftest import UNLIMITED_COST
from tests.schema.dataset import NOW, make_dataset
from tests.schema.queries import Question, questions

APP = "id slug name description webhookUrl signingAlgorithm publicKeyPem createdAt updatedAt"
TIER = "id slug name position createdAt"
LICENSE = "id status features jti token revokedReason tier { slug features { slug } }"
CUSTOMER = "id email name externalId metadata createdAt updatedAt"
EVENT = "type data actor { kind name } causedBy { id }"
ONE_CUSTOMER = f"customer(by: {{id: $id}}) {{ %s {CUSTOMER} }}"
PAGE = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount"

OF_TIER = f"licenses(last: 1) {{ nodes {{ {LICENSE} customer {{ %s {CUSTOMER} }} }} {PAGE} }}"

OF_FEATURES = f"{TIER} features {{ slug app {{ customer(by: {{id: $id}}) {{ %s {CUSTOMER} }} {APP} }} }}"

# Ways for a document to get from one customer to another, each with the number of times that it can be
# repeated within the depth limit.
WAYS_DOWN = {
    "objects": (f"app {{ customer(by: {{id: $id}}) {{ %s {CUSTOMER} }} {APP} }}", 6),
    "nodes": (f"app {{ customers(first: 2) {{ nodes {{ %s {CUSTOMER} }} {PAGE} }} {APP} }}", 4),
    "edges": (
        f"app {{ customers(last: 2) {{ edges {{ node {{ %s {CUSTOMER} }} cursor }} {PAGE} }} {APP} }}",
        3,
    ),
    "tiers": (
        f"app {{ tiers(first: 2) {{ nodes {{ {TIER} {OF_TIER} }} {PAGE} }} {APP} }}",
        2,
    ),
    "features": (f"app {{ tiers(first: 1) {{ nodes {{ {OF_FEATURES} }} {PAGE} }} {APP} }}", 2),
    "events": (
        f"events(first: 1) {{ nodes {{ {EVENT} app {{ {ONE_CUSTOMER} }} }} {PAGE} }}",
        3,
    ),
    "installations": (
        f"app {{ license(by: {{installationId: $shared}}) {{ {LICENSE} customer {{ %s id }} }} {APP} }}",
        4,
    ),
}
WIDE = " ".join(f"w{number}: metadata" for number in range(95))


@pytest.fixture
def settings() -> Mapping[str, Any]:
    """Settings without a limit on cost, because the data set is small."""
    return UNLIMITED_COST


@pytest.fixture(autouse=True)
def frozen_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)


@pytest.mark.parametrize("walked", [1, 1000])
async def test_generated_queries(
    client: httpx.AsyncClient, database: Database, sdl: str, monkeypatch: pytest.MonkeyPatch, walked: int
) -> None:
    # A search checks `walked` rows one by one, and finds the rest with the index.
    monkeypatch.setattr(search, "WALK_LIMIT", literal_column(str(walked)))
    data = await make_dataset(database)
    reference = Reference(sdl, data.rows)
    loop = asyncio.get_running_loop()

    @hypothesis.settings(max_examples=hypothesis.settings().max_examples // 4)  # for each `walked`
    @given(questions(build_schema(sdl), data))
    def answers_are_equal(question: Question) -> None:
        note(f"{question.document}\n{json.dumps(question.variables, ensure_ascii=False)}")
        asked = asyncio.run_coroutine_threadsafe(ask_twice(client, question), loop)
        expected = written(answer_of(reference, question))
        first, again = asked.result()
        assert written(first) == expected
        assert written(again) == expected

    # Hypothesis cannot run coroutines. It runs in a thread, and sends its queries through this event loop.
    # Logs are captured, because hundreds of lines would hide the one query that Hypothesis reports.
    with structlog.testing.capture_logs():
        await asyncio.to_thread(answers_are_equal)


@pytest.mark.parametrize("innermost", ["id", WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("way", WAYS_DOWN)
async def test_the_deepest_documents(
    client: httpx.AsyncClient, database: Database, sdl: str, way: str, innermost: str
) -> None:
    data = await make_dataset(database)
    step, times = WAYS_DOWN[way]
    document = innermost
    for _ in range(times):
        document = step % document
    shared = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
    document = document.replace("$shared", f'"{shared}"')
    question = Question(
        f"query ($id: ID!) {{ customer(id: $id) {{ {document} }} }}",
        {"id": data.rows.customers[0]["id"]},
        None,
        data.vendors[0],
    )

    answer = await ask(client, question)

    assert written(answer) == written(answer_of(Reference(sdl, data.rows), question))


async def ask_twice(client: httpx.AsyncClient, question: Question) -> list[Mapping[str, Any]]:
    """Return the responses to a new document, and to the same document once it is prepared."""
    return [await ask(client, question) for _ in range(2)]


async def ask(client: httpx.AsyncClient, question: Question) -> Mapping[str, Any]:
    """Return the application's response, without its extensions."""
    response = await client.post(
        "/graphql",
        json={
            "query": question.document,
            "variables": question.variables,
            "operationName": question.operation,
        },
        headers={"Authorization": f"Bearer {question.vendor.token}"},
    )
    answer: dict[str, Any] = response.json()
    answer.pop("extensions", None)
    return answer


def answer_of(reference: Reference, question: Question) -> Mapping[str, Any]:
    """Return the reference executor's response."""
    data = reference.answer(
        question.document,
        question.variables,
        operation=question.operation,
        account_id=question.vendor.account_id,
        reads_tokens=question.vendor.reads_tokens,
        now=NOW,
    )
    return {"data": data}


def written(answer: Mapping[str, Any]) -> str:
    """Return a response as text, with its keys in their original order."""
    return json.dumps(answer, ensure_ascii=False, indent=1)
