"""Figures are computed correctly, and reports and charts show them."""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import psutil
import pytest

from bench import chart, report, results
from bench.comparing import first_difference
from bench.measuring import Figures, Round, cpu_seconds, figures
from bench.results import Flatness, FlatRun, Kept, Result, Run
from bench.targets import judged, judged_flat
from bench.workloads import WORKLOADS


def costing(server_ms: float, database_ms: float = 0.0, *, largest_mib: float = 50) -> Figures:
    return Figures(100, 1, 2, server_ms, database_ms, 2 * largest_mib, largest_mib)


RUN = Run(
    "2026-01-23",
    "a machine",
    {"Python": "3.11.7"},
    "an effort",
    [
        Result("W1", "postgresql", "licensegraph", costing(0.2, 0.3)),
        Result("W1", "postgresql", "licensegraph, 2 workers", costing(0.3, 0.3, largest_mib=121)),
        Result("W1", "postgresql", "strawberry", costing(4, 1)),
        Result("W1", "postgresql", "postgraphile", costing(0.4, 0.4)),
        Result("W1", "sqlite", "licensegraph", costing(0.6)),
        Result("W1", "sqlite", "hand-written", costing(0.2)),
    ],
    {"postgresql": 1.2},
)
FLAT = FlatRun(
    "2026-01-24",
    "a machine",
    10_000,
    1_000_000,
    [
        Flatness("W2", "sqlite", costing(1), costing(1.2)),
        Flatness("W4", "postgresql", costing(1, 1), costing(1, 3)),
    ],
)


@pytest.mark.parametrize(
    ("ours", "theirs", "where"),
    [
        ({"a": [{"id": "x"}]}, {"a": [{"id": "x"}]}, None),
        ({"endCursor": "x"}, {"endCursor": "y"}, None),
        ({"endCursor": "x"}, {"endCursor": None}, "data.endCursor"),
        ({"hasPreviousPage": True}, {"hasPreviousPage": False}, None),
        ({"hasNextPage": True}, {"hasNextPage": False}, "data.hasNextPage"),
        ({"a": [1, 2]}, {"a": [2, 1]}, "data.a[0]"),
        ({"a": [1, 2]}, {"a": [1]}, "data.a"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "data"),
        ({"a": {"b": 1}}, {"a": None}, "data.a"),
    ],
)
def test_answers_are_compared_in_full(ours: object, theirs: object, where: str | None) -> None:
    found = first_difference(ours, theirs)
    assert (found and found.partition(":")[0]) == where


def test_figures_are_means_over_all_rounds() -> None:
    rounds = [
        Round(100, 2.0, 1.0, 5.0, 0.1, 0.3, 50 << 20, 40 << 20),
        Round(300, 2.0, 3.0, 9.0, 0.3, 0.5, 90 << 20, 60 << 20),
        Round(400, 4.0, 2.0, 7.0, 0.4, 0.8, 70 << 20, 30 << 20),
    ]
    found = figures(rounds)
    assert found.requests_per_second == 100
    assert (found.p50_ms, found.p99_ms) == (2.0, 7.0)
    assert found.server_ms == pytest.approx(1.0)
    assert found.database_ms == pytest.approx(2.0)
    assert found.cpu_ms == pytest.approx(3.0)
    assert (found.memory_mib, found.largest_mib) == (70, 30)


def test_cpu_of_ended_processes_counts() -> None:
    burn = "import time\nwhile time.process_time() < 0.3: pass"
    parent = (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\n"
        "print(flush=True)\nsys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        # The child used 0.3 s. The limit is lower, because the operating system counts in hundredths of a
        # second.
        assert cpu_seconds(psutil.Process(process.pid)) > 0.25
        process.communicate()


def test_ratios_are_of_server_and_database() -> None:
    assert RUN.ratio("W1", "postgresql", "strawberry") == pytest.approx(0.1)
    assert RUN.ratio("W1", "postgresql", "postgraphile") == pytest.approx(0.625)
    assert RUN.ratio("W1", "sqlite", "hand-written") == pytest.approx(3)
    assert RUN.ratio("W1", "sqlite", "strawberry") is None


def test_every_target_that_was_measured_is_judged() -> None:
    assert [(one.what, round(one.measured, 3), one.is_reached) for one in judged(RUN)] == [
        ("W1 against postgraphile, postgresql", 0.625, False),
        ("W1 against hand-written, sqlite", 3, True),
        ("W1 against strawberry, postgresql", 0.1, True),
        ("from the command to the first response, postgresql", 1.2, True),
        ("memory of one process, postgresql", 121, False),
    ]
    assert [(one.measured, one.is_reached) for one in judged_flat(FLAT)] == [(1.2, True), (2.0, False)]


def test_saved_figures_are_the_measured_ones(tmp_path: Path) -> None:
    kept = Kept(RUN, FLAT)
    kept.write(tmp_path / "results.json")
    assert results.read(tmp_path / "results.json") == kept
    assert results.read(tmp_path / "none.json") == Kept()


def test_results_say_what_was_measured() -> None:
    document = report.document(Kept(RUN, FLAT))
    assert "2026-01-23, on a machine. an effort." in document
    assert (
        "| W1 one customer with 10 licenses | PostgreSQL | **0.50** | 5.00 (0.10×) | 0.80 (0.62×) | – | – |"
        in document
    )
    assert "| postgraphile, PostgreSQL | ✗ 0.62× (0.55×) | – | – | – | – | – | – |" in document
    assert "| strawberry, PostgreSQL | ✓ 0.10× (0.1×) | – | – | – | – | – | – |" in document
    assert "| memory of one process, postgresql | ✗ 121.00 MiB (120 MiB) |" in document
    assert "3 of 5 targets reached." in document
    assert "| W4 | PostgreSQL | 1.00 + 1.00 | 1.00 + 3.00 | ✗ 2.00× (1.3×) |" in document


def test_the_section_of_the_readme_is_replaced() -> None:
    text = "before\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nafter\n"
    assert report.with_section(text, "new\n") == (
        "before\n<!-- bench: begin -->\n\nnew\n\n<!-- bench: end -->\nafter\n"
    )


def test_the_chart_has_a_dot_for_every_figure() -> None:
    drawn = ET.fromstring(chart.drawn(RUN))
    titles = [
        title.text
        for circle in drawn.iter("{http://www.w3.org/2000/svg}circle")
        for title in circle.findall("{http://www.w3.org/2000/svg}title")
    ]
    assert titles == [
        "Licensegraph: 0.50 ms",
        "PostGraphile: 0.80 ms",
        "Strawberry: 5.00 ms",
        "Licensegraph: 0.60 ms",
        "hand-written SQL, no GraphQL: 0.20 ms",
    ]


def test_every_workload_has_a_statement_for_both_databases() -> None:
    assert sorted(WORKLOADS) == [f"W{number}" for number in range(1, 8)]
    for workload in WORKLOADS.values():
        assert set(workload.statements) == {"postgresql", "sqlite"}
