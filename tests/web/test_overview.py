"""The overview of an app: the curve of its licenses, what happened, what is next; and the list of apps."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.factories import App, Customer
from tests.web.chromium import PATIENCE, PHONE
from tests.web.conftest import one_database
from tests.web.site import Site
from tests.web.traffic import GRAPH, requests
from tests.web.watch import Watch

ISSUE = """mutation($customer: ID!, $tier: ID, $days: Int!) {
  createLicense(input: {customerId: $customer, tierId: $tier, features: [], durationDays: $days}) {
    license { id } userErrors { message } } }"""
ISSUED = """query($today: Date!) { app(slug: "atlas") {
  statistics(from: $today, to: $today) { issued } } }"""


@pytest.fixture
def atlas(site: Site) -> App:
    return site.make_app("atlas", name="Atlas")


@pytest.fixture
def jane(site: Site, atlas: App) -> Customer:
    return site.make_customer(atlas, email="jane@example.com", name="Jane Doe")


def today() -> date:
    return datetime.now(UTC).date()


def sell(site: Site, customer: Customer, *terms: tuple[int, str | None]) -> None:
    """Issue licenses of a number of days and a tier, and wait until the statistics have them."""
    for days, tier in terms:
        assert site.graph(ISSUE, customer=customer.id, tier=tier, days=days)["createLicense"]["license"]
    end = time.monotonic() + PATIENCE
    while site.graph(ISSUED, today=str(today()))["app"]["statistics"][0]["issued"] < len(terms):
        assert time.monotonic() < end, "the statistics never changed"
        time.sleep(0.05)


def chart(page: Page) -> Locator:
    return page.get_by_role("img", name="Active licenses: ")


def numbers(page: Page) -> Locator:
    return page.get_by_role("region", name="Numbers of the curve").get_by_role("row")


@contextmanager
def rewritten(page: Page, change: Callable[[Any], None]) -> Iterator[None]:
    """Change the data in the server's responses while the block runs."""

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        if "curve" in (body["data"].get("app") or {}):
            change(body["data"])
        route.fulfill(response=response, json=body)

    page.route(GRAPH, answer)
    yield
    page.unroute(GRAPH, answer)


def test_one_request_shows_how_an_app_develops(page: Page, site: Site, atlas: App, jane: Customer) -> None:
    team = site.make_tier(atlas, slug="team", name="Team")
    joe = site.make_customer(atlas, email="joe@example.com", name=None)
    sell(site, jane, (400, team.id), (5, team.id))
    sell(site, joe, (20, None))

    page.goto("/apps/atlas")
    expect(chart(page)).to_be_visible()

    with requests(page) as sent:
        page.reload()
        expect(chart(page)).to_have_accessible_name(
            re.compile(r"^Active licenses: 0 on .+, 3 now, 1 on .+ if nobody renews$")
        )
        page.wait_for_load_state("networkidle")

    assert [request.operation for request in sent] == ["Overview"]
    expect(page).to_have_title("Atlas · Licensegraph")
    totals = page.get_by_role("region", name="Active licenses")
    expect(totals.get_by_role("definition")).to_have_text(["3", "1", "2", "0", "0", "3"])
    month = page.get_by_role("region", name="This month").get_by_role("row")
    expect(month.filter(has_text="Issued").get_by_role("cell")).to_have_text(["3", "0"])
    expect(month.filter(has_text="Customers added").get_by_role("cell")).to_have_text(["0", "0"])
    following = page.get_by_role("region", name="Expires next").get_by_role("listitem")
    expect(following).to_have_text(
        [
            re.compile("^Jane DoeTeam, expires in [45] days"),
            re.compile("^joe@example.comNo tier, expires in (19|20) days"),
            re.compile("^Jane DoeTeam, expires in 13 months"),
        ]
    )
    tiers = page.get_by_role("region", name="Tiers").get_by_role("listitem")
    expect(tiers).to_have_text(["Team2", "No tier1"])

    following.first.get_by_role("button", name="Renew license of Jane Doe").click()
    dialog = page.get_by_role("dialog", name="Renew license")
    dialog.get_by_role("button", name="Renew license").click()
    expect(dialog).to_have_count(0)
    expect(following.get_by_text("expires in")).to_have_text(
        [re.compile("^No tier.*days"), re.compile("^Team.* 12 months"), re.compile("^Team.* 13 months")]
    )
    expect(totals.get_by_role("definition")).to_have_text(["3", "0", "1", "0", "0", "3"])

    following.first.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("joe@example.com")


