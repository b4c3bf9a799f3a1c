"""The benchmark in small, so that it does not rot. That it measures well is for who reads its figures."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from sqlalchemy import event

from bench import datasets, ordinary
from bench.dashboard import DOCUMENT, compare, first_difference
from bench.load import Cost

HOUSE = Path(__file__).parents[2]


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_contestants_answer_alike_and_are_measured(database: str, tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    size = ["--customers", "60", "--licenses-per-customer", "12", "--requests", "8", "--rounds", "2"]
    command = [sys.executable, "-m", "bench.dashboard", "--database", database, "--json", str(file), *size]
    ended = subprocess.run(command, cwd=HOUSE, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "ordinary / licensegraph" in ended.stdout
    figures = json.loads(file.read_text())[database]
    for contestant in ("licensegraph", "ordinary"):
        assert figures[contestant]["p50_ms"] > 0
        assert figures[contestant]["server_cpu_ms"] >= 0
    assert len(figures["server_ratio_by_round"]) == 2


async def test_the_ordinary_contestant_batches(unmigrated_url: str) -> None:
    """It is no straw man: its statements are few, and do not grow with the rows."""
    data = await datasets.load(unmigrated_url, customers=30, licenses_per_customer=12)
    app = ordinary.create_app(unmigrated_url)
    sent: list[str] = []
    event.listen(
        app.state.engine.sync_engine,
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: sent.append(statement),
    )
    headers = {"Authorization": f"Bearer {data.token}"}
    request = {"query": DOCUMENT, "variables": {"slug": data.slug}}
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://testserver", headers=headers) as client,
    ):
        answer = (await client.post("/graphql", json=request)).json()
        refused = await client.post("/graphql", json=request, headers={"Authorization": "Bearer sk_live_x"})
    customers = answer["data"]["app"]["customers"]
    assert customers["totalCount"] == 30
    assert [len(customer["licenses"]["nodes"]) for customer in customers["nodes"]] == [10] * 30
    # The key, the app, a page and the total of customers, pages and totals of licenses; then the bad key.
    assert len(sent) == 6 + 1
    assert refused.status_code == 401


@pytest.mark.parametrize(
    ("ours", "theirs", "where"),
    [
        ({"a": [{"id": "x"}]}, {"a": [{"id": "x"}]}, None),
        ({"endCursor": "x"}, {"endCursor": "y"}, None),
        ({"endCursor": "x"}, {"endCursor": None}, "data.endCursor"),
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
    ours = [Cost(0.1, 0.3, [0.01, 0.02]), Cost(0.3, 0.5, [0.03, 0.04])]
    theirs = [Cost(1.0, 0.3, [0.1, 0.1]), Cost(1.0, 0.5, [0.1, 0.1])]
    comparison = compare(ours, theirs)
    assert comparison.licensegraph.server_cpu_ms == pytest.approx(100)
    assert comparison.licensegraph.database_cpu_ms == pytest.approx(200)
    assert comparison.licensegraph.p50_ms == pytest.approx(25)
    assert comparison.server_ratio == pytest.approx(5)
    assert comparison.server_ratio_by_round == pytest.approx([10, 10 / 3])
    assert comparison.cpu_ratio == pytest.approx(700 / 300)
