"""Measures in rounds: contestants take turns, so that other load on the machine affects them all equally."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from bench.contestants import Running
from bench.load import Request, drive
from bench.measuring import Figures, Round, figures, measured
from bench.stores import Store


@dataclass(frozen=True, slots=True)
class Effort:
    """The effort of a measurement: the number of rounds, seconds per round, and concurrent connections."""

    rounds: int
    seconds: int
    connections: int


@dataclass(frozen=True, slots=True)
class Side:
    """A contestant, its database, and its requests."""

    running: Running
    store: Store
    requests: Sequence[Request]


def take_turns(sides: Sequence[Side], effort: Effort) -> list[Figures]:
    """Measure all sides, and return the figures of each side.

    Raise BadAnswer if a server returns an error.
    """
    for side in sides:
        # Warm up: caches fill, and each PostgreSQL connection gets past the first five runs of a prepared
        # statement. PostgreSQL plans the statement again in each of these runs. The bodies of responses are
        # checked only here, because checking them later would disturb the measurement.
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
    """Print a progress message."""
    print(text, file=sys.stderr, flush=True)
