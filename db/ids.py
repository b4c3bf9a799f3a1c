"""Ids: a type prefix and a time-ordered UUIDv7 in lower-case base32 (the TypeID specification, 0.3).

An id contains its creation time, and the ``created_at`` of the row is this time. "Newest first" is therefore
exactly the descending order of ids, and needs no second column in an index.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import uuid_utils
from typeid.codecs import base32

ACCOUNT, KEY, APP, CUSTOMER, LICENSE, SIGNING_KEY = "acc", "key", "app", "cus", "lic", "sgn"
DOCUMENT = "doc"
TIER, FEATURE = "tier", "feat"
EVENT = "evt"

_SUFFIX = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")


@dataclass(frozen=True, slots=True)
class NewId:
    """A new id and its creation time, which is the row's ``created_at``."""

    id: str
    created_at: datetime


def new_id(prefix: str, at: datetime | None = None) -> NewId:
    """Create an id such as ``cus_01h455vb4pex5vsknk084sn02q``.

    Within a process, each new id sorts after all earlier ones with the same prefix, even within the same
    millisecond. `at` sets another creation time, for loading historical data. The order of such ids is not
    guaranteed.
    """
    uuid = (
        uuid_utils.uuid7()
        if at is None
        else uuid_utils.uuid7(nanoseconds=int(at.timestamp()) * 1_000_000_000)
    )
    created_at = datetime.fromtimestamp(uuid.timestamp // 1000, UTC)
    return NewId(f"{prefix}_{base32.encode(uuid.bytes)}", created_at)


def first_id(prefix: str, second: int) -> str:
    """Return the smallest possible id of a row that is created in this second or later.

    Seconds are counted since 1970. Ids cannot express earlier times, so negative numbers count as 0.
    """
    milliseconds = max(second, 0) * 1000
    return f"{prefix}_{base32.encode(milliseconds.to_bytes(6) + bytes(10))}"


def time_of(id: str) -> datetime:
    """Return the creation time that an id contains, in whole seconds."""
    milliseconds = int.from_bytes(base32.decode(id.rpartition("_")[2])[:6])
    return datetime.fromtimestamp(milliseconds // 1000, UTC)


def prefix_of(text: str) -> str | None:
    """Return the type prefix of a well-formed id, or None if `text` is not an id."""
    prefix, _, suffix = text.rpartition("_")
    return prefix if prefix and _SUFFIX.fullmatch(suffix) else None
