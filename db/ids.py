"""Ids: a type prefix and a time-ordered UUIDv7 in lower-case base32 (the TypeID specification, 0.3).

An id is its own creation time: ``created_at`` of a row is read from its id and from nowhere else. So
"newest first" is the descending order of ids, exactly, and needs no second column in an index.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import uuid_utils
from typeid.codecs import base32

ACCOUNT, KEY, APP, CUSTOMER, LICENSE, SIGNING_KEY = "acc", "key", "app", "cus", "lic", "sgn"
TIER, FEATURE = "tier", "feat"

_SUFFIX = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")


@dataclass(frozen=True, slots=True)
class NewId:
    """A fresh id and the moment it was made, which is the row's ``created_at``."""

    id: str
    created_at: datetime


def new_id(prefix: str, at: datetime | None = None) -> NewId:
    """Make an id such as ``cus_01h455vb4pex5vsknk084sn02q``.

    Within one process ids of the present moment always grow, also within a millisecond. `at` makes an
    id of another moment, for loading data that has a past.
    """
    uuid = (
        uuid_utils.uuid7()
        if at is None
        else uuid_utils.uuid7(nanoseconds=int(at.timestamp()) * 1_000_000_000)
    )
    created_at = datetime.fromtimestamp(uuid.timestamp // 1000, UTC)
    return NewId(f"{prefix}_{base32.encode(uuid.bytes)}", created_at)


def first_id(prefix: str, second: int) -> str:
    """The smallest id that a row made in this second can have, whose second is counted since 1970.

    Ids carry no earlier time: the first id of an earlier second is that of 1970 itself.
    """
    milliseconds = max(second, 0) * 1000
    return f"{prefix}_{base32.encode(milliseconds.to_bytes(6) + bytes(10))}"


def prefix_of(text: str) -> str | None:
    """The type prefix of a well-formed id, or None when `text` is no id at all."""
    prefix, _, suffix = text.rpartition("_")
    return prefix if prefix and _SUFFIX.fullmatch(suffix) else None
