"""`serve --workers`: workers may start slowly, are replaced if they exit or hang, and stop in time."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.processes import Server, serving, until

PROGRAM = Path(__file__).parent / "slow_server.py"

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="workers are found through /proc"
)


@contextmanager
def two_workers(folder: Path, **variables: str) -> Iterator[Server]:
    """Run a server with two workers.

    At the end, workers that still run in the folder are killed.
    """
    try:
        with serving(folder, "--workers", "2", program=str(PROGRAM), **variables) as server:
            yield server
    finally:
        for pid in [int(each.name) for each in Path("/proc").glob("[0-9]*") if runs_in(each, folder)]:
            if is_worker(pid):
                os.kill(pid, signal.SIGKILL)


def runs_in(process: Path, folder: Path) -> bool:
    try:
        return (process / "cwd").readlink() == folder
    except OSError:  # the process has just ended, or belongs to another user
        return False


def workers(server: Server) -> set[int]:
    """Return the process ids of the server's running workers."""
    pid = server.process.pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return set()
    return {int(child) for child in children if is_worker(int(child))}


def is_worker(pid: int) -> bool:
    """Return whether this process is running and was started by multiprocessing, as workers are."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return b"multiprocessing.spawn" in command and state != "Z"


def answers(server: Server) -> bool:
    return httpx.get(f"{server.url}/api/health", timeout=60).status_code == 200


def both_answer(server: Server) -> None:
    until(lambda: len(workers(server)) == 2, 30)
    assert answers(server)


@pytest.mark.long
def test_workers_that_start_slowly_are_waited_for(tmp_path: Path) -> None:
    with two_workers(tmp_path, SLOW_SECONDS="12") as server:
        first = workers(server)

        assert answers(server)
        assert workers(server) == first
        assert "worker.replaced" not in (tmp_path / "server.log").read_text()
        assert server.stop() == 0


def test_shutdown_does_not_wait_for_workers_that_start_slowly(tmp_path: Path) -> None:
    with two_workers(tmp_path) as server:
        for pid in workers(server):
            os.kill(pid, signal.SIGKILL)
        until(lambda: (tmp_path / "server.log").read_text().count("worker.replaced") == 2, 30)
        started = time.monotonic()

        assert server.stop() == 0
        assert time.monotonic() - started < 5
        assert workers(server) == set()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_ends_or_hangs_is_replaced(tmp_path: Path, how: signal.Signals) -> None:
    with two_workers(tmp_path, ANSWER_SECONDS="2") as server:
        both_answer(server)
        time.sleep(1)  # after this, both workers have been pinged and have replied
        before = workers(server)
        lost = min(before)
        os.kill(lost, how)

        until(lambda: len(now := workers(server)) == 2 and lost not in now, 30)

        assert workers(server) - before
        assert before - {lost} <= workers(server)
        assert answers(server)
        reason = "hung" if how is signal.SIGSTOP else "ended"
        assert f"worker.replaced pid={lost} reason={reason}" in (tmp_path / "server.log").read_text()
        assert server.stop() == 0


@pytest.mark.long
def test_a_worker_that_computes_is_not_replaced(tmp_path: Path) -> None:
    with two_workers(tmp_path, ANSWER_SECONDS="2") as server:
        before = workers(server)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            assert answers(server)

        assert workers(server) == before
        assert server.stop() == 0


def test_shutdown_does_not_wait_for_a_worker_that_hangs(tmp_path: Path) -> None:
    with two_workers(tmp_path, GRACE_SECONDS="1") as server:
        os.kill(min(workers(server)), signal.SIGSTOP)

        assert server.stop() == 0
        assert workers(server) == set()


@pytest.mark.parametrize("is_busy", [False, True])
def test_workers_end_with_their_supervisor(tmp_path: Path, is_busy: bool) -> None:
    with two_workers(tmp_path) as server:
        both_answer(server)
        found = workers(server)
        url = httpx.URL(server.url)
        with socket.create_connection((url.host, url.port), timeout=60) as connection:
            if is_busy:
                connection.sendall(
                    b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                    b"Expect: 100-continue\r\nContent-Length: 100\r\n\r\n"
                )
                assert connection.recv(65_536).startswith(b"HTTP/1.1 100 ")
            server.process.kill()
            server.process.wait()

            until(lambda: not any(map(is_worker, found)), 3)

        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/api/health")
        assert "supervisor.gone" in (tmp_path / "server.log").read_text()


def test_workers_that_are_still_starting_end_with_it_too(tmp_path: Path) -> None:
    with two_workers(tmp_path, SLOW_SECONDS="2") as server:
        for pid in workers(server):
            os.kill(pid, signal.SIGKILL)
        until(lambda: (tmp_path / "server.log").read_text().count("worker.replaced") == 2, 30)
        found = workers(server)
        server.process.kill()
        server.process.wait()

        until(lambda: not any(map(is_worker, found)), 20)
