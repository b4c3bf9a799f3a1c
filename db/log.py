"""The log as a whole: how far it reaches, and since when."""

from datetime import datetime
from weakref import WeakKeyDictionary

from sqlalchemy import BigInteger, Column, ColumnElement, ScalarSelect, Table, func, literal_column, select

from db.engine import Database, ReadSession, WriteSession
from db.metadata import metadata
from db.shaping import cursors
from db.shaping.nouns import ToMany
from db.types import UtcDateTime

# One row: the last position, and when the log began. The events of a removed account are deleted with it, so
# positions up to `gaps_until` may be missing. Events up to `counted` are in the statistics (`db.statistics`).
log = Table(
    "log",
    metadata,
    Column("head", BigInteger, nullable=False),
    Column("gaps_until", BigInteger, nullable=False, server_default="0"),
    Column("since", UtcDateTime, primary_key=True),
    Column("counted", BigInteger, nullable=False, server_default="0"),
)

NUMBERING: ColumnElement[int] = literal_column("7102026")
"""The advisory lock of PostgreSQL that numbers events, which one transaction has at a time."""

_PAUSE_NUMBERING = select(func.pg_advisory_xact_lock(NUMBERING))

CURSOR_TAG = "Event.position.both"
"""The tag of cursors that are positions in the log (`Noun.cursor_tag`)."""

OWN_EVENTS = ToMany("Event", "subject_id", few=True, replaced_orders={"position": "version"})
"""The events of one subject.

They are sorted by version, because an event has a version from the beginning, but a position only later.
"""


def head_cursor() -> ScalarSelect[str]:
    """Return SQL for the cursor of the log's last position.

    Everything that the same statement does not see yet gets a later position.
    """
    found = select(cursors.token(CURSOR_TAG, log.c.head)).correlate_except(log)
    return found.scalar_subquery()


def since() -> ScalarSelect[UtcDateTime]:
    """Return SQL for the time when the log began."""
    return select(log.c.since).correlate_except(log).scalar_subquery()


async def pause_numbering(session: WriteSession) -> None:
    """Wait until nobody numbers events. Nobody begins to until the transaction ends."""
    if not session.database.is_sqlite:
        await session.execute(_PAUSE_NUMBERING)


async def allow_gaps(session: WriteSession) -> None:
    """Note that this transaction will delete the events of an account, which leaves gaps up to the head.

    On PostgreSQL, no events are numbered until the transaction ends. Otherwise, an event could be deleted
    while it gets a position after the head.
    """
    await pause_numbering(session)
    await session.execute(log.update().values(gaps_until=log.c.head))


async def began(session: ReadSession) -> datetime:
    """Return when the log began."""
    if session.database not in _BEGAN:
        ((_BEGAN[session.database],),) = await session.rows(_SINCE, {})
    return _BEGAN[session.database]


_SINCE = select(log.c.since)
# Each process reads the time once. Retention moves it, but then `Policy.event_days` decides.
_BEGAN: WeakKeyDictionary[Database, datetime] = WeakKeyDictionary()
