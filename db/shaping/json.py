"""SQL that writes JSON, in the cheapest way for each database.

On SQLite, a JSON value is text, and JSON values are joined with ``||``. SQLite's JSON functions are not used
for this, because they would parse the JSON of subqueries again. On PostgreSQL, a JSON value has the type
json, and an object is created from a row if possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import ClauseElement, ColumnElement, ScalarSelect, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, Text

from db.shaping.nouns import Kind

# PostgreSQL allows 63 bytes per identifier, 1,664 columns per row and 100 arguments per function. GraphQL
# aliases and selections have no such limits.
_MAX_IDENTIFIER = 63
_MAX_COLUMNS = 1_600
_MAX_PAIRS = 50
# See `_Concatenation`. Fewer than four adjacent operands do not need parentheses.
_LONGEST_CHAIN, _SHORTEST_GROUP = 16, 4


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: its key, and how its value becomes JSON.

    If the text of the value is known when the statement is written, `fixed` is this text.
    """

    key: str
    kind: Kind
    value: ColumnElement[Any]
    nullable: bool = False
    fixed: str | None = None


def constant(key: str, text: str) -> Member:
    """Return a member with a fixed text. The text is not escaped, so it must never come from a request."""
    return Member(key, Kind.PLAIN, literal_column(f"'{text}'"), fixed=text)


class json_object(FunctionElement[Any]):  # noqa: N801
    """A JSON object with its members in the given order.

    Set `of_aggregates` if the values are aggregates. On PostgreSQL, the cheapest way to build an object is
    from a row in a SELECT of its own. This is impossible for aggregates, because an aggregate must be in the
    SELECT that reads its rows.
    """

    name = "json_object"
    type = NullType()
    inherit_cache = False

    def __init__(self, members: Sequence[Member], *, of_aggregates: bool = False) -> None:
        self.members = tuple(members)
        self.of_aggregates = of_aggregates
        super().__init__(*(member.value for member in members))

    @cached_property
    def selects(self) -> tuple[bool, ...]:
        """Whether the value of each member contains a SELECT, in the order of the members."""
        return tuple(map(_has_select, self.clauses))


class json_array(FunctionElement[Any]):  # noqa: N801
    """An aggregate: the values of its argument in all rows as a JSON array, in the order of the rows."""

    name = "json_array"
    type = NullType()
    inherit_cache = False


class json_string(FunctionElement[Any]):  # noqa: N801
    """A text, written as a JSON string."""

    name = "json_string"
    type = NullType()
    inherit_cache = False


class parsed(FunctionElement[Any]):  # noqa: N801
    """A text that contains JSON, converted to a JSON value."""

    name = "parsed"
    type = NullType()
    inherit_cache = False


class json_or_null(FunctionElement[Any]):  # noqa: N801
    """The JSON that a scalar subquery returns, or JSON's null if the subquery finds no row."""

    name = "json_or_null"
    type = NullType()
    inherit_cache = False


class json_text(FunctionElement[str]):  # noqa: N801
    """A JSON value, converted to text, which drivers return unchanged."""

    name = "json_text"
    type = Text()
    inherit_cache = False


@compiles(json_object, "sqlite")
def _sqlite_object(element: json_object, compiler: SQLCompiler, **kw: Any) -> str:
    text = _Concatenation()
    text.literal("{")
    for place, (member, clause, has_select) in enumerate(
        zip(element.members, element.clauses, element.selects, strict=True)
    ):
        text.literal(f'{"," if place else ""}"{member.key}":')
        if member.fixed is not None:
            text.literal(f'"{member.fixed}"')
        else:
            _write_sqlite(text, member, compiler.process(clause, **kw), has_select=has_select)
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
    # coalesce() would add three more entries to the parser's stack (see `_Concatenation`). LIMIT 1 works
    # instead, because SQLite returns the rows of a UNION ALL in the order of its SELECTs.
    (subquery,) = element.clauses
    assert isinstance(subquery, ScalarSelect)
    return f"({compiler.process(subquery.element, **kw)} UNION ALL SELECT 'null' LIMIT 1)"


@compiles(json_or_null, "postgresql")
def _postgresql_or_null(element: json_or_null, compiler: SQLCompiler, **kw: Any) -> str:
    (subquery,) = element.clauses
    return compiler.process(subquery, **kw)


