"""`create_app`: what it puts together, and what it leaves alone."""

import subprocess
import sys
from pathlib import Path

import httpx
from httpx import ASGITransport

from server import create_app
from settings import Settings
from tests.processes import PROGRAM

BROWSER = {"Accept": "text/html"}


async def get(app: object, path: str, **headers: str) -> httpx.Response:
    transport = ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        return await client.get(path, headers=headers)


def test_importing_and_making_it_opens_nothing(tmp_path: Path) -> None:
    create_app(Settings(database_url=f"sqlite:///{tmp_path}/new.db"))

    assert list(tmp_path.iterdir()) == []


async def test_a_slash_at_the_end_changes_nothing(tmp_path: Path) -> None:
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/new.db"))

    pages = [await get(app, path, **BROWSER) for path in ("/graphql", "/graphql/")]
    others = [await get(app, path) for path in ("/graphqlx", "/", "/graphql/x")]

    assert [page.status_code for page in pages] == [200, 200]
    assert "GraphiQL" in pages[0].text
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in others] == [
        (404, "not_found")
    ] * 3


async def test_an_unreachable_database_is_503_at_both_doors() -> None:
    app = create_app(Settings(database_url="sqlite:////nowhere/at/all.db"))
    key = {"Authorization": "Bearer sk_live_" + "x" * 32}

    graphql = await get(app, "/graphql?query=%7Bapps%7BtotalCount%7D%7D", **key)
    rest = await get(app, "/api/v1/apps", **key)

    assert (graphql.status_code, rest.status_code) == (503, 503)
    assert graphql.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    assert rest.json()["error"]["code"] == "unavailable"


async def test_settings_reach_both_doors(tmp_path: Path) -> None:
    limited = Settings(
        database_url=f"sqlite:///{tmp_path}/new.db",
        max_root_fields=1,
        max_body_bytes=10,
        introspection=False,
    )
    app = create_app(limited)

    async with httpx.AsyncClient(transport=ASGITransport(app=app), base_url="http://testserver") as client:
        introspecting = await client.get("/graphql", params={"query": "{ __schema { queryType { name } } }"})
        two_fields = await client.get("/graphql", params={"query": "{ __typename a: __typename }"})
        long_document = await client.post("/graphql", json={"query": "{ __typename }"})

    assert "errors" in introspecting.json()
    assert two_fields.json()["errors"][0]["message"] == "The document has more than 1 root fields."
    assert long_document.status_code == 413


def test_tracebacks_show_no_values() -> None:
    failing = """
from asgi import logs
import logging, structlog, sys
logs.configure("info", sys.argv[1])
def fail(key):
    try:
        1 / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("ours.failed")
        logging.getLogger("theirs").exception("failed")
fail("sk_live_secret")
"""
    for format in ("console", "json"):
        done = subprocess.run(
            [sys.executable, "-c", failing, format],
            cwd=PROGRAM.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == ""
        assert done.stderr.count("ZeroDivisionError: division by zero") == 2
        assert "live_secret" not in done.stderr
