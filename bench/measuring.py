"""Measures a server's CPU and memory under load, from the operating system's accounting."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.contestants import Running
from bench.load import BadAnswer, Request, drive

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Round:
    """The measurements of one contestant under load. CPU times are in seconds, memory is in bytes."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    server_seconds: float
    database_seconds: float
    memory: int
    largest: int


@dataclass(frozen=True, slots=True)
class Figures:
    """A contestant's figures over all rounds.

    `server_ms` and `database_ms` are the CPU time of one request in all processes of the server and in all
    processes of the database. On SQLite, the database is part of the server. Latencies are medians over the
    rounds. `memory_mib` is the memory of all server processes together at the end, and `largest_mib` is the
    memory of the largest process.
    """

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    server_ms: float
    database_ms: float
    memory_mib: float
    largest_mib: float

    @property
    def cpu_ms(self) -> float:
        return self.server_ms + self.database_ms


def measured(
    running: Running,
    database: psutil.Process | None,
    requests: Sequence[Request],
    folder: Path,
    *,
    seconds: int,
    connections: int,
) -> Round:
    """Put a server under load, and measure its CPU and memory. Raises BadAnswer."""
    server_before, database_before = cpu_seconds(running.process), cpu_seconds(database)
    load = drive(running.port, requests, folder, seconds=seconds, connections=connections)
    server_after, database_after = cpu_seconds(running.process), cpu_seconds(database)
    if not load.requests:
        raise BadAnswer(f"{running.name} did not complete any request within {seconds} s: increase --seconds")
    sizes = memory(running.process)
    return Round(
        load.requests,
        load.seconds,
        load.p50_ms,
        load.p99_ms,
        server_after - server_before,
        database_after - database_before,
        sum(sizes),
        max(sizes),
    )


def figures(rounds: Sequence[Round]) -> Figures:
    """Combine the measurements of one contestant in all rounds."""
    requests = sum(round.requests for round in rounds)
    return Figures(
        requests_per_second=requests / sum(round.seconds for round in rounds),
        p50_ms=statistics.median(round.p50_ms for round in rounds),
        p99_ms=statistics.median(round.p99_ms for round in rounds),
        server_ms=1000 * sum(round.server_seconds for round in rounds) / requests,
        database_ms=1000 * sum(round.database_seconds for round in rounds) / requests,
        memory_mib=rounds[-1].memory / _MIB,
        largest_mib=rounds[-1].largest / _MIB,
    )


def cpu_seconds(process: psutil.Process | None) -> float:
    """Return the CPU seconds of a process and its descendants, including descendants that have exited.

    Returns 0 for None: SQLite has no process of its own.

    When a process exits, its CPU time is added to its parent's. The measurement is therefore repeated if a
    process starts or exits in the meantime.
    """
    if process is None:
        return 0.0
    while True:
        try:
            family = [process, *process.children(recursive=True)]
            times = [one.cpu_times() for one in family]
            if family == [process, *process.children(recursive=True)]:
                spent = (
                    time.user + time.system + time.children_user + time.children_system for time in times
                )
                return float(sum(spent))
        except psutil.NoSuchProcess:
            if not process.is_running():
                raise


def memory(process: psutil.Process) -> list[int]:
    """Return the resident memory of a process and of each of its descendants, in bytes."""
    return [one.memory_info().rss for one in (process, *process.children(recursive=True))]