@compiles(json_text, "sqlite")
def _sqlite_text(element: json_text, compiler: SQLCompiler, **kw: Any) -> str:
    (value,) = element.clauses
    # In RETURNING, SQLAlchemy writes columns without their tables. In a subquery, SQLite could then take a
    # column for another table's column with the same name.
    return compiler.process(value, **{**kw, "include_table": True})


@compiles(json_object, "postgresql")
def _postgresql_object(element: json_object, compiler: SQLCompiler, **kw: Any) -> str:
    values = [compiler.process(clause, **kw) for clause in element.clauses]
    keys = [member.key for member in element.members]
    if not keys:
        return "'{}'::json"
    if element.of_aggregates and len(keys) <= _MAX_PAIRS:
        arguments = ", ".join(f"'{key}', {value}" for key, value in zip(keys, values, strict=True))
        return f"json_build_object({arguments})"
    if element.of_aggregates or len(keys) > _MAX_COLUMNS or max(map(len, keys)) > _MAX_IDENTIFIER:
        return _postgresql_wide_object(element, values)
    columns = ", ".join(f'{value} AS "{key}"' for key, value in zip(keys, values, strict=True))
    return f"(SELECT row_to_json(shaped) FROM (SELECT {columns}) AS shaped)"  # noqa: S608


def _postgresql_wide_object(element: json_object, values: Sequence[str]) -> str:
    text = _Concatenation()
    text.literal("{")
    for place, (member, value) in enumerate(zip(element.members, values, strict=True)):
        text.literal(f'{"," if place else ""}"{member.key}":')
        # to_json() needs a typed argument, and a literal has no type.
        typed = value if member.fixed is None else f"{value}::text"
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
    """Whether a column is one of the ids in a JSON array. The statement is the same for any number of ids."""

    name = "ids_in"
    # With Boolean(), SQLAlchemy would append `= 1` on SQLite, and SQLite would then not use any index.
    type = NullType()
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
    """The texts in a JSON array, as rows with one column, ``value``."""

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


class numbered_texts(FunctionElement[Any]):  # noqa: N801
    """The texts in a JSON array, as rows with the columns ``value`` and ``place``, which starts at 1."""

    name = "numbered_texts"
    type = Text()
    inherit_cache = False


