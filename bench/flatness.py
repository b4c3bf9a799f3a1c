"""Checks that a request costs the same in a large app and in a small app. Measures only Licensegraph."""

from collections.abc import Sequence
from contextlib import ExitStack

from bench import stores
from bench.comparing import require_same
from bench.contestants import CONTESTANTS, started
from bench.datasets import Size
from bench.results import Flatness
from bench.rounds import Effort, Side, say, take_turns
from bench.workloads import WORKLOADS, Workload

SMALL, LARGE = 10_000, 1_000_000
_LICENSES = 3
_ELSEWHERE = 100


def flatness(
    database: str, effort: Effort, workloads: Sequence[Workload], small: int, large: int
) -> list[Flatness]:
    """Measure these workloads in a small and in a large app. W6 is left out, because it writes."""
    contestant = CONTESTANTS[0]
    with ExitStack() as closing:
        sides = []
        for customers in (small, large):
            say(f"{database}: loading {customers:,} customers …")
            size = Size(customers, _ELSEWHERE, _LICENSES, _LICENSES)
            store = closing.enter_context(stores.opened(database, size, with_peers=False))
            sides.append((closing.enter_context(started(contestant, store)), store))
        found = []
        for workload in workloads:
            if workload is WORKLOADS["W6"]:
                continue
            say(f"{database}: {workload.name} …")
            asked = [Side(running, store, running.requests(workload, store.data)) for running, store in sides]
            for side in asked:
                require_same(workload, [(side.running, side.requests)])
            found.append(Flatness(workload.name, database, *take_turns(asked, effort)))
        return found
