"""A document that comes again is prepared: what differs between its requests is still each request's own."""

import pytest
from starlette.applications import Starlette

from db.engine import Database
from resolvers.viewer import Policy, Scope, Viewer
from schema import prepared, roots
from schema.context import Context
from schema.limits import Limits
from schema.operations import Operations, Request
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
def surveys(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One entry for each time an operation was worked out from its document."""
    found: list[object] = []

    class Counted(roots.Survey):
        def __init__(self, *arguments: object) -> None:
            found.append(self)
            super().__init__(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(prepared, "Survey", Counted)
    return found


async def emails(graph: Graph, **variables: object) -> str:
    """The first letters of a page."""
    page = (await graph.data(PAGE, **variables))["app"]["customers"]
    return "".join(node["email"][0] for node in page["nodes"])


async def test_values_are_each_requests_own(graph: Graph, slug: str, surveys: list[object]) -> None:
    assert await emails(graph, slug=slug, first=2, order=BY_EMAIL) == "ab"
    assert await emails(graph, slug=slug, first=3, order=BY_EMAIL) == "abc"
    assert await emails(graph, slug=slug, first=2, order=BY_EMAIL, most=3) == "ab"

    assert len(surveys) == 2, "a total that is capped is another statement"


async def test_forms_of_a_page_are_told_apart(graph: Graph, slug: str, surveys: list[object]) -> None:
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

    # An empty filter is none, and the size of a page is a value.
    assert len(surveys) == 7


async def test_what_a_directive_leaves_out_is_told_apart(
    graph: Graph, slug: str, surveys: list[object]
) -> None:
    for _ in range(2):
        for wanted in (True, False):
            data = await graph.data(PAGE, slug=slug, first=1, licenses=wanted)
            (node,) = data["app"]["customers"]["nodes"]
            assert list(node) == (["email", "licenses"] if wanted else ["email"])

    assert len(surveys) == 2


async def test_bad_arguments_are_refused_when_the_document_is_known(graph: Graph, slug: str) -> None:
    await graph.data(PAGE, slug=slug, first=1)

    for wrong, said in (
        ({"first": 101}, "customers: first must be between 1 and 100"),
        ({"first": 1, "after": "nonsense"}, "customers: after is not a cursor, or was altered"),
        ({"most": 0}, "totalCount: atMost must be at least 1"),
        ({"filter": {"email": "x" * 256}}, "customers: email is too long (maximum is 255 characters)"),
    ):
        assert await graph.refusal(PAGE, slug=slug, **wrong) == ("BAD_USER_INPUT", said)


async def test_the_cost_is_each_requests_own(graph: Graph, slug: str) -> None:
    costs = []
    for first in (1, 2, 1):
        answer = (await graph.post(PAGE, {"slug": slug, "first": first, "licenses": True})).json()
        costs.append(answer["extensions"]["cost"]["requested"])

    assert costs == [4, 6, 4]


async def test_what_is_kept_is_bounded(
    app: Starlette, graph: Graph, slug: str, monkeypatch: pytest.MonkeyPatch, surveys: list[object]
) -> None:
    monkeypatch.setattr(prepared, "CACHED_FIELDS", 40)
    kept = prepared.PreparedOperations(0)
    documents = [f'{{ app(slug: "editor") {{ a{number}: id b: id }} }}' for number in range(50)]
    operations = Operations(Limits())
    monkeypatch.setattr(operations, "_prepared", kept)
    viewer = Viewer("acc_none", frozenset(Scope), Policy())
    for document in documents:
        await operations.execute(Request(document), Context(viewer, app.state.database))

    assert len(surveys) == 50
    # Half of the bound for each, and one more than its two fields is what a document takes.
    assert len(kept._outlines) == len(kept._answers) == 20 // 3
