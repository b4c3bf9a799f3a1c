"""Short reads of SQLite, on the event loop's own thread.

A hop to a connection's thread and back costs several times what a short read does. So a read is tried here
first, for no more than some thousand steps of SQLite's, and goes to a thread only if that does not do.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from cachetools import LRUCache

# Of SQLite's virtual machine: some hundredths of a millisecond. A statement that needs more, and up to twice
# as many, is a long one.
SHORT_STEPS = 4_000
KNOWN_LONG = 512


class ShortReads:
    """Runs reads as long as they are short.

    The one home of what is known of long ones: the hashes of the last `KNOWN_LONG` that were, which are not
    tried here again until they are forgotten.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        """The connection is for nothing else, and does not wait for locks."""
        self._connection = connection
        self._long: LRUCache[int, bool] = LRUCache(KNOWN_LONG)
        self._alarms = 0
        connection.set_progress_handler(self._is_long, SHORT_STEPS)
        self.close: Callable[[], None] = connection.close

    def fetch(self, sql: str, arguments: Sequence[Any]) -> Sequence[Any] | None:
        """The rows of a statement; None when it is a long one, or would have to wait for the file."""
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
        # SQLite counts on from one run of a statement to the next: the first alarm may come at any step.
        self._alarms += 1
        return self._alarms > 1
