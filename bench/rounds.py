"""Rounds in which contestants take turns, so that whatever else the machine does meets all of them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.contestants import Running
from bench.load import Request, drive
from bench.measuring import Figures, Round, figures, measured
from bench.stores import Store


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard is measured: rounds of so many seconds, over so many connections at a time."""

    rounds: int
    seconds: int
    connections: int


@dataclass(frozen=True, slots=True)
class Side:
    """A contestant, its database, and what it is asked."""

    running: Running
    store: Store
    requests: Sequence[Request]


def take_turns(sides: Sequence[Side], effort: Effort) -> list[Figures]:
    """The figures of each side. Raises BadAnswer when one answers with an error."""
    for side in sides:
        # Caches fill, PostgreSQL plans a prepared statement anew for the first five times on each
        # connection, and every answer is looked at, as it cannot be while measuring.
        drive(
            side.running.port,
            side.requests,
            side.store.folder,
            seconds=1,
            connections=effort.connections,
            check=True,
        )
    rounds: list[list[Round]] = [[] for _ in sides]
    for number in range(effort.rounds):
        turns = list(zip(sides, rounds, strict=True))
        for side, own in turns if number % 2 == 0 else reversed(turns):
            own.append(
                measured(
                    side.running,
                    side.store.process,
                    side.requests,
                    side.store.folder,
                    seconds=effort.seconds,
                    connections=effort.connections,
                )
            )
    return [figures(own) for own in rounds]


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)
