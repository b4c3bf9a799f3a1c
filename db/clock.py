"""The clock.

Tests, benchmarks, new ids, log lines and the headers of limits read the time of day themselves. Everything
else gets it here.
"""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def now() -> datetime:
    """Return the current time in UTC, in whole seconds like every stored and returned time."""
    return datetime.now(UTC).replace(microsecond=0)


def as_text(moment: datetime) -> str:
    """Return a time as text, such as ``2026-01-23T10:00:00Z`` (RFC 3339, UTC, whole seconds).

    All texts have the same length, so they sort chronologically.
    """
    return moment.astimezone(UTC).isoformat()[:19] + "Z"


def as_end(moment: datetime) -> str:
    """Return a text to compare stored times with: only the times before `moment` sort before this text."""
    text = as_text(moment)
    # Stored times are whole seconds. "Before 10:00:00.5" includes 10:00:00, so the text must sort after
    # 10:00:00.
    return f"{text}~" if moment.microsecond else text


def second_from(moment: datetime) -> int:
    """Return the first whole second at or after `moment`, in seconds since 1970."""
    return -((_EPOCH - moment) // _SECOND)


def second_after(moment: datetime) -> int:
    """Return the first whole second after `moment`, in seconds since 1970."""
    return (moment - _EPOCH) // _SECOND + 1


def from_text(text: str) -> datetime:
    """Parse a text that `as_text` wrote, and return the time."""
    return datetime.fromisoformat(text)
