"""Cursors: opaque, bound to their connection's type and order, and outliving their row.

A cursor is a checksum, the tag of type and order, the id and, in an order that is not that of ids, the sort
value as base64url; between them are full stops. The statement makes them (`token`), a hundred for a page, so
they are kept cheap to make; its two forms and `encode` must agree to the byte.
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
    payload = f"{tag}.{id}" if value is None else f"{tag}.{id}.{_written(value)}"
    return f"{hashlib.sha256(payload.encode()).hexdigest()[:_CHECKSUM_LENGTH]}.{payload}"


def decode(tag: str, text: str) -> Position:
    """Read a cursor that `encode` wrote under the same tag. Raises InvalidCursor."""
    try:
        _checksum, noun, order, direction, place = text.split(".", 4)
        id, has_value, written = place.partition(".")
        position = Position(_read(written) if has_value else None, id)
        found_tag = f"{noun}.{order}.{direction}"
        # Written again it must be the same: so a cursor has one form, and none that is not of our making.
        is_ours = encode(found_tag, id, position.value) == text and id != "" and "\x00" not in text
    except (binascii.Error, ValueError):
        is_ours = False
    if not is_ours:
        raise InvalidCursor("is not a cursor, or was altered")
    if found_tag != tag:
        raise InvalidCursor("belongs to another connection or another order")
    return position


def _written(value: str) -> str:
    return base64.urlsafe_b64encode(value.encode()).rstrip(b"=").decode()


def _read(written: str) -> str:
    value = base64.b64decode(written + "=" * (-len(written) % 4), altchars=b"-_", validate=True).decode()
    if "\x00" in value:
        raise ValueError("no text that is stored holds NUL")
    return value


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
    payload = f"{tag[:-1]}.' || {id}"
    if value:
        # encode() breaks lines after 76 characters and pads: translate drops what has no counterpart.
        written = f"translate(encode(convert_to({value[0]}, 'UTF8'), 'base64'), E'+/=\\n', '-_')"
        payload += f" || coalesce('.' || {written}, '')"
    checksum = f"left(encode(sha256(({payload})::bytea), 'hex'), {_CHECKSUM_LENGTH})"
    return f"({checksum} || '.' || {payload})"
