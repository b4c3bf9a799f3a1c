"""Licensegraph's targets: CPU relative to each contestant, flatness, memory and startup time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.results import FlatRun, Run

MAX_FLATNESS = 1.3
MAX_MEMORY_MIB = 120
MAX_START_SECONDS = 1.5


@dataclass(frozen=True, slots=True)
class Target:
    """The highest ratio of Licensegraph's CPU to a contestant's that is allowed for each workload."""

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
    """A target, the measured value, and whether the value reaches the target."""

    what: str
    at_most: float
    measured: float
    unit: str = "×"

    @property
    def is_reached(self) -> bool:
        return self.measured <= self.at_most


def judged_ratios(run: Run) -> list[tuple[Target, Mapping[str, Verdict]]]:
    """Compare the measured ratios with each target, by workload.

    Workloads that were not measured are left out.
    """
    found: list[tuple[Target, Mapping[str, Verdict]]] = []
    for target in TARGETS:
        ratios = {name: run.ratio(name, target.database, target.contestant) for name in target.at_most}
        verdicts = {
            name: Verdict(
                f"{name} against {target.contestant}, {target.database}", target.at_most[name], ratio
            )
            for name, ratio in ratios.items()
            if ratio is not None
        }
        if verdicts:
            found.append((target, verdicts))
    return found


def judged_process(run: Run) -> list[Verdict]:
    """Compare the startup time and the memory with their targets."""
    verdicts = []
    for database, seconds in run.start_seconds.items():
        verdicts.append(
            Verdict(f"from the command to the first response, {database}", MAX_START_SECONDS, seconds, " s")
        )
        largest = max(
            result.figures.largest_mib
            for result in run.results
            if result.database == database and result.contestant.startswith("licensegraph")
        )
        verdicts.append(Verdict(f"memory of one process, {database}", MAX_MEMORY_MIB, largest, " MiB"))
    return verdicts


def judged(run: Run) -> list[Verdict]:
    """Return the verdicts for all measured targets of a run."""
    ratios = [verdict for _, verdicts in judged_ratios(run) for verdict in verdicts.values()]
    return ratios + judged_process(run)


def judged_flat(flat: FlatRun) -> list[Verdict]:
    """Return the verdicts for all targets of a run with --flat."""
    return [
        Verdict(
            f"{one.workload} at {flat.large:,} over {flat.small:,} customers, {one.database}",
            MAX_FLATNESS,
            one.ratio,
        )
        for one in flat.results
    ]
