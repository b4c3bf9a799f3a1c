"""Ids: a type prefix and a time-ordered UUIDv7 in base32."""

import re
import time
import uuid
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typeid import TypeID

from db import clock, ids

PREFIXES = [ids.ACCOUNT, ids.KEY, ids.APP, ids.CUSTOMER, ids.LICENSE, ids.SIGNING_KEY]

ages = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001  (Hypothesis requires a naive value and adds the time zone)
    max_value=datetime(2550, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from(
        [UTC, timezone(timedelta(hours=-11)), timezone(timedelta(hours=5, minutes=45))]
    ),
)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_id_is_a_typeid_over_a_version_7_uuid(prefix: str) -> None:
    id = ids.new_id(prefix).id

    assert re.fullmatch(rf"{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}", id)
    read = TypeID.from_string(id)
    assert (read.prefix, uuid.UUID(bytes=bytes(read.uuid.bytes)).version) == (prefix, 7)
    assert len(id) <= 64


def test_ids_made_now_always_grow() -> None:
    made = [ids.new_id(ids.CUSTOMER).id for _ in range(20_000)]

    assert made == sorted(set(made))


def test_creation_time_is_the_current_second() -> None:
    before = int(time.time())

    made = ids.new_id(ids.APP).created_at

    assert before <= made.timestamp() <= time.time()
    assert (made.tzinfo, made.microsecond) == (UTC, 0)


def test_creation_time_is_read_from_the_id() -> None:
    made = ids.new_id(ids.LICENSE)

    milliseconds = int.from_bytes(bytes(TypeID.from_string(made.id).uuid.bytes)[:6])

    assert made.created_at == datetime.fromtimestamp(milliseconds // 1000, UTC)
    assert ids.time_of(made.id) == made.created_at


@given(ages)
def test_id_for_another_time_has_that_creation_time(moment: datetime) -> None:
    made = ids.new_id(ids.CUSTOMER, moment)

    assert made.created_at == moment.replace(microsecond=0)
    assert ids.prefix_of(made.id) == "cus"


@given(ages, ages)
def test_ids_sort_by_time(one: datetime, other: datetime) -> None:
    first, second = ids.new_id(ids.CUSTOMER, one), ids.new_id(ids.CUSTOMER, other)

    if first.created_at != second.created_at:
        assert (first.id < second.id) == (first.created_at < second.created_at)


def test_ids_for_the_same_time_differ() -> None:
    at = datetime(2026, 1, 23, 10, tzinfo=UTC)

    assert len({ids.new_id(ids.CUSTOMER, at).id for _ in range(1_000)}) == 1_000


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefix_of_an_id_is_its_type(prefix: str) -> None:
    assert ids.prefix_of(ids.new_id(prefix).id) == prefix


SUFFIX = "01h455vb4pex5vsknk084sn02q"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "_",
        "cus",
        "cus_",
        SUFFIX,
        f"_{SUFFIX}",
        f"cus_{SUFFIX[:-1]}",
        f"cus_{SUFFIX}0",
        f"cus_{SUFFIX.upper()}",
        f"cus-{SUFFIX}",
        f"cus_{SUFFIX} ",
        f"cus_{SUFFIX}\n",
        f"cus_8{SUFFIX[1:]}",  # more than 128 bits
        f"cus_{SUFFIX[:-1]}i",  # letters that are not used in this base32
        f"cus_{SUFFIX[:-1]}l",
        f"cus_{SUFFIX[:-1]}o",
        f"cus_{SUFFIX[:-1]}u",
        f"cus_{SUFFIX[:-1]}\u0663",
        f"cus_{SUFFIX[:-1]}\x00",
        f"cus_{SUFFIX[:-1]}\ud800",
        str(uuid.UUID(int=0)),
        "9223372036854775808",
    ],
)
def test_text_that_is_not_an_id_has_no_prefix(text: str) -> None:
    assert ids.prefix_of(text) is None


@given(st.text(alphabet=st.characters(codec=None)))
def test_only_ids_have_a_prefix(text: str) -> None:
    prefix = ids.prefix_of(text)

    assert prefix is None or re.fullmatch(
        rf"{re.escape(prefix)}_[0-7][0-9a-hjkmnp-tv-z]{{25}}", text, re.DOTALL
    )


@given(ages)
def test_the_first_id_of_a_second_sorts_after_the_ids_of_the_second_before(moment: datetime) -> None:
    made = ids.new_id(ids.CUSTOMER, moment)
    second = int(made.created_at.timestamp())

    assert ids.first_id(ids.CUSTOMER, second) <= made.id < ids.first_id(ids.CUSTOMER, second + 1)


def test_the_first_id_of_the_earliest_and_latest_times() -> None:
    end = clock.second_after(datetime(9999, 12, 31, 23, 59, 59, 500_000, UTC))

    assert ids.first_id("cus", -62_135_596_800) == ids.first_id("cus", 0) == "cus_" + "0" * 26
    assert ids.first_id("cus", end) == "cus_76ez91zq000000000000000000"
    assert ids.prefix_of(ids.first_id("cus", end)) == "cus"


@pytest.mark.parametrize(
    ("moment", "from_", "after"),
    [
        (datetime(1970, 1, 1, 0, 0, 7, tzinfo=UTC), 7, 8),
        (datetime(1970, 1, 1, 0, 0, 7, 1, UTC), 8, 8),
        (datetime(1970, 1, 1, 0, 0, 7, 999_999, UTC), 8, 8),
        (datetime(1969, 12, 31, 23, 59, 58, 500_000, UTC), -1, -1),
        (datetime(9999, 12, 31, 23, 59, 59, 1, UTC), 253_402_300_800, 253_402_300_800),
    ],
)
def test_the_whole_seconds_around_a_time(moment: datetime, from_: int, after: int) -> None:
    assert (clock.second_from(moment), clock.second_after(moment)) == (from_, after)
