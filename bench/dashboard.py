"""Measures the dashboard query: Licensegraph against the same types with ordinary resolvers.

Both are whole servers, driven over HTTP on the same data. See README.md for what the figures mean.
"""

import argparse
import asyncio
import json
import shutil
import signal
import statistics
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench import contestants, datasets, stores
from bench.contestants import Contestant, DidNotStart
from bench.load import BadAnswer, Cost, Question, ask, measure
from bench.stores import Store
from tests.databases import make_folder, stop_abandoned_server

DOCUMENT = """\
query Dashboard($slug: String!) {
  app(slug: $slug) {
    id
    slug
    name
    createdAt
    customers(first: 50) {
      totalCount
      nodes {
        id
        email
        name
        externalId
        metadata
        createdAt
        licenses(first: 10) {
          totalCount
          nodes {
            id
            installationId
            status
            expiresAt
            createdAt
          }
          pageInfo {
            hasNextPage
            hasPreviousPage
            startCursor
            endCursor
          }
        }
      }
      pageInfo {
        hasNextPage
        hasPreviousPage
        startCursor
        endCursor
      }
    }
  }
}
"""

# Caches fill with the first request, and PostgreSQL plans a prepared statement anew for the first five times
# on each connection.
WARMING_REQUESTS = 40


class AnswersDiffer(Exception):
    """The contestants do not answer alike, so there is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one request costs one contestant, in milliseconds."""

    server_cpu_ms: float
    database_cpu_ms: float
    p50_ms: float

    @property
    def cpu_ms(self) -> float:
        return self.server_cpu_ms + self.database_cpu_ms


