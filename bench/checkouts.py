"""Compares this checkout with an earlier one: CPU and throughput of the same requests, in one run.

`git worktree add /tmp/before main~1` makes an earlier checkout. Both use this checkout's Python packages. The
data is loaded by this checkout, up to the revision of the earlier one, and each gets a copy of it. Both
servers run all the time and take turns, because a machine can be fast in one minute and slow in the next.
"""

import argparse
import asyncio
import shutil
import signal
import sqlite3
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from bench import report, results, stores
from bench.contestants import CONTESTANTS, Contestant, Running, started
from bench.datasets import Size
from bench.load import require_wrk
from bench.measuring import measured
from bench.report import DATABASES
from bench.stores import Store
from bench.workloads import UNIQUE, WORKLOADS, DataSet, Variables, Workload
from db import migrations

FILE = Path(__file__).with_name("checkouts.md")
_HERE = Path(__file__).parents[1]
_SIZE = Size(customers=5_000, customers_elsewhere=500, licenses=10, licenses_elsewhere=5)

_W6 = WORKLOADS["W6"]


def _with_keys(data: DataSet, after: str) -> Sequence[Variables]:
    return [
        {**variables, "key": f"{UNIQUE}-{number}"}
        for number, variables in enumerate(_W6.variables(data, after))
    ]


KEYED = replace(
    _W6,
    name="W6 with a key",
    document=(_W6.document or "")
    .replace("$email: String!", "$email: String!, $key: String!")
    .replace("(input:", "(idempotencyKey: $key, input:"),
    variables=_with_keys,
)
"""W6 with a new key in each request, on this checkout. It is compared with W6 on the earlier one."""

Figure = tuple[float, float]
"""Microseconds of CPU for one request, and requests per second."""


@dataclass(frozen=True, slots=True)
class Side:
    """A checkout, and its copy of the data."""

    contestant: Contestant
    store: Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the table, and return the exit code."""
    given = _arguments(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    require_wrk()
    rows = [
        row
        for database in stores.NAMES
        if given.database in {database, "both"}
        for row in _compare(given, database)
    ]
    about = f"{results.machine()}; {given.rounds} rounds of {given.seconds} s, medians."
    table = "\n".join(
        (
            f"## This version and the one before\n\n{about}\n",
            "|  |  | µs CPU before | after | ratio | requests/s before | after | ratio |",
            "| --- | --- | --- | --- | --- | --- | --- | --- |",
            *rows,
        )
    )
    print(table)
    if given.write:
        FILE.write_text(f"{table}\n")
        report.write(results.read())
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.checkouts", description=__doc__)
    parser.add_argument("before", type=Path, help="the folder of the earlier checkout")
    parser.add_argument("--database", choices=(*stores.NAMES, "both"), default="both", help="(both)")
    parser.add_argument("--workload", choices=[*WORKLOADS, KEYED.name], action="append", default=[])
    parser.add_argument("--rounds", type=int, default=10, help="number of rounds (10)")
    parser.add_argument("--seconds", type=int, default=1, help="seconds per round (1)")
    parser.add_argument("--connections", type=int, default=4, help="concurrent connections (4)")
    parser.add_argument("--write", action="store_true", help="update RESULTS.md")
    return parser.parse_args(arguments)


def _compare(given: argparse.Namespace, database: str) -> Iterator[str]:
    names = given.workload or [*WORKLOADS, KEYED.name]
    workloads = [WORKLOADS.get(name, KEYED) for name in names]
    with (
        _sides(given.before, database) as sides,
        started(sides[0].contestant, sides[0].store) as before,
        started(sides[1].contestant, sides[1].store) as after,
    ):
        for workload in workloads:
            earlier = _W6 if workload is KEYED else workload
            pairs = (
                (earlier, before, sides[0].store),
                (workload, after, sides[1].store),
            )
            found: tuple[list[Figure], list[Figure]] = ([], [])
            for number in range(-1, given.rounds):  # the first time warms up
                for place in (0, 1)[:: -1 if number % 2 else 1]:
                    figure = _figure(*pairs[place], given)
                    if number >= 0:
                        found[place].append(figure)
            yield _row(workload, database, *found)


def _figure(workload: Workload, running: Running, store: Store, given: argparse.Namespace) -> Figure:
    figures = measured(
        running,
        store.process,
        running.requests(workload, store.data),
        store.folder,
        seconds=given.seconds,
        connections=given.connections,
    )
    cpu = (figures.server_seconds + figures.database_seconds) / figures.requests
    return 1e6 * cpu, figures.requests / figures.seconds


def _row(workload: Workload, database: str, before: Sequence[Figure], after: Sequence[Figure]) -> str:
    """Return a row of the table. A ratio is the median of those of all rounds."""
    cells = []
    for number, form in enumerate(("{:.0f}", "{:,.0f}")):
        pairs = [(old[number], new[number]) for old, new in zip(before, after, strict=True)]
        old, new = (statistics.median(each) for each in zip(*pairs, strict=True))
        ratio = statistics.median(new / old for old, new in pairs)
        cells += [form.format(old), form.format(new), f"{ratio:.2f}×"]
    return f"| {workload.name} | {DATABASES[database]} | {' | '.join(cells)} |"


@contextmanager
def _sides(before: Path, database: str) -> Iterator[tuple[Side, Side]]:
    earlier = sorted((before / "db" / "migrations" / "versions").glob("[0-9]*.py"))[-1].name[:4]
    upgrade = migrations.upgrade
    with (
        # `take_over` migrates to the newest revision, which the earlier checkout does not know.
        patch.object(migrations, "upgrade", lambda url, revision=earlier: upgrade(url, revision)),
        stores.opened(database, _SIZE, with_peers=False) as store,
    ):
        url = _copied(store)
        asyncio.run(upgrade(url))
        ours = CONTESTANTS[0]
        server = str(_HERE / "server.py")
        command = tuple(str(before / "server.py") if each == server else each for each in ours.command)
        yield (
            Side(replace(ours, name="before", command=command), store),
            Side(replace(ours, name="after"), replace(store, url=url)),
        )


def _copied(store: Store) -> str:
    """Copy the database of a store, and return the URL of the copy."""
    if store.process is not None:
        admin = store.url.replace("/licensegraph?", "/postgres?")
        create = "CREATE DATABASE after TEMPLATE licensegraph STRATEGY file_copy"
        asyncio.run(stores.execute(admin, create))
        return store.url.replace("/licensegraph?", "/after?")
    file = store.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copyfile(file, f"{file}.after")
    return f"sqlite:///{file}.after"


if __name__ == "__main__":
    sys.exit(main())
