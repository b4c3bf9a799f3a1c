"""Statements: SQLAlchemy compiles each statement once, into the form that the drivers use."""

import asyncio
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from cachetools import LRUCache
from sqlalchemy import (
    BindParameter,
    ClauseElement,
    ColumnElement,
    Dialect,
    Executable,
    Table,
    bindparam,
    text,
)
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.engine.result import IteratorResult, Result, SimpleResultMetaData
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.selectable import Select

from db.connections import ResultRow
from db.sizes import size_of

CACHED_BYTES = 16 << 20
_ENTRY_BYTES = 384  # what the cache needs for each entry, besides the entry itself

# One thread is enough: compiling holds the interpreter lock, so a second thread would only slow down the
# first.
_compiler = ThreadPoolExecutor(1, "compiler")

SCANS = "scans"
"""The execution option for statements that may visit very many rows."""

S = TypeVar("S", bound=Hashable)
Processor: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement in the driver's form: its text, and its parameters in the driver's order.

    Each parameter has a name and, if it is a constant of the statement, its value. `processors` convert
    Python values to stored values, one processor for each parameter. `columns` are the names of the result's
    columns, each with the processor that converts stored values to Python values. `scans` means that the
    statement may visit very many rows (`SCANS`).
    """

    sql: str
    parameters: tuple[tuple[str, Any], ...]
    processors: tuple[Processor | None, ...] = ()
    columns: tuple[tuple[str, Processor | None], ...] = ()
    converts: bool = False  # true if any column has a processor
    scans: bool = False

    def arguments(self, values: Mapping[str, object]) -> list[Any]:
        """Return the driver's arguments for Python values."""
        return [
            values.get(name, constant) if process is None else process(values.get(name, constant))
            for (name, constant), process in zip(self.parameters, self.processors, strict=True)
        ]

    def rows(self, rows: Sequence[ResultRow]) -> Sequence[ResultRow]:
        """Convert the driver's rows to Python values."""
        if not self.converts:
            return rows
        return [
            tuple(
                value if process is None else process(value)
                for value, (_, process) in zip(row, self.columns, strict=True)
            )
            for row in rows
        ]

    def result(self, rows: Sequence[ResultRow]) -> Result[Any]:
        """Return the driver's rows as a SQLAlchemy result."""
        found = map(tuple, self.rows(rows))
        return IteratorResult(SimpleResultMetaData([name for name, _ in self.columns]), found)


def locking(statement: Select[Any], held: Table, *changed: Table, strength: str = "KEY SHARE") -> Select[Any]:
    """Make a statement lock the rows that it finds, table by table, until the transaction ends.

    Rows of `held` are locked against deletion or, with the strength "SHARE", against any change. Rows of
    `changed` are locked for update. After waiting for a lock, PostgreSQL checks the conditions on locked
    tables again, but not the conditions on other tables. SQLite locks no rows, because it has one writer.
    """
    clauses = [f"FOR {strength} OF {held.name}", *(f"FOR UPDATE OF {table.name}" for table in changed)]
    return statement.suffix_with(text(" ".join(clauses)), dialect="postgresql")


def parameters_of(table: Table, columns: Iterable[str]) -> dict[str, BindParameter[Any]]:
    """Return a parameter for each column, with the column's name and type."""
    return {name: bindparam(name, type_=table.c[name].type) for name in columns}


def if_free(statement: Insert, returned: ColumnElement[Any]) -> ReturningInsert[Any]:
    """Make an insert skip rows that break a unique constraint, and return `returned` for the added rows."""
    # SQLite's compiler also accepts PostgreSQL's Insert.
    return statement.on_conflict_do_nothing().returning(returned)


@cache
def insertion(table: Table, columns: tuple[str, ...]) -> ReturningInsert[Any]:
    """Return an insert of these columns that skips conflicts (`if_free`).

    It returns the first column of the new row's primary key, which is usually the id.
    """
    first, *_ = table.primary_key
    return if_free(insert(table).values(parameters_of(table, columns)), first)


