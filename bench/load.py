"""Asks a server: once, to see its answer; or with wrk, over and over, to see what it can do."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

_SCRIPT = Path(__file__).with_name("load.lua")
_SECONDS_TO_END = 60

# Each run makes up emails of its own.
_runs = count(1)


class BadAnswer(Exception):
    """A server answered with an error, or not at all."""


class NoLoadGenerator(Exception):
    """wrk is not installed. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `body` is JSON on one line, or empty."""

    method: str
    path: str
    token: str
    body: str


@dataclass(frozen=True, slots=True)
class Load:
    """What a server did under load: how many requests, in how many seconds, and how long each took."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


def require_wrk() -> None:
    """Raise NoLoadGenerator unless wrk can be run."""
    if shutil.which("wrk") is None:
        raise NoLoadGenerator("wrk, which sends the requests, is not installed: apt-get install wrk")


def ask(port: int, request: Request) -> Any:
    """The answer to one request, parsed. Raises BadAnswer."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {request.token}", "Content-Type": "application/json"}
    try:
        connection.request(request.method, request.path, request.body or None, headers)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    answer = json.loads(text) if response.status == 200 else {}
    if response.status != 200 or "errors" in answer:
        raise BadAnswer(f"HTTP {response.status}: {text[:500].decode(errors='replace')}")
    return answer


def drive(
    port: int,
    requests: Sequence[Request],
    folder: Path,
    *,
    seconds: int,
    connections: int,
    check: bool = False,
) -> Load:
    """Ask these requests in turn, over so many connections, for so long. Raises BadAnswer.

    With `check` every answer is looked at, which costs the load generator, and so is not for measuring;
    without, only statuses are.
    """
    file = folder / "requests.tsv"
    lines = (f"{one.method}\t{one.path}\t{one.token}\t{one.body}\n" for one in requests)
    file.write_text("".join(lines))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(_SCRIPT)]
    arguments = [
        f"http://127.0.0.1:{port}",
        "--",
        str(file),
        f"{next(_runs):04}",
        *(["check"] if check else []),
    ]
    ended = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, timeout=seconds + _SECONDS_TO_END, check=False
    )
    lines_said = ended.stdout.splitlines()
    bad = next((line for line in lines_said if line.startswith("BAD ")), None)
    if ended.returncode != 0 or bad is not None:
        raise BadAnswer(bad or f"wrk failed: {ended.stderr or ended.stdout}")
    said = json.loads(lines_said[-1])
    if said.pop("failed"):
        raise BadAnswer(f"requests failed under load: {lines_said[-1]}")
    return Load(**said)
