"""`make bench`: compares Licensegraph with its peers and with the practical limit, a hand-written server.

README.md explains how to read the results.
"""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from bench import report, results, stores
from bench.comparing import AnswersDiffer, require_same
from bench.contestants import CONTESTANTS, Contestant, DidNotStart, started
from bench.datasets import Size
from bench.flatness import LARGE, SMALL, flatness
from bench.load import BadAnswer, NoLoadGenerator, require_wrk
from bench.results import FlatRun, Kept, Result, Run
from bench.rounds import Effort, Side, say, take_turns
from bench.workloads import WORKLOADS

# Each of the nine other apps has 4/9 as many customers as the main app. Therefore the account has five times
# as many customers as the main app.
_ELSEWHERE = 4 / 9
_LICENSES, _LICENSES_ELSEWHERE = 10, 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, print its tables, and return the exit code."""
    given = _arguments(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that SIGTERM also stops the started servers
    try:
        require_wrk()
        kept = _flat(given) if given.flat else _compared(given)
    except (AnswersDiffer, BadAnswer, DidNotStart, NoLoadGenerator) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if given.json is not None:
        kept.write(given.json)
    if given.write:
        before = results.read()
        report.write(Kept(kept.run or before.run, kept.flat or before.flat))
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--workload", metavar="W", choices=["", *WORKLOADS], default="", help="measure only this workload"
    )
    parser.add_argument("--database", choices=(*stores.NAMES, "both"), default="both", help="(both)")
    parser.add_argument("--customers", type=_positive, default=20_000, help="in the main app (20,000)")
    parser.add_argument("--rounds", type=_positive, default=4, help="number of rounds (4)")
    parser.add_argument("--seconds", type=_positive, default=2, help="seconds per round (2)")
    parser.add_argument("--connections", type=_positive, default=4, help="concurrent connections (4)")
    parser.add_argument(
        "--flat", action="store_true", help=f"only Licensegraph, with {SMALL:,} and {LARGE:,} customers"
    )
    parser.add_argument("--small", type=_positive, default=SMALL, help=argparse.SUPPRESS)
    parser.add_argument("--large", type=_positive, default=LARGE, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument(
        "--write",
        action="store_true",
        help="update RESULTS.md, its figures and chart, and README.md",
    )
    given = parser.parse_args(arguments)
    if given.write and (given.workload or given.database != "both"):
        parser.error("--write takes a whole run: all workloads on both databases")
    return given


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number, and at least 1")
    return int(text)


def _databases(given: argparse.Namespace) -> Sequence[str]:
    return stores.NAMES if given.database == "both" else (given.database,)


def _effort(given: argparse.Namespace) -> Effort:
    return Effort(given.rounds, given.seconds, given.connections)


def _compared(given: argparse.Namespace) -> Kept:
    found: list[Result] = []
    starts: dict[str, float] = {}
    versions: dict[str, str] = {}
    for database in _databases(given):
        contestants = _able(database)
        say(f"{database}: loading {given.customers:,} customers of {int(given.customers * 5):,} …")
        elsewhere = max(10, int(given.customers * _ELSEWHERE))
        size = Size(given.customers, elsewhere, _LICENSES, _LICENSES_ELSEWHERE)
        with ExitStack() as closing:
            store = closing.enter_context(stores.opened(database, size))
            versions[database] = store.version
            running = [closing.enter_context(started(contestant, store)) for contestant in contestants]
            starts[database] = running[0].seconds_to_start
            for workload in WORKLOADS.values():
                say(f"{database}: {workload.name} …")
                asked = [
                    (one, one.requests(workload, store.data))
                    for one in running
                    if one.contestant.takes(workload)
                ]
                require_same(workload, asked)
                if given.workload not in {"", workload.name}:
                    continue
                sides = [Side(one, store, requests) for one, requests in asked]
                for side, figures in zip(sides, take_turns(sides, _effort(given)), strict=True):
                    found.append(Result(workload.name, database, side.running.name, figures))
                print(report.table(workload, database, found), flush=True)
    effort = (
        f"{given.customers:,} customers in the main app; {given.rounds} rounds of {given.seconds} s,"
        f" {given.connections} connections"
    )
    run = Run(results.today(), results.machine(), results.versions(versions), effort, found, starts)
    print(report.targets(run))
    return Kept(run=run)


def _able(database: str) -> Sequence[Contestant]:
    able = []
    for contestant in CONTESTANTS:
        if database not in contestant.databases:
            continue
        if contestant.missing is None:
            able.append(contestant)
        else:
            say(f"{database}: without {contestant.name}: {contestant.missing}")
    return able


def _flat(given: argparse.Namespace) -> Kept:
    found = []
    workloads = [WORKLOADS[given.workload]] if given.workload else list(WORKLOADS.values())
    for database in _databases(given):
        found += flatness(database, _effort(given), workloads, given.small, given.large)
    flat = FlatRun(results.today(), results.machine(), given.small, given.large, found)
    print(report.flatness(flat))
    return Kept(flat=flat)


if __name__ == "__main__":
    started_at = time.monotonic()
    code = main()
    say(f"in {time.monotonic() - started_at:.0f} s")
    sys.exit(code)
