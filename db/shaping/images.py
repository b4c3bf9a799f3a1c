"""Images: how events show a row, as JSON with the names of its fields in REST (`Noun.image`)."""

from collections.abc import Sequence

from sqlalchemy import BigInteger, ColumnElement, FromClause, bindparam

from db.shaping.compiler import Compiler
from db.shaping.json import Member
from db.shaping.nouns import Kind, Noun
from db.shaping.selection import Scalar


def image(noun: Noun, row: FromClause | None = None, more: Sequence[str] = ()) -> ColumnElement[str]:
    """Return SQL for the image of a row of the noun's table, or of another source of such rows.

    `more` are the names of parameters that are whole numbers. The JSON has them after the row's own fields.
    """
    fields = [Scalar(key, attribute) for key, attribute in noun.image.items()]
    added = [Member(name, Kind.INTEGER, bindparam(name, type_=BigInteger())) for name in more]
    return Compiler({noun.name: noun}).object_of(noun.name, fields, row, added)