@dataclass(frozen=True, slots=True)
class Comparison:
    """One database's figures, over all rounds, and how often ours goes into the ordinary one's.

    `server_ratio` compares the CPU of the servers, `cpu_ratio` that of server and database together, and
    `server_ratio_by_round` shows how far rounds lie apart.
    """

    licensegraph: Figures
    ordinary: Figures
    server_ratio: float
    server_ratio_by_round: list[float]
    cpu_ratio: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and answer the exit code."""
    given = _arguments(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended
    names = stores.NAMES if given.database == "both" else (given.database,)
    comparisons = {}
    try:
        for name in names:
            comparisons[name] = _compared(name, given)
            print(_table(name, comparisons[name]), flush=True)
    except (AnswersDiffer, BadAnswer, DidNotStart) as error:
        print(f"bench.dashboard: {error}", file=sys.stderr)
        return 1
    if given.json is not None:
        figures = {name: asdict(comparison) for name, comparison in comparisons.items()}
        given.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.dashboard", description=__doc__)
    parser.add_argument("--requests", type=_positive, default=200, help="a round, for each contestant (200)")
    parser.add_argument("--rounds", type=_positive, default=5, help="how many rounds (5)")
    parser.add_argument("--connections", type=_positive, default=4, help="at a time (4)")
    parser.add_argument("--customers", type=_positive, default=5_000, help="of the app (5,000)")
    parser.add_argument("--licenses-per-customer", type=_positive, default=10, help="(10)")
    parser.add_argument("--database", choices=(*stores.NAMES, "both"), default="both", help="(both)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number, and at least 1")
    return int(text)


def _compared(name: str, given: argparse.Namespace) -> Comparison:
    with ExitStack() as closing:
        folder = make_folder()
        closing.callback(shutil.rmtree, folder)
        closing.callback(stop_abandoned_server, folder)
        store = closing.enter_context(stores.opened(name, folder))
        print(f"{name}: loading {given.customers:,} customers …", file=sys.stderr, flush=True)
        data = asyncio.run(
            datasets.load(
                store.url, customers=given.customers, licenses_per_customer=given.licenses_per_customer
            )
        )
        question = Question(DOCUMENT, {"slug": data.slug}, data.token)
        ours = closing.enter_context(contestants.licensegraph(store.url, folder))
        theirs = closing.enter_context(contestants.ordinary(store.url, folder))
        _require_same(ask(ours, question), ask(theirs, question), given)
        return _measured(store, ours, theirs, question, given)


def _measured(
    store: Store, ours: Contestant, theirs: Contestant, question: Question, given: argparse.Namespace
) -> Comparison:
    def measured(contestant: Contestant, requests: int) -> Cost:
        return measure(contestant, store.process, question, requests=requests, connections=given.connections)

    costs: dict[Contestant, list[Cost]] = {ours: [], theirs: []}
    for contestant in costs:
        measured(contestant, WARMING_REQUESTS)
    for number in range(given.rounds):
        print(f"{store.name}: round {number + 1} of {given.rounds} …", file=sys.stderr, flush=True)
        # Whoever else uses this machine meets both alike, whichever way their use of it drifts.
        for contestant in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            costs[contestant].append(measured(contestant, given.requests))
    return compare(costs[ours], costs[theirs])


def compare(ours: Sequence[Cost], theirs: Sequence[Cost]) -> Comparison:
    """Compare the costs of two contestants, round by round."""
    licensegraph, ordinary = _figures(ours), _figures(theirs)
    return Comparison(
        licensegraph,
        ordinary,
        server_ratio=_ratio(ordinary.server_cpu_ms, licensegraph.server_cpu_ms),
        server_ratio_by_round=[
            _ratio(_figures([other]).server_cpu_ms, _figures([own]).server_cpu_ms)
            for own, other in zip(ours, theirs, strict=True)
        ],
        cpu_ratio=_ratio(ordinary.cpu_ms, licensegraph.cpu_ms),
    )


def _figures(costs: Sequence[Cost]) -> Figures:
    latencies = [latency for cost in costs for latency in cost.latencies]
    return Figures(
        server_cpu_ms=1000 * sum(cost.server_seconds for cost in costs) / len(latencies),
        database_cpu_ms=1000 * sum(cost.database_seconds for cost in costs) / len(latencies),
        p50_ms=1000 * statistics.median(latencies),
    )


def _ratio(theirs: float, ours: float) -> float:
    # The operating system counts in hundredths of a second: of very few requests it may see nothing.
    return theirs / ours if ours else 0.0


def _require_same(ours: Any, theirs: Any, given: argparse.Namespace) -> None:
    """Raise AnswersDiffer unless both answer the same: all of it, but for what their cursors say."""
    difference = first_difference(ours, theirs)
    if difference is not None:
        raise AnswersDiffer(f"the contestants answer differently at {difference}")
    customers = (ours["app"] or {"customers": {"totalCount": None}})["customers"]
    if customers["totalCount"] != given.customers:
        raise AnswersDiffer(f"of {given.customers} customers, both count {customers['totalCount']}")


def first_difference(ours: Any, theirs: Any, path: str = "data") -> str | None:
    """Where two answers differ, with both values; None: nowhere.

    A cursor is opaque, and each contestant's its own: what must agree is whether there is one.
    """
    if isinstance(ours, dict) and isinstance(theirs, dict) and list(ours) == list(theirs):
        pairs = [(f"{path}.{key}", ours[key], theirs[key]) for key in ours]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = [(f"{path}[{place}]", *both) for place, both in enumerate(zip(ours, theirs, strict=True))]
    elif path.endswith("Cursor") and isinstance(ours, str) and isinstance(theirs, str):
        return None
    else:
        own, other = json.dumps(ours), json.dumps(theirs)
        return None if own == other else f"{path}: {own:.200} and {other:.200}"
    differences = (first_difference(own, other, place) for place, own, other in pairs)
    return next((found for found in differences if found is not None), None)


def _table(name: str, comparison: Comparison) -> str:
    lines = [f"{name:<14}{'server CPU':>12}{'database CPU':>14}{'p50':>10}   milliseconds a request"]
    for contestant, figures in (("licensegraph", comparison.licensegraph), ("ordinary", comparison.ordinary)):
        lines.append(
            f"  {contestant:<12}{figures.server_cpu_ms:>12.2f}{figures.database_cpu_ms:>14.2f}"
            f"{figures.p50_ms:>10.1f}"
        )
    rounds = comparison.server_ratio_by_round
    lines.append(
        f"  ordinary / licensegraph: {comparison.server_ratio:.1f} in server CPU"
        f" (rounds {min(rounds):.1f} to {max(rounds):.1f}),"
        f" {comparison.cpu_ratio:.1f} in server and database CPU\n"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
