"""Column types behave the same on both databases. Case folding is tested here as well."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, select, text
from sqlalchemy.schema import CreateTable

from db.engine import Database
from db.types import JsonObject, PlainText, UtcDateTime, fold, fold_optional, json_text

# A table for these tests. It has no constraints on values.
samples = Table(
    "samples",
    MetaData(),
    Column("id", PlainText, primary_key=True),
    Column("moment", UtcDateTime),
    Column("object", JsonObject),
)

AS_ON_BOTH = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
storable = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
numbers = (
    st.integers()
    | st.integers(min_value=2**53, max_value=10**40)
    | st.floats(allow_nan=False).filter(math.isfinite)
)
values = st.recursive(
    st.none() | st.booleans() | numbers | storable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(storable, inner, max_size=3),
    max_leaves=10,
)


@pytest.fixture
async def store(database: Database) -> Database:
    async with database.write() as session:
        await session.execute(CreateTable(samples))
    return database


async def stored_and_read(store: Database, column: str, value: object) -> tuple[Any, Any]:
    """Write a value to a column. Return the value as read, and the text as stored."""
    written = samples.insert().values({"id": "sample", column: value})
    as_stored = (
        text(f"SELECT {column} FROM samples")
        if column == "moment"
        else text("SELECT CAST(object AS TEXT) FROM samples")
    )
    async with store.write() as session:
        await session.execute(samples.delete())
        await session.execute(written)
        read = (await session.execute(select(samples.c[column]))).scalar_one()
        return read, (await session.execute(as_stored)).scalar_one()


async def rows(store: Database) -> int:
    async with store.write() as session:
        return len((await session.execute(select(samples.c.id))).all())


async def test_timestamp_is_stored_as_the_text_that_is_returned(store: Database) -> None:
    moment = datetime(2026, 1, 23, 10, 0, 0, tzinfo=UTC)

    assert await stored_and_read(store, "moment", moment) == (moment, "2026-01-23T10:00:00Z")


@pytest.mark.parametrize(
    ("moment", "stored"),
    [
        (datetime(2026, 1, 23, 10, 0, 0, 999_999, tzinfo=UTC), "2026-01-23T10:00:00Z"),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:00:00Z"),
        (datetime(2026, 1, 1, tzinfo=timezone(-timedelta(hours=3, minutes=30))), "2026-01-01T03:30:00Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00Z"),
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC), "9999-12-31T23:59:59Z"),
    ],
)
async def test_timestamp_is_stored_in_utc_and_whole_seconds(
    store: Database, moment: datetime, stored: str
) -> None:
    read, written = await stored_and_read(store, "moment", moment)

    assert written == stored
    assert read == moment.replace(microsecond=0)
    assert read.utcoffset() == timedelta(0)


async def test_timestamp_without_an_offset_is_refused(store: Database) -> None:
    naive = datetime(2026, 1, 23, 10, 0, 0)  # noqa: DTZ001

    with pytest.raises(ValueError, match="without an offset"):
        await stored_and_read(store, "moment", naive)

    assert await rows(store) == 0


async def test_timestamps_sort_like_their_texts(store: Database) -> None:
    moments = [
        datetime(year, month, 1, tzinfo=UTC) for year in (1, 999, 1970, 2026, 9999) for month in (1, 9, 12)
    ]
    shuffled = sorted(moments, key=lambda moment: hash(moment.isoformat()))
    async with store.write() as session:
        for number, moment in enumerate(shuffled):
            await session.execute(samples.insert().values(id=str(number), moment=moment))

    async with store.read() as session:
        found = await session.rows(select(samples.c.moment).order_by(samples.c.moment), {})

    assert [row[0] for row in found] == moments


@pytest.mark.parametrize("column", ["moment", "object"])
async def test_null_is_null(store: Database, column: str) -> None:
    assert await stored_and_read(store, column, None) == (None, None)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ({}, "{}"),
        ({"b": 1, "a": 2}, '{"b":1,"a":2}'),
        ({"n": 12345678901234567890123}, '{"n":12345678901234567890123}'),
        ({"n": -0.0, "m": 1.0, "k": 1e300}, '{"n":-0.0,"m":1.0,"k":1e+300}'),
        ({"x": [True, False, None, [], {}]}, '{"x":[true,false,null,[],{}]}'),
        ({"grüße": "日本 🎉"}, '{"grüße":"日本 🎉"}'),
        ({"quote": 'a"b\\c\n'}, '{"quote":"a\\"b\\\\c\\n"}'),
        ({"": " "}, '{"":" "}'),
    ],
)
async def test_object_is_stored_as_compact_json(store: Database, value: dict[str, Any], stored: str) -> None:
    read, written = await stored_and_read(store, "object", value)

    assert written == stored
    assert json.dumps(read) == json.dumps(value)


@AS_ON_BOTH
@given(value=st.dictionaries(storable, values, max_size=4))
async def test_any_object_is_read_as_it_was_written(store: Database, value: dict[str, Any]) -> None:
    read, written = await stored_and_read(store, "object", value)

    # Compare as text: equality would ignore the order of keys, and treat 1 as equal to 1.0 and True.
    assert written == json_text(value)
    assert json.dumps(read) == json.dumps(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
async def test_number_that_json_cannot_hold_is_refused(store: Database, number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        await stored_and_read(store, "object", {"n": number})

    assert await rows(store) == 0


async def test_text_sorts_by_code_point(store: Database) -> None:
    names = ["z", "Z", "a", "é", "ß", "Ä", "_", "-", "10", "9", "\U0001f389", "\uffff", " a", ""]
    async with store.write() as session:
        for name in names:
            await session.execute(samples.insert().values(id=name))

    async with store.read() as session:
        found = await session.rows(select(samples.c.id).order_by(samples.c.id), {})

    assert [row[0] for row in found] == sorted(names)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Ada@EXAMPLE.com", "ada@example.com"),
        ("STRASSE", "strasse"),
        ("Straße", "strasse"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("Σίσυφος", "σίσυφοσ"),
        ("İ", "i\u0307"),
        ("ı", "ı"),
        ("ﬁ", "fi"),
        ("Ǆ", "ǆ"),
        ("日本", "日本"),
        ("", ""),
    ],
)
def test_folding_is_full_unicode_case_folding(text: str, folded: str) -> None:
    assert fold(text) == folded
    assert fold_optional(text) == folded


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_null_folds_to_null() -> None:
    assert fold_optional(None) is None
