"""Column types that behave the same on SQLite and PostgreSQL, and case folding."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.types import TEXT, Text, TypeDecorator, TypeEngine, UserDefinedType

from db import clock

# Texts are compared and sorted by code point on both databases. On SQLite this is the default. On PostgreSQL
# the default depends on the locale that initdb ran in.
PlainText = Text().with_variant(Text(collation="C"), "postgresql")


def fold(text: str) -> str:
    """Case-fold a text (Unicode, full folding), so that both databases compare it in the same way.

    A value that is compared ignoring case is folded both when it is stored and when it is looked up. The
    databases' own case rules are never used.
    """
    return text.casefold()


def fold_optional(text: str | None) -> str | None:
    """Case-fold a text with `fold`, or return None for None."""
    return None if text is None else fold(text)


def _plain_text(dialect: Dialect) -> TypeEngine[Any]:
    # dialect.type_descriptor() is not used here, because with asyncpg it returns VARCHAR.
    return TEXT(collation="C") if dialect.name == "postgresql" else TEXT()


class UtcDateTime(TypeDecorator[datetime]):
    """A time, stored as the text that responses show (`clock.as_text`).

    A page of licenses can contain hundreds of time values. Reads put the stored texts into JSON without
    formatting them (see docs/decisions.md). The texts have a fixed length and sort chronologically.
    """

    impl = TEXT
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _plain_text(dialect)

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without an offset cannot be stored")
        return clock.as_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        return None if value is None else clock.from_text(value)


class _PostgresJson(UserDefinedType[str]):
    # The type is JSON and not JSONB, because JSON keeps the text unchanged, including the order of keys and
    # the form of numbers. Responses contain the stored text unchanged. SQLAlchemy's own JSON type would
    # serialize our text again.
    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "JSON"


class JsonObject(TypeDecorator[Mapping[str, object]]):
    """A JSON object, stored as compact text with its keys in the order of the request."""

    impl = TEXT
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(_PostgresJson() if dialect.name == "postgresql" else TEXT())

    def process_bind_param(self, value: Mapping[str, object] | None, dialect: Dialect) -> str | None:
        return None if value is None else json_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Mapping[str, object] | None:
        # If the engine was created with `parses_json` (`db.postgresql`), asyncpg has already parsed the
        # value.
        read: Mapping[str, object] | None = json.loads(value) if isinstance(value, str) else value
        return read


class Texts(TypeDecorator[Sequence[str]]):
    """Texts, stored as the text of a JSON array such as ``["export","sso"]``. The text can be searched."""

    impl = TEXT
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _plain_text(dialect)

    def process_bind_param(self, value: Sequence[str] | None, dialect: Dialect) -> str | None:
        return None if value is None else json_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Sequence[str] | None:
        return None if value is None else json.loads(value)


def json_text(value: Mapping[str, object] | Sequence[object]) -> str:
    """Return compact JSON, written by the standard library.

    orjson refuses integers beyond 64 bits, which JSON allows.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
