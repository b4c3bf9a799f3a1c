"""Find anything: the search across apps, which opens what the text names."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import jwt
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.factories import Customer, License
from tests.web.accessibility import axe
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site
from tests.web.traffic import requests

PLACE = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
LONG_AGO = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)

pytestmark = one_database


@pytest.fixture
def lena(site: Site) -> Customer:
    """A customer among others, in the second of two apps."""
    site.make_customers(site.make_app("globe", name="Globe"), 100)
    atlas = site.make_app("atlas", name="Atlas")
    site.make_customers(atlas, 100)
    return site.make_customer(atlas, email="lena@orbit.example", name="Lena Ortiz", external_id="crm-8841")


@pytest.fixture
def license(site: Site, lena: Customer) -> License:
    """The oldest of Lena's 52 licenses, so that it is on their second page."""
    oldest = site.make_license(lena, installation_id=PLACE, created_at=LONG_AGO)
    for days in range(1, 52):
        site.make_license(lena, revoked_at=LONG_AGO, created_at=LONG_AGO + timedelta(days=days))
    return oldest


def box(page: Page) -> Locator:
    return page.get_by_role("dialog", name="Find anything").get_by_role("combobox")


def options(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Results").get_by_role("option")


def find(page: Page, text: str) -> None:
    """Paste a text into the search and open the best result, with nothing but the keyboard."""
    ask(page, text)
    page.keyboard.press("Enter")


def ask(page: Page, text: str) -> None:
    """Open the search with the keyboard, and paste a text into it."""
    expect(page.get_by_role("button", name="Find anything")).to_be_visible()
    page.keyboard.press("Control+k")
    expect(box(page)).to_be_focused()
    page.keyboard.insert_text(text)


def test_a_customer_is_found_by_anything_that_a_customer_may_send_in_one_step(
    page: Page, site: Site, lena: Customer, license: License
) -> None:
    token = jwt.encode({"lic_id": license.id, "jti": license.jti}, "any secret" * 4)
    sent: Mapping[str, tuple[str, bool]] = {
        "email": ("LENA@orbit.example ", False),
        "name": ("lena ortiz", False),
        "external id": ("crm-8841", False),
        "customer id": (lena.id, False),
        "license id": (license.id, True),
        "installation id": (f"{{{PLACE.upper()}}}", True),
        "jti": (license.jti, True),
        "token": (f"Bearer {token[:40]}\n{token[40:]}", True),
        "name and email": ("Lena Ortiz <lena@orbit.example>", False),
    }
    places = (
        "/",
        "/apps/globe/customers",
        "/apps/globe/settings",
        "/keys",
        f"/apps/atlas/customers/{lena.id}",
    )
    for number, (what, (text, names_license)) in enumerate(sent.items()):
        if number < len(places):
            page.goto(places[number])  # and later from the page that the last search has opened

        find(page, text)

        address = f"{site.url}/apps/atlas/customers/{lena.id}{f'#{license.id}' if names_license else ''}"
        expect(page, what).to_have_url(address)
        expect(page.get_by_role("heading", name="Lena Ortiz"), what).to_be_visible()
        expect(page.get_by_role("dialog"), what).to_have_count(0)
        if names_license:
            row = page.get_by_role("listitem", name=f"Active license for {PLACE}")
            expect(row, what).to_be_focused()
            expect(row, what).to_be_in_viewport()


def test_the_keyboard_chooses_among_results(page: Page, site: Site) -> None:
    for slug, email, name in (("atlas", "ana@b.example", "Ana"), ("globe", "bea@b.example", "Bea")):
        site.make_customer(site.make_app(slug, name=slug.title()), email=email, name=name)
    page.goto("/")
    page.get_by_role("button", name="Find anything").click()
    expect(box(page)).to_have_attribute("aria-expanded", "false")

    page.keyboard.type("b.example")

    expect(options(page)).to_contain_text(["Ana", "Bea"])
    expect(page.get_by_role("dialog").get_by_role("status")).to_have_text("2 results")
    expect(box(page)).to_have_attribute("aria-expanded", "true")
    for key, chosen in (("ArrowDown", 1), ("ArrowDown", 0), ("ArrowUp", 1)):
        page.keyboard.press(key)
        expect(options(page).nth(chosen)).to_have_attribute("aria-selected", "true")
        expect(options(page).nth(1 - chosen)).to_have_attribute("aria-selected", "false")
        id = options(page).nth(chosen).get_attribute("id") or ""
        expect(box(page)).to_have_attribute("aria-activedescendant", id)
    axe(page)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Bea")).to_be_visible()
    expect(page.get_by_role("main")).to_be_focused()


def test_a_click_opens_a_result_and_escape_closes_the_search(page: Page, lena: Customer) -> None:
    page.goto("/keys")
    button = page.get_by_role("button", name="Find anything")
    button.click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()

    ask(page, "crm-8841")
    options(page).click()
    expect(page.get_by_role("heading", name="Lena Ortiz")).to_be_visible()


def test_nothing_is_found_and_nothing_is_asked_without_a_text(page: Page, lena: Customer) -> None:
    page.goto("/")
    with requests(page) as sent:
        find(page, "  ")
        expect(page.get_by_role("dialog").get_by_role("status")).to_have_text("")
        page.keyboard.insert_text("nobody@nowhere.example")
        page.keyboard.press("Enter")
        expect(page.get_by_role("dialog").get_by_role("status")).to_have_text("Nothing was found.")
    assert [each.operation for each in sent if each.operation == "Search"] == ["Search"]


def test_a_key_that_cannot_see_customers_is_not_offered_a_search(open_page: OpenPage, site: Site) -> None:
    site.make_app("atlas", name="Atlas")
    page = open_page(key=site.make_key(kind="restricted", scopes=["read"]))
    page.goto("/")

    expect(page.get_by_role("link", name="Atlas")).to_be_visible()
    expect(page.get_by_role("button", name="Find anything")).to_have_count(0)
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog")).to_have_count(0)
