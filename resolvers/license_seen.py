"""When licenses were last verified: what a process notes, and adds to the table `license_seen`.

A process notes in memory which licenses it verified, so that a verification writes nothing. Every ten
seconds, it adds its notes to the table. If the database is unavailable, the process goes on noting. If the
process is killed, the notes of the last ten seconds are lost.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice

from db import license_seen
from db.engine import Database
from db.license_seen import MOST_NOTES
from resolvers.background import Background

INTERVAL_S = 10.0
"""How often a process adds its notes to the table if it has any."""

MAX_NOTED = 50_000
"""How many licenses can be noted at the same time.

If there are more, the oldest notes are dropped: software that is in use verifies its license again.
"""

_background = Background("license_seen", INTERVAL_S, at_end=True)


class Seen:
    """The licenses that this process found valid, each with the time. A server process has one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[str, str] = {}

    def note(self, license_id: str, at: str) -> None:
        """Note that a license was verified. Times are texts that sort chronologically."""
        noted = self._noted
        if at > noted.get(license_id, ""):
            noted[license_id] = at
            if len(noted) > MAX_NOTED:
                del noted[next(iter(noted))]

    async def add(self) -> None:
        """Add the notes to the table. If there are none, no statement is sent.

        If a statement fails, its notes and the remaining ones are kept for the next time. Raises
        StoreUnavailable.
        """
        noted, self._noted = self._noted, {}
        while noted:
            some = dict(islice(noted.items(), MOST_NOTES))
            try:
                await license_seen.add(self._database, some)
            except BaseException:
                newer, self._noted = self._noted, noted
                for license_id, at in newer.items():
                    self.note(license_id, at)
                raise
            for license_id in some:
                del noted[license_id]


@asynccontextmanager
async def noting(database: Database) -> AsyncIterator[None]:
    """Note which licenses are verified while the block runs.

    The notes are added to the table every ten seconds, and once more at the end.
    """
    seen = Seen(database)
    database.verified = seen.note
    async with _background.running(database, seen.add):
        yield
