"""Compiled reads are cached within a memory limit, and compiling a read blocks no other request."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import SelectBase, literal_column, select

from db import statements
from db.engine import Database
from db.reads import NOUNS
from db.shaping.compiler import Compiler, takes_long
from db.shaping.selection import (
    Connection,
    ConnectionRead,
    Filter,
    Group,
    HasMore,
    Lookup,
    Nodes,
    Object,
    OneRead,
    Page,
    Scalar,
)
from db.statements import CACHED_BYTES, Statements

compiler = Compiler(NOUNS)


def customers(key: str, *filters: str) -> Connection:
    """Return the selection of one page of an app's customers."""
    page = Page("name", False, 1, filters=tuple(Filter(name, 2) for name in filters))
    parts = (Nodes("nodes", (Scalar("id", "id"),)), Group("pageInfo", (HasMore("hasNextPage", True),)))
    return Connection(key, "customers", "Customer", page, parts)


def pages(count: int, *filters: str, key: str = "page") -> OneRead:
    """Return a read of an app with `count` pages of its customers."""
    return OneRead(
        "App", Lookup("slug", 0), tuple(customers(f"{key}{number}", *filters) for number in range(count))
    )


def emails(count: int, key: str = "email") -> OneRead:
    """Return a read of a customer that selects the email `count` times."""
    fields = tuple(Scalar(f"{key}{number}", "email") for number in range(count))
    return OneRead("Customer", Lookup("id", 0), fields)


def of_length(length: int) -> Callable[[OneRead], SelectBase]:
    """Return a compiler that produces statements of about this length."""
    return lambda read: select(literal_column(f"'{read.fields[0].key}{'x' * length}'").label("answer"))


def never(_read: object) -> bool:
    return False


def always(_read: object) -> bool:
    return True


# ---------------------------------------------------------------- memory


def test_the_bound_is_the_documented_one() -> None:
    (megabytes,) = re.findall(r"(\d+) MiB", Statements.__doc__ or "")

    assert int(megabytes) << 20 == CACHED_BYTES


async def test_a_stream_of_new_reads_stays_within_the_bound(
    database: Database, traced: Callable[[], int]
) -> None:
    for number in range(100):
        await database.statements.query_of(emails(1_000, f"e{number}_"), of_length(200_000), never)

    # Without the limit, all these reads together would take 30 MiB.
    assert 0.75 * CACHED_BYTES < traced() < CACHED_BYTES


async def test_a_stream_of_small_reads_stays_within_the_bound(
    database: Database, traced: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "CACHED_BYTES", 1 << 20)
    kept = Statements(database.statements._dialect)

    for number in range(2_000):
        await kept.query_of(emails(1, f"e{number}_"), of_length(100), never)

    assert 0.6 * (1 << 20) < traced() < 1 << 20


@pytest.mark.long
@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda number: emails(300, f"e{number}_"), id="wide"),
        pytest.param(lambda number: pages(5, "search", key=f"p{number}_"), id="searched"),
    ],
)
async def test_compiling_keeps_no_memory_that_is_not_counted(
    database: Database, traced: Callable[[], int], read: Callable[[int], OneRead]
) -> None:
    await database.statements.query_of(read(0), compiler.compile, never)
    before, counted_before = traced(), database.statements._reads.currsize

    # SQLAlchemy enlarges a table for its events once, by up to 80 KiB. With this many reads, that does not
    # affect the result.
    for number in range(1, 17):
        await database.statements.query_of(read(number), compiler.compile, never)

    counted = database.statements._reads.currsize - counted_before
    assert 0.75 < (traced() - before) / counted < 1.15


async def test_the_least_recently_used_read_is_evicted_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statements, "CACHED_BYTES", 10_000)
    kept = Statements(database.statements._dialect)
    used, unused, new = (emails(1, key) for key in ("used", "unused", "new"))

    for read in (used, unused, used, new):
        await kept.query_of(read, of_length(3_000), never)

    assert [key.selection for key in kept._reads] == [used, new]


