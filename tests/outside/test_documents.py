"""Registered documents: tools of Apollo, urql, Relay and graphql-codegen build them, and clients send them.

Each tool builds in a folder of its own, and the file that it writes is registered unchanged. The clients of
the tool then send requests to a server, with a key that runs only registered documents.
"""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from db.engine import Database
from tests import processes
from tests.databases import PostgresTemplate, SqliteTemplate, runner
from tests.factories import make_account, make_app, make_customer, make_key, make_license
from tests.keyrings import MASTER_KEY
from tests.outside import node

pytestmark = pytest.mark.skipif(
    node.missing(node.DOCUMENTS) is not None, reason=str(node.missing(node.DOCUMENTS))
)

SCHEMA = processes.PROGRAM.parent / "schema" / "schema.graphql"
SLUG = "atlas"
SHOWN = {
    "app": "Atlas",
    "customers": [["cleo@example.com", "bob@example.com"], ["ada@example.com"]],
    "licenses": [["ACTIVE", "REVOKED"], ["ACTIVE"]],
    "last": [True, True],
    "renamed": "Ada Lovelace",
}
"""What a client shows: the app, two pages of its customers, and two pages of the first customer's licenses.

`last` says whether the second page of each is the last one. `renamed` is the new name of that customer.
"""

NOT_FOUND, NOT_SUPPORTED = "PERSISTED_QUERY_NOT_FOUND", "PERSISTED_QUERY_NOT_SUPPORTED"
NOT_REGISTERED = "DOCUMENT_NOT_REGISTERED"

Request: TypeAlias = list[Any]
"""A request of a client: its method, what named the document, the response's status, and the error's code."""


PAGE = (processes.PROGRAM.parent / "docs" / "registered-documents.md").read_text()
TOOLS = {"apollo": "Apollo Client", "codegen": "graphql-codegen", "relay": "Relay", "urql": "urql"}
"""The tools, with the headings of their sections in the docs."""


