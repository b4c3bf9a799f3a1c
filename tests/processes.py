"""The program as people run it: commands to their end, and servers while a test needs them.

Each runs in a folder of the test's own, with no environment but what the test gives it, and makes small keys.
"""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.keyrings import RSA_BITS

PROGRAM = Path(__file__).parent.parent / "server.py"
_READY = "Licensegraph answers at "


@dataclass(frozen=True)
class Server:
    """A server that answers at `url`. `printed` is what it said until it did."""

    process: subprocess.Popen[str]
    url: str
    printed: str

    def stop(self) -> int:
        """Have it finish, and answer the code it exits with."""
        self.process.terminate()
        return self.process.wait(60)


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
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
    """Run a command whose errors go to a terminal: what it printed, and what that showed."""
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
        with suppress(OSError):  # what Linux says when nobody has the terminal open any more
            while part := os.read(parent, 65_536):
                shown += part
        os.close(parent)
        assert process.stdout is not None
        printed = process.stdout.read()
    assert process.returncode == 0, shown
    return printed, shown.decode()


def begin(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start a command. The caller waits for it, or ends it."""
    return subprocess.Popen(
        _command(arguments),
        cwd=folder,
        env=_environment(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def start(
    folder: Path, *arguments: str, port: int = 0, program: Path = PROGRAM, **variables: str
) -> subprocess.Popen[str]:
    """Start a server, on any free port unless told. Its log goes to `server.log`. The caller ends it.

    `program` is one of a test's own that serves in its own way.
    """
    with (folder / "server.log").open("a") as log:
        return subprocess.Popen(
            _command(("serve", "--port", str(port), *arguments), program),
            cwd=folder,
            env=_environment({"PYTHONPATH": str(PROGRAM.parent), **variables}),
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def ready(process: subprocess.Popen[str]) -> Server:
    """Wait until a started server answers."""
    assert process.stdout is not None
    printed = ""
    for line in process.stdout:
        printed += line
        if line.startswith(_READY):
            url = line.removeprefix(_READY).split()[0]
            # The address is taken first, and requests wait: on a busy machine for seconds.
            httpx.get(f"{url}/api/health", timeout=60).raise_for_status()
            return Server(process, url, printed)
    raise AssertionError(f"the server exited with {process.wait()}, having said: {printed or 'nothing'}")


@contextmanager
def serving(folder: Path, *arguments: str, program: Path = PROGRAM, **variables: str) -> Iterator[Server]:
    """A server on a free port, killed in the end if it still runs."""
    with start(folder, *arguments, program=program, **variables) as process:
        try:
            yield ready(process)
        finally:
            process.kill()


def _command(arguments: tuple[str, ...], program: Path = PROGRAM) -> list[str]:
    return [sys.executable, str(program), *arguments]


def _environment(variables: dict[str, str]) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LICENSEGRAPH_RSA_BITS": str(RSA_BITS), **variables}
