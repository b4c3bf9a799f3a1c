"""What `create_app` sets up immediately, and what is set up when the application starts."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from httpx import ASGITransport
from starlette.types import ASGIApp
from structlog.testing import capture_logs
from uvicorn.config import STARTUP_FAILURE

from server import create_app
from settings import Settings
from tests.keyrings import MASTER_KEY
from tests.processes import PROGRAM

BROWSER = {"Accept": "text/html"}


async def get(app: ASGIApp, path: str, **headers: str) -> httpx.Response:
    transport = ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        return await client.get(path, headers=headers)


def test_importing_and_creating_the_application_opens_no_connection(tmp_path: Path) -> None:
    create_app(Settings(database_url=f"sqlite:///{tmp_path}/new.db"))

    assert list(tmp_path.iterdir()) == []


async def test_a_slash_at_the_end_changes_nothing(tmp_path: Path) -> None:
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/new.db"))

    pages = [await get(app, path, **BROWSER) for path in ("/graphql", "/graphql/")]
    others = [await get(app, path) for path in ("/graphqlx", "/api/", "/graphql/x")]

    assert [page.status_code for page in pages] == [200, 200]
    assert "GraphiQL" in pages[0].text
    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in others] == [
        (404, "not_found")
    ] * 3


async def test_an_unreachable_database_is_503_in_both_apis() -> None:
    app = create_app(Settings(database_url="sqlite:////nowhere/at/all.db"))
    key = {"Authorization": "Bearer sk_live_" + "x" * 32}

    graphql = await get(app, "/graphql?query=%7Bapps%7BtotalCount%7D%7D", **key)
    rest = await get(app, "/api/v1/apps", **key)

    assert (graphql.status_code, rest.status_code) == (503, 503)
    assert graphql.json()["errors"][0]["extensions"]["code"] == "UNAVAILABLE"
    assert rest.json()["error"]["code"] == "unavailable"


async def test_settings_apply_to_both_apis(tmp_path: Path) -> None:
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


async def test_starting_creates_and_loads_the_master_key(tmp_path: Path, database_url: str) -> None:
    file = tmp_path / "master.key"
    settings = Settings(database_url=database_url, master_key_file=file)

    for made in (1, 0):
        app = create_app(settings)
        with capture_logs() as logged:
            async with app.router.lifespan_context(app):
                assert file.exists()
        assert [line["file"] for line in logged if line["event"] == "master_key.made"] == [str(file)] * made


@pytest.mark.parametrize("given", [{}, {"LICENSEGRAPH_MASTER_KEY": MASTER_KEY}])
async def test_another_server_program_does_not_start_it_without_the_master_key(
    tmp_path: Path, database_url: str, given: dict[str, str]
) -> None:
    settings = Settings(database_url=database_url, master_key_file=tmp_path / "master.key")
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        settings.master_key_file.unlink()

    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "uvicorn", "--factory", "server:create_app", "--port", "0"],
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROGRAM.parent),
            "DATABASE_URL": database_url,
            **given,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == STARTUP_FAILURE
    said = [line for line in done.stderr.splitlines() if not line.startswith("INFO: ")]
    assert [line.partition(" ")[0] for line in said] == ["ERROR:", "ERROR:"]
    assert said[0].split(maxsplit=1)[1].startswith("the master key ")
    assert said[1].endswith("Application startup failed. Exiting.")
    assert MASTER_KEY not in done.stderr


FAILING = """
import server

async def fail(*_):
    raise RuntimeError("se" + "cret")

server.require_current = fail
"""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (
            "import server",
            "the database is unavailable: ConnectionRefusedError ECONNREFUSED: Connection refused",
        ),
        (
            FAILING,
            "the server cannot start: RuntimeError",
        ),
    ],
)
def test_the_reason_for_not_starting_holds_no_secret(tmp_path: Path, program: str, said: str) -> None:
    """uvicorn starts the application directly here, and logs the reason in its own format."""
    (tmp_path / "program.py").write_text(f"{program}\ncreate_app = server.create_app\n")

    done = subprocess.run(
        [sys.executable, "-m", "uvicorn", "--factory", "program:create_app", "--port", "0"],
        check=False,
        cwd=tmp_path,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROGRAM.parent),
            "DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/db",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == STARTUP_FAILURE
    assert said in done.stderr
    assert "secret" not in done.stderr
    assert ("start.failed" in done.stderr) is ("RuntimeError" in said)


def test_tracebacks_show_no_values() -> None:
    failing = """
from asgi import logs
import logging, structlog, sys
logs.configure("info", sys.argv[1])
def fail(key):
    try:
        int(key)
    except ValueError as error:
        error.add_note(key)
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
        assert done.stderr.count("in fail") == 2
        assert done.stderr.count("ValueError") == 2
        assert "live_secret" not in done.stderr
