"""Runs the program as users do: commands until they exit, and servers for as long as a test needs them.

Each process runs in a folder of the test's own. It inherits only the variable PATH. The test can set other
variables. The key size is small, because small keys are fast to create.
"""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.keyrings import RSA_BITS

PROGRAM = Path(__file__).parent.parent / "server.py"
_READY = "Licensegraph is running at "

# Tests that run in the background ignore SIGINT, and the processes that they start would inherit this.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Server:
    """A server that responds at `url`. `printed` is its output until it was ready."""

    process: subprocess.Popen[str]
    url: str
    printed: str

    def stop(self) -> int:
        """Stop the server gracefully, and return its exit code."""
        self.process.terminate()
        return self.process.wait(60)


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command until it exits."""
    return subprocess.run(
        _command(arguments),
        cwd=folder,
        env=_environment(variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def run_on_terminal(folder: Path, *arguments: str, **variables: str) -> tuple[str, str]:
    """Run a command with stderr on a terminal. Return its stdout, and what the terminal showed."""
    parent, child = pty.openpty()
    with subprocess.Popen(
        _command(arguments),
        cwd=folder,
        env=_environment({"TERM": "xterm", **variables}),
        stdout=subprocess.PIPE,
        stderr=child,
        text=True,
    ) as process:
        os.close(child)
        shown = b""
        with suppress(OSError):  # Linux raises EIO at the end, when no process has the terminal open
            while part := os.read(parent, 65_536):
                shown += part
        os.close(parent)
        assert process.stdout is not None
        printed = process.stdout.read()
    assert process.returncode == 0, shown
    return printed, shown.decode()


def begin(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start a command. The caller must wait for it or stop it."""
    return subprocess.Popen(
        _command(arguments),
        cwd=folder,
        env=_environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start(
    folder: Path, *arguments: str, program: str = str(PROGRAM), **variables: str
) -> subprocess.Popen[str]:
    """Start a server. The caller must stop it.

    It uses a free port unless the arguments include one, and logs to `server.log`. `program` is the path of a
    test's own server program, if it needs one.
    """
    port = () if "--port" in arguments else ("--port", "0")
    with (folder / "server.log").open("a") as log:
        return subprocess.Popen(
            _command(("serve", *port, *arguments), program),
            cwd=folder,
            env=_environment({"PYTHONPATH": str(PROGRAM.parent), **variables}),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def ready(process: subprocess.Popen[str]) -> Server:
    """Wait until a started server responds, and return it. Fails if the server exits."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith(_READY):
            url = line.removeprefix(_READY).split()[0]
            # The server listens before it can respond, and requests wait until then. On a busy machine, this
            # takes seconds.
            httpx.get(f"{url}/api/health", timeout=60).raise_for_status()
            return Server(process, url, printed)
    raise AssertionError(f"the server exited with {process.wait()}. It printed: {printed or 'nothing'}")


def until(condition: Callable[[], bool], seconds: float = 60) -> float:
    """Wait for a condition, and return the number of seconds that this took. Fails after `seconds`."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"the condition was not met within {seconds} s"
        time.sleep(0.02)
    return time.monotonic() - started


@contextmanager
def serving(folder: Path, *arguments: str, program: str = str(PROGRAM), **variables: str) -> Iterator[Server]:
    """Run a server as `start` does, wait until it responds, and kill it at the end if it is still running."""
    with start(folder, *arguments, program=program, **variables) as process:
        try:
            yield ready(process)
        finally:
            process.kill()


def _command(arguments: tuple[str, ...], program: str = str(PROGRAM)) -> list[str]:
    return [sys.executable, program, *arguments]


def _environment(variables: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LICENSEGRAPH_RSA_BITS": str(RSA_BITS), **variables}
