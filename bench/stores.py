"""The databases that are measured: new, empty, and gone afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.databases import postgres_server

NAMES = ("sqlite", "postgresql")


@dataclass(frozen=True, slots=True)
class Store:
    """A database: its name, its URL, and its server's first process; SQLite lives in whoever opens it."""

    name: str
    url: str
    process: psutil.Process | None


@contextmanager
def opened(name: str, folder: Path) -> Iterator[Store]:
    """A new database of this name in a folder of its own."""
    if name == "sqlite":
        yield Store(name, f"sqlite:///{folder / 'bench.db'}", None)
        return
    with postgres_server(folder) as socket_folder:
        pid_file = folder / "postgresql" / "postmaster.pid"
        process = psutil.Process(int(pid_file.read_text().split("\n", 1)[0]))
        yield Store(name, f"postgresql://postgres@/postgres?host={socket_folder}", process)
