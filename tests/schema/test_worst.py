"""The worst documents that `make worst` found, and the costs that limit them."""

import json

import pytest

from bench.worst import ALLOWED_S, FILE
from tests.schema.conftest import Graph

pytestmark = pytest.mark.surface

WORST = [
    pytest.param(each["document"], each["cost"], id=f"{name}-{number}")
    for name, found in json.loads(FILE.read_text()).items()
    for number, each in enumerate(found)
]
SEARCHES = " ".join(
    f'a{i}: customers(first: 1, filter: {{search: "an"}}) {{ totalCount }}' for i in range(100)
)
FEATURES = " ".join(
    f'a{i}: licenses(first: 1, filter: {{feature: "nope"}}) {{ totalCount }}' for i in range(100)
)


@pytest.mark.parametrize(("document", "cost"), WORST)
async def test_the_worst_documents_still_cost_the_same(graph: Graph, document: str, cost: int) -> None:
    """If a document gets cheaper, a worse one may get through. In that case, run `make worst` again."""
    answer = (await graph.post(document)).json()

    assert answer["extensions"]["cost"]["requested"] == cost


def test_none_of_them_took_too_long_when_measured() -> None:
    seconds = [each["seconds"] for found in json.loads(FILE.read_text()).values() for each in found]

    assert len(seconds) == 20
    assert max(seconds) <= ALLOWED_S


@pytest.mark.parametrize("scans", [SEARCHES, FEATURES], ids=["searches", "features"])
async def test_too_many_scans_are_refused(graph: Graph, scans: str) -> None:
    code, _ = await graph.refusal(f'{{ app(slug: "demo") {{ {scans} }} }}')

    assert code == "COST_LIMIT_EXCEEDED"
