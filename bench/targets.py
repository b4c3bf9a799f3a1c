"""Where it must arrive: at most so often the CPU of each peer, in one run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.results import FlatRun, Run

MAX_FLATNESS = 1.3
MAX_MEMORY_MIB = 120
MAX_START_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Target:
    """A bound of our CPU over a contestant's on a database, by workload."""

    contestant: str
    database: str
    at_most: Mapping[str, float]


_STRAWBERRY = {"W1": 0.1, "W2": 0.06, "W3": 0.06, "W4": 0.1, "W5": 0.06, "W6": 0.25}

TARGETS: Sequence[Target] = (
    Target(
        "postgraphile",
        "postgresql",
        {"W1": 0.55, "W2": 0.45, "W3": 0.65, "W4": 0.25, "W5": 0.7, "W6": 0.8},
    ),
    Target(
        "hand-written",
        "postgresql",
        {"W1": 1.7, "W2": 0.6, "W3": 1.15, "W4": 0.4, "W5": 1.2, "W6": 1.8, "W7": 0.4},
    ),
    Target(
        "hand-written",
        "sqlite",
        {"W1": 3, "W2": 0.9, "W3": 1.3, "W4": 0.4, "W5": 1.4, "W6": 2.5, "W7": 0.5},
    ),
    Target("strawberry", "postgresql", _STRAWBERRY),
    Target("strawberry", "sqlite", _STRAWBERRY),
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A bound, what was measured, and whether it holds."""

    what: str
    at_most: float
    measured: float
    unit: str = "×"

    @property
    def is_reached(self) -> bool:
        return self.measured <= self.at_most


def judged(run: Run) -> list[Verdict]:
    """Every bound of a run that was measured."""
    verdicts = []
    for target in TARGETS:
        for workload, at_most in target.at_most.items():
            ratio = run.ratio(workload, target.database, target.contestant)
            if ratio is not None:
                what = f"{workload} against {target.contestant}, {target.database}"
                verdicts.append(Verdict(what, at_most, ratio))
    for database, seconds in run.start_seconds.items():
        verdicts.append(
            Verdict(f"from the command to an answer, {database}", MAX_START_SECONDS, seconds, " s")
        )
        largest = max(
            result.figures.largest_mib
            for result in run.results
            if result.database == database and result.contestant.startswith("licensegraph")
        )
        verdicts.append(Verdict(f"memory of one process, {database}", MAX_MEMORY_MIB, largest, " MiB"))
    return verdicts


def judged_flat(flat: FlatRun) -> list[Verdict]:
    """Every bound of a run for flatness."""
    return [
        Verdict(
            f"{one.workload} at {flat.large:,} over {flat.small:,} customers, {one.database}",
            MAX_FLATNESS,
            one.ratio,
        )
        for one in flat.results
    ]
