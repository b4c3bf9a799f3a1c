"""Creates and fills the databases for the measurements, and removes them afterwards."""

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from bench import datasets
from bench.datasets import Size
from bench.workloads import DataSet
from tests.databases import make_folder, postgres_server, stop_abandoned_server

NAMES = ("postgresql", "sqlite")


@dataclass(frozen=True, slots=True)
class Store:
    """Two databases with the same rows: Licensegraph's own, and one with only the plain tables for peers.

    `process` is the database server's main process, or None for SQLite.
    """

    name: str
    version: str
    url: str
    plain_url: str
    process: psutil.Process | None
    data: DataSet
    folder: Path


@contextmanager
def opened(name: str, size: Size, *, with_peers: bool = True) -> Iterator[Store]:
    """Create and fill the databases in a new folder, and remove them at the end.

    If `with_peers` is false, only Licensegraph's own database is created.
    """
    folder = make_folder()
    try:
        with (_sqlite if name == "sqlite" else _postgresql)(folder, size, with_peers) as store:
            yield store
    finally:
        stop_abandoned_server(folder)
        shutil.rmtree(folder)


@contextmanager
def _sqlite(folder: Path, size: Size, with_peers: bool) -> Iterator[Store]:
    plain, own = folder / "plain.db", folder / "licensegraph.db"
    data = asyncio.run(datasets.load(f"sqlite:///{plain}", size))
    with closing(sqlite3.connect(plain)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    if with_peers:
        shutil.copyfile(plain, own)
    else:
        plain.rename(own)
    url = f"sqlite:///{own}"
    asyncio.run(datasets.take_over(url))
    yield Store("sqlite", sqlite3.sqlite_version, url, f"sqlite:///{plain}", None, data, folder)


@contextmanager
def _postgresql(folder: Path, size: Size, with_peers: bool) -> Iterator[Store]:
    with postgres_server(folder) as socket_folder:
        process = psutil.Process(
            int((folder / "postgresql" / "postmaster.pid").read_text().split("\n", 1)[0])
        )
        admin, plain, own = (
            f"postgresql://postgres@/{database}?host={socket_folder}"
            for database in ("postgres", "plain", "licensegraph")
        )
        asyncio.run(execute(admin, "CREATE DATABASE plain", "ALTER DATABASE plain SET jit = off"))
        data = asyncio.run(datasets.load(plain, size))
        if with_peers:
            asyncio.run(execute(admin, "CREATE DATABASE licensegraph TEMPLATE plain STRATEGY file_copy"))
        else:
            asyncio.run(execute(admin, "ALTER DATABASE plain RENAME TO licensegraph"))
        asyncio.run(datasets.take_over(own))
        # PostgreSQL would soon do this by itself, possibly during a measurement.
        for url in (plain, own) if with_peers else (own,):
            asyncio.run(execute(url, "VACUUM ANALYZE", "CHECKPOINT"))
        version = asyncio.run(_version(admin))
        yield Store("postgresql", version, own, plain, process, data, folder)


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _version(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()
