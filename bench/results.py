"""What was measured, and on what machine: kept in results.json, from which all else is drawn."""

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
    """One run of the benchmark: where, with what, how, and what came out.

    `start_seconds` is how long Licensegraph took from the command to its first answer, by database.
    """

    date: str
    machine: str
    versions: Mapping[str, str]
    effort: str
    results: Sequence[Result]
    start_seconds: Mapping[str, float]

    def figures(self, workload: str, database: str, contestant: str) -> Figures | None:
        """Somebody's figures, if they were measured."""
        for result in self.results:
            if (result.workload, result.database, result.contestant) == (workload, database, contestant):
                return result.figures
        return None

    def ratio(
        self, workload: str, database: str, contestant: str, ours: str = "licensegraph"
    ) -> float | None:
        """Our CPU of server and database over theirs, if both were measured."""
        own, other = (self.figures(workload, database, name) for name in (ours, contestant))
        if own is None or other is None or not other.cpu_ms:
            return None
        return own.cpu_ms / other.cpu_ms


@dataclass(frozen=True, slots=True)
class Flatness:
    """What a workload costs Licensegraph in a small app and in a large one: CPU in milliseconds."""

    workload: str
    database: str
    small: Figures
    large: Figures

    @property
    def ratio(self) -> float:
        return self.large.cpu_ms / self.small.cpu_ms if self.small.cpu_ms else 0.0


@dataclass(frozen=True, slots=True)
class FlatRun:
    """One run for flatness: how many customers the small and the large app had, and what came out."""

    date: str
    machine: str
    small: int
    large: int
    results: Sequence[Flatness]


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept: the last whole run of each kind."""

    run: Run | None = None
    flat: FlatRun | None = None

    def write(self, file: Path = FILE) -> None:
        file.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")


def read(file: Path = FILE) -> Kept:
    """What was kept last."""
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
    """The processor, its cores, and the memory."""
    model = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"^model name\s*: (.*)$", information.read_text(), re.MULTILINE)
        model = found[1] if found else model
    memory = psutil.virtual_memory().total / (1 << 30)
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}"


def versions(databases: Mapping[str, str]) -> dict[str, str]:
    """Of everything that answers, and of what asks."""
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
