"""Short SQLite reads, on the event loop's own thread.

A hop to a connection's thread and back costs several times more than a short read. A read is therefore tried
here first, for a few thousand of SQLite's steps. A read that needs more steps is run in a connection's thread
instead.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from cachetools import LRUCache

# The steps of SQLite's virtual machine that a short read may take: some hundredths of a millisecond. A
# statement that needs more steps may be stopped, and then counts as long. Every statement that needs more
# than twice this number of steps is stopped.
SHORT_STEPS = 4_000
KNOWN_LONG = 512


class ShortReads:
    """Runs short reads.

    The hashes of the last `KNOWN_LONG` long statements are remembered, and these statements are not tried
    again.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Use a connection that is not used for anything else and that does not wait for locks."""
        self._connection = connection
        self._long: LRUCache[int, bool] = LRUCache(KNOWN_LONG)
        self._alarms = 0
        connection.set_progress_handler(self._is_long, SHORT_STEPS)
        self.close: Callable[[], None] = connection.close

    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any] | None:
        """Return the rows of a statement, or None if the statement is long or the file is locked."""
        if hash(sql) in self._long:
            return None
        self._alarms = 0
        try:
            return self._connection.execute(sql, arguments).fetchall()
        except sqlite3.OperationalError as error:
            match error.sqlite_errorcode & 0xFF:
                case sqlite3.SQLITE_INTERRUPT:
                    self._long[hash(sql)] = True
                    return None
                case sqlite3.SQLITE_BUSY:
                    return None
                case _:
                    raise

    def _is_long(self) -> bool:
        # SQLite does not restart its count of steps for each statement, so the first alarm may come at any
        # step.
        self._alarms += 1
        return self._alarms > 1