@one_database
def test_the_time_and_the_tier_are_in_the_address(page: Page, site: Site, atlas: App, jane: Customer) -> None:
    team = site.make_tier(atlas, slug="team", name="Team")
    sell(site, jane, (10, team.id), (400, None))
    page.goto("/apps/atlas")
    expect(chart(page)).to_have_accessible_name(re.compile("2 now, 1 on"))
    page.get_by_text("Show numbers").click()
    weeks = numbers(page).count()

    with requests(page) as sent:
        page.get_by_text("30 days", exact=True).click()
        expect(numbers(page)).to_have_count(61)
        page.get_by_label("Tier", exact=True).select_option("Team")
        expect(chart(page)).to_have_accessible_name(re.compile("1 now, 0 on"))
    assert [(request.variables["every"], request.variables["tierSlug"]) for request in sent] == [
        ("DAY", None),
        ("DAY", "team"),
    ]
    assert 64 <= weeks <= 70

    expect(page).to_have_url(f"{site.url}/apps/atlas?range=30d&tier=team")
    page.reload()
    expect(page.get_by_role("radio", name="30 days")).to_be_checked()
    expect(page.get_by_label("Tier", exact=True)).to_have_value("team")
    expect(chart(page)).to_have_accessible_name(re.compile("1 now, 0 on"))
    page.get_by_label("Tier", exact=True).select_option("All tiers")
    page.get_by_text("All", exact=True).click()
    expect(page).to_have_url(f"{site.url}/apps/atlas?range=all")
    # All: the month before the first license, this month, and a year ahead.
    expect(chart(page)).to_have_accessible_name(re.compile("0 on .*, 2 now, 1 on"))


@one_database
def test_the_part_before_the_history_is_marked(page: Page, site: Site, jane: Customer) -> None:
    since = today() - timedelta(days=10)

    def earlier(data: Any) -> None:
        data["viewer"]["historySince"] = f"{since}T00:00:00Z"
        for each in data["app"]["curve"]:
            each["active"] = 7

    with rewritten(page, earlier):
        page.goto("/apps/atlas?range=30d")
        expect(chart(page).get_by_text("Reconstructed")).to_be_visible()

    expect(page.get_by_text("the curve is reconstructed from the licenses that existed then")).to_be_visible()
    page.get_by_text("Show numbers").click()
    expect(numbers(page).filter(has_text="reconstructed")).to_have_count(20)
    expect(numbers(page).filter(has_text="expected")).to_have_count(30)


@one_database
def test_no_data_and_a_single_day_of_data_are_shown(page: Page, site: Site, jane: Customer) -> None:
    for name in ("30d", "12m", "all"):
        page.goto(f"/apps/atlas?range={name}")
        expect(page.get_by_role("heading", name="No active licenses in this time")).to_be_visible()
        expect(page.get_by_text("No active license expires.")).to_be_visible()

    sell(site, jane, (1, None))
    for name in ("30d", "12m", "all"):
        page.goto(f"/apps/atlas?range={name}")
        expect(chart(page)).to_have_accessible_name(re.compile("1 now, 0 on"))
        assert "NaN" not in chart(page).inner_html()


@one_database
def test_the_numbers_are_shown_if_the_chart_cannot_be_loaded(
    page: Page, site: Site, jane: Customer, watch: Watch
) -> None:
    watch.expect("net::ERR_FAILED")
    sell(site, jane, (30, None))
    page.route("**/assets/CurveChart-*", lambda route: route.abort())

    page.goto("/apps/atlas?range=30d")

    expect(page.get_by_text("The chart could not be loaded. The table has its numbers.")).to_be_visible()
    page.get_by_text("Show numbers").click()
    expect(numbers(page)).to_have_count(61)


@one_database
@pytest.mark.parametrize("screen", [PHONE], ids=str)
def test_the_numbers_are_reached_by_keyboard_and_fit_the_screen(
    page: Page, site: Site, jane: Customer
) -> None:
    sell(site, jane, (30, None))
    page.goto("/apps/atlas?range=30d")
    expect(chart(page)).to_be_visible()
    page.get_by_label("Tier", exact=True).focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("region", name="Numbers of the curve")).to_be_focused()
    expect(numbers(page).first.get_by_role("columnheader").first).to_have_text("Days (UTC)")
    assert page.evaluate("document.documentElement.scrollWidth <= screen.width")

    box = chart(page).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + 80)
    expect(chart(page).get_by_text(re.compile(r"\d{4}: [01]$"))).to_be_visible()


@one_database
def test_the_keyboard_switches_to_the_same_view_of_another_app(
    page: Page, site: Site, atlas: App, jane: Customer
) -> None:
    for slug in ("globe", "map-room"):
        site.make_app(slug, name=slug.title())
    page.goto("/apps/atlas/settings")
    switch = page.get_by_role("button", name="Atlas: switch app")
    found = page.get_by_role("list", name="Apps").get_by_role("link")

    switch.focus()
    page.keyboard.press("Enter")
    expect(found).to_have_text(["Atlasatlas", "Globeglobe", "Map-Roommap-room"])
    expect(page.get_by_label("Filter apps")).to_be_focused()
    page.keyboard.press("Escape")
    expect(switch).to_be_focused()
    expect(found).to_have_count(0)

    page.keyboard.press("Enter")
    page.keyboard.type("nothing")
    expect(page.get_by_text("No app matches.")).to_be_visible()
    page.get_by_label("Filter apps").fill("GLO")
    expect(found).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.url}/apps/globe/settings")
    expect(page.get_by_role("heading", level=1)).to_have_text("Globeglobe")
    expect(found).to_have_count(0)

    # A customer belongs to one app, so this leads to the other app's customers.
    page.goto(f"/apps/atlas/customers/{jane.id}")
    page.get_by_role("button", name="Switch app").click()
    expect(found).to_have_count(3)
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    expect(page).to_have_url(f"{site.url}/apps/map-room/customers")
    expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()
