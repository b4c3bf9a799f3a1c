"""SQL that writes JSON, in the cheapest way each database has.

On SQLite a JSON value is its text, joined with ``||``: the JSON functions there would parse again what a
subquery has just written. On PostgreSQL it is of type json, and an object is a row turned into JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, Text

from db.shaping.nouns import Kind

# An identifier of PostgreSQL holds 63 bytes, a row 1,664 columns, a function 100 arguments; a GraphQL alias
# and a selection know no such bounds.
_MAX_IDENTIFIER = 63
_MAX_COLUMNS = 1_600
_MAX_PAIRS = 50
# See `_Concatenation`. A run of few operands needs no parentheses.
_CHAIN, _FEW = 16, 4


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: its key, and how its value becomes JSON."""

    key: str
    kind: Kind
    value: ColumnElement[Any]
    nullable: bool = False


def constant(key: str, text: str) -> Member:
    """A member that is a fixed text, written by this project (it is not escaped)."""
    return Member(key, Kind.PLAIN, literal_column(f"'{text}'"))


class json_object(FunctionElement[Any]):  # noqa: N801
    """A JSON object with its members in the order given.

    Where values are aggregates, say `of_aggregates`: on PostgreSQL an object is best made of a row, in a
    SELECT of its own, and an aggregate must stand in the very SELECT whose rows it aggregates.
    """

    name = "json_object"
    type = NullType()
    inherit_cache = False

    def __init__(self, members: Sequence[Member], *, of_aggregates: bool = False) -> None:
        self.keys = tuple(member.key for member in members)
        self.kinds = tuple((member.kind, member.nullable) for member in members)
        self.of_aggregates = of_aggregates
        super().__init__(*(member.value for member in members))


class json_array(FunctionElement[Any]):  # noqa: N801
    """An aggregate: the JSON array of its argument over all rows, in the rows' own order."""

    name = "json_array"
    type = NullType()
    inherit_cache = False


class json_string(FunctionElement[Any]):  # noqa: N801
    """A text as JSON."""

    name = "json_string"
    type = NullType()
    inherit_cache = False


class parsed(FunctionElement[Any]):  # noqa: N801
    """A text that holds JSON, as JSON."""

    name = "parsed"
    type = NullType()
    inherit_cache = False


class json_or_null(FunctionElement[Any]):  # noqa: N801
    """The JSON that a scalar subquery answers, or JSON's null when it finds no row."""

    name = "json_or_null"
    type = NullType()
    inherit_cache = False


class json_text(FunctionElement[str]):  # noqa: N801
    """JSON as text, the form in which it leaves the database: a driver would parse what is of type json."""

    name = "json_text"
    type = Text()
    inherit_cache = False


@compiles(json_object, "sqlite")
def _sqlite_object(element: json_object, compiler: SQLCompiler, **kw: Any) -> str:
    text = _Concatenation()
    text.literal("{")
    for place, (key, (kind, nullable), clause) in enumerate(
        zip(element.keys, element.kinds, element.clauses, strict=True)
    ):
        text.literal(f'{"," if place else ""}"{key}":')
        _write_sqlite(text, kind, nullable, compiler.process(clause, **kw))
    text.literal("}")
    return text.sql()


