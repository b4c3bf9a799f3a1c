"""The apps of an account: the list of apps with their counts, and creating an app."""

import re

from playwright.sync_api import Page, expect

from tests.web.site import Site


def card(page: Page, name: str) -> list[str]:
    """Return the lines of text on an app's card."""
    app = page.get_by_role("main").get_by_role("listitem").filter(has=page.get_by_role("heading", name=name))
    return [line for line in app.inner_text().splitlines() if line.strip()]


def test_apps_are_ordered_by_name_and_show_their_counts(page: Page, site: Site) -> None:
    zephyr = site.make_app("zephyr", name="Zephyr", description="Forecasts")
    site.make_app("atlas", name="atlas")
    site.make_customers(zephyr, 1_200)
    customer = site.make_customer(zephyr)
    for revoked_at in (None, None, customer.created_at):
        site.make_license(customer, revoked_at=revoked_at)

    page.goto("/")

    expect(page.get_by_role("main").get_by_role("heading", level=2)).to_have_text(["atlas", "Zephyr"])
    expect(page.get_by_text("2 apps")).to_be_visible()
    added = zephyr.created_at.strftime("%b %-d, %Y")
    assert card(page, "Zephyr") == [
        *("Zephyr", "zephyr", "Forecasts"),
        *("Customers", "1,201", "Licenses", "3", "Active", "2", f"Created {added}"),
    ]
    page.get_by_role("link", name="Zephyr").click()
    expect(page.get_by_role("heading", name="Zephyr")).to_be_visible()
    page.get_by_role("link", name="Customers").click()
    expect(page.get_by_role("status").filter(has_text="1,201 customers")).to_be_visible()


def test_a_new_app_has_a_slug_made_from_its_name(page: Page, site: Site) -> None:
    page.goto("/")
    expect(page.get_by_role("heading", name="No apps yet")).to_be_visible()
    page.get_by_role("button", name="New app").click()
    form = page.get_by_role("dialog", name="New app")
    expect(form.get_by_label("Name")).to_be_focused()

    page.keyboard.type("Ätlas — Maps & More!")
    expect(form.get_by_label("Slug")).to_have_value("atlas-maps-more")
    form.get_by_label("Description").fill("Maps of everywhere")
    form.get_by_label("Webhook URL").fill("https://example.com/hook")
    form.get_by_label("EdDSA").check()
    page.get_by_label("Name").press("Enter")

    expect(page.get_by_role("heading", name="No active licenses in this time")).to_be_visible()
    expect(page).to_have_url(f"{site.url}/apps/atlas-maps-more")
    expect(form).to_have_count(0)
    assert site.graph("{ apps { nodes { name slug description webhookUrl signingAlgorithm } } }") == {
        "apps": {
            "nodes": [
                {
                    "name": "Ätlas — Maps & More!",
                    "slug": "atlas-maps-more",
                    "description": "Maps of everywhere",
                    "webhookUrl": "https://example.com/hook",
                    "signingAlgorithm": "EDDSA",
                }
            ]
        }
    }
    page.get_by_role("link", name="Apps", exact=True).click()
    assert card(page, "Ätlas")[1:5] == ["atlas-maps-more", "Maps of everywhere", "Customers", "0"]


def test_errors_of_an_app_are_shown_at_its_fields(page: Page, site: Site) -> None:
    site.make_app("atlas", name="Atlas")
    page.goto("/")
    page.get_by_role("button", name="New app").click()
    form = page.get_by_role("dialog", name="New app")
    name, slug, webhook = (form.get_by_label(label) for label in ("Name", "Slug", "Webhook URL"))
    form.get_by_role("button", name="Create app").click()

    expect(name).to_have_accessible_description("Name can't be blank.")
    expect(name).to_be_focused()

    name.fill("Other")
    slug.fill("atlas")
    webhook.fill("example")
    form.get_by_role("button", name="Create app").click()
    expect(webhook).to_have_accessible_description("Webhook URL must be an absolute URL.")
    webhook.fill("")
    form.get_by_role("button", name="Create app").click()
    expect(slug).to_have_accessible_description(re.compile("Slug has already been taken.$"))
    expect(slug).to_be_focused()
    expect(name).to_have_value("Other")

    form.get_by_role("button", name="Cancel").click()
    expect(form).to_have_count(0)
    expect(page.get_by_role("button", name="New app")).to_be_focused()
    assert site.graph("{ apps { totalCount } }") == {"apps": {"totalCount": 1}}


def test_more_apps_than_a_page_are_shown_on_demand(page: Page, site: Site) -> None:
    for number in range(1, 53):
        site.make_app(f"app-{number:02}", name=f"App {number:02}")
    page.goto("/")
    headings = page.get_by_role("main").get_by_role("heading", level=2)
    expect(headings).to_have_count(50)
    expect(page.get_by_text("52 apps")).to_be_visible()

    page.get_by_role("button", name="Show more apps").click()

    expect(headings).to_have_text([f"App {number:02}" for number in range(1, 53)])
    expect(page.get_by_role("button", name="Show more apps")).to_have_count(0)
