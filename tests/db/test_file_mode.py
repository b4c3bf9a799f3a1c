"""File modes of SQLite: only the owner can read a new database, and an existing one keeps its mode."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from db import migrations
from db.engine import Database
from db.sqlite import connect_short
from db.statements import Query
from tests.factories import make_account
from tests.processes import serving


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """Clears the umask for the test."""
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, str]:
    return {file.name: f"{file.stat().st_mode & 0o777:o}" for file in folder.glob("*.db*")}


async def test_the_file_is_created_with_its_mode(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"

    await migrations.upgrade(url)
    database = Database(url)
    await make_account(database)

    assert modes(tmp_path) == {"new.db": "600", "new.db-wal": "600", "new.db-shm": "600"}
    await database.close()


async def test_a_database_that_is_only_opened_is_created_with_it_too(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new.db'}")
    async with database.read() as session:
        await session.rows(Query("SELECT 1", ()), {})
    await database.close()
    connect_short(str(tmp_path / "short.db")).close()

    assert modes(tmp_path) == {"new.db": "600", "short.db": "600"}


async def test_the_mode_of_an_existing_file_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    file.touch()
    file.chmod(0o640)

    await migrations.upgrade(f"sqlite:///{file}")
    database = Database(f"sqlite:///{file}")
    await make_account(database)

    assert modes(tmp_path) == {"old.db": "640", "old.db-wal": "640", "old.db-shm": "640"}
    await database.close()


async def test_a_dangling_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link.db").symlink_to(tmp_path / "data" / "new.db")

    await migrations.upgrade(f"sqlite:///{tmp_path / 'link.db'}")

    assert modes(tmp_path / "data")["new.db"] == "600"


def write_in_turns(path: str, barrier: threading.Barrier) -> None:
    """Add five rows to a table that other threads also write to.

    Each row holds the number of earlier rows.
    """
    barrier.wait()
    connection = connect_short(path)
    connection.execute("PRAGMA busy_timeout=20000")
    connection.execute("CREATE TABLE IF NOT EXISTS rows (number INTEGER)")
    for _ in range(5):
        connection.execute("BEGIN IMMEDIATE")
        (count,) = connection.execute("SELECT count(*) FROM rows").fetchone()
        connection.execute("INSERT INTO rows VALUES (?)", [count])
        connection.execute("COMMIT")
    connection.close()


def test_no_lock_is_lost_when_many_open_the_file_at_once(tmp_path: Path) -> None:
    """When a process closes a file, it loses all its locks on the file, even those of other connections."""
    for number in range(20):
        path, barrier = str(tmp_path / f"{number}.db"), threading.Barrier(8)
        with ThreadPoolExecutor(8) as threads:
            writing = [threads.submit(write_in_turns, path, barrier) for _ in range(8)]
        for each in writing:
            each.result()

        connection = connect_short(path)
        assert connection.execute("SELECT count(*), count(DISTINCT number) FROM rows").fetchone() == (40, 40)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        assert modes(tmp_path)[f"{number}.db"] == "600"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_the_umask_of_the_process_is_unchanged(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        assert httpx.get(f"{server.url}/api/health").status_code == 200
        assert modes(tmp_path)["licensegraph.db"] == "600"
        status = Path(f"/proc/{server.process.pid}/status").read_text()
        assert "Umask:\t0000" in status
