"""Limits of the dashboard: how much it loads, how many requests it sends, and how many rows it renders."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Request, expect

from tests.web.conftest import one_database
from tests.web.site import Site
from tests.web.traffic import held, requests

SCRIPT = 180_000
"""The maximum size of all scripts that the dashboard loads at first, in compressed bytes."""
BETWEEN_SEARCHES = 200
"""The minimum time between two searches while the user types, in milliseconds."""

ASKED_AT = """() => performance.getEntriesByType("resource")
  .filter(({name}) => name.endsWith("/graphql")).map(({startTime}) => startTime)"""
"""Returns the times at which the page sent requests to the graph, in milliseconds."""
KEPT = "() => ({local: {...localStorage}, session: Object.keys(sessionStorage)})"


def rows(page: Page) -> Locator:
    return page.get_by_role("table", name="Customers").get_by_role("row").filter(has=page.get_by_role("link"))


def row_at(page: Page, index: int) -> Locator:
    """Return a row by its index in the list, counting rows that are not rendered."""
    return page.locator(f"[aria-rowindex='{index + 2}']")


def scroll_to(page: Page, index: int) -> Locator:
    """Scroll down until the row with this index is visible, and return the row."""
    row = row_at(page, index)
    page.mouse.move(600, 500)
    while not row.get_by_role("link").is_visible():
        page.mouse.wheel(0, 600)
        page.wait_for_timeout(20)
    row.scroll_into_view_if_needed()
    return row


def search_box(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Search by email or name")


@one_database
def test_the_first_load_is_small(page: Page, site: Site) -> None:
    site.make_customers(site.make_app("atlas"), 60)
    scripts: list[Request] = []

    def note(request: Request) -> None:
        if request.resource_type == "script":
            scripts.append(request)

    page.on("requestfinished", note)

    page.goto("/apps/atlas/customers", wait_until="networkidle")

    expect(rows(page).first).to_be_visible()
    assert not any("Chart" in script.url for script in scripts), "the chart is loaded with the overview only"
    assert sum(script.sizes()["responseBodySize"] for script in scripts) <= SCRIPT


def test_the_overview_and_the_first_page_of_customers_are_one_request_each(page: Page, site: Site) -> None:
    site.make_customers(site.make_app("atlas"), 60)
    page.goto("/")
    expect(page.get_by_role("link", name="Atlas")).to_be_visible()

    with requests(page) as sent:
        page.reload()
        page.get_by_role("link", name="Atlas").click()
        expect(page.get_by_role("heading", name="No active licenses in this time")).to_be_visible()
        page.get_by_role("link", name="Customers").click()
        expect(page.get_by_text("60 customers")).to_be_visible()
        expect(row_at(page, 10).get_by_role("link")).to_be_visible()
        page.wait_for_load_state("networkidle")

    assert [request.operation for request in sent] == ["Apps", "Overview", "Customers"]
    answer = sent[2].request.response()
    assert answer is not None
    assert len(answer.json()["data"]["app"]["customers"]["nodes"]) == 50


def test_typing_limits_the_rate_of_searches(page: Page, site: Site) -> None:
    app = site.make_app("atlas")
    site.make_customer(app, name="Hildegard von Bingen of the Rupertsberg")
    site.make_customers(app, 60)
    page.goto("/apps/atlas/customers")
    expect(rows(page).first).to_be_visible()

    with requests(page) as sent:
        search_box(page).press_sequentially("Hildegard von Bingen", delay=35)
        expect(page).to_have_url(re.compile("search=Hildegard.von.Bingen$"))
        expect(rows(page)).to_have_count(1)
        expect(page.get_by_text("1 matching customer")).to_be_visible()
        page.wait_for_load_state("networkidle")

    assert len(sent) >= 3
    assert sent[-1].variables["filter"] == {"search": "Hildegard von Bingen"}
    times = page.evaluate(ASKED_AT)[-len(sent) :]
    assert [later - earlier for earlier, later in pairwise(times) if later - earlier < BETWEEN_SEARCHES] == []


@one_database
def test_an_older_response_never_replaces_a_newer_one(page: Page, site: Site) -> None:
    app = site.make_app("atlas")
    for name in ("Jane Roe", "Joe Bloggs", "Ann Other"):
        site.make_customer(app, name=name)
    page.goto("/apps/atlas/customers")
    expect(rows(page)).to_have_count(3)

    with held(page) as answers:
        search_box(page).fill("jane")
        answers.wait_for(1)
        search_box(page).fill("joe")
        answers.wait_for(2)
        expect(page.get_by_text("3 customers")).to_have_count(0)
        answers.release(1)
        expect(rows(page)).to_contain_text(["Joe Bloggs"])
        expect(page.get_by_text("1 matching customer")).to_be_visible()
        assert answers.waiting[0].variables["filter"] == {"search": "jane"}
        assert answers.waiting[0].request.failure == "net::ERR_ABORTED", "the page must cancel this request"
    page.wait_for_load_state("networkidle")
    expect(rows(page)).to_contain_text(["Joe Bloggs"])
    expect(search_box(page)).to_have_value("joe")


GO_BACK: dict[str, Callable[[Page], Any]] = {
    "browser": lambda page: page.go_back(),
    "breadcrumb": lambda page: page.get_by_role("main").get_by_role("link", name="Atlas").click(),
}


@one_database
@pytest.mark.parametrize("minutes", [0, 10], ids=["soon", "later"])
@pytest.mark.parametrize("way", GO_BACK)
def test_a_list_keeps_its_position_after_going_back(page: Page, site: Site, way: str, minutes: int) -> None:
    app = site.make_app("atlas", name="Atlas")
    site.make_customers(app, 300)
    page.goto("/apps/atlas/customers?order=email")
    expect(page.get_by_text("300 customers")).to_be_visible()
    row = scroll_to(page, 180)
    name, place = row.inner_text(), row.bounding_box()
    row.get_by_role("link").click()
    expect(page.get_by_role("main").get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("scrollY") == 0
    # Meanwhile, another user adds a customer at the top. In one case, the cached rows also become too old to
    # use.
    site.make_customer(app, email="0@example.com", name="Aaron Aardvark")
    page.clock.set_system_time(datetime.now(tz=UTC) + timedelta(minutes=minutes))

    GO_BACK[way](page)

    expect(row).to_have_text(name, use_inner_text=True)
    expect(row.get_by_role("link")).to_be_focused()
    assert row.bounding_box() == place
    page.wait_for_load_state("networkidle")
    assert (row.inner_text(), row.bounding_box()) == (name, place)
    expect(page).to_have_url(f"{site.url}/apps/atlas/customers?order=email")


@one_database
def test_a_long_list_is_read_by_cursors_and_rendered_in_part(page: Page, site: Site) -> None:
    site.make_customers(site.make_app("atlas", name="Atlas"), 5_000)
    page.goto("/apps/atlas/customers")
    expect(page.get_by_text("5,000 customers")).to_be_visible()
    with requests(page) as sent:
        page.reload()
        most = page.evaluate(SCROLL_TO_THE_END)
        expect(row_at(page, 4_999).get_by_role("link")).to_be_visible()

    assert 15 < most < 60
    pages = [request for request in sent if request.operation == "Customers"]
    responses = [request.request.response() for request in pages]
    answers = [response.json()["data"]["app"]["customers"] for response in responses if response is not None]
    assert [request.variables["after"] for request in pages] == [
        None,
        *(answer["pageInfo"]["endCursor"] for answer in answers[:-1]),
    ]
    emails = [node["email"] for answer in answers for node in answer["nodes"]]
    assert len(emails) == len(set(emails)) == 5_000
    assert not answers[-1]["pageInfo"]["hasNextPage"]


SCROLL_TO_THE_END = """async () => {
  const rows = () => document.querySelectorAll("[role=row]").length;
  let most = 0;
  while (!document.querySelector("[aria-rowindex='5001'] a")) {
    window.scrollTo(0, document.documentElement.scrollHeight);
    await new Promise(requestAnimationFrame);
    most = Math.max(most, rows());
  }
  return most;
}"""


@one_database
def test_only_the_theme_outlives_the_browser_session(page: Page, site: Site) -> None:
    customer = site.make_customer(site.make_app("atlas", name="Atlas"), name="Jane Roe")
    for path in (
        "/",
        "/apps/atlas/customers?search=jane",
        f"/apps/atlas/customers/{customer.id}",
        "/apps/atlas/settings",
    ):
        page.goto(path)
        expect(page.get_by_role("main").get_by_role("heading", level=1)).to_be_visible()
        assert page.evaluate(KEPT)["local"] == {}

    page.get_by_role("button", name="Theme").click()
    page.get_by_role("menuitem", name="Dark").click()

    kept = page.evaluate(KEPT)
    assert kept["local"] == {"licensegraph:theme": "dark"}
    assert page.context.cookies() == []
    assert page.evaluate("indexedDB.databases()") == []
    scheme = "getComputedStyle(document.documentElement).colorScheme"
    page.reload()
    assert page.evaluate(scheme) == "dark"
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("menuitem", name="Same as system").click()
    assert page.evaluate(scheme) == "light dark"
    assert page.evaluate(KEPT)["local"] == {}
