"""Every name is shown as plain text, and no name breaks the layout of a view."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.factories import App, Customer
from tests.web.chromium import DESKTOP, PHONE
from tests.web.conftest import one_database
from tests.web.site import Site

MARKUP = "</script><script>throw 1</script><img src=x onerror='throw 2'><b>&amp;{{7*7}}"
LONG = "W" * 255
TEXTS = {
    "markup": MARKUP,
    "right to left": "שלום עולם 123 مرحبا",
    "bidi controls": "invoice\u202egnp.exe\u2066\u2067 and more",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈👨🏽‍🚀 family",
    "combining marks": "Z" + "\u0335\u0321\u0313\u034e" * 40 + "algo",
    "long": LONG,
    "wide": "漢字" * 120,
    "lines": "one\ntwo\n\n\nthree",
}

pytestmark = [one_database, pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=str)]


@pytest.fixture
def app(site: Site) -> App:
    return site.make_app(
        "a" * 63, name=LONG, description=f"{MARKUP} {LONG}", webhook_url=f"https://{LONG}.example"
    )


@pytest.fixture
def customers(site: Site, app: App) -> list[Customer]:
    """A customer for each text.

    The text is used for the name, the external id, the email and the metadata.
    """
    return [
        site.make_customer(
            app,
            name=text,
            external_id=text,
            email=f"{text[:242]}@example.com",
            metadata={text[:64]: {text: [text]}},
        )
        for text in TEXTS.values()
    ]


def expect_layout(page: Page) -> None:
    """Check that neither the page nor a dialog scrolls sideways, and that no text became an HTML element."""
    assert (
        page.evaluate(
            """() => [...document.querySelectorAll("html, dialog[open]")]
             .filter((element) => element.scrollWidth > element.clientWidth)
             .map((element) => `${element.tagName}: ${element.scrollWidth} > ${element.clientWidth}`)"""
        )
        == []
    )
    assert page.locator("main img, main script, main b").count() == 0


def boxes(cells: Locator) -> list[dict[str, float]]:
    found: list[dict[str, float]] = cells.evaluate_all(
        "cells => cells.map((cell) => cell.getBoundingClientRect().toJSON()).filter((box) => box.width > 0)"
    )
    return found


def test_rows_have_the_same_height_and_cells_do_not_overlap(
    page: Page, app: App, customers: list[Customer]
) -> None:
    page.goto(f"/apps/{app.slug}/customers")
    rows = page.get_by_role("row").filter(has=page.get_by_role("cell"))
    expect(rows).to_have_count(len(TEXTS))

    expect_layout(page)
    expect(page.get_by_role("link", name=MARKUP, exact=True)).to_be_visible()
    assert len({box["height"] for box in boxes(rows)}) == 1
    for row in rows.all():
        cells = boxes(row.get_by_role("cell"))
        around = boxes(row)[0]
        for number, one in enumerate(cells):
            assert around["left"] <= one["left"] <= one["right"] <= around["right"]
            for other in cells[number + 1 :]:
                assert (
                    one["right"] <= other["left"] + 0.5
                    or one["bottom"] <= other["top"] + 0.5
                    or other["right"] <= one["left"] + 0.5
                    or other["bottom"] <= one["top"] + 0.5
                ), (row.inner_text(), one, other)


def test_a_customer_of_any_name_fits(page: Page, site: Site, app: App, customers: list[Customer]) -> None:
    tier = site.make_tier(app, slug="t" * 63, name=LONG)
    for text, customer in zip(TEXTS.values(), customers, strict=True):
        site.make_license(customer, tier=tier, metadata={text[:64]: text}, own_features=["f" * 63, "g"])
        site.make_license(customer, revoked_at=customer.created_at, revoked_reason=text)
        page.goto(f"/apps/{app.slug}/customers/{customer.id}")
        expect(page.get_by_role("heading", level=1)).to_have_text(text)
        expect_layout(page)

        expect(page.get_by_role("listitem", name="Revoked license")).to_contain_text(text)
        page.get_by_role("button", name="Delete", exact=True).click()
        expect_layout(page)
        page.keyboard.press("Escape")

    page.get_by_role("button", name="Edit metadata").click()
    expect_layout(page)
    for opener in ("Edit", "Issue license"):
        page.get_by_role("button", name=opener, exact=True).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        expect_layout(page)
        page.keyboard.press("Escape")
    active = page.get_by_role("listitem", name="Active license")
    for item in ("Show details", "Revoke with a reason…", "Delete…"):
        active.get_by_role("button", name="More actions").click()
        expect_layout(page)
        page.get_by_role("menuitem", name=item).click()
        expect_layout(page)
        page.keyboard.press("Escape")


def test_the_message_about_a_deleted_customer_has_its_name(
    page: Page, app: App, customers: list[Customer]
) -> None:
    for customer in customers[0], customers[5]:
        page.goto(f"/apps/{app.slug}/customers/{customer.id}")
        page.get_by_role("button", name="Delete", exact=True).click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_label("Type the customer's email to confirm").fill(customer.email)
        dialog.get_by_role("button", name="Delete customer").click()

        expect(page.get_by_text(f"{customer.email} was deleted, with 0 licenses.")).to_be_visible()
        expect_layout(page)


def test_apps_tiers_and_features_of_any_name_fit(page: Page, site: Site, app: App) -> None:
    for number, text in enumerate(TEXTS.values()):
        site.make_app(f"app-{number}", name=text, description=text)
        feature = site.make_feature(app, slug=f"f_{number}", name=text, description=text)
        site.make_tier(app, slug=f"t_{number}", name=text, features=[feature])

    page.goto("/")
    for text in TEXTS.values():
        expect(page.get_by_role("heading", name=text).first).to_be_visible()
    expect_layout(page)

    page.goto(f"/apps/{app.slug}/settings")
    expect(page.get_by_role("region", name="Features").get_by_text(MARKUP).first).to_be_visible()
    expect_layout(page)
    for opener in ("Add tier", f"Edit feature {LONG}", "Delete app…"):
        page.get_by_role("button", name=opener).click()
        expect(page.get_by_role("dialog")).to_be_visible()
        expect_layout(page)
        page.keyboard.press("Escape")
