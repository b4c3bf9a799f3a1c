"""The servers that are measured: each started as its users would start it, on loopback."""

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

import psutil

from bench.load import Request, ask
from bench.stores import Store
from bench.workloads import PAGES, POSTGRAPHILE_PAGES, SLUG, DataSet, Variables, Workload

_HOUSE = Path(__file__).parents[1]
_POSTGRAPHILE = Path(__file__).with_name("postgraphile")
_SECONDS_TO_START = 60
_SECONDS_TO_END = 30
_PAGE = 100

Form = Callable[[Workload, Variables, str], Request | None]
"""How a contestant is asked a workload, with these variables and this token; None: it is not."""


class DidNotStart(Exception):
    """A server ended, or said nothing of its address in time. The message holds what it wrote."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A server that can be started.

    `command` is told the URL of the contestant's database by its last argument and by DATABASE_URL. `pages`
    is the document that leads to a cursor; without one the id of the last skipped row is the cursor.
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
        """Why it cannot be started here; None: it can."""
        if self.command[0] != "node":
            return None
        if shutil.which("node") is None:
            return "node is not installed"
        installed = (_POSTGRAPHILE / "node_modules" / ".installed").exists()  # wholly, that is
        return None if installed else "its packages are not installed: make peers"


@dataclass(frozen=True, slots=True)
class Running:
    """A contestant that answers, by its port on loopback. It took so long from the command to an answer."""

    contestant: Contestant
    port: int
    process: psutil.Process
    seconds_to_start: float

    @property
    def name(self) -> str:
        return self.contestant.name

    def requests(self, workload: Workload, data: DataSet) -> Sequence[Request]:
        """Every request of a workload."""
        after = self._cursor(data) if workload.is_after_cursor else ""
        asked = [
            self.contestant.form(workload, variables, data.token)
            for variables in workload.variables(data, after)
        ]
        return [request for request in asked if request is not None]

    def _cursor(self, data: DataSet) -> str:
        """The cursor of the last skipped row, as one comes by it: page by page."""
        if self.contestant.pages is None:
            return data.last_skipped
        after, left = None, data.skipped
        while left:
            variables = {"slug": SLUG, "first": min(_PAGE, left), "after": after}
            answer = ask(self.port, _graphql(self.contestant.pages, variables, data.token))
            after = answer["data"]["app"]["customers"]["pageInfo"]["endCursor"]
            left -= variables["first"]
        return after or ""


@contextmanager
def started(contestant: Contestant, store: Store) -> Iterator[Running]:
    """A contestant at work on its database. Raises DidNotStart."""
    url = store.url if contestant.is_ours else store.plain_url
    # Whoever runs this may have settings in the environment, or an .env where they stand: neither is meant.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("LICENSEGRAPH_")}
    variables = {"PYTHONPATH": str(_HOUSE), "DATABASE_URL": url, "NODE_ENV": "production"}
    written = store.folder / f"{contestant.name}.log".replace("/", "-")
    begun = time.monotonic()
    with written.open("wb") as log:
        process = subprocess.Popen(
            contestant.command if contestant.is_ours else [*contestant.command, url],
            cwd=store.folder,
            env=inherited | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: we end it
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
    """The port that a server says it answers at. It listens by then, if it does not answer yet."""
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        said = re.search(r"answers at http://127\.0\.0\.1:(\d+)\b", written.read_text())
        if said:
            return int(said[1])
        time.sleep(0.02)
    raise DidNotStart(f"{' '.join(map(str, process.args))} did not start:\n{written.read_text()}")


def _wait_for_answer(port: int) -> None:
    """Wait for an answer, whatever it is: a server listens before it can answer, and requests wait."""
    connection = HTTPConnection("127.0.0.1", port, timeout=_SECONDS_TO_START)
    connection.request("GET", "/api/health")
    connection.getresponse().read()
    connection.close()


# How each is asked


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
