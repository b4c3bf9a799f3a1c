"""What a running server costs under load, by the operating system's accounts."""

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
    """One contestant under load for some seconds. CPU is in seconds, memory in bytes."""

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
    """What one request costs: CPU of the server and of the database, in milliseconds, all processes together.

    Latencies are the medians of the rounds'. `memory_mib` is that of all processes of the server at the end,
    and `largest_mib` that of the largest of them. On SQLite the database is part of the server.
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
    """Drive a server for so many seconds, over so many connections. Raises BadAnswer."""
    server_before, database_before = cpu_seconds(running.process), cpu_seconds(database)
    load = drive(running.port, requests, folder, seconds=seconds, connections=connections)
    server_after, database_after = cpu_seconds(running.process), cpu_seconds(database)
    if not load.requests:
        raise BadAnswer(f"{running.name} answers nothing within {seconds} s: --seconds gives it more")
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
    """One contestant's figures over all rounds."""
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
    """The CPU that a process and all it has started have used, also those that have ended.

    What ends passes its time on to its parent: a look during which something ended or began is not trusted.
    """
    if process is None:
        return 0.0
    while True:
        try:
            family = [process, *process.children(recursive=True)]
            times = [one.cpu_times() for one in family]
            if family == [process, *process.children(recursive=True)]:
                return sum(
                    time.user + time.system + time.children_user + time.children_system for time in times
                )
        except psutil.NoSuchProcess:
            if not process.is_running():
                raise


def memory(process: psutil.Process) -> list[int]:
    """The resident memory of a process and of each that it has started, in bytes."""
    return [one.memory_info().rss for one in (process, *process.children(recursive=True))]
