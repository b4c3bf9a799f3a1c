"""Helpers for tests: one sends a mutation to a server, the other counts the rows of a table."""

from typing import Any

import httpx
from sqlalchemy import func, select

from db.engine import Database


async def mutate(client: httpx.AsyncClient, mutation: str, **variables: Any) -> Any:
    response = await client.post("/graphql", json={"query": mutation, "variables": variables})
    answer = response.json()
    assert response.status_code == 200, answer
    assert "errors" not in answer, answer
    return answer["data"]["outcome"]


async def count(database: Database, table: Any) -> int:
    async with database.write() as session:
        return int((await session.execute(select(func.count()).select_from(table))).scalar_one())
