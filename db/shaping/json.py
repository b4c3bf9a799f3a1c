"""SQL that writes JSON, in the cheapest way each database has.

On SQLite a JSON value is its text, joined with ``||``: the JSON functions there would parse again what a
subquery has just written. On PostgreSQL it is of type json, and an object is a row turned into JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, literal_column, true
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Boolean, NullType

from db.shaping.nouns import Kind

# An identifier of PostgreSQL holds 63 bytes and a row 1,664 columns; a GraphQL alias knows no such bounds.
_MAX_IDENTIFIER = 63
_MAX_COLUMNS = 1_600
# SQLite refuses expressions deeper than 1,000, and a chain of || is as deep as it is long.
_CHAIN = 32


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: its key, and how its value becomes JSON."""

    key: str
    kind: Kind
    value: ColumnElement[Any]


def constant(key: str, text: str) -> Member:
    """A member that is a fixed text, written by this project (it is not escaped)."""
    return Member(key, Kind.PLAIN, literal_column(f"'{text}'"))


class json_object(FunctionElement[Any]):  # noqa: N801
    """A JSON object with its members in the order given."""

    name = "json_object"
    type = NullType()
    inherit_cache = False

    def __init__(self, members: Sequence[Member]) -> None:
        self.keys = tuple(member.key for member in members)
        self.kinds = tuple(member.kind for member in members)
        super().__init__(*(member.value for member in members))


class json_array(FunctionElement[Any]):  # noqa: N801
    """An aggregate: the JSON array of `item` over the rows that pass `where`, in the rows' own order."""

    name = "json_array"
    type = NullType()
    inherit_cache = False

    def __init__(self, item: ColumnElement[Any], where: ColumnElement[bool] | None = None) -> None:
        self.filtered = where is not None
        super().__init__(item, true() if where is None else where)


@compiles(json_object, "sqlite")
def _sqlite_object(element: json_object, compiler: SQLCompiler, **kw: Any) -> str:
    pieces: list[str] = []
    text = "{"
    for key, kind, clause in zip(element.keys, element.kinds, element.clauses, strict=True):
        text += f'"{key}":'
        pieces += [_quoted(text), _sqlite_value(kind, compiler.process(clause, **kw))]
        text = ","
    return _joined([*pieces, _quoted("}" if pieces else "{}")])


@compiles(json_array, "sqlite")
def _sqlite_array(element: json_array, compiler: SQLCompiler, **kw: Any) -> str:
    item, where = (compiler.process(clause, **kw) for clause in element.clauses)
    condition = f" FILTER (WHERE {where})" if element.filtered else ""
    return f"('[' || coalesce(group_concat({item}, ','){condition}, '') || ']')"


@compiles(json_object, "postgresql")
def _postgresql_object(element: json_object, compiler: SQLCompiler, **kw: Any) -> str:
    values = [compiler.process(clause, **kw) for clause in element.clauses]
    if not values:
        return "'{}'::json"
    if len(values) > _MAX_COLUMNS or max(map(len, element.keys)) > _MAX_IDENTIFIER:
        return _postgresql_wide_object(element.keys, values)
    columns = ", ".join(f'{value} AS "{key}"' for key, value in zip(element.keys, values, strict=True))
    return f"(SELECT row_to_json(shaped) FROM (SELECT {columns}) AS shaped)"  # noqa: S608


def _postgresql_wide_object(keys: Sequence[str], values: Sequence[str]) -> str:
    pieces: list[str] = []
    text = "{"
    for key, value in zip(keys, values, strict=True):
        text += f'"{key}":'
        pieces += [_quoted(text), f"coalesce(to_json({value})::text, 'null')"]
        text = ","
    return f"{_joined([*pieces, _quoted('}')])}::json"


@compiles(json_array, "postgresql")
def _postgresql_array(element: json_array, compiler: SQLCompiler, **kw: Any) -> str:
    item, where = (compiler.process(clause, **kw) for clause in element.clauses)
    condition = f" FILTER (WHERE {where})" if element.filtered else ""
    return f"coalesce(json_agg({item}){condition}, '[]'::json)"


class ids_in(FunctionElement[bool]):  # noqa: N801
    """Whether a column is one of the ids in a JSON array, so that any number of ids makes one statement."""

    name = "ids_in"
    type = Boolean()
    inherit_cache = False

    def __init__(self, column: ColumnElement[str], ids: ColumnElement[str]) -> None:
        super().__init__(column, ids)


@compiles(ids_in, "sqlite")
def _sqlite_ids(element: ids_in, compiler: SQLCompiler, **kw: Any) -> str:
    column, ids = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608


@compiles(ids_in, "postgresql")
def _postgresql_ids(element: ids_in, compiler: SQLCompiler, **kw: Any) -> str:
    column, ids = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"{column} = ANY (ARRAY(SELECT json_array_elements_text({ids}::json)))"


def _sqlite_value(kind: Kind, value: str) -> str:
    match kind:
        case Kind.TEXT:
            return f"json_quote({value})"
        case Kind.PLAIN if value.startswith("'"):
            return f"""'"' || {value} || '"'"""
        case Kind.PLAIN:
            return f"""coalesce('"' || {value} || '"', 'null')"""
        case Kind.BOOLEAN:
            return f"CASE WHEN {value} THEN 'true' ELSE 'false' END"
        case Kind.INTEGER:
            return f"({value})"
        case Kind.JSON:
            return f"coalesce({value}, 'null')"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _joined(pieces: Sequence[str]) -> str:
    """One ``||`` expression over all pieces, as a tree no deeper than it must be."""
    while len(pieces) > _CHAIN:
        pieces = [_chain(pieces[i : i + _CHAIN]) for i in range(0, len(pieces), _CHAIN)]
    return _chain(pieces)


def _chain(pieces: Sequence[str]) -> str:
    return f"({' || '.join(pieces)})"
