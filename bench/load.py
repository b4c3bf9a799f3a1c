"""Sends requests to a server: either one request to see its response, or a load of requests with wrk."""

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

# Numbers the runs, so that each run generates its own emails.
_runs = count(1)


class BadAnswer(Exception):
    """A server returned an error or did not respond."""


class NoLoadGenerator(Exception):
    """wrk is not installed. The message says how to install it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `body` is JSON on one line, or empty."""

    method: str
    path: str
    token: str
    body: str


@dataclass(frozen=True, slots=True)
class Load:
    """The result of a load test: the number of requests, the duration, and the latencies."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


def require_wrk() -> None:
    """Raise NoLoadGenerator unless wrk can be run."""
    if shutil.which("wrk") is None:
        raise NoLoadGenerator("wrk, which sends the requests, is not installed: apt-get install wrk")


def ask(port: int, request: Request) -> Any:
    """Send one request and return the parsed response. Raises BadAnswer."""
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
    """Send these requests in turn, for `seconds`, over `connections` connections.

    Raise BadAnswer if a server returns an error, or if a request fails.

    If `check` is true, the body of every response is checked. This slows down the load generator, so do not
    use it to measure. If `check` is false, only statuses are checked.
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
