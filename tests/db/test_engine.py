"""Connections and sessions: how they are set up, begin, end and fail."""

import asyncio
import gc
import re
import sqlite3
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
import pytest
from sqlalchemy import Connection as MigratingConnection
from sqlalchemy import event, func, insert, select, text
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql.dml import ReturningInsert

from db import clock, ids, migrations, postgresql, reads, sqlite
from db.accounts import accounts
from db.apps import apps
from db.deadlines import Timeouts
from db.engine import (
    DRIVER_ERRORS,
    Database,
    StoreUnavailable,
    UniqueViolation,
    WriteSession,
)
from db.shaping.selection import Connection, Lookup, Nodes, OneRead, Page, Scalar, Total, Values
from db.statements import Query
from db.tenancy import Tenant
from tests.factories import make_account, make_app, make_customer, make_license
from tests.statements import Statements

Attempt: TypeAlias = Callable[[Database], Awaitable[Any]]

ALL_ACCOUNTS = select(accounts.c.name).order_by(accounts.c.name)


class Odd(Exception):
    """An error that has nothing to do with the database."""


def account(name: str) -> dict[str, object]:
    new = ids.new_id(ids.ACCOUNT)
    return {"id": new.id, "name": name, "created_at": new.created_at}


async def add(session: WriteSession, name: str) -> None:
    await session.execute(accounts.insert().values(account(name)))


async def fail(database: Database, fill: Callable[[WriteSession], Awaitable[None]]) -> None:
    """Call `fill` in a write session, and raise Odd before the session ends."""
    async with database.write() as session:
        await fill(session)
        raise Odd


async def names(database: Database) -> list[str]:
    async with database.read() as session:
        return [row[0] for row in await session.rows(ALL_ACCOUNTS, {})]


async def attempt_read(database: Database) -> None:
    async with database.read() as session:
        await session.rows(ALL_ACCOUNTS, {})


async def attempt_write(database: Database) -> None:
    async with database.write() as session:
        await session.insert_if_free(accounts, account("Acme"))


async def count_long(database: Database) -> None:
    """Run a read that is too slow for the event loop's thread."""
    async with database.read() as session:
        await session.rows(counting(20_000), {})


def counting(numbers: int) -> Query:
    """Return a slow query that works on both databases."""
    return Query(
        f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {numbers}) "
        "SELECT count(*) FROM n",
        (),
    )


BOTH_WAYS = pytest.mark.parametrize("attempt", [attempt_read, attempt_write])


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[Database]:
    database = Database(url, **options)
    try:
        yield database
    finally:
        await database.close()


def on_connect(database: Database, call: Callable[[Any], object]) -> None:
    """Call a function with each new connection that the database's engine opens."""
    event.listen(database.engine.sync_engine, "connect", lambda connection, _record: call(connection))


@pytest.fixture(autouse=True)
async def no_connection_left_open() -> AsyncIterator[None]:
    """Check that the test leaves no aiosqlite connection open.

    Each of these connections has a thread, even one that could not be opened.
    """
    yield
    for thread in threading.enumerate():
        if "_connection_worker_thread" in thread.name:
            thread.join(2)
            assert not thread.is_alive()


# Connections


async def test_every_connection_of_sqlite_is_set_up(sqlite_url: str) -> None:
    pragmas = {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2}

    found = []

    def ask(connection: sqlite3.Connection) -> None:
        found.append({name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas})

    async with opened(sqlite_url, pool_size=4) as database:
        on_connect(database, ask)
        await asyncio.gather(*(count_long(database) for _ in range(20)), attempt_write(database))

    assert len(found) == 3  # two for reads, and one for writes
    assert all(each == pragmas for each in found)


