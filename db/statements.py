"""Statements: written by SQLAlchemy, once, in the form in which the drivers take them."""

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
    Update,
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
_ENTRY_BYTES = 384  # what the cache itself needs for an entry

# Compiling keeps Python's interpreter busy: a second thread would only get in the way of the first.
_compiler = ThreadPoolExecutor(1, "compiler")

ROW_ID = "row_id"
"""The parameter that says which row is changed, beside those that are named for the columns."""

SCANS = "scans"
"""The execution option of statements that may go through very many rows."""

S = TypeVar("S", bound=Hashable)
Processor: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement as the driver takes it: its text, and its parameters in the driver's order.

    Each is a name and, for the constants that the statement brings along, its value. The processors turn
    Python's values into stored ones, by parameter, and back, by column of the result. `scans`: it may go
    through very many rows (`SCANS`).
    """

    sql: str
    parameters: tuple[tuple[str, Any], ...]
    processors: tuple[Processor | None, ...] = ()
    columns: tuple[tuple[str, Processor | None], ...] = ()
    converts: bool = False  # whether any column has a processor
    scans: bool = False

    def stored(self, values: Mapping[str, object]) -> list[Any]:
        """The arguments for the driver, of values as Python has them."""
        return [
            values.get(name, constant) if process is None else process(values.get(name, constant))
            for (name, constant), process in zip(self.parameters, self.processors, strict=True)
        ]

    def rows(self, rows: Sequence[ResultRow]) -> Sequence[ResultRow]:
        """Rows of the driver's, their values as Python has them."""
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
        """The same as SQLAlchemy shows them."""
        found = map(tuple, self.rows(rows))
        return IteratorResult(SimpleResultMetaData([name for name, _ in self.columns]), found)


def locking(statement: Select[Any], held: Table, *changed: Table, strength: str = "KEY SHARE") -> Select[Any]:
    """Have a statement lock the rows that it finds, table by table, until the transaction ends.

    Those of `held` against deletion (with the strength "SHARE": against any change), those of `changed`
    against everybody. Conditions on locked rows, and only they, are tried again on what a row has become
    while it was waited for. SQLite has one writer: no row is locked there.
    """
    clauses = [f"FOR {strength} OF {held.name}", *(f"FOR UPDATE OF {table.name}" for table in changed)]
    return statement.suffix_with(text(" ".join(clauses)), dialect="postgresql")


def parameters_of(table: Table, columns: Iterable[str]) -> dict[str, BindParameter[Any]]:
    """A parameter for each column, of its name and its type."""
    return {name: bindparam(name, type_=table.c[name].type) for name in columns}


def if_free(statement: Insert, answer: ColumnElement[Any]) -> ReturningInsert[Any]:
    """Have an insertion add only what no unique constraint stands against, and answer this of it."""
    # SQLite's compiler understands PostgreSQL's form as well.
    return statement.on_conflict_do_nothing().returning(answer)


@cache
def insertion(table: Table, columns: tuple[str, ...]) -> ReturningInsert[Any]:
    """An insertion of these columns, as `if_free` has it, that answers the id."""
    return if_free(insert(table).values(parameters_of(table, columns)), table.c.id)


@cache
def change(table: Table, columns: tuple[str, ...]) -> Update:
    """A change of these columns of the row whose id is `ROW_ID`."""
    changed = table.update().where(table.c.id == bindparam(ROW_ID))
    return changed.values(parameters_of(table, columns))


@cache
def _compiled_for(_dialect: Dialect) -> WeakKeyDictionary[ClauseElement, Query]:
    """Queries by the identity of their statements, for all databases of a kind.

    Statements that live as long as the process are compiled once in it.
    """
    return WeakKeyDictionary()


class _Key:
    """A selection as a key. Its hash, which takes longer the larger it is, is worked out once."""

    __slots__ = ("_hash", "selection")

    def __init__(self, selection: Hashable) -> None:
        self.selection = selection
        self._hash = hash(selection)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.selection == other.selection


@dataclass(frozen=True, slots=True)
class _Kept:
    """A compiled read, and the bytes that it takes together with its selection."""

    query: Query
    size: int


class Statements:
    """The statements of one database, compiled.

    Reads are kept by their selections, and what was not used for longest goes first: texts, selections and
    all else take 16 MiB (`CACHED_BYTES`) at most. A read that takes more than that by itself is not kept.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._compiled = _compiled_for(dialect)
        self._reads: LRUCache[_Key, _Kept] = LRUCache(CACHED_BYTES, getsizeof=lambda kept: kept.size)
        self._compiling: dict[_Key, asyncio.Future[_Kept]] = {}

    async def query_of(
        self, selection: S, make: Callable[[S], ClauseElement], takes_long: Callable[[S], bool]
    ) -> Query:
        """The query that `make` makes from a selection. A selection has one query.

        One that is kept is answered without giving up the turn. Another is compiled: in a thread if it
        `takes_long`, and once for all who ask for it meanwhile.
        """
        key = _Key(selection)
        try:
            return self._reads[key].query
        except KeyError:
            pass
        compiling = self._compiling.get(key)
        if compiling is None:
            if not takes_long(selection):
                kept = self._compile_read(selection, make)
                self._keep(key, kept)
                return kept.query
            loop = asyncio.get_running_loop()
            compiling = loop.run_in_executor(_compiler, self._compile_read, selection, make)
            self._compiling[key] = compiling
            compiling.add_done_callback(partial(self._end_compiling, key))
        # Whoever gives up leaves it to the others, and to the cache.
        return (await asyncio.shield(compiling)).query

    def compile(self, statement: ClauseElement) -> Query:
        """The driver's text of a statement, made once for as long as the statement lives."""
        query = self._compiled.get(statement)
        if query is None:
            query = self._compiled[statement] = self.compile_once(statement)
        return query

    def compile_once(self, statement: ClauseElement) -> Query:
        """The driver's text of a statement, for callers that keep it themselves."""
        dialect = self._dialect
        # IN over a list of values is spelt out now; SQLAlchemy would do so when it runs a statement.
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        if not isinstance(compiled, SQLCompiler):  # DDL
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

    def _compile_read(self, selection: S, make: Callable[[S], ClauseElement]) -> _Kept:
        query = self.compile_once(make(selection))
        return _Kept(query, _ENTRY_BYTES + size_of(selection, query))

    def _end_compiling(self, key: _Key, compiling: "asyncio.Future[_Kept]") -> None:
        del self._compiling[key]
        if not compiling.cancelled() and compiling.exception() is None:
            self._keep(key, compiling.result())

    def _keep(self, key: _Key, kept: _Kept) -> None:
        if kept.size <= self._reads.maxsize:
            self._reads[key] = kept
