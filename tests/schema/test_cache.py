"""A repeated document is prepared only once, but each request still has its own values and cost."""

import re
from collections.abc import Callable
from itertools import islice, product
from typing import Any

import pytest
from graphql import parse
from starlette.applications import Starlette

from db import ids
from db.engine import Database
from schema.graph import graphql_schema
from schema.pipeline import bind, cache, pipeline
from schema.pipeline.cache import Document, DocumentCache
from schema.pipeline.documents import document_of
from schema.pipeline.execute import Executor
from tests.factories import Account, make_app, make_customer, make_license
from tests.schema.conftest import Graph

PAGE = """
query Page(
  $slug: String!, $first: Int, $last: Int, $after: String, $before: String, $order: CustomerOrder,
  $filter: CustomerFilter, $licenses: Boolean = false, $most: Int
) {
  app(slug: $slug) {
    customers(
      first: $first, last: $last, after: $after, before: $before, orderBy: $order, filter: $filter
    ) {
      totalCount(atMost: $most)
      nodes { email licenses(first: 1) @include(if: $licenses) { totalCount } }
      pageInfo { endCursor }
    }
  }
}
"""
BY_EMAIL = {"field": "EMAIL", "direction": "ASC"}


@pytest.fixture
async def slug(database: Database, account: Account) -> str:
    app = await make_app(database, account, slug="editor")
    for letter in "abcde":
        customer = await make_customer(database, app, email=f"{letter}@example.com")
    await make_license(database, customer)
    return app.slug


