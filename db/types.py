"""Column types that behave alike on SQLite and PostgreSQL, and the folding of letter case."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.types import TEXT, Text, TypeDecorator, TypeEngine, UserDefinedType

from db import clock

# Compared and ordered by code point on both databases: SQLite's BINARY is the default there, and
# PostgreSQL's own default would follow the locale of whoever ran initdb.
PlainText = Text().with_variant(Text(collation="C"), "postgresql")


def fold(text: str) -> str:
    """Fold letter case (Unicode, full folding), so that both databases compare alike.

    Done once when a value is written and once for each value asked for; neither database's own idea of
    letter case is ever used.
    """
    return text.casefold()


def fold_optional(text: str | None) -> str | None:
    """Fold as `fold` does; None stays None."""
    return None if text is None else fold(text)


def _plain_text(dialect: Dialect) -> TypeEngine[Any]:
    # Not through dialect.type_descriptor(): asyncpg's would make it a VARCHAR.
    return TEXT(collation="C") if dialect.name == "postgresql" else TEXT()


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, kept as the text every answer shows (`clock.as_text`).

    A page of licenses writes a thousand timestamps: kept so, a read splices them without formatting
    one (see docs/decisions.md). The text has a fixed width and sorts as time does.
    """

    impl = TEXT
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _plain_text(dialect)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment without an offset cannot be stored")
        return clock.as_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else clock.from_text(value)


class _PostgresJson(UserDefinedType[str]):
    # JSON and not JSONB: it keeps the text as it was sent, key order and numbers included, and is
    # spliced into answers as it stands. SQLAlchemy's own type would serialise our text a second time.
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "JSON"


class JsonObject(TypeDecorator[Mapping[str, object]]):
    """A JSON object, kept as compact text with its keys in the order they were sent."""

    impl = TEXT
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(_PostgresJson() if dialect.name == "postgresql" else TEXT())

    def process_bind_param(self, value: Mapping[str, object] | None, dialect: Dialect) -> str | None:
        return None if value is None else json_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Mapping[str, object] | None:
        # SQLAlchemy has asyncpg parse what is of type json.
        read: Mapping[str, object] | None = json.loads(value) if isinstance(value, str) else value
        return read


class Slugs(TypeDecorator[Sequence[str]]):
    """Slugs, kept as the text of a JSON array: ``["export","sso"]``. It can be searched as text."""

    impl = TEXT
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _plain_text(dialect)

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str | None:
        return None if value is None else json_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Sequence[str] | None:
        return None if value is None else json.loads(value)


def json_text(value: Mapping[str, object] | Sequence[object]) -> str:
    """Compact JSON. The standard library's: orjson refuses the integers beyond 64 bits that JSON allows."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
