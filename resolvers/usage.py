"""Usage: what each key used, and the ledger through which all processes share their limits.

A process counts in memory. Once a second, it adds what it counted to the table `usage`, and learns from the
same statement what the other processes added. If the database is unavailable, the process goes on counting.
"""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta

from db import clock
from db import usage as stored
from db.engine import Database
from db.usage import OF_LIMITS, Added, Sums
from resolvers.background import Background

INTERVAL_S = 1.0
"""How often a process adds to the ledger if it has something to add."""

MAX_CHANGED = 50_000
"""How many subjects can wait while the database is unavailable. If there are more, the oldest are dropped."""

_TIDY_EVERY = timedelta(minutes=1)
_KEPT_FOR_LIMITS = timedelta(minutes=5)  # two minutes, and some time for clocks that differ
_KEPT_AS_MINUTES = timedelta(days=2)
_KEPT_AS_DAYS = timedelta(days=90)
_ROWS_PER_TRANSACTION = 500
_MINUTE = timedelta(minutes=1)

_background = Background("usage", INTERVAL_S, at_end=True)


class Use:
    """What one subject uses. A subject is a key, or what a limit counts by (`of_limit`).

    `requests`, `points` and `refused` are what this process counted and has not stored yet. `points` may be
    negative after a refund.
    """

    __slots__ = ("_known_points", "_known_requests", "_minute", "points", "refused", "requests", "subject")

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.requests = 0
        self.points = 0
        self.refused = 0
        # The sums of all processes, as this process last saw them, and their minute.
        self._minute: datetime | None = None
        self._known_requests = 0
        self._known_points = 0

    @property
    def is_pending(self) -> bool:
        """Whether this process counted anything that is not stored yet."""
        return bool(self.requests or self.points or self.refused)

    def hear(self, requests: int, points: int, seconds_ago: float) -> None:
        """Count what other processes used at least `seconds_ago` seconds ago. Subclasses override this."""

    def learn(self, sums: Sums, sent: Added) -> None:
        """Compare the sums of all processes with what this process knows, and count the difference."""
        minute, now = sent.minute, sent.last_at
        requests, points = sums.requests - sent.requests, sums.points - sent.points
        if self._minute == minute:
            requests -= self._known_requests
            points -= self._known_points
        else:
            requests_before, points_before = sums.requests_before, sums.points_before
            if self._minute == minute - _MINUTE:
                requests_before -= self._known_requests
                points_before -= self._known_points
            if (requests_before or points_before) and sums.last_at is not None:
                ago = (now - sums.last_at).total_seconds()
                self.hear(max(requests_before, 0), points_before, max(ago, 0))
        if requests or points:
            self.hear(max(requests, 0), points, 0)
        self._minute, self._known_requests, self._known_points = minute, sums.requests, sums.points


@dataclass(frozen=True, slots=True)
class _Sent:
    use: Use
    added: Added


class Ledger:
    """Adds to the table `usage` what this process counted. There is one per process."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._changed: dict[str, Use] = {}
        self._tidied_at: datetime | None = None
        self._rolled_up: datetime | None = None

    def note(self, use: Use) -> None:
        """Note that a subject used something, so that the next exchange adds it."""
        known = self._changed.setdefault(use.subject, use)
        if known is not use:  # the limits forgot `known`, and made a new object for its subject
            _move(known, use)
            self._changed[use.subject] = use
        if len(self._changed) > MAX_CHANGED:
            del self._changed[next(iter(self._changed))]

    async def exchange(self) -> None:
        """Add what was counted since the last exchange, and learn what other processes added.

        If there is nothing to add, no statement is sent. If the statement fails, the next exchange adds what
        was counted. Raises StoreUnavailable.
        """
        changed, self._changed = self._changed, {}
        changed = {subject: use for subject, use in changed.items() if use.is_pending}
        if not changed:
            return
        now = clock.now()
        minute = now.replace(second=0)
        sent = {use.subject: _Sent(use, _taken(use, minute, now)) for use in changed.values()}
        try:
            sums = await stored.add(self.database, [each.added for each in sent.values()])
        except BaseException:
            for each in sent.values():
                each.use.requests += each.added.requests
                each.use.points += each.added.points
                each.use.refused += each.added.refused
                self.note(each.use)
            raise
        for each_sum in sums:
            known = sent[each_sum.subject]
            known.use.learn(each_sum, known.added)
        await self._tidy(now)

    async def _tidy(self, now: datetime) -> None:
        """Once a minute, delete old rows of limits. Once a day, sum old minutes by day and delete old days.

        This is only done after an exchange, so a server without requests writes nothing.
        """
        if self._tidied_at is not None and now - self._tidied_at < _TIDY_EVERY:
            return
        self._tidied_at = now
        await stored.forget_limits(self.database, now - _KEPT_FOR_LIMITS)
        today = now.replace(hour=0, minute=0, second=0)
        if self._rolled_up == today:
            return
        more = True
        while more:
            async with self.database.write() as session:
                more = await stored.roll_up(session, today - _KEPT_AS_MINUTES, _ROWS_PER_TRANSACTION)
        await stored.forget_days(self.database, today - _KEPT_AS_DAYS)
        self._rolled_up = today


def keeping(ledger: Ledger) -> AbstractAsyncContextManager[None]:
    """Exchange once a second while the block runs, and once more at the end."""
    return _background.running(ledger.database, ledger.exchange)


def of_limit(name: str, counted: str) -> str:
    """Return the subject of one counter of a limit. `counted` is the id of a key, or a network."""
    return f"{OF_LIMITS}{name}:{counted}"


def _taken(use: Use, minute: datetime, now: datetime) -> Added:
    added = Added(use.subject, minute, use.requests, use.points, use.refused, now)
    use.requests = use.points = use.refused = 0
    return added


def _move(source: Use, target: Use) -> None:
    target.requests += source.requests
    target.points += source.points
    target.refused += source.refused
    source.requests = source.points = source.refused = 0
