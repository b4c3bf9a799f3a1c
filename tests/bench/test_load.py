"""The load generator sends the given requests, and fails if a response is bad."""

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from bench.load import BadAnswer, NoLoadGenerator, Request, drive, require_wrk
from bench.workloads import UNIQUE

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


@contextmanager
def answering(status: int, answer: str) -> Iterator[tuple[int, list[tuple[str, str, str]]]]:
    """Run a server that always sends the same response.

    Yields the server's port, and a list of the requests that it received: path, Authorization
    header and body.
    """
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked.append((self.path, self.headers["Authorization"], body))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@needs_wrk
def test_requests_are_sent_in_turn_and_unique_values_are_unique(tmp_path: Path) -> None:
    requests = [
        Request("POST", "/graphql", "sk_live_x", json.dumps({"email": f"new.{UNIQUE}@fjord.example"})),
        Request("POST", "/W1", "sk_live_x", json.dumps({"id": "cus_1"})),
    ]
    with answering(200, '{"data": {}}') as (port, asked):
        load = drive(port, requests, tmp_path, seconds=1, connections=1)
    assert len(asked) >= load.requests > 2
    assert all(one != next for (one, _, _), (next, _, _) in pairwise(asked))
    assert ("/W1", "Bearer sk_live_x", '{"id": "cus_1"}') in asked
    emails = [json.loads(body)["email"] for path, _, body in asked if path == "/graphql"]
    assert len(set(emails)) == len(emails)
    assert all(
        email.startswith("new.") and len(email) == len(f"new.{UNIQUE}@fjord.example") for email in emails
    )


@needs_wrk
@pytest.mark.parametrize(
    ("status", "answer", "check"),
    [(401, "{}", False), (200, '{"data": null, "errors": []}', True)],
)
def test_a_bad_answer_fails_the_run(tmp_path: Path, status: int, answer: str, check: bool) -> None:
    request = Request("POST", "/graphql", "sk_live_x", "{}")
    with answering(status, answer) as (port, _), pytest.raises(BadAnswer, match=r"failed|errors"):
        drive(port, [request], tmp_path, seconds=1, connections=2, check=check)


def test_without_wrk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoLoadGenerator, match="apt-get install wrk"):
        require_wrk()
