"""The one clock. Nothing else in the project asks the time of day."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)


def now() -> datetime:
    """The present moment, UTC, in whole seconds, as every stored and answered time is."""
    return datetime.now(UTC).replace(microsecond=0)


def as_text(moment: datetime) -> str:
    """The one written form of a moment: ``2026-01-23T10:00:00Z`` (RFC 3339, UTC, whole seconds).

    Being of fixed width, it sorts as text exactly as the moments sort in time.
    """
    return moment.astimezone(UTC).isoformat()[:19] + "Z"


def second_from(moment: datetime) -> int:
    """The first whole second that is not before a moment, counted since 1970."""
    return -((_EPOCH - moment) // _SECOND)


def second_after(moment: datetime) -> int:
    """The first whole second that is after a moment, counted since 1970."""
    return (moment - _EPOCH) // _SECOND + 1


def from_text(text: str) -> datetime:
    """The moment that `as_text` wrote."""
    return datetime.fromisoformat(text)