def commands(tool: str) -> list[str]:
    """Return the commands that the docs give for a tool. The last one registers what the others build."""
    section = PAGE.split(f"\n### {TOOLS[tool]}\n")[1].split("\n### ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return str(block).splitlines()


@dataclass(frozen=True, slots=True)
class Service:
    """A running server, and keys for it. `reader` and `writer` run only registered documents."""

    url: str
    database_url: str
    reader: str
    writer: str
    any_document: str
    variables: Mapping[str, str]

    def register(self, tool: str, folder: Path) -> None:
        """Register what a tool has built in a folder."""
        program, *arguments = shlex.split(commands(tool)[-1])
        assert program == "./licensegraph"
        done = processes.run(folder, *arguments, DATABASE_URL=self.database_url)
        assert done.returncode == 0, f"{done.stdout}{done.stderr}"

    def ask(self, text: str) -> tuple[int, Any]:
        """Send a text with the key `writer`, and return the status and the body of the response."""
        response = httpx.post(
            self.url,
            json={"query": text, "variables": self.variables},
            headers={"Authorization": f"Bearer {self.writer}"},
            timeout=60,
        )
        return response.status_code, response.json()


async def fill(database: Database) -> dict[str, Any]:
    """Create an app with customers and licenses. Return keys for it, and variables for all documents."""
    account = await make_account(database)
    app = await make_app(database, account, slug=SLUG, name="Atlas")
    for name in ("ada", "bob", "cleo"):
        customer = await make_customer(database, app, email=f"{name}@example.com")
    for revoked_at in (None, app.created_at, None):
        await make_license(database, customer, revoked_at=revoked_at)
    reads = ["read", "read_customers"]
    return {
        "reader": await make_key(database, account, kind="public", scopes=reads, documents="registered"),
        "writer": await make_key(
            database,
            account,
            kind="restricted",
            scopes=[*reads, "write_customers"],
            documents="registered",
        ),
        "any_document": await make_key(database, account),
        "variables": {"app": SLUG, "id": app.id, "customer": customer.id, "name": "Ada"},
    }


# The clients only see HTTP. So PostgreSQL is left to long tests.
@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    template: SqliteTemplate | PostgresTemplate = request.getfixturevalue(f"{request.param}_template")

    async def filled(url: str) -> dict[str, Any]:
        database = Database(url)
        try:
            return await fill(database)
        finally:
            await database.close()

    with template.copied() as url, runner() as loop:
        made = loop.run(filled(url))
        folder = tmp_path_factory.mktemp("server")
        with processes.serving(folder, DATABASE_URL=url, LICENSEGRAPH_MASTER_KEY=MASTER_KEY) as server:
            yield Service(f"{server.url}/graphql", url, **made)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that runs a tool in a new folder, and returns the folder. Each tool runs only once."""

    @cache
    def build(tool: str) -> Path:
        folder = tmp_path_factory.mktemp(tool)
        built(tool, sources(folder))
        return folder

    return build


def sources(folder: Path) -> Path:
    """Fill a folder with the sources of all tools and the clients, and return it."""
    shutil.copytree(node.DOCUMENTS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    shutil.copy(SCHEMA, folder)
    (folder / "node_modules").symlink_to(node.DOCUMENTS / "node_modules")
    return folder


def built(tool: str, folder: Path) -> None:
    """Run a tool in a folder."""
    done = subprocess.run(
        ["sh", "-ec", "\n".join(commands(tool)[:-1])],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def texts(tool: str, folder: Path) -> list[str]:
    """Return the texts of the documents in the file that a tool has written."""
    file = shlex.split(commands(tool)[-1])[3]
    content = json.loads((folder / file).read_text())
    operations = content.get("operations")
    return list(content.values()) if operations is None else [each["body"] for each in operations]


@pytest.mark.parametrize(
    ("client", "tool", "method", "named_by"),
    [
        ("apollo", "apollo", "POST", "sha256Hash"),
        ("apollo_by_get", "apollo", "GET", "sha256Hash"),
        ("codegen", "codegen", "POST", "documentId"),
        ("relay", "relay", "POST", "documentId"),
        ("urql", "urql", "GET", "sha256Hash"),
        ("urql_codegen", "codegen", "GET", "sha256Hash"),
    ],
)
def test_a_client_reads_pages_and_writes_with_what_its_tool_built(
    service: Service, build: Callable[[str], Path], client: str, tool: str, method: str, named_by: str
) -> None:
    folder = build(tool)
    service.register(tool, folder)

    outcome = node.answer(folder, "walk.mjs", client, service.url, service.reader, service.writer, SLUG)

    assert outcome["shown"] == SHOWN
    assert outcome["requests"] == [*4 * [[method, [named_by], 200, None]], ["POST", [named_by], 200, None]]


def test_relay_may_use_sha_256(service: Service, tmp_path: Path) -> None:
    folder = sources(tmp_path / "app")
    config = folder / "relay.config.json"
    config.write_text(config.read_text().replace('"file":', '"algorithm": "SHA256", "file":'))
    built("relay", folder)
    assert {len(id) for id in json.loads((folder / "persisted_queries.json").read_text())} == {64}
    service.register("relay", folder)

    outcome = node.answer(folder, "walk.mjs", "relay", service.url, service.reader, service.writer, SLUG)

    assert outcome["shown"] == SHOWN


@pytest.mark.parametrize("tool", TOOLS)
def test_a_text_runs_as_it_was_built_and_not_with_one_changed_space(
    service: Service, build: Callable[[str], Path], tool: str
) -> None:
    folder = build(tool)
    service.register(tool, folder)

    for text in texts(tool, folder):
        status, body = service.ask(text)
        assert (status, body.get("errors")) == (200, None)
        for changed in (text.replace(" ", "  ", 1), f"{text}\n", f" {text}"):
            status, body = service.ask(changed)
            assert (status, [error["extensions"]["code"] for error in body["errors"]]) == (
                403,
                [NOT_REGISTERED],
            )


@pytest.fixture
def unregistered(tmp_path: Path) -> Path:
    """A folder in which Apollo's tool has built a new version of a document, which is not registered."""
    folder = sources(tmp_path / "app")
    file = folder / "src" / "customers.graphql"
    file.write_text(file.read_text().replace("first: 2", "first: 1"))
    built("apollo", folder)
    return folder


@pytest.mark.parametrize(
    ("client", "method"), [("apollo", "POST"), ("apollo_automatic", "POST"), ("urql", "GET")]
)
def test_a_client_whose_document_is_not_registered_sends_its_text_and_is_refused(
    service: Service, unregistered: Path, client: str, method: str
) -> None:
    outcome = node.answer(unregistered, "twice.mjs", client, service.url, service.reader, SLUG)

    assert outcome["requests"] == 2 * [
        [method, ["sha256Hash"], 400, NOT_FOUND],
        [method, ["text", "sha256Hash"], 403, NOT_REGISTERED],
    ]
    assert ["only" in error for error in outcome["shown"]] == [True, True], outcome["shown"]


@pytest.mark.parametrize(
    ("client", "requests"),
    [
        # With a manifest, Apollo always sends the hash first. Without a manifest, it sends only texts after
        # the server has said that it does not support hashes.
        (
            "apollo",
            2 * [["POST", ["sha256Hash"], 400, NOT_SUPPORTED], ["POST", ["text", "sha256Hash"], 200, None]],
        ),
        (
            "apollo_automatic",
            [
                ["POST", ["sha256Hash"], 400, NOT_SUPPORTED],
                ["POST", ["text"], 200, None],
                ["POST", ["text"], 200, None],
            ],
        ),
        (
            "urql",
            [
                ["GET", ["sha256Hash"], 400, NOT_SUPPORTED],
                ["GET", ["text"], 200, None],
                ["GET", ["text"], 200, None],
            ],
        ),
    ],
)
def test_a_key_for_any_document_makes_a_client_send_the_text(
    service: Service, unregistered: Path, client: str, requests: list[Request]
) -> None:
    outcome = node.answer(unregistered, "twice.mjs", client, service.url, service.any_document, SLUG)

    assert outcome["requests"] == requests
    assert outcome["shown"] == [["cleo@example.com"], ["cleo@example.com"]]


def test_the_code_in_the_docs_is_what_these_tests_run() -> None:
    code = re.findall(r"```(?:js|json|ts)(?: \S+)?\n(.*?)```", PAGE, re.DOTALL)
    files = [file.read_text() for file in node.DOCUMENTS.iterdir() if file.is_file()]

    assert len(code) == 7
    assert [each for each in code if not any(unindented(each) in unindented(file) for file in files)] == []


def unindented(code: str) -> str:
    """Return code without its indentation, which differs in the docs."""
    return re.sub(r"^ +", "", code, flags=re.MULTILINE)