async def test_the_engine_opens_every_connection_except_the_one_for_short_reads(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_by_anyone: list[object] = []
    by_engine: list[Any] = []
    driver = sqlite3 if database_url.startswith("sqlite") else asyncpg
    connect = driver.connect

    def noted(*arguments: Any, **options: Any) -> Any:
        opened_by_anyone.append(arguments)
        return connect(*arguments, **options)

    monkeypatch.setattr(driver, "connect", noted)
    async with opened(database_url) as database:
        on_connect(database, by_engine.append)
        await asyncio.gather(
            *(count_long(database) for _ in range(20)), *(attempt_write(database) for _ in range(20))
        )
        assert await names(database) == ["Acme"]
        assert await database.takes_writes() is True

        drivers = {type(connection.driver_connection).__module__ for connection in by_engine}
        assert drivers == ({"aiosqlite.core"} if database.is_sqlite else {"db.postgresql"})
        assert len(opened_by_anyone) == len(by_engine) + database.is_sqlite
        pool = database.engine.sync_engine.pool
        assert isinstance(pool, QueuePool)
        assert pool.checkedout() == len(by_engine)


async def test_migrations_connect_to_sqlite_without_foreign_keys(sqlite_url: str) -> None:
    def ask(connection: MigratingConnection) -> Any:
        return connection.exec_driver_sql("PRAGMA foreign_keys").scalar()

    assert await migrations.in_transaction(sqlite_url, ask) == 0


async def test_no_more_connections_than_the_pool_may_hold(database_url: str) -> None:
    connected: list[object] = []
    async with opened(database_url, pool_size=3) as database:
        on_connect(database, connected.append)

        await asyncio.gather(
            *(count_long(database) for _ in range(20)), *(attempt_write(database) for _ in range(3))
        )

    assert 2 <= len(connected) <= 3


def test_creating_a_database_object_opens_no_connection(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path}/fresh.db")

    assert list(tmp_path.iterdir()) == []


async def test_foreign_keys_hold(database: Database) -> None:
    row = {"slug": "a", "name": "A", "name_folded": "a", "created_at": clock.now(), "updated_at": clock.now()}

    with pytest.raises(DRIVER_ERRORS):
        async with database.write() as session:
            await session.insert_if_free(apps, row | {"id": "app_1", "account_id": "acc_unknown"})

    async with database.read() as session:
        assert await session.row(select(func.count()).select_from(apps), {}) == (0,)


# Transactions


async def test_write_is_one_transaction_that_takes_the_lock_at_once(
    database: Database, statements: Statements
) -> None:
    await attempt_read(database)

    with statements.recorded(database) as sent:
        await attempt_write(database)

    assert len(sent) == 1
    begin, commit = sent.transactions
    assert commit == "COMMIT"
    if database.is_sqlite:
        assert begin == "BEGIN IMMEDIATE"
    else:
        assert re.fullmatch(r"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = \d{4}", begin)


async def test_read_is_one_statement_without_a_transaction(
    database: Database, statements: Statements
) -> None:
    await attempt_read(database)

    with statements.recorded(database) as sent:
        await attempt_read(database)

    assert len(sent) == 1
    assert sent.transactions == []


async def test_nested_read_is_one_thread_hop_on_sqlite_at_most(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hops: list[object] = []
    hop = ThreadPoolExecutor.submit

    def counted(threads: ThreadPoolExecutor, function: Any, *arguments: Any) -> Any:
        hops.append(function)
        return hop(threads, function, *arguments)

    async with opened(sqlite_url) as database:
        owner = await make_account(database)
        app = await make_app(database, owner, slug="acme")
        for _ in range(3):
            await make_license(database, await make_customer(database, app))
        values = Values()
        page = Page("created_at", True, values.slot(20), backward=False, after=None, filters=())
        licenses = Connection("licenses", "licenses", "License", page, (Total("totalCount"),))
        nodes = Nodes("nodes", (Scalar("email", "email"), licenses))
        customers = Connection("customers", "customers", "Customer", page, (Total("totalCount"), nodes))
        wanted = OneRead("App", Lookup("slug", values.slot("acme")), (Scalar("id", "id"), customers))

        monkeypatch.setattr(ThreadPoolExecutor, "submit", counted)
        async with database.read() as session:
            rows = await reads.rows(
                session,
                Tenant(owner.id),
                wanted,
                values.items,
                clock.now(),
                tokens=True,
                customers=True,
                scopes={},
            )

        assert len(hops) == 1  # to open the connection for the first read
        assert len(rows) == 1
        assert rows[0][0].count('"licenses":{"totalCount":1}') == 3


LONG = counting(3_000_000)


async def test_long_read_does_not_block_the_event_loop_on_sqlite(sqlite_url: str) -> None:
    async with opened(sqlite_url) as database, database.read() as session:
        await attempt_read(database)
        turns = 0

        async def take_turns() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        for _ in range(2):  # the read is known to be long only after the first time
            others = asyncio.create_task(take_turns())
            turns = 0
            assert await session.rows(LONG, {}) == [(3_000_000,)]
            others.cancel()
            assert turns > 100


async def test_short_read_is_no_thread_hop_on_sqlite(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hops: list[object] = []
    hop = ThreadPoolExecutor.submit

    def noted(*arguments: Any) -> Any:
        hops.append(arguments)
        return hop(*arguments)

    async with opened(sqlite_url) as database:
        await attempt_write(database)
        await attempt_read(database)
        monkeypatch.setattr(ThreadPoolExecutor, "submit", noted)

        for _ in range(100):  # SQLite adds up the steps of all reads
            assert await names(database) == ["Acme"]

        assert hops == []


async def test_block_that_raises_is_rolled_back(database: Database) -> None:
    with pytest.raises(Odd):
        await fail(database, lambda session: add(session, "Acme"))

    assert await names(database) == []
    await attempt_write(database)
    assert await names(database) == ["Acme"]


async def test_block_that_is_cancelled_is_rolled_back(database_url: str) -> None:
    async with opened(database_url, pool_size=1) as database:
        written = asyncio.Event()

        async def never_done() -> None:
            async with database.write() as session:
                await add(session, "Acme")
                written.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(never_done())
        await written.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        assert await names(database) == []
        await attempt_write(database)
        assert await names(database) == ["Acme"]


async def test_two_statements_are_committed_together_or_not_at_all(database: Database) -> None:
    first, second, again = (database.statements.compile(named(name)) for name in ("Acme", "Zeta", "Acme"))

    assert await database.execute(first, {}, second) == [("Acme",)]
    with pytest.raises(Exception, match=r"(?i)unique"):
        await database.execute(database.statements.compile(named("Third")), {}, again)

    assert await names(database) == ["Acme", "Zeta"]


async def test_a_second_statement_only_runs_if_the_first_returns_rows(
    database: Database,
) -> None:
    nothing = database.statements.compile(
        accounts.update().where(accounts.c.name == "Nobody").values(name="X").returning(accounts.c.name)
    )

    assert await database.execute(nothing, {}, database.statements.compile(named("Acme"))) == []

    assert await names(database) == []


def named(name: str) -> ReturningInsert[Any]:
    """Return an insert of an account that returns its name."""
    new = {"id": f"acc_{name}", "name": name, "created_at": clock.now()}
    return insert(accounts).values(new).returning(accounts.c.name)


async def test_read_that_is_cancelled_returns_its_connection(database_url: str) -> None:
    async with opened(database_url, pool_size=1) as database:

        async def slow() -> None:
            async with database.read() as session:
                await session.rows(counting(600_000), {})

        await attempt_read(database)
        for _ in range(3):
            task = asyncio.create_task(slow())
            await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        async with asyncio.timeout(10):
            assert await names(database) == []


async def test_writer_of_sqlite_that_waits_for_its_turn_can_be_cancelled(sqlite_url: str) -> None:
    async with opened(sqlite_url) as database:
        async with database.write() as session:
            await add(session, "First")
            waiting, cancelled = (asyncio.create_task(attempt_write(database)) for _ in range(2))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            assert not cancelled.done()

            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled

        await waiting
        assert await names(database) == ["Acme", "First"]


async def test_uncommitted_rows_are_not_read(database: Database) -> None:
    async with database.read() as reader:
        async with database.write() as session:
            await add(session, "Acme")
            assert await names(database) == []
            assert await reader.rows(ALL_ACCOUNTS, {}) == []

        # Each SELECT in a session sees a new snapshot.
        assert [row[0] for row in await reader.rows(ALL_ACCOUNTS, {})] == ["Acme"]


async def test_transactions_that_read_and_then_write_wait_for_each_other(database_url: str) -> None:
    # Two Database objects share no locks in memory, just like two processes. Only the database makes them
    # wait.
    async with opened(database_url) as one, opened(database_url) as other:
        await attempt_write(one)

        async def count_up(database: Database) -> None:
            async with database.write() as session:
                name = (await session.execute(select(accounts.c.name).with_for_update())).scalar_one()
                await asyncio.sleep(0.001)
                await session.execute(accounts.update().values(name=f"{name}!"))

        await asyncio.gather(*(count_up(database) for _ in range(15) for database in (one, other)))

        assert await names(one) == ["Acme" + "!" * 30]


async def test_insert_if_free_adds_once(database: Database) -> None:
    row = account("Acme")

    async with database.write() as session:
        assert await session.insert_if_free(accounts, row) is True
        assert await session.insert_if_free(accounts, row) is False
        assert await session.insert_if_free(accounts, account("Acme")) is False

    assert await names(database) == ["Acme"]


async def test_insert_if_free_raises_on_other_violations_than_uniqueness(database: Database) -> None:
    with pytest.raises(DRIVER_ERRORS):
        async with database.write() as session:
            await session.insert_if_free(accounts, account("Acme") | {"created_at": None})

    assert await names(database) == []


async def test_transaction_continues_after_a_unique_violation(database: Database) -> None:
    async with database.write() as session:
        for name in ("Acme", "Bolt"):
            await add(session, name)

        with pytest.raises(UniqueViolation):
            await session.execute_unique(accounts.update().values(name="Both"))

        await add(session, "Cog")

    assert await names(database) == ["Acme", "Bolt", "Cog"]


async def test_rows_are_loaded_in_the_same_transaction(database: Database) -> None:
    rows = [(f"acc_{number}", f"Vendor {number}", "2026-01-23T10:00:00Z") for number in range(3)]

    with pytest.raises(Odd):
        await fail(database, lambda session: session.load(accounts, ["id", "name", "created_at"], rows))
    assert await names(database) == []

    async with database.write() as session:
        await session.load(accounts, ["id", "name", "created_at"], rows)
    assert await names(database) == ["Vendor 0", "Vendor 1", "Vendor 2"]


# A database that is unavailable


@BOTH_WAYS
@pytest.mark.parametrize("place", ["missing/store.db", "folder", "file/store.db", "garbage"])
async def test_sqlite_that_cannot_be_opened(tmp_path: Path, place: str, attempt: Attempt) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "garbage").write_text("This is no database. " * 100)

    async with opened(f"sqlite:///{tmp_path / place}") as database:
        with pytest.raises(StoreUnavailable) as raised:
            await attempt(database)

    assert str(raised.value) == "the database is unavailable"
    assert raised.value.__cause__ is not None


@pytest.mark.parametrize("pragma", ["query_only=ON", "max_page_count=1"])
async def test_sqlite_that_is_read_only_or_full_still_reads(sqlite_url: str, pragma: str) -> None:
    async with opened(sqlite_url) as database:
        # The pragmas simulate a volume that is mounted read-only, and a full volume.
        on_connect(database, lambda connection: connection.execute(f"PRAGMA {pragma}"))

        with pytest.raises(StoreUnavailable):
            async with database.write() as session:
                await add(session, "x" * 100_000)

        assert await names(database) == []


async def test_sqlite_that_another_process_locks(sqlite_url: str) -> None:
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    async with opened(sqlite_url, timeouts=Timeouts(lock=0.3)) as database:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailable):
            await attempt_write(database)
        assert await names(database) == []

        other.execute("ROLLBACK")
        await attempt_write(database)
        assert await names(database) == ["Acme"]
    other.close()


async def test_sqlite_that_is_unlocked_in_time_is_waited_for(sqlite_url: str) -> None:
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    async with opened(sqlite_url) as database:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(attempt_write(database))
        await asyncio.sleep(0.2)
        assert not writing.done()

        other.execute("ROLLBACK")
        await writing

        assert await names(database) == ["Acme"]
    other.close()


@BOTH_WAYS
@pytest.mark.parametrize("kind", ["no server", "no socket", "no host"])
async def test_postgresql_that_does_not_run(tmp_path: Path, kind: str, attempt: Attempt) -> None:
    url = {
        "no server": "postgresql://postgres@127.0.0.1:1/licensegraph",
        "no socket": f"postgresql://postgres@/licensegraph?host={tmp_path}",
        "no host": "postgresql://postgres@nowhere.invalid/licensegraph",
    }[kind]

    async with opened(url) as database:
        with pytest.raises(StoreUnavailable) as raised:
            await attempt(database)

    assert str(raised.value) == "the database is unavailable"


@BOTH_WAYS
@pytest.mark.parametrize(
    ("known", "asked"), [("postgres@", "nobody@"), ("/test_", "/no_such_")], ids=["role", "database"]
)
async def test_postgresql_without_our_role_or_database(
    postgresql_url: str, known: str, asked: str, attempt: Attempt
) -> None:
    assert known in postgresql_url

    async with opened(postgresql_url.replace(known, asked, 1)) as database:
        with pytest.raises(StoreUnavailable):
            await attempt(database)


@dataclass
class Refusing:
    """A server that refuses every connection with an SQLSTATE, as PostgreSQL does.

    If `sqlstate` is None, the server refuses TLS and then sends nothing.
    """

    sqlstate: str | None

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(8)  # the client's request for TLS
            writer.write(b"N")
            await reader.readexactly(struct.unpack("!I", await reader.readexactly(4))[0] - 4)
            if self.sqlstate is None:
                await reader.read()  # until the client gives up
                return
            fields = f"SFATAL\0VFATAL\0C{self.sqlstate}\0Mno\0\0".encode()
            writer.write(b"E" + struct.pack("!I", 4 + len(fields)) + fields)
            await writer.drain()
        finally:
            writer.close()


@BOTH_WAYS
@pytest.mark.parametrize("sqlstate", ["28P01", "53300", "57P03", None])
async def test_postgresql_that_refuses_connections(
    sqlstate: str | None, attempt: Attempt, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The codes mean: wrong password, too many connections, server starting. None means no reply."""
    monkeypatch.setattr(postgresql, "CONNECT_TIMEOUT_S", 5 if sqlstate else 0.2)
    server = await asyncio.start_server(Refusing(sqlstate), "127.0.0.1")
    port = server.sockets[0].getsockname()[1]

    async with opened(f"postgresql://postgres:secret@127.0.0.1:{port}/licensegraph") as database:
        with pytest.raises(StoreUnavailable) as raised:
            await attempt(database)

    assert "secret" not in f"{raised.value} {raised.value.__cause__}"
    server.close()
    await server.wait_closed()


@asynccontextmanager
async def administrator(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


TERMINATE_ALL = """
    SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

ASLEEP = """
    SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()
"""


@BOTH_WAYS
async def test_sessions_after_a_restart_of_postgresql_work(postgresql_url: str, attempt: Attempt) -> None:
    async with opened(postgresql_url, pool_size=3) as database, administrator(postgresql_url) as admin:
        async with database.read() as session:
            await asyncio.gather(*(session.rows(Query("SELECT pg_sleep(0.2)", ()), {}) for _ in range(3)))

        # both connections for reads; the one for writes is not open yet
        assert await admin.fetchval(TERMINATE_ALL) == 2

        await attempt(database)
        await asyncio.gather(*(attempt_read(database) for _ in range(6)))


@pytest.mark.parametrize("mode", ["read", "write"])
async def test_postgresql_that_stops_in_the_middle(postgresql_url: str, mode: str) -> None:
    async with opened(postgresql_url) as database, administrator(postgresql_url) as admin:

        async def sleep_and_write() -> None:
            if mode == "read":
                async with database.read() as session:
                    await session.rows(Query("SELECT pg_sleep(30)", ()), {})
            async with database.write() as session:
                await add(session, "Acme")
                await session.execute(text("SELECT pg_sleep(30)"))

        sleeping = asyncio.create_task(sleep_and_write())
        async with asyncio.timeout(10):
            while not await admin.fetchval(ASLEEP):  # noqa: ASYNC110  (another process sleeps)
                await asyncio.sleep(0.01)
        assert await admin.fetchval(TERMINATE_ALL) == 1

        with pytest.raises(StoreUnavailable):
            await sleeping
        assert await names(database) == []


async def test_writer_that_postgresql_aborts_may_retry(postgresql_url: str) -> None:
    rename = accounts.update().values(name=accounts.c.name + "!")
    async with opened(postgresql_url) as database:
        async with database.write() as session:
            for name in ("Acme", "Bolt"):
                await add(session, name)
        meeting = asyncio.Barrier(2)

        async def change(first: str, second: str) -> None:
            async with database.write() as session:
                await session.execute(rename.where(accounts.c.name == first))
                await meeting.wait()
                await session.execute(rename.where(accounts.c.name == second))

        outcomes = await asyncio.gather(
            change("Acme", "Bolt"), change("Bolt", "Acme"), return_exceptions=True
        )

        assert sorted(map(type, outcomes), key=str) == [type(None), StoreUnavailable]
        assert await names(database) == ["Acme!", "Bolt!"]


async def test_postgresql_that_is_a_replica_still_reads(postgresql_url: str) -> None:
    async with administrator(postgresql_url) as admin:
        name = await admin.fetchval("SELECT current_database()")
        await admin.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")

    async with opened(postgresql_url) as database:
        with pytest.raises(StoreUnavailable):
            await attempt_write(database)
        assert await names(database) == []


async def test_statement_that_is_wrong_does_not_make_the_database_unavailable(database: Database) -> None:
    with pytest.raises(Exception, match="no_such_table") as raised:
        async with database.read() as session:
            await session.rows(Query("SELECT * FROM no_such_table", ()), {})

    assert not isinstance(raised.value, StoreUnavailable)
    assert await names(database) == []


async def test_connecting_leaves_no_open_cursor_to_the_garbage_collector(tmp_path: Path) -> None:
    """Freeing an open cursor makes the thread wait until the connection's current statement ends."""
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    release = threading.Timer(0.1, other.execute, ["COMMIT"])
    release.start()  # switching to WAL fails until the COMMIT
    gc.collect()
    gc.disable()
    engine = sqlite.create_engine(str(path), 1)
    try:
        async with engine.connect():
            release.join()
            cursors = [each for each in gc.get_objects() if isinstance(each, sqlite3.Cursor)]
    finally:
        gc.enable()
        await engine.dispose()
        other.close()

    assert cursors
    for cursor in cursors:
        with pytest.raises(sqlite3.ProgrammingError, match="closed cursor"):
            cursor.fetchone()
