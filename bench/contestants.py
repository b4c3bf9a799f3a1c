"""The measured servers. Each server is started as its users would start it, on the loopback interface."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil

from bench.load import Request, ask
from bench.stores import Store
from bench.workloads import PAGES, POSTGRAPHILE_PAGES, SLUG, DataSet, Variables, Workload
from settings import variable_of

_HOUSE = Path(__file__).parents[1]
_POSTGRAPHILE = Path(__file__).with_name("postgraphile")
_SECONDS_TO_START = 60
_SECONDS_TO_END = 30
_PAGE = 100

Form = Callable[[Workload, Variables, str], Request | None]
"""A function that returns a contestant's request for a workload, from the variables and a token.

It returns None if the contestant does not support the workload.
"""


class DidNotStart(Exception):
    """A server exited, or did not print its address in time. The message includes the server's output."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server that can be started.

    `command` gets the URL of the database as DATABASE_URL and, unless `is_ours`, also as its last argument.
    `pages` is a document that is requested page by page to get the cursor at which W3 starts. If it is None,
    this cursor is the id of the last skipped row.
    """

    name: str
    databases: tuple[str, ...]
    command: tuple[str, ...]
    form: Form
    pages: str | None = None
    is_ours: bool = False

    def takes(self, workload: Workload) -> bool:
        return self.form(workload, {}, "") is not None

    @property
    def missing(self) -> str | None:
        """Why the contestant cannot be started here, or None if it can."""
        if self.command[0] != "node":
            return None
        if shutil.which("node") is None:
            return "node is not installed"
        # this file only exists after a complete installation
        installed = (_POSTGRAPHILE / "node_modules" / ".installed").exists()
        return None if installed else "its packages are not installed: make peers"


HIGH_LIMITS: Mapping[str, Any] = {
    "rate_limit_per_minute": 1_000_000_000,
    "verify_limit_per_minute": 1_000_000_000,
    "batch_limit_per_minute": 1_000_000_000,
    "renewal_limit_per_minute": 1_000_000_000,
    "refused_limit_per_minute": 1_000_000_000,
    "budget_burst": 1_000_000_000,
    "budget_per_second": 1_000_000_000,
}
"""Settings with limits that count, but that are too high to be reached in a measurement."""


@dataclass(frozen=True, slots=True)
class Running:
    """A running contestant, its port, and the seconds from its start to its first response."""

    contestant: Contestant
    port: int
    process: psutil.Process
    seconds_to_start: float

    @property
    def name(self) -> str:
        return self.contestant.name

    def requests(self, workload: Workload, data: DataSet) -> Sequence[Request]:
        """Return the contestant's requests for a workload, or none if it does not support the workload."""
        after = self._cursor(data) if workload.is_after_cursor else ""
        asked = [
            self.contestant.form(workload, variables, data.token)
            for variables in workload.variables(data, after)
        ]
        return [request for request in asked if request is not None]

    def _cursor(self, data: DataSet) -> str:
        """Return the cursor after which W3's page starts.

        If the contestant has a `pages` document, the cursor is found by paging. Otherwise, it is the id of
        the last skipped row.
        """
        if self.contestant.pages is None:
            return data.last_skipped
        after: str | None = None
        left = data.skipped
        while left:
            size = min(_PAGE, left)
            variables = {"slug": SLUG, "first": size, "after": after}
            answer = ask(self.port, _graphql(self.contestant.pages, variables, data.token))
            after = answer["data"]["app"]["customers"]["pageInfo"]["endCursor"]
            left -= size
        return after or ""


@contextmanager
def started(contestant: Contestant, store: Store) -> Iterator[Running]:
    """Start a contestant on its database, and stop it at the end. Raises DidNotStart."""
    url = store.url if contestant.is_ours else store.plain_url
    # Ignore Licensegraph's settings in the user's environment and .env file.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("LICENSEGRAPH_")}
    variables = {"PYTHONPATH": str(_HOUSE), "DATABASE_URL": url, "NODE_ENV": "production"}
    variables |= {variable_of(name): str(limit) for name, limit in HIGH_LIMITS.items()}
    written = store.folder / f"{contestant.name}.log".replace("/", "-")
    begun = time.monotonic()
    with written.open("wb") as log:
        process = subprocess.Popen(
            contestant.command if contestant.is_ours else [*contestant.command, url],
            cwd=store.folder,
            env=inherited | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C only reaches this process, which then stops the server
        )
    try:
        port = _port(process, written)
        _wait_for_answer(port)
        yield Running(contestant, port, psutil.Process(process.pid), time.monotonic() - begun)
    finally:
        process.terminate()
        try:
            process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: subprocess.Popen[bytes], written: Path) -> int:
    """Return the port that a server prints.

    The server already listens on this port, but may not respond yet.
    """
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        said = re.search(r"running at http://127\.0\.0\.1:(\d+)\b", written.read_text())
        if said:
            return int(said[1])
        time.sleep(0.02)
    assert isinstance(process.args, list)
    raise DidNotStart(f"{' '.join(map(str, process.args))} did not start:\n{written.read_text()}")


def _wait_for_answer(port: int) -> None:
    """Send a request and wait for its response.

    A server may listen before it can respond. The request then waits until the server is ready.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS_TO_START)
    connection.request("GET", "/api/health")
    connection.getresponse().read()
    connection.close()


# The requests of each contestant


def _graphql(document: str, variables: Mapping[str, object], token: str) -> Request:
    body = json.dumps({"query": document, "variables": variables})
    return Request("POST", "/graphql", token, body)


def _rest(workload: Workload, token: str) -> Request | None:
    return None if workload.path is None else Request("GET", workload.path, token, "")


def _as_licensegraph(workload: Workload, variables: Variables, token: str) -> Request | None:
    if workload.document is None:
        return _rest(workload, token)
    return _graphql(workload.document, variables, token)


def _as_strawberry(workload: Workload, variables: Variables, token: str) -> Request | None:
    return None if workload.document is None else _graphql(workload.document, variables, token)


def _as_postgraphile(workload: Workload, variables: Variables, token: str) -> Request | None:
    return None if workload.postgraphile is None else _graphql(workload.postgraphile, variables, token)


def _as_fastapi(workload: Workload, _variables: Variables, token: str) -> Request | None:
    return _rest(workload, token)


def _as_handwritten(workload: Workload, variables: Variables, token: str) -> Request:
    return Request("POST", f"/{workload.name}", token, json.dumps(variables))


_BOTH = ("postgresql", "sqlite")
_SERVE = (sys.executable, str(_HOUSE / "server.py"), "serve", "--port", "0", "--workers")

CONTESTANTS: Sequence[Contestant] = (
    Contestant("licensegraph", _BOTH, (*_SERVE, "1"), _as_licensegraph, PAGES, is_ours=True),
    Contestant("licensegraph, 2 workers", _BOTH, (*_SERVE, "2"), _as_licensegraph, PAGES, is_ours=True),
    Contestant(
        "strawberry", _BOTH, (sys.executable, "-m", "bench.peers.strawberry_orm"), _as_strawberry, PAGES
    ),
    Contestant(
        "postgraphile",
        ("postgresql",),
        ("node", str(_POSTGRAPHILE / "server.mjs")),
        _as_postgraphile,
        POSTGRAPHILE_PAGES,
    ),
    Contestant("fastapi", _BOTH, (sys.executable, "-m", "bench.peers.fastapi_orm"), _as_fastapi),
    Contestant("hand-written", _BOTH, (sys.executable, "-m", "bench.peers.handwritten"), _as_handwritten),
)