@pytest.fixture
def variants(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A list that gets one entry each time an operation is prepared from its document."""
    found: list[object] = []
    filled = bind.filled

    def counted(*arguments: Any) -> Any:
        found.append(arguments)
        return filled(*arguments)

    monkeypatch.setattr(pipeline, "filled", counted)
    return found


async def emails(graph: Graph, **variables: object) -> str:
    """Return the first letters of the emails on a page, as one string."""
    page = (await graph.data(PAGE, **variables))["app"]["customers"]
    return "".join(node["email"][0] for node in page["nodes"])


async def test_each_request_has_its_own_values(graph: Graph, slug: str, variants: list[object]) -> None:
    assert await emails(graph, slug=slug, first=2, order=BY_EMAIL) == "ab"
    assert await emails(graph, slug=slug, first=3, order=BY_EMAIL) == "abc"
    assert await emails(graph, slug=slug, first=2, order=BY_EMAIL, most=3) == "ab"

    assert len(variants) == 2, "a capped total needs another statement"


async def test_different_forms_of_a_page_are_not_confused(
    graph: Graph, slug: str, variants: list[object]
) -> None:
    for _ in range(2):
        page = (await graph.data(PAGE, slug=slug, first=2, order=BY_EMAIL))["app"]["customers"]
        after = page["pageInfo"]["endCursor"]
        assert await emails(graph, slug=slug, first=2, order=BY_EMAIL, after=after) == "cd"
        assert await emails(graph, slug=slug, last=2, order=BY_EMAIL) == "de"
        assert await emails(graph, slug=slug, last=1, order=BY_EMAIL, before=after) == "a"
        assert await emails(graph, slug=slug, first=2) == "ed"
        assert await emails(graph, slug=slug, order={"field": "EMAIL", "direction": "DESC"}) == "edcba"
        assert await emails(graph, slug=slug, filter={"email": "c@"}) == "c"
        assert await emails(graph, slug=slug, filter={"email": ""}) == "edcba"

    # An empty filter is the same as no filter, and another page size does not need another variant.
    assert len(variants) == 7


async def test_different_values_of_directives_are_not_confused(
    graph: Graph, slug: str, variants: list[object]
) -> None:
    for _ in range(2):
        for wanted in (True, False):
            data = await graph.data(PAGE, slug=slug, first=1, licenses=wanted)
            (node,) = data["app"]["customers"]["nodes"]
            assert list(node) == (["email", "licenses"] if wanted else ["email"])

    assert len(variants) == 2


async def test_bad_arguments_of_a_prepared_document_are_refused(graph: Graph, slug: str) -> None:
    await graph.data(PAGE, slug=slug, first=1)

    for wrong, said in (
        ({"first": 101}, "customers: first must be between 1 and 100"),
        ({"first": 1, "after": "nonsense"}, "customers: after is not a cursor, or was altered"),
        ({"most": 0}, "totalCount: atMost must be at least 1"),
        ({"filter": {"email": "x" * 256}}, "customers: email is too long (maximum is 255 characters)"),
    ):
        assert await graph.refusal(PAGE, slug=slug, **wrong) == ("BAD_USER_INPUT", said)


async def test_each_request_has_its_own_cost(graph: Graph, slug: str) -> None:
    costs = []
    for first in (1, 2, 1):
        answer = (await graph.post(PAGE, {"slug": slug, "first": first, "licenses": True})).json()
        costs.append(answer["extensions"]["cost"]["requested"])

    assert costs == [4, 6, 4]


# ---------------------------------------------------------------- memory

FRAGMENT = "query ($id: ID!) {{ customer(id: $id) {{ app {{ {0} }} }} }} fragment F on Customer {{ {1} }}"
LARGE = {
    "fields": lambda number: (
        "{ apps { nodes { " + " ".join(f"n{number}x{each:04}: id" for each in range(1_600)) + " } } }"
    ),
    "pages": lambda number: (
        "query ($search: String, $first: Int) { "
        + " ".join(
            f"p{number}x{each}: apps(first: $first) {{ nodes {{ customers(filter: {{search: $search}}) "
            f"{{ totalCount }} }} }}"
            for each in range(50)
        )
        + " }"
    ),
    "fragments": lambda number: FRAGMENT.format(
        " ".join(f"c{each}: customer(by: {{id: $id}}) {{ ...F }}" for each in range(40)),
        " ".join(f"n{number}x{each}: email" for each in range(60)),
    ),
    "comments": lambda number: "{ apps { totalCount } }" + f"\n#{number}" * 4_900,
    "long text": lambda number: "{ apps { totalCount } } # " + f"{number} é 👩 " * 20_000,
}
"""Documents that need a lot of memory, for different reasons. Each number gives a different document."""


def bring(kept: DocumentCache, text: str, **variables: object) -> Document:
    """Use the cache as a request with a valid document would, and return the prepared document."""
    variables = {"id": ids.new_id(ids.CUSTOMER).id, **variables}
    document = kept.get(text) or document_of(text, parse(text))
    executor = Executor.build(graphql_schema, document.node, raw_variable_values=variables)
    assert isinstance(executor, Executor)
    size = document.size
    pipeline._planned_and_bound(document, executor)
    if document.size != size:
        kept.keep(document)
    return document


def test_the_bound_is_the_documented_one() -> None:
    (megabytes,) = re.findall(r"(\d+) MiB", DocumentCache.__doc__ or "")

    assert int(megabytes) << 20 == cache.CACHED_BYTES


@pytest.mark.parametrize("kind", LARGE)
def test_a_stream_of_new_documents_stays_within_the_bound(
    monkeypatch: pytest.MonkeyPatch, traced: Callable[[], int], kind: str
) -> None:
    monkeypatch.setattr(cache, "CACHED_BYTES", 8 << 20)
    kept = DocumentCache()
    number, seen = 0, 0
    while seen < 2 * cache.CACHED_BYTES:
        seen += bring(kept, LARGE[kind](number)).size
        number += 1

    # The estimated size is an upper bound. For short comments, it is four times the real size.
    assert 0.2 * cache.CACHED_BYTES < traced() < cache.CACHED_BYTES


def test_a_document_with_ever_new_forms_stays_within_its_share(traced: Callable[[], int]) -> None:
    pages = range(8)
    text = 'query ({}) {{ app(slug: "editor") {{ {} }} }}'.format(
        ", ".join(f"$order{each}: CustomerOrder" for each in pages),
        " ".join(f"p{each}: customers(orderBy: $order{each}) {{ totalCount }}" for each in pages),
    )
    kept = DocumentCache()
    orders = [
        {"field": field, "direction": direction}
        for field in ("CREATED_AT", "EMAIL", "NAME")
        for direction in ("ASC", "DESC")
    ]
    sizes = []
    for chosen in islice(product(orders, repeat=len(pages)), 1_500):
        variables = {f"order{each}": order for each, order in zip(pages, chosen, strict=True)}
        sizes.append(bring(kept, text, **variables).size)
    document = kept.get(text)

    part = cache.CACHED_BYTES // 8
    assert 0.9 * part < max(sizes) <= part
    assert document is not None
    assert sizes[-1] == document.size == kept.size < max(sizes)
    assert traced() < part


def test_a_document_larger_than_its_share_is_not_kept() -> None:
    kept = DocumentCache()
    text = "{ apps { totalCount } } # " + "x" * (cache.CACHED_BYTES // 16)

    bring(kept, text)
    bring(kept, text[: len(text) // 2])

    assert kept.get(text) is None
    assert kept.get(text[: len(text) // 2]) is not None


async def test_no_values_of_a_request_are_kept(
    app: Starlette, graph: Graph, slug: str, traced: Callable[[], int]
) -> None:
    await graph.data(PAGE, slug=slug, first=2)

    before = traced()
    for number in range(20):
        named = PAGE.replace("query Page", f"query Page{number}")
        await graph.data(named, slug="x" * 500_000, first=2)

    assert traced() - before < 5_000_000