@compiles(json_array, "sqlite")
def _sqlite_array(element: json_array, compiler: SQLCompiler, **kw: Any) -> str:
    (item,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"'[' || coalesce(group_concat({item}, ','), '') || ']'"


@compiles(json_string, "sqlite")
def _sqlite_string(element: json_string, compiler: SQLCompiler, **kw: Any) -> str:
    (text,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_quote({text})"


@compiles(json_string, "postgresql")
def _postgresql_string(element: json_string, compiler: SQLCompiler, **kw: Any) -> str:
    (text,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"to_json({text})"


@compiles(parsed, "sqlite")
def _sqlite_parsed(element: parsed, compiler: SQLCompiler, **kw: Any) -> str:
    (text,) = element.clauses
    return compiler.process(text, **kw)


@compiles(parsed, "postgresql")
def _postgresql_parsed(element: parsed, compiler: SQLCompiler, **kw: Any) -> str:
    (text,) = element.clauses
    return f"({compiler.process(text, **kw)})::json"


@compiles(json_or_null, "sqlite")
def _sqlite_or_null(element: json_or_null, compiler: SQLCompiler, **kw: Any) -> str:
    # coalesce() around it would cost three places on the parser's stack (see `_joined`). The first arm of
    # a UNION ALL comes first.
    (subquery,) = element.clauses
    text = compiler.process(subquery, **kw)
    assert text.startswith("(SELECT ")
    return f"{text[:-1]} UNION ALL SELECT 'null' LIMIT 1)"


@compiles(json_or_null, "postgresql")
def _postgresql_or_null(element: json_or_null, compiler: SQLCompiler, **kw: Any) -> str:
    (subquery,) = element.clauses
    return compiler.process(subquery, **kw)


@compiles(json_text, "sqlite")
def _sqlite_text(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    return compiler.process(value, **kw)


@compiles(json_object, "postgresql")
def _postgresql_object(element: json_object, compiler: SQLCompiler, **kw: Any) -> str:
    pairs = [
        (key, compiler.process(clause, **kw))
        for key, clause in zip(element.keys, element.clauses, strict=True)
    ]
    if not pairs:
        return "'{}'::json"
    if element.of_aggregates and len(pairs) <= _MAX_PAIRS:
        arguments = ", ".join(f"'{key}', {value}" for key, value in pairs)
        return f"json_build_object({arguments})"
    if element.of_aggregates or len(pairs) > _MAX_COLUMNS or max(map(len, element.keys)) > _MAX_IDENTIFIER:
        return _postgresql_wide_object(pairs)
    columns = ", ".join(f'{value} AS "{key}"' for key, value in pairs)
    return f"(SELECT row_to_json(shaped) FROM (SELECT {columns}) AS shaped)"  # noqa: S608


def _postgresql_wide_object(pairs: Sequence[tuple[str, str]]) -> str:
    text = _Concatenation()
    text.literal("{")
    for place, (key, value) in enumerate(pairs):
        text.literal(f'{"," if place else ""}"{key}":')
        # A constant has no type of its own, and to_json() takes none without.
        typed = f"{value}::text" if _is_constant(value) else value
        text.expression(f"coalesce(to_json({typed})::text, 'null')")
    text.literal("}")
    return f"({text.sql()})::json"


@compiles(json_array, "postgresql")
def _postgresql_array(element: json_array, compiler: SQLCompiler, **kw: Any) -> str:
    (item,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"coalesce(json_agg({item}), '[]'::json)"


@compiles(json_text, "postgresql")
def _postgresql_text(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    return f"({compiler.process(value, **kw)})::text"


class ids_in(FunctionElement[Any]):  # noqa: N801
    """Whether a column is one of the ids in a JSON array, so that any number of ids makes one statement."""

    name = "ids_in"
    type = NullType()  # of a Boolean() SQLAlchemy would ask `= 1` on SQLite, and no index answers that
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


class texts_in(FunctionElement[Any]):  # noqa: N801
    """The texts in a JSON array as rows of one column, ``value``."""

    name = "texts_in"
    type = Text()
    inherit_cache = False


@compiles(texts_in, "sqlite")
def _sqlite_texts(element: texts_in, compiler: SQLCompiler, **kw: Any) -> str:
    (array,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_each({array})"


@compiles(texts_in, "postgresql")
def _postgresql_texts(element: texts_in, compiler: SQLCompiler, **kw: Any) -> str:
    (array,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_array_elements_text({array}::json)"


class arrays_in(FunctionElement[Any]):  # noqa: N801
    """The arrays of texts in a JSON array as rows of one column, ``value``; see `item`."""

    name = "arrays_in"
    type = Text()
    inherit_cache = False


@compiles(arrays_in, "sqlite")
def _sqlite_arrays(element: arrays_in, compiler: SQLCompiler, **kw: Any) -> str:
    (array,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_each({array})"


@compiles(arrays_in, "postgresql")
def _postgresql_arrays(element: arrays_in, compiler: SQLCompiler, **kw: Any) -> str:
    (array,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_array_elements({array}::json)"


class item(FunctionElement[str]):  # noqa: N801
    """The text at a place of a JSON array."""

    name = "item"
    type = Text()
    inherit_cache = False

    def __init__(self, array: ColumnElement[Any], place: int) -> None:
        self.place = place
        super().__init__(array)


@compiles(item, "sqlite")
def _sqlite_item(element: item, compiler: SQLCompiler, **kw: Any) -> str:
    (array,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_extract({array}, '$[{element.place}]')"


@compiles(item, "postgresql")
def _postgresql_item(element: item, compiler: SQLCompiler, **kw: Any) -> str:
    (array,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({array} ->> {element.place})"


def _write_sqlite(text: "_Concatenation", kind: Kind, nullable: bool, value: str) -> None:
    match kind:
        case Kind.TEXT:
            text.expression(f"json_quote({value})")
        case Kind.PLAIN if nullable:
            text.expression(f"""coalesce('"' || {value} || '"', 'null')""")
        case Kind.PLAIN:
            text.literal('"')
            text.literal(value[1:-1]) if _is_constant(value) else text.expression(value)
            text.literal('"')
        case Kind.BOOLEAN:
            text.expression(f"CASE WHEN {value} THEN 'true' ELSE 'false' END")
        case Kind.INTEGER:
            text.expression(f"({value})")
        case Kind.JSON:
            text.expression(f"coalesce({value}, 'null')" if nullable else value)


def _is_constant(value: str) -> bool:
    return value.startswith("'") and value.endswith("'")


class _Concatenation:
    """Text made of literals and SQL expressions, as one ``||`` expression without parentheses around it.

    SQLite sets two bounds that pull in opposite directions. Its parser, up to 3.45, keeps no more than 100
    open constructs on its stack: so a nested SELECT stands in no parentheses but its own. And an expression
    may be 1,000 deep, where a chain is as deep as it is long, and counts anew in every SELECT around it: so
    neighbouring literals are one, and what stands between two nested SELECTs is one operand, well balanced.
    """

    def __init__(self) -> None:
        self._operands: list[str] = []
        self._run: list[str] = []
        self._literal = ""

    def literal(self, text: str) -> None:
        """Go on with a fixed text, written by this project (nothing in it needs escaping)."""
        self._literal += text

    def expression(self, sql: str) -> None:
        """Go on with the value of an expression."""
        if self._literal:
            self._run.append(f"'{self._literal}'")
            self._literal = ""
        if "(SELECT " in sql:
            self._end_run()
            self._operands.append(sql)
        else:
            self._run.append(sql)

    def sql(self) -> str:
        """The whole as SQL."""
        if self._literal:
            self._run.append(f"'{self._literal}'")
        if not self._operands:
            return " || ".join(_balanced(self._run))
        self._end_run()
        return " || ".join(self._operands)

    def _end_run(self) -> None:
        if self._run:
            self._operands += (
                _balanced(self._run) if len(self._run) < _FEW else [_chain(_balanced(self._run))]
            )
            self._run = []


def _balanced(pieces: list[str]) -> list[str]:
    """The pieces gathered into no more than a short chain."""
    while len(pieces) > _CHAIN:
        pieces = [_chain(pieces[i : i + _CHAIN]) for i in range(0, len(pieces), _CHAIN)]
    return pieces


def _chain(pieces: list[str]) -> str:
    return f"({' || '.join(pieces)})"