async def test_a_read_larger_than_the_cache_is_compiled_and_not_kept(database: Database) -> None:
    small, large = emails(1, "small"), emails(1, "large")
    kept = await database.statements.query_of(small, of_length(100), never)

    query = await database.statements.query_of(large, of_length(CACHED_BYTES), never)

    assert len(query.sql) > CACHED_BYTES
    assert [key.selection for key in database.statements._reads] == [small]
    assert await database.statements.query_of(emails(1, "small"), of_length(100), never) is kept


# ---------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("read", "expected"),
    [
        (emails(400), False),
        (emails(600), True),
        (pages(1, "search"), False),
        (pages(2, "search"), True),
        (pages(7), False),
        (pages(9), True),
        (ConnectionRead(customers("apps")), False),
        (OneRead("Customer", Lookup("id", 0), (Object("app", "app", "App", pages(9).fields),)), True),
    ],
)
def test_which_reads_take_long(read: OneRead, expected: bool) -> None:
    assert takes_long(read) is expected


async def test_a_cached_read_is_returned_without_yielding_to_the_event_loop(database: Database) -> None:
    compiled = await database.statements.query_of(pages(9), compiler.compile, always)
    asked = database.statements.query_of(pages(9), compiler.compile, always)

    with pytest.raises(StopIteration) as answered:
        asked.send(None)

    assert answered.value.value is compiled


async def test_a_short_read_is_compiled_without_yielding_to_the_event_loop(database: Database) -> None:
    asked = database.statements.query_of(emails(1), compiler.compile, takes_long)

    with pytest.raises(StopIteration):
        asked.send(None)


class Held:
    """A compiler that counts its calls. All calls wait until a test sets `told`.

    A call that has waited for ten seconds fails.
    """

    def __init__(self) -> None:
        self.begun, self.told = threading.Event(), threading.Event()
        self.times = 0

    def compile(self, read: OneRead) -> SelectBase:
        self.times += 1
        self.begun.set()
        assert self.told.wait(10)
        return compiler.compile(read)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.told.set()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_the_event_loop_runs_while_a_long_read_is_compiled(database: Database, held: Held) -> None:
    asked = asyncio.create_task(database.statements.query_of(emails(1), held.compile, always))
    await asyncio.to_thread(held.begun.wait, 10)

    await turns(1_000)
    short = await database.statements.query_of(emails(2), compiler.compile, never)

    assert not asked.done()
    held.told.set()
    assert (await asked).sql != short.sql


async def test_concurrent_requests_for_a_long_read_compile_it_once(database: Database, held: Held) -> None:
    async with asyncio.TaskGroup() as group:
        asked = [
            group.create_task(database.statements.query_of(emails(1), held.compile, always)) for _ in range(5)
        ]
        await turns(2)
        held.told.set()

    assert held.times == 1
    assert len({id(each.result()) for each in asked}) == 1
    assert await database.statements.query_of(emails(1), held.compile, always) is asked[0].result()
    assert held.times == 1


@pytest.mark.parametrize("remaining", [0, 1])
async def test_a_cancelled_request_does_not_stop_the_compilation_for_others(
    database: Database, held: Held, remaining: int
) -> None:
    first, *others = [
        asyncio.create_task(database.statements.query_of(emails(1), held.compile, always))
        for _ in range(1 + remaining)
    ]
    await turns(2)

    first.cancel()
    await asyncio.wait([first])
    later = asyncio.create_task(database.statements.query_of(emails(1), held.compile, always))
    await turns(2)
    held.told.set()

    assert first.cancelled()
    queries = await asyncio.gather(*others, later)
    assert len({id(query) for query in queries}) == 1
    assert held.times == 1


async def test_a_failed_compilation_fails_for_all_waiting_requests_and_is_retried(database: Database) -> None:
    class CannotBeCompiled(Exception):
        pass

    def fail(_read: OneRead) -> SelectBase:
        raise CannotBeCompiled

    answers = await asyncio.gather(
        *(database.statements.query_of(emails(1), fail, always) for _ in range(2)), return_exceptions=True
    )

    assert [type(answer) for answer in answers] == [CannotBeCompiled] * 2
    assert (await database.statements.query_of(emails(1), compiler.compile, always)).sql
