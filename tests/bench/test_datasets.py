"""What contestants are asked about is what the workloads say, at every size."""

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from bench import datasets
from bench.datasets import Size


@pytest.mark.parametrize("customers", [150, 1_000, 2_345])
async def test_a_hundred_janes_are_spread_over_the_main_app(tmp_path: Path, customers: int) -> None:
    file = tmp_path / "plain.db"
    data = await datasets.load(f"sqlite:///{file}", Size(customers, 3, 2, 1))
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute(
            "SELECT c.id, email FROM customers AS c JOIN apps AS a ON a.id = app_id"
            " WHERE slug = 'bench' ORDER BY c.id DESC"
        ).fetchall()
        elsewhere = connection.execute(
            "SELECT count(*) FROM customers JOIN apps AS a ON a.id = app_id"
            " WHERE slug <> 'bench' AND email_folded LIKE '%jane%'"
        ).fetchone()
        apps = connection.execute("SELECT count(*) FROM apps").fetchone()
        licenses = connection.execute("SELECT count(*) FROM licenses").fetchone()
    places = [place for place, (_, email) in enumerate(rows) if "jane" in email]
    gaps = {after - before for before, after in pairwise(places)}
    assert len(rows) == customers
    assert len(places) == 100
    assert gaps <= {customers // 100, customers // 100 + 1}
    assert elsewhere == (0,)
    assert apps == (10,)
    assert licenses == (customers * 2 + 9 * 3,)
    # W3 begins behind the row that it says it begins behind.
    assert data.skipped == customers // 2
    assert rows[data.skipped - 1][0] == data.last_skipped
    assert len(data.customer_ids) == len(data.emails) == min(customers, 1_000)
