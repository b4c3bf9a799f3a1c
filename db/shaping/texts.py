"""Text found within text, taken literally: the condition itself, and the index that finds its rows.

The index holds the trigrams of each row's texts: every three neighbouring characters as they are, whatever
the script. Two more stand behind the end of each text, so that every character of it begins a trigram: a text
of one or two characters is found by the trigrams that begin with it, a longer one by all of its own. The
index may find too much, since it does not know where a trigram stands, so the condition is asked as well.

On SQLite it is an FTS5 table, on PostgreSQL a GIN index of lexemes; see docs/decisions.md.
"""

from typing import Any

from sqlalchemy import BindParameter, ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType

from db.shaping.nouns import Row

# A long text is found by the trigrams of its beginning; the condition reads the rest.
_LONGEST = 32
_LAST = "\U0010ffff" * 2
# What FTS5 writes for these two, which are no characters.
_WRITTEN = str.maketrans("\ufffe\uffff", "\ufffd\ufffd")


class contains(FunctionElement[Any]):  # noqa: N801
    """Whether a text contains another, by code points; null where the text is null."""

    name = "contains"
    type = NullType()  # of a Boolean() SQLAlchemy would ask `= 1` on SQLite, and no index answers that
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


class found_in_customers(FunctionElement[Any]):  # noqa: N801
    """Whether the index of customers (made by migration 0004) has a row under all trigrams of a text."""

    name = "found_in_customers"
    type = NullType()  # of a Boolean() SQLAlchemy would ask `= 1` on SQLite, and no index answers that
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
    """The trigrams of a text as FTS5 is asked for them, for SQLite to call; a short text has none."""
    part = part[:_LONGEST]
    grams = dict.fromkeys(part[start : start + 3] for start in range(len(part) - 2))
    return " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams) or '""'


def gram_start(part: str) -> str | None:
    """What the trigrams of a text of one or two characters begin with, for SQLite to call; else None."""
    return part.translate(_WRITTEN) if len(part) < 3 else None


def gram_end(part: str) -> str | None:
    """What the trigrams that begin so are not greater than; None as `gram_start`."""
    start = gram_start(part)
    return None if start is None else start + _LAST