@compiles(numbered_texts, "sqlite")
def _sqlite_numbered(element: numbered_texts, compiler: SQLCompiler, **kw: Any) -> str:
    (array,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"(SELECT value, key + 1 AS place FROM json_each({array}))"  # noqa: S608


@compiles(numbered_texts, "postgresql")
def _postgresql_numbered(element: numbered_texts, compiler: SQLCompiler, **kw: Any) -> str:
    (array,) = (compiler.process(clause, **kw) for clause in element.clauses)
    rows = f"json_array_elements_text({array}::json) WITH ORDINALITY AS numbered (value, place)"
    return f"(SELECT value, place FROM {rows})"  # noqa: S608


class arrays_in(FunctionElement[Any]):  # noqa: N801
    """The arrays in a JSON array, as rows with one column, ``value``.

    `item` reads the texts in these arrays.
    """

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


class member(FunctionElement[Any]):  # noqa: N801
    """The value of a member of a JSON object, as JSON. It is SQL's null only if there is no such member."""

    name = "member"
    type = NullType()
    inherit_cache = False

    def __init__(self, object: ColumnElement[Any], key: str) -> None:
        self.key = key
        super().__init__(object)


class member_text(FunctionElement[str]):  # noqa: N801
    """The value of a member of a JSON object, as text. null becomes SQL's null."""

    name = "member_text"
    type = Text()
    inherit_cache = False

    def __init__(self, object: ColumnElement[Any], key: str) -> None:
        self.key = key
        super().__init__(object)


@compiles(member, "sqlite")
def _sqlite_member(element: member, compiler: SQLCompiler, **kw: Any) -> str:
    (object,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({object} -> '{element.key}')"


@compiles(member, "postgresql")
def _postgresql_member(element: member, compiler: SQLCompiler, **kw: Any) -> str:
    (object,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({object}::json -> '{element.key}')"


@compiles(member_text, "sqlite")
def _sqlite_member_text(element: member_text, compiler: SQLCompiler, **kw: Any) -> str:
    (object,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({object} ->> '{element.key}')"


@compiles(member_text, "postgresql")
def _postgresql_member_text(element: member_text, compiler: SQLCompiler, **kw: Any) -> str:
    (object,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"""(({object}::json ->> '{element.key}') COLLATE "C")"""


class item(FunctionElement[str]):  # noqa: N801
    """The text at an index of a JSON array."""

    name = "item"
    type = Text()
    inherit_cache = False

    def __init__(self, array: ColumnElement[Any], index: int) -> None:
        self.index = index
        super().__init__(array)


@compiles(item, "sqlite")
def _sqlite_item(element: item, compiler: SQLCompiler, **kw: Any) -> str:
    (array,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"json_extract({array}, '$[{element.index}]')"


@compiles(item, "postgresql")
def _postgresql_item(element: item, compiler: SQLCompiler, **kw: Any) -> str:
    (array,) = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({array} ->> {element.index})"


def _write_sqlite(text: "_Concatenation", member: Member, value: str, *, has_select: bool) -> None:
    match member.kind:
        case Kind.TEXT:
            text.expression(f"json_quote({value})", has_select=has_select)
        case Kind.PLAIN if member.nullable:
            text.expression(f"""coalesce('"' || {value} || '"', 'null')""", has_select=has_select)
        case Kind.PLAIN:
            text.literal('"')
            text.expression(value, has_select=has_select)
            text.literal('"')
        case Kind.BOOLEAN:
            text.expression(f"CASE WHEN {value} THEN 'true' ELSE 'false' END", has_select=has_select)
        case Kind.INTEGER:
            found = f"coalesce({value}, 'null')" if member.nullable else f"({value})"
            text.expression(found, has_select=has_select)
        case Kind.JSON:
            text.expression(f"coalesce({value}, 'null')" if member.nullable else value, has_select=has_select)


def _has_select(clause: ClauseElement) -> bool:
    """Return whether an expression contains a SELECT."""
    if isinstance(clause, json_object):
        return any(clause.selects)
    return isinstance(clause, ScalarSelect) or any(map(_has_select, clause.get_children()))


class _Concatenation:
    """Text made of literals and SQL expressions, as one ``||`` expression without enclosing parentheses.

    SQLite has two limits: parentheses help with one of them and make the other worse. Up to version 3.45,
    SQLite's parser keeps at most 100 open constructs on its stack, so a nested SELECT must have no
    parentheses around it except its own. An expression may be at most 1,000 levels deep: each ``||`` in a
    chain is one level, which is counted again in every enclosing SELECT. Therefore adjacent literals are
    merged, and the operands between two nested SELECTs become one balanced operand.
    """

    def __init__(self) -> None:
        self._operands: list[str] = []
        self._run: list[str] = []
        self._literal = ""

    def literal(self, text: str) -> None:
        """Append a fixed text, which must not contain anything that needs escaping."""
        self._literal += text

    def expression(self, sql: str, *, has_select: bool = False) -> None:
        """Append the value of an expression.

        `has_select` is true if the expression contains a SELECT. Only SQLite needs to know this.
        """
        if self._literal:
            self._run.append(f"'{self._literal}'")
            self._literal = ""
        if has_select:
            self._end_run()
            self._operands.append(sql)
        else:
            self._run.append(sql)

    def sql(self) -> str:
        """Return the whole text as SQL."""
        if self._literal:
            self._run.append(f"'{self._literal}'")
        if not self._operands:
            return " || ".join(_balanced(self._run))
        self._end_run()
        return " || ".join(self._operands)

    def _end_run(self) -> None:
        if self._run:
            pieces = _balanced(self._run)
            self._operands += pieces if len(self._run) < _SHORTEST_GROUP else [_chain(pieces)]
            self._run = []


def _balanced(pieces: list[str]) -> list[str]:
    """Return the pieces, grouped in parentheses until at most `_LONGEST_CHAIN` pieces are left."""
    while len(pieces) > _LONGEST_CHAIN:
        pieces = [_chain(pieces[i : i + _LONGEST_CHAIN]) for i in range(0, len(pieces), _LONGEST_CHAIN)]
    return pieces


def _chain(pieces: list[str]) -> str:
    return f"({' || '.join(pieces)})"
