"""Statements: written by SQLAlchemy, once, in the form in which the drivers take them."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import BindParameter, ClauseElement, ColumnElement, Dialect, Table, Update, bindparam, text
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.engine.result import IteratorResult, Result, SimpleResultMetaData
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.sql.selectable import Select, SelectBase

from db.connections import ResultRow

# Of reads; the least recently used goes first. Compiling one takes milliseconds, running it microseconds. A
# text is some tens of kilobytes.
CACHED_STATEMENTS = 512

ROW_ID = "row_id"
"""The parameter that says which row is changed, beside those that are named for the columns."""

S = TypeVar("S", bound=Hashable)
Processor: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement as the driver takes it: its text, and its parameters in the driver's order.

    Each is a name and, for the constants that the statement brings along, its value. The processors turn
    Python's values into stored ones, by parameter, and back, by column of the result.
    """

    sql: str
    parameters: tuple[tuple[str, Any], ...]
    processors: tuple[Processor | None, ...] = ()
    columns: tuple[tuple[str, Processor | None], ...] = ()

    def stored(self, values: Mapping[str, object]) -> list[Any]:
        """The arguments for the driver, of values as Python has them."""
        arguments = []
        for (name, constant), process in zip(self.parameters, self.processors, strict=True):
            value = values.get(name, constant)
            arguments.append(value if process is None else process(value))
        return arguments

    def rows(self, rows: Sequence[ResultRow]) -> Sequence[ResultRow]:
        """Rows of the driver's, their values as Python has them."""
        processors = [process for _, process in self.columns]
        if not any(processors):
            return rows
        return [
            tuple(
                value if process is None else process(value)
                for value, process in zip(row, processors, strict=True)
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


class Statements:
    """The statements of one kind of database, compiled."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._compiled = _compiled_for(dialect)
        self.query_of = lru_cache(CACHED_STATEMENTS)(self._query_of)
        """The query of a read, made by a function from a selection (`db.reads`), and kept by both."""

    def compile(self, statement: ClauseElement) -> Query:
        """The driver's text of a statement, made once for as long as the statement lives."""
        query = self._compiled.get(statement)
        if query is None:
            query = self._compiled[statement] = self.compile_once(statement)
        return query

    def compile_once(self, statement: ClauseElement | SelectBase) -> Query:
        """The driver's text of a statement, for callers that keep it themselves."""
        dialect = self._dialect
        # IN over a list of values is spelt out now; SQLAlchemy would do so when it runs a statement.
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        if not isinstance(compiled, SQLCompiler):  # DDL
            return Query(str(compiled), ())
        names = compiled.positiontup or ()
        values = compiled.params
        types = {name: parameter.type for parameter, name in compiled.bind_names.items()}
        columns = getattr(statement, "exported_columns", None) or ()
        return Query(
            compiled.string,
            tuple((name, values[name]) for name in names),
            tuple(
                types[name].dialect_impl(dialect).bind_processor(dialect) if name in types else None
                for name in names
            ),
            tuple(
                (column.key or "", column.type.dialect_impl(dialect).result_processor(dialect, None))
                for column in columns
            ),
        )

    def _query_of(self, make: Callable[[S], SelectBase], selection: S) -> Query:
        return self.compile_once(make(selection))