@cache
def _compiled_for(_dialect: Dialect) -> WeakKeyDictionary[ClauseElement, Query]:
    """Return the cache of compiled queries by statement, which all databases of one kind share.

    A statement that is a module constant is therefore compiled once per process.
    """
    return WeakKeyDictionary()


class _Key:
    """A selection as a cache key.

    Its hash is computed only once, because hashing a large selection is slow.
    """

    __slots__ = ("_hash", "selection")

    def __init__(self, selection: Hashable) -> None:
        self.selection = selection
        self._hash = hash(selection)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.selection == other.selection


@dataclass(frozen=True, slots=True)
class _Entry:
    """A cached query, and the memory in bytes that the query and its selection take."""

    query: Query
    size: int


class Statements:
    """The compiled statements of one database.

    Reads are cached by their selections. The cache takes at most 16 MiB (`CACHED_BYTES`), including texts and
    selections. If the cache is full, the least recently used reads are removed. A single read that is larger
    than the whole cache is not cached.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._compiled = _compiled_for(dialect)
        self._reads: LRUCache[_Key, _Entry] = LRUCache(CACHED_BYTES, getsizeof=lambda entry: entry.size)
        self._compiling: dict[_Key, asyncio.Future[_Entry]] = {}

    async def query_of(
        self, selection: S, make: Callable[[S], ClauseElement], takes_long: Callable[[S], bool]
    ) -> Query:
        """Return the query for a selection, compiled from the statement that `make` builds.

        `make` must always build the same statement for the same selection. A cached query is returned without
        yielding to the event loop. If `takes_long` is true for the selection, the statement is compiled in a
        thread, and concurrent callers with the same selection share the result.
        """
        key = _Key(selection)
        try:
            return self._reads[key].query
        except KeyError:
            pass
        compiling = self._compiling.get(key)
        if compiling is None:
            if not takes_long(selection):
                entry = self._compile_read(selection, make)
                self._cache(key, entry)
                return entry.query
            loop = asyncio.get_running_loop()
            compiling = loop.run_in_executor(_compiler, self._compile_read, selection, make)
            self._compiling[key] = compiling
            compiling.add_done_callback(partial(self._end_compiling, key))
        # If this caller is cancelled, the compilation goes on, for the other callers and for the cache.
        return (await asyncio.shield(compiling)).query

    def compile(self, statement: ClauseElement) -> Query:
        """Return the query of a statement, compiled once and kept as long as the statement object exists."""
        query = self._compiled.get(statement)
        if query is None:
            query = self._compiled[statement] = self.compile_once(statement)
        return query

    def compile_once(self, statement: ClauseElement) -> Query:
        """Compile a statement and return its query, for callers that cache the query themselves."""
        dialect = self._dialect
        # Expand IN over a list of values now. Otherwise SQLAlchemy would expand the list when it runs the
        # statement.
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        if not isinstance(compiled, SQLCompiler):  # a DDL statement, which has no parameters
            return Query(str(compiled), ())
        names = compiled.positiontup or ()
        values = compiled.params
        types = {name: parameter.type for parameter, name in compiled.bind_names.items()}
        columns = tuple(
            (column.key or "", column.type.dialect_impl(dialect).result_processor(dialect, None))
            for column in getattr(statement, "exported_columns", None) or ()
        )
        return Query(
            compiled.string,
            tuple((name, values[name]) for name in names),
            tuple(
                types[name].dialect_impl(dialect).bind_processor(dialect) if name in types else None
                for name in names
            ),
            columns,
            any(process is not None for _, process in columns),
            isinstance(statement, Executable) and SCANS in statement.get_execution_options(),
        )

    def _compile_read(self, selection: S, make: Callable[[S], ClauseElement]) -> _Entry:
        query = self.compile_once(make(selection))
        return _Entry(query, _ENTRY_BYTES + size_of(selection, query))

    def _end_compiling(self, key: _Key, compiling: "asyncio.Future[_Entry]") -> None:
        del self._compiling[key]
        if not compiling.cancelled() and compiling.exception() is None:
            self._cache(key, compiling.result())

    def _cache(self, key: _Key, entry: _Entry) -> None:
        if entry.size <= self._reads.maxsize:
            self._reads[key] = entry
