"""Small runs of the benchmark, to check that it works. Their figures must only be plausible."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench import datasets, results, verification
from bench.contestants import CONTESTANTS
from bench.datasets import Size
from bench.overhead import overhead
from bench.workloads import WORKLOADS
from db import migrations

HOUSE = Path(__file__).parents[2]

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "--rounds", "1", "--seconds", "1", *arguments]
    return subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, timeout=180, check=False)


@needs_wrk
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_all_contestants_agree_and_are_measured(database: str, tmp_path: Path) -> None:
    """Contestants run all workloads that they support, and the results are compared. Only W6 is measured."""
    file = tmp_path / "figures.json"
    ended = bench("--database", database, "--customers", "60", "--workload", "W6", "--json", str(file))
    assert ended.returncode == 0, ended.stderr
    run = results.read(file).run
    assert run is not None
    asked = [one for one in CONTESTANTS if database in one.databases and one.takes(WORKLOADS["W6"])]
    measured = {result.contestant: result.figures for result in run.results}
    assert list(measured) == [one.name for one in asked if one.missing is None]
    for name, figures in measured.items():
        assert figures.requests_per_second > 0, name
        assert figures.p99_ms >= figures.p50_ms > 0, name
        assert figures.cpu_ms > 0, name
        assert figures.memory_mib >= figures.largest_mib > 0, name
        assert f"  {name} " in ended.stdout
    assert run.ratio("W6", database, "hand-written") == pytest.approx(
        measured["licensegraph"].cpu_ms / measured["hand-written"].cpu_ms
    )
    assert "Against the targets" in ended.stdout
    missing = [f"{one.name}: {one.missing}" for one in asked if one.missing is not None]
    if missing:
        pytest.skip(f"not measured: {', '.join(missing)}")


@needs_wrk
def test_flatness_is_measured(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    sizes = ["--small", "40", "--large", "200"]
    ended = bench("--flat", "--database", "sqlite", "--workload", "W1", "--json", str(file), *sizes)
    assert ended.returncode == 0, ended.stderr
    flat = results.read(file).flat
    assert flat is not None
    (found,) = flat.results
    assert (found.workload, found.database, flat.small, flat.large) == ("W1", "sqlite", 40, 200)
    assert found.ratio == pytest.approx(found.large.cpu_ms / found.small.cpu_ms)


def test_a_partial_run_is_not_saved_as_a_whole_one() -> None:
    ended = bench("--workload", "W2", "--write")
    assert ended.returncode == 2
    assert "--write takes a whole run" in ended.stderr


async def test_verification_is_measured_against_a_look_up_of_a_customer(unmigrated_url: str) -> None:
    data = await datasets.load(unmigrated_url, Size(20, 10, 12, 6))
    await migrations.upgrade(unmigrated_url)
    found = await verification.costs(unmigrated_url, data, calls=5)
    assert set(found) == {"REST verify", "REST customer", "GraphQL verify", "GraphQL customer"}
    assert min(found.values()) > 0


async def test_overhead_is_all_but_the_statement(unmigrated_url: str) -> None:
    data = await datasets.load(unmigrated_url, Size(20, 10, 12, 6))
    await migrations.upgrade(unmigrated_url)
    found = await overhead(unmigrated_url, data, calls=20)
    assert 0 < found.statement_us < found.request_us
    assert found.overhead_us == found.request_us - found.statement_us
    assert 0 < found.preflight_us < found.request_with_origin_us
    assert found.statement_us < found.request_by_id_us < 2 * found.request_us
