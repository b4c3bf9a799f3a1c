"""Deadlines: everything the database is asked ends, counted from the arrival of whoever asks."""

import time
from contextvars import ContextVar, Token
from dataclasses import dataclass

_arrival: ContextVar[float | None] = ContextVar("arrival", default=None)


def arrive() -> Token[float | None]:
    """Count the deadlines of this context's sessions from now on, until `forget`: a request has arrived."""
    return _arrival.set(time.monotonic())


def forget(token: Token[float | None]) -> None:
    """Count as before `arrive`: the request has been answered."""
    _arrival.reset(token)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """When a session's statements and its locks are given up, as `time.monotonic` counts; None: never."""

    statement: float | None
    lock: float | None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How many seconds a request may wait for its statements, and for locks among them; 0: without end."""

    statement: float = 10
    lock: float = 5

    def of_statement(self) -> float | None:
        """The deadline of a statement. Outside of a request it counts from now."""
        return (_arrival.get() or time.monotonic()) + self.statement if self.statement else None

    def of_lock(self) -> float | None:
        """The deadline of a lock, likewise."""
        return (_arrival.get() or time.monotonic()) + self.lock if self.lock else self.of_statement()

    def deadlines(self) -> Deadlines:
        """Both, for a transaction that begins now."""
        return Deadlines(self.of_statement(), self.of_lock())


UNLIMITED = Timeouts(statement=0, lock=0)
"""For commands: whoever has called one sees it run, and can end it."""


def seconds_left(deadline: float | None) -> float | None:
    """The seconds until a deadline, as timeouts take them; None: there is none. Raises TimeoutError."""
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
