"""Literal substring search: the condition itself, and the index that finds the matching rows.

The index has the trigrams of each row's texts: every three adjacent characters, unchanged, in any script. Two
extra characters follow each text, so that a trigram starts at every character of the text. A search text of
one or two characters finds the rows with a trigram that starts with it. A longer search text finds the rows
that have all of its trigrams. The index does not know where a trigram is in a text, so it may find too many
rows. The condition is therefore checked as well.

On SQLite the index is an FTS5 table, and on PostgreSQL it is a GIN index of lexemes (docs/decisions.md).
"""

from typing import Any

from sqlalchemy import BindParameter, ColumnElement, Text, and_, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from db.shaping.nouns import Row

# Only the start of a long search text is looked up in the index. The condition checks the rest.
_LONGEST = 32
_LAST = "\U0010ffff" * 2
# FTS5 stores U+FFFD instead of these two noncharacters.
_WRITTEN = str.maketrans("\ufffe\uffff", "\ufffd\ufffd")


class contains(FunctionElement[Any]):  # noqa: N801
    """Whether a text contains another text, compared by code points. Null if the first text is null."""

    name = "contains"
    # With Boolean(), SQLAlchemy would append `= 1` on SQLite, and SQLite would then not use any index.
    type = NullType()
    inherit_cache = False

    def __init__(self, text: ColumnElement[str], part: ColumnElement[str]) -> None:
        super().__init__(text, part)


@compiles(contains, "sqlite")
def _sqlite_contains(element: contains, compiler: SQLCompiler, **kw: Any) -> str:
    text, part = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"instr({text}, {part}) > 0"


@compiles(contains, "postgresql")
def _postgresql_contains(element: contains, compiler: SQLCompiler, **kw: Any) -> str:
    text, part = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"strpos({text}, {part}) > 0"


def starts_with(text: ColumnElement[str], start: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition that a text starts with another text, which is a range of an index on the text."""
    return and_(text >= start, text < start + literal_column(f"'{_LAST}'", Text()))


class found_in_customers(FunctionElement[Any]):  # noqa: N801
    """Whether the index of customers (migration 0004) finds a row for a search text."""

    name = "found_in_customers"
    # With Boolean(), SQLAlchemy would append `= 1` on SQLite, and SQLite would then not use any index.
    type = NullType()
    inherit_cache = False

    def __init__(self, row: Row, part: BindParameter[str]) -> None:
        super().__init__(row["id"], row["email_folded"], row["name_folded"], part)


@compiles(found_in_customers, "sqlite")
def _sqlite_found(element: found_in_customers, compiler: SQLCompiler, **kw: Any) -> str:
    id, _, _, part = (compiler.process(clause, **kw) for clause in element.clauses)
    return (
        f"{id} IN (SELECT customer_id FROM customer_grams CROSS JOIN customer_numbers "  # noqa: S608
        f"WHERE customer_grams MATCH gram_query({part}) AND number = customer_grams.rowid UNION ALL "
        "SELECT customer_id FROM customer_gram_terms CROSS JOIN customer_numbers "
        f"WHERE term >= gram_start({part}) AND term <= gram_end({part}) AND number = doc)"
    )


@compiles(found_in_customers, "postgresql")
def _postgresql_found(element: found_in_customers, compiler: SQLCompiler, **kw: Any) -> str:
    _, email, name, part = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"customer_grams({email}, {name}) @@ gram_query({part})"


def gram_query(part: str) -> str:
    """Return the FTS5 query for the trigrams of a text. If the text has none, the query finds nothing.

    SQLite calls this.
    """
    part = part[:_LONGEST]
    grams = dict.fromkeys(part[start : start + 3] for start in range(len(part) - 2))
    return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams) or '""'


def gram_start(part: str) -> str | None:
    """Return the start of all trigrams that match a search text of one or two characters.

    Returns None if the text is longer. SQLite calls this.
    """
    return part.translate(_WRITTEN) if len(part) < 3 else None


def gram_end(part: str) -> str | None:
    """Return the upper bound of the trigrams that start with the text that `gram_start` returns.

    Returns None if `gram_start` returns None. SQLite calls this.
    """
    start = gram_start(part)
    return None if start is None else start + _LAST
