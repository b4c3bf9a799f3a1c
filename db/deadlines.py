"""Deadlines of statements and of locks, counted from the arrival of the request."""

import time
from contextvars import ContextVar, Token
from dataclasses import dataclass

_arrival: ContextVar[float | None] = ContextVar("arrival", default=None)


def arrive() -> Token[float | None]:
    """Count this context's deadlines from now, the arrival of a request. `forget` undoes this."""
    return _arrival.set(time.monotonic())


def forget(token: Token[float | None]) -> None:
    """Undo `arrive`, because the request has ended."""
    _arrival.reset(token)


@dataclass(frozen=True, slots=True)
class Deadlines:
    """When a session's statements and locks time out, in seconds of `time.monotonic`. None means never."""

    statement: float | None
    lock: float | None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long a request may run statements and wait for locks, in seconds. 0 means no limit."""

    statement: float = 10
    lock: float = 5

    def of_statement(self) -> float | None:
        """Return the deadline of a statement, counted from now if there is no request.

        Returns None if statements have no limit.
        """
        return (_arrival.get() or time.monotonic()) + self.statement if self.statement else None

    def of_lock(self) -> float | None:
        """Return the deadline of a lock, counted from now if there is no request.

        If locks have no limit, this is the deadline of a statement.
        """
        return (_arrival.get() or time.monotonic()) + self.lock if self.lock else self.of_statement()

    def deadlines(self) -> Deadlines:
        """Return both deadlines, for a transaction that begins now."""
        return Deadlines(self.of_statement(), self.of_lock())


UNLIMITED = Timeouts(statement=0, lock=0)
"""No limits, for commands: the user can see that a command is still running, and can stop the command."""


def seconds_left(deadline: float | None) -> float | None:
    """Return the seconds until a deadline, or None if there is no deadline.

    Raises TimeoutError if the deadline has passed.
    """
    if deadline is None:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left
