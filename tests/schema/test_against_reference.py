"""Generated queries: the application's answers and the reference executor's are the same, to the byte."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import structlog
from graphql import build_schema
from hypothesis import given, note

from db import clock
from db.engine import Database
from tests.reference.executor import Reference
from tests.schema.dataset import NOW, make_dataset
from tests.schema.queries import Question, questions


async def test_generated_queries_are_answered_as_the_reference_does(
    client: httpx.AsyncClient,
    database: Database,
    sdl: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock, "now", lambda: NOW)
    data = await make_dataset(database)
    reference = Reference(sdl, data.rows)
    loop = asyncio.get_running_loop()

    @given(questions(build_schema(sdl), data))
    def answers_are_equal(question: Question) -> None:
        note(f"{question.document}\n{json.dumps(question.variables, ensure_ascii=False)}")
        asked = asyncio.run_coroutine_threadsafe(ask(client, question), loop)
        expected = reference.answer(
            question.document,
            question.variables,
            operation=question.operation,
            account_id=question.vendor.account_id,
            now=NOW,
        )
        assert written(asked.result()) == written({"data": expected})

    # Hypothesis is no coroutine: it runs in a thread and hands its questions to the loop that serves them.
    # Hundreds of log lines would bury the one query that it reports.
    with structlog.testing.capture_logs():
        await asyncio.to_thread(answers_are_equal)


async def ask(client: httpx.AsyncClient, question: Question) -> Mapping[str, Any]:
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


def written(answer: Mapping[str, Any]) -> str:
    """An answer as text, its keys in the order in which they came."""
    return json.dumps(answer, ensure_ascii=False, indent=1)
