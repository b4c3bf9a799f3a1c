"""Cursors are opaque, are valid for one type and order, and have the same form in SQL and in Python."""

import base64
import hashlib

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Text, bindparam, select

from db import ids
from db.engine import Database
from db.log import CURSOR_TAG
from db.reads import NOUNS
from db.shaping import cursors
from db.shaping.cursors import InvalidCursor, Position, decode, decode_number, encode

TAGS = [
    noun.cursor_tag(order, descending)
    for noun in NOUNS.values()
    for order in noun.orders
    for descending in ((False,) if noun.orders[order].numbers else (False, True))
]
TAG = "Customer.name.asc"
ID = "cus_01h455vb4pex5vsknk084sn02q"
CURSOR = encode(TAG, ID, "ada")

NASTY = [
    "",
    "=",
    "==",
    "\n",
    "a\nb\n\n",
    "\r\n",
    "'",
    "''; DROP TABLE customers; --",
    '"\\',
    "\\n",
    ":name",
    "%s $1 ?",
    "\t\x01\x7f",
    "é",
    "e\u0301",
    "日本語",
    "\U0001f469\u200d\U0001f469",
    "\ufeff",
    "\uffff",
    "x" * 57,  # 57 bytes fill a base64 line, after which some encoders add a line break
    "ß" * 255,
    "~" * 5_000,
]

values = st.none() | st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=80)
tags = st.sampled_from(TAGS)


@given(tags, values)
@example(TAG, "")
def test_cursor_is_read_as_it_was_written(tag: str, value: str | None) -> None:
    assert decode(tag, encode(tag, ID, value)) == Position(value, ID)


@pytest.mark.parametrize("value", NASTY)
def test_unusual_value_is_read_as_it_was_written(value: str) -> None:
    assert decode(TAG, encode(TAG, ID, value)) == Position(value, ID)


def test_null_and_an_empty_value_differ() -> None:
    assert encode(TAG, ID, None) != encode(TAG, ID, "")


@given(tags, values)
def test_cursor_needs_no_escaping_anywhere(tag: str, value: str | None) -> None:
    assert set(encode(tag, ID, value)) <= set(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."
    )


def test_every_order_of_every_noun_has_its_own_tag() -> None:
    assert len(set(TAGS)) == len(TAGS)


def test_a_cursor_of_a_number_is_valid_in_both_directions() -> None:
    event = NOUNS["Event"]
    tags = {event.cursor_tag("position", descending) for descending in (False, True)}
    assert tags == {CURSOR_TAG}
    assert decode_number(CURSOR_TAG, encode(CURSOR_TAG, "0", None)) == 0


@pytest.mark.parametrize(
    ("id", "value"), [("01", None), ("-1", None), ("", None), ("1", "x"), ("9" * 19, None)]
)
def test_a_cursor_of_anything_but_a_number_is_refused(id: str, value: str | None) -> None:
    with pytest.raises(InvalidCursor):
        decode_number(CURSOR_TAG, encode(CURSOR_TAG, id, value))


@given(tags, tags, values)
def test_cursor_of_another_order_is_refused(tag: str, other: str, value: str | None) -> None:
    assume(tag != other)

    with pytest.raises(InvalidCursor, match="another"):
        decode(other, encode(tag, ID, value))


@given(st.data())
def test_altered_cursor_is_refused(data: st.DataObject) -> None:
    cursor = encode(TAG, ID, data.draw(values))
    at = data.draw(st.integers(0, len(cursor) - 1))
    character = data.draw(st.sampled_from("AZaz09-_+/=.\n\u00e9") | st.characters(codec=None))
    assume(cursor[at] != character)

    with pytest.raises(InvalidCursor):
        decode(TAG, cursor[:at] + character + cursor[at + 1 :])


@pytest.mark.parametrize("length", range(len(CURSOR)))
def test_truncated_cursor_is_refused(length: int) -> None:
    with pytest.raises(InvalidCursor):
        decode(TAG, CURSOR[:length])


@pytest.mark.parametrize("added", ["=", "==", "A", "AAAA", " ", "\n", "\x00", "\ud800", CURSOR])
# The end of a base64 text depends on the length modulo 3.
@pytest.mark.parametrize("length", [1, 2, 3])
def test_extended_cursor_is_refused(length: int, added: str) -> None:
    cursor = encode(TAG, ID, "a" * length)

    for text in (cursor + added, added + cursor):
        with pytest.raises(InvalidCursor):
            decode(TAG, text)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_last_character_has_only_one_form(length: int) -> None:
    # The last character of base64 may have unused bits, so several characters would decode to the same bytes.
    cursor = encode(TAG, ID, "a" * length)
    accepted = []
    for last in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        try:
            decode(TAG, cursor[:-1] + last)
        except InvalidCursor:
            continue
        accepted.append(last)

    assert accepted == [cursor[-1]]


@given(
    st.text(alphabet=st.characters(codec=None))
    | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode())
    | st.lists(st.sampled_from(["", "0" * 8, "Customer", "name", "asc", ID, "YWRh"]), max_size=7).map(
        ".".join
    )
)
@example("")
@example("%%%")
@example("cursor:1")
@example(ID)
@example("\ud800")
@example(base64.b64encode(b"arrayconnection:9").decode())
def test_text_that_is_not_a_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        decode(TAG, text)


@pytest.mark.parametrize(
    "payload",
    [
        "",
        TAG,
        f"{TAG}.",
        f"{TAG}..YWRh",
        f"{TAG}.{ID}.a",  # invalid base64
        f"{TAG}.{ID}.YWRh=",
        f"{TAG}.{ID}.YWRh.YWRh",
        f"{TAG}.{ID}.AA",  # a NUL in base64
        f"{TAG}.{ID}\x00",
    ],
)
def test_forged_cursor_with_a_valid_checksum_is_refused(payload: str) -> None:
    # The checksum is not a secret: anyone who reads the source can compute one.
    checksum = hashlib.sha256(payload.encode()).hexdigest()[:8]

    with pytest.raises(InvalidCursor):
        decode(TAG, f"{checksum}.{payload}")


async def written(database: Database, tag: str, id: str, value: str | None, *, ordered: bool = True) -> str:
    """Return the cursor that a SQL statement writes. Unless `ordered`, the order is by id only."""
    column = bindparam("value", type_=Text()) if ordered else None
    statement = select(cursors.token(tag, bindparam("id", type_=Text()), column))
    async with database.read() as session:
        row = await session.row(statement, {"id": id, "value": value})
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("value", [None, *NASTY])
async def test_statement_writes_the_same_cursor(database: Database, value: str | None) -> None:
    assert await written(database, TAG, ID, value) == encode(TAG, ID, value)


@pytest.mark.parametrize("tag", TAGS)
async def test_statement_writes_the_same_cursor_without_a_value(database: Database, tag: str) -> None:
    assert await written(database, tag, ID, None, ordered=False) == encode(tag, ID, None)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values)
async def test_statement_writes_the_same_cursor_of_any_value(database: Database, value: str | None) -> None:
    id = ids.new_id(ids.CUSTOMER).id

    assert await written(database, TAG, id, value) == encode(TAG, id, value)
