"""The servers that are measured: each a process of its own, started as its users would start it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

_HOUSE = Path(__file__).parents[1]
_SECONDS_TO_START = 60
_SECONDS_TO_END = 30


class DidNotStart(Exception):
    """A server ended, or said nothing of its address in time. The message holds what it wrote."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A running server, by the port on loopback where it answers /graphql."""

    name: str
    port: int
    process: psutil.Process


@contextmanager
def licensegraph(url: str, folder: Path) -> Iterator[Contestant]:
    """Licensegraph itself, with its settings as they come."""
    command = [str(_HOUSE / "server.py"), "serve", "--port", "0", "--workers", "1"]
    with _started("licensegraph", command, {"DATABASE_URL": url}, folder) as contestant:
        yield contestant


@contextmanager
def ordinary(url: str, folder: Path) -> Iterator[Contestant]:
    """The same types with ordinary resolvers (see `bench.ordinary`)."""
    command = ["-m", "bench.ordinary", url]
    with _started("ordinary", command, {"PYTHONPATH": str(_HOUSE)}, folder) as contestant:
        yield contestant


@contextmanager
def _started(
    name: str, command: Sequence[str], variables: Mapping[str, str], folder: Path
) -> Iterator[Contestant]:
    # Whoever runs this may have settings in the environment, or an .env where they stand: neither is meant.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("LICENSEGRAPH_")}
    written = folder / f"{name}.log"
    with written.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            env=inherited | variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: we end it
        )
    try:
        yield Contestant(name, _port(process, written), psutil.Process(process.pid))
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
        time.sleep(0.05)
    raise DidNotStart(f"{' '.join(map(str, process.args))} did not start:\n{written.read_text()}")
