"""Cursors: opaque, valid for one type and one order, and still valid after their row is deleted.

A cursor consists of a checksum, the tag of its type and order, and the id of its row. The sort value in
base64url follows, unless it is null or the order is by id only. If the order is by a number that no other row
has (`Ordering.numbers`), the number stands in place of the id. The parts are separated by dots. The SQL of a
page writes the cursors of the page (`token`), up to a hundred of them, so writing a cursor must be cheap.
`token` must produce the same bytes as `encode` on both databases.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import Text

_CHECKSUM_LENGTH = 8
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}")  # all of these fit into 64 bits


class InvalidCursor(ValueError):
    """The text is not a cursor, was altered, or belongs to another type or order."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in an order: the sort value and the id.

    The sort value is None if it is null, or if the order is by id only.
    """

    value: str | None
    id: str


def encode(tag: str, id: str, value: str | None) -> str:
    """Return the cursor of a row. `value` is None if the sort value is null or the order is by id only."""
    payload = f"{tag}.{id}" if value is None else f"{tag}.{id}.{_written(value)}"
    return f"{hashlib.sha256(payload.encode()).hexdigest()[:_CHECKSUM_LENGTH]}.{payload}"


def decode(tag: str, text: str) -> Position:
    """Read a cursor that `encode` wrote with the same tag. Raises InvalidCursor if the text is not one."""
    try:
        _checksum, noun, order, direction, place = text.split(".", 4)
        id, has_value, written = place.partition(".")
        position = Position(_read(written) if has_value else None, id)
        found_tag = f"{noun}.{order}.{direction}"
        # Encoding the position must give the same text again. Each cursor therefore has exactly one form, and
        # every text that `encode` cannot return is refused.
        is_ours = encode(found_tag, id, position.value) == text and id != "" and "\x00" not in text
    except (binascii.Error, ValueError):
        is_ours = False
    if not is_ours:
        raise InvalidCursor("is not a cursor, or was altered")
    if found_tag != tag:
        raise InvalidCursor("belongs to another connection or another order")
    return position


def decode_number(tag: str, text: str) -> int:
    """Read a cursor of an order by a number. Raises InvalidCursor if the text is not one."""
    position = decode(tag, text)
    if position.value is not None or _NUMBER.fullmatch(position.id) is None:
        raise InvalidCursor("is not a cursor, or was altered")
    return int(position.id)


def _written(value: str) -> str:
    return base64.urlsafe_b64encode(value.encode()).rstrip(b"=").decode()


def _read(written: str) -> str:
    value = base64.b64decode(written + "=" * (-len(written) % 4), altchars=b"-_", validate=True).decode()
    if "\x00" in value:
        raise ValueError("a stored text never contains NUL")
    return value


def encode_found(tag: str, id: str | None, value: str | None) -> str | None:
    """Return the cursor of a row as `encode` does, or None if there is no row.

    SQLite calls this.
    """
    return None if id is None else encode(tag, id, value)


class token(FunctionElement[str]):  # noqa: N801
    """SQL that writes a row's cursor, or null if there is no row."""

    name = "cursor_token"
    type = Text()
    inherit_cache = False

    def __init__(self, tag: str, id: ColumnElement[Any], value: ColumnElement[Any] | None = None) -> None:
        self.tag = tag
        super().__init__(id, *([] if value is None else [value]))


@compiles(token, "sqlite")
def _sqlite(element: token, compiler: SQLCompiler, **kw: Any) -> str:
    id, *value = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"cursor_token('{element.tag}', {id}, {value[0] if value else 'NULL'})"


@compiles(token, "postgresql")
def _postgresql(element: token, compiler: SQLCompiler, **kw: Any) -> str:
    id, *value = (compiler.process(clause, **kw) for clause in element.clauses)
    payload = f"'{element.tag}.' || {id}"
    if value:
        # encode() breaks lines after 76 characters and adds padding. translate() removes the characters that
        # have no counterpart in '-_'.
        written = f"translate(encode(convert_to({value[0]}, 'UTF8'), 'base64'), E'+/=\\n', '-_')"
        payload += f" || coalesce('.' || {written}, '')"
    checksum = f"left(encode(sha256(({payload})::bytea), 'hex'), {_CHECKSUM_LENGTH})"
    return f"({checksum} || '.' || {payload})"
