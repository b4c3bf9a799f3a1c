"""Cursors: opaque, bound to their connection's type and order, and outliving their row.

A cursor is the base64url of a checksum and of three lines: the tag of type and order, the id, and the
sort value. The statement makes them (`token`), so its two forms and `encode` must agree to the byte.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Text

_CHECKSUM_LENGTH = 8


class InvalidCursor(ValueError):
    """The text is no cursor, was altered, or belongs to another type or order."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an order: the sort value (None where it is null or the order has none) and the id."""

    value: str | None
    id: str


def encode(tag: str, id: str, value: str | None) -> str:
    """The cursor of a row. `value` is None where the sort value is null or the order is that of ids."""
    payload = f"{tag}\n{id}\n" + ("" if value is None else f"={value}")
    return base64.urlsafe_b64encode((_checksum(payload) + payload).encode()).rstrip(b"=").decode()


def decode(tag: str, text: str) -> Position:
    """Read a cursor that `encode` wrote under the same tag. Raises InvalidCursor."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise InvalidCursor("is not a cursor") from None
    found_tag, _, place = raw[_CHECKSUM_LENGTH:].partition("\n")
    id, _, value = place.partition("\n")
    # Written again it must be the same: so a cursor has one form, and none that is not of our making.
    if "\x00" in raw or encode(found_tag, id, value[1:] if value else None) != text:
        raise InvalidCursor("is not a cursor, or was altered")
    if found_tag != tag:
        raise InvalidCursor("belongs to another connection or another order")
    return Position(value[1:] if value else None, id)


def _checksum(payload: str) -> str:
    return hashlib.sha256(payload.encode()).hexdigest()[:_CHECKSUM_LENGTH]


def encode_found(tag: str, id: str | None, value: str | None) -> str | None:
    """As `encode`, for SQLite to call: of no row there is no cursor."""
    return None if id is None else encode(tag, id, value)


class token(FunctionElement[str]):  # noqa: N801
    """The SQL that writes a row's cursor; null where there is no row."""

    name = "cursor_token"
    type = Text()
    inherit_cache = False

    def __init__(self, tag: str, id: ColumnElement[str], value: ColumnElement[Any] | None) -> None:
        super().__init__(literal_column(f"'{tag}'"), id, *([] if value is None else [value]))


@compiles(token, "sqlite")
def _sqlite(element: token, compiler: SQLCompiler, **kw: Any) -> str:
    parts = [compiler.process(clause, **kw) for clause in element.clauses]
    return f"cursor_token({', '.join(parts if len(parts) == 3 else [*parts, 'NULL'])})"


@compiles(token, "postgresql")
def _postgresql(element: token, compiler: SQLCompiler, **kw: Any) -> str:
    tag, id, *value = (compiler.process(clause, **kw) for clause in element.clauses)
    payload = f"({tag} || E'\\n' || {id} || E'\\n'"
    payload += f" || coalesce('=' || {value[0]}, ''))" if value else ")"
    checksum = f"substr(encode(sha256(convert_to({payload}, 'UTF8')), 'hex'), 1, {_CHECKSUM_LENGTH})"
    # encode() breaks lines after 76 characters and pads: translate drops what has no counterpart.
    return f"translate(encode(convert_to({checksum} || {payload}, 'UTF8'), 'base64'), E'+/=\\n', '-_')"
