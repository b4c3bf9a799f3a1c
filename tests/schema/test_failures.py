"""Failures of the server: an unreachable database gives a 503 response, and internal errors are masked."""

import logging
from pathlib import Path

import httpx
import pytest

from asgi.authentication import Authentication
from db import reads
from db.engine import Database
from resolvers.viewer import Policy
from schema.graph import graphql_schema
from schema.pipeline.endpoint import GraphQLEndpoint
from schema.pipeline.limits import Limits
from tests.factories import Account, make_app
from tests.keyrings import KEYRING
from tests.schema.conftest import Graph

TOKEN = "sk_live_" + "a" * 32


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
async def test_an_unreachable_database_is_503(tmp_path: Path, store: str, accept: str) -> None:
    urls = {
        "sqlite": f"sqlite:///{tmp_path / 'nowhere' / 'x.db'}",
        "postgresql": "postgresql://nobody@127.0.0.1:1/nothing",
    }
    database = Database(urls[store])
    api = GraphQLEndpoint(
        graphql_schema, database, KEYRING, Authentication(database, Policy()), limits=Limits()
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://testserver")

    response = await Graph(client, TOKEN).post("{ apps { totalCount } }", Accept=accept)

    assert response.status_code == 503
    assert response.headers["retry-after"] == "1"
    (error,) = response.json()["errors"]
    assert error == {"message": "the database is unavailable", "extensions": {"code": "UNAVAILABLE"}}
    await database.close()


async def test_a_database_that_fails_after_authentication_is_503_too(
    graph: Graph, database: Database, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_app(database, account, slug="atlas")

    async def out_of_reach(*_: object, **__: object) -> None:
        raise OSError("connection reset")

    monkeypatch.setattr(reads, "rows", out_of_reach)
    all = await graph.post('{ app(slug: "atlas") { id } apps { totalCount } }')
    some = await graph.post('{ __typename app(slug: "atlas") { id } }')

    assert all.status_code == 503
    assert all.headers["retry-after"] == "1"
    assert all.json()["data"] is None
    assert {error["extensions"]["code"] for error in all.json()["errors"]} == {"UNAVAILABLE"}
    assert some.status_code == 200
    assert some.json()["data"] == {"__typename": "Query", "app": None}


async def test_an_internal_error_is_masked_and_logged(
    graph: Graph, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret recipe")

    monkeypatch.setattr(reads, "rows", broken)
    response = await graph.post('{ app(slug: "atlas") { id } }')

    assert response.status_code == 200
    assert response.json()["data"] == {"app": None}
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}
    assert "recipe" not in response.text
    written = capsys.readouterr().out
    assert "RuntimeError" in written
    assert "in broken" in written
    assert "\nRuntimeError: " not in written, "an exception's message may quote the request"


async def test_an_internal_error_outside_of_execution_is_masked_too(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret recipe")

    monkeypatch.setattr("schema.pipeline.documents.validate", broken)
    response = await graph.post("{ thisDocumentIsNew: __typename }")

    assert response.status_code == 500
    (error,) = response.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}
    assert "recipe" not in response.text


async def test_refusals_are_logged_without_tracebacks_and_without_keys(
    graph: Graph, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        await graph.post("{ apps(first: 0) { totalCount } }")
        await graph.post("{ nonsense }")
        await graph.with_token(TOKEN).post("{ apps { totalCount } }")

    written = capsys.readouterr().out + caplog.text
    assert written.count("graphql.refused") == 3
    assert "Traceback" not in written
    assert str(graph.token) not in written
    assert TOKEN not in written
