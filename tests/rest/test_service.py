"""The service's own routes (contract 9)."""

import tomllib
from pathlib import Path
from typing import Any

import httpx

from rest.openapi import document
from rest.service import VERSION
from tests.statements import Statements


async def test_health_is_told_without_a_key(client: httpx.AsyncClient, app: Any, statements: Statements):
    with statements.recorded(app.state.database) as sent:
        response = await client.get("/api/health")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.text == '{"data":{"status":"ok","version":"0.1.0"}}'
    assert len(sent) == 1


async def test_open_routes_do_not_look_at_a_key(client: httpx.AsyncClient):
    for path in ("/api/health", "/api/openapi.json"):
        assert (await client.get(path, headers={"Authorization": "Bearer nonsense"})).status_code == 200


async def test_the_document_is_served_without_a_key(client: httpx.AsyncClient):
    response = await client.get("/api/openapi.json")

    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.json() == document()
    assert response.json()["openapi"].startswith("3.1.")


def test_the_version_is_that_of_the_project():
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]

    assert project["version"] == VERSION
