"""The verdict on a license: its status, derived from stored facts and the time.

`db.licenses.status` has the same rule in SQL. `tests/resolvers/test_verdict.py` compares the results.
"""

from datetime import datetime
from typing import TypeVar

from db.licenses import LicenseStatus

Moment = TypeVar("Moment", datetime, str)
"""A time, as a datetime or as text. The texts sort chronologically."""


def status_at(now: Moment, *, revoked_at: Moment | None, expires_at: Moment | None) -> LicenseStatus:
    """Return the status of a license. A revoked license is revoked even if it has also expired.

    A license expires exactly at `expires_at`.
    """
    if revoked_at is not None:
        return LicenseStatus.REVOKED
    if has_expired(now, expires_at):
        return LicenseStatus.EXPIRED
    return LicenseStatus.ACTIVE


def has_expired(now: Moment, expires_at: Moment | None) -> bool:
    """Return whether a license has expired. A revoked license can have expired too."""
    return expires_at is not None and expires_at <= now
