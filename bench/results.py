"""The results of a run and the machine on which it ran, stored in results.json.

All other files with results are generated from results.json.
"""

import importlib.metadata
import json
import os
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from bench.measuring import Figures

FILE = Path(__file__).with_name("results.json")


@dataclass(frozen=True, slots=True)
class Result:
    """One contestant's figures for one workload on one database."""

    workload: str
    database: str
    contestant: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the benchmark: the machine, the versions, the effort, and the results.

    `start_seconds` maps each database to the time from Licensegraph's start to its first response.
    """

    date: str
    machine: str
    versions: Mapping[str, str]
    effort: str
    results: Sequence[Result]
    start_seconds: Mapping[str, float]

    def figures(self, workload: str, database: str, contestant: str) -> Figures | None:
        """Return a contestant's figures for a workload, or None if it was not measured."""
        for result in self.results:
            if (result.workload, result.database, result.contestant) == (workload, database, contestant):
                return result.figures
        return None

    def ratio(
        self, workload: str, database: str, contestant: str, ours: str = "licensegraph"
    ) -> float | None:
        """Return the CPU of `ours` divided by that of `contestant`. Both include server and database.

        Return None if one of them was not measured, or if the contestant's CPU is 0.
        """
        own, other = (self.figures(workload, database, name) for name in (ours, contestant))
        if own is None or other is None or not other.cpu_ms:
            return None
        return own.cpu_ms / other.cpu_ms


@dataclass(frozen=True, slots=True)
class Flatness:
    """Licensegraph's figures for a workload on a database, in a small and in a large app."""

    workload: str
    database: str
    small: Figures
    large: Figures

    @property
    def ratio(self) -> float:
        return self.large.cpu_ms / self.small.cpu_ms if self.small.cpu_ms else 0.0


@dataclass(frozen=True, slots=True)
class FlatRun:
    """One run with --flat: the number of customers in the small and in the large app, and the results."""

    date: str
    machine: str
    small: int
    large: int
    results: Sequence[Flatness]


@dataclass(frozen=True, slots=True)
class Kept:
    """The stored results: the last complete run without --flat, and the last run with --flat."""

    run: Run | None = None
    flat: FlatRun | None = None

    def write(self, file: Path = FILE) -> None:
        file.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def read(file: Path = FILE) -> Kept:
    """Read the stored results. If there is no file, they are empty."""
    if not file.exists():
        return Kept()
    kept = json.loads(file.read_text())
    return Kept(_run(kept["run"]), _flat(kept["flat"]))


def _run(kept: Any) -> Run | None:
    if kept is None:
        return None
    results = [Result(**{**one, "figures": Figures(**one["figures"])}) for one in kept["results"]]
    return Run(**{**kept, "results": results})


def _flat(kept: Any) -> FlatRun | None:
    if kept is None:
        return None
    results = [
        Flatness(**{**one, "small": Figures(**one["small"]), "large": Figures(**one["large"])})
        for one in kept["results"]
    ]
    return FlatRun(**{**kept, "results": results})


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def machine() -> str:
    """Return a description of the processor, its cores, and the memory."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"^model name\s*: (.*)$", information.read_text(), re.MULTILINE)
        model = found[1] if found else model
    memory = psutil.virtual_memory().total / (1 << 30)
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def versions(databases: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of the databases, the servers' software and the load generator."""
    packages = ("strawberry-graphql", "sqlalchemy", "uvicorn", "asyncpg", "fastapi")
    return {
        "Python": platform.python_version(),
        **{{"sqlite": "SQLite", "postgresql": "PostgreSQL"}[name]: said for name, said in databases.items()},
        **{package: importlib.metadata.version(package) for package in packages},
        "PostGraphile": _postgraphile(),
        "Node": _said("node", "--version"),
        "wrk": _said("wrk", "--version"),
    }


def _postgraphile() -> str:
    package = Path(__file__).parent / "postgraphile" / "node_modules" / "postgraphile" / "package.json"
    return str(json.loads(package.read_text())["version"]) if package.exists() else "–"


def _said(*command: str) -> str:
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return "–"
    found = re.search(r"\d+\.\d+(\.\d+)?", said)
    return found[0] if found else "–"
