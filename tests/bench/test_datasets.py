"""The data sets fit the workloads, at every size."""

import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from bench import datasets
from bench.datasets import Size
from server import create_app
from settings import Settings


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
    # `last_skipped` is the last customer before W3's page.
    assert data.skipped == customers // 2
    assert rows[data.skipped - 1][0] == data.last_skipped
    assert len(data.customer_ids) == len(data.emails) == min(customers, 1_000)


async def test_every_field_can_be_selected_in_the_data_of_licensegraph(unmigrated_url: str) -> None:
    data = await datasets.load(unmigrated_url, Size(20, 3, 2, 1))
    await datasets.take_over(unmigrated_url)
    document = """{ app(slug: "bench") {
      signingAlgorithm publicKeyPem
      licenses(first: 100) { nodes { jti token features tier { slug } } }
    } }"""

    app = create_app(Settings(database_url=unmigrated_url))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://127.0.0.1",
        headers={"Authorization": f"Bearer {data.token}"},
    ) as client:
        answer = (await client.post("/graphql", json={"query": document})).json()
    await app.state.database.close()

    assert "errors" not in answer
    found = answer["data"]["app"]
    assert found["signingAlgorithm"] == "EDDSA"
    assert found["publicKeyPem"].startswith("-----BEGIN PUBLIC KEY-----")
    assert len({license.pop("jti") for license in found["licenses"]["nodes"]}) == 40
    assert found["licenses"]["nodes"] == [{"token": None, "features": [], "tier": None}] * 40
