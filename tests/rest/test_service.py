"""The routes of the service: its health, and its OpenAPI document."""

import sqlite3
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from rest.openapi import document
from rest.service import VERSION
from tests.statements import Statements


@asynccontextmanager
async def refusing_writes(url: str) -> AsyncIterator[None]:
    """Make the database refuse writes: SQLite's file is locked, and PostgreSQL's database is read-only."""
    if url.startswith("sqlite"):
        other = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        yield
        other.close()
        return
    other = await asyncpg.connect(url)
    name = await other.fetchval("SELECT current_database()")
    await other.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await other.fetch(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    yield
    await other.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    await other.close()


async def test_health_needs_no_key(client: httpx.AsyncClient, app: Any, statements: Statements) -> None:
    with statements.recorded(app.state.database) as sent:
        response = await client.get("/api/health")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.text == '{"data":{"status":"ok","version":"0.1.0"}}'
    assert len(sent) == 1


async def test_health_says_when_writes_are_refused(
    client: httpx.AsyncClient, app: Any, database_url: str
) -> None:
    app.state.database._committed_at = 0  # as if no write had succeeded recently
    async with refusing_writes(database_url):
        response = await client.get("/api/health")
    assert response.status_code == 200
    assert response.json() == {"data": {"status": "ok", "version": "0.1.0", "writes": "refused"}}

    response = await client.get("/api/health")
    assert response.json() == {"data": {"status": "ok", "version": "0.1.0"}}


async def test_open_routes_ignore_keys(client: httpx.AsyncClient) -> None:
    for path in ("/api/health", "/api/openapi.json"):
        assert (await client.get(path, headers={"Authorization": "Bearer nonsense"})).status_code == 200


async def test_the_document_is_served_without_a_key(client: httpx.AsyncClient) -> None:
    response = await client.get("/api/openapi.json")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.json() == document()
    assert response.json()["openapi"].startswith("3.1.")


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION
