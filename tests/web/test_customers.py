"""An app's customers: the table, searching, sorting, paging, the keyboard, and creating customers."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from playwright.sync_api import Locator, Page, expect

from tests.web.conftest import one_database
from tests.web.site import Site

SUMMER = datetime(2026, 7, 1, 12, tzinfo=UTC)


def table(page: Page) -> Locator:
    return page.get_by_role("table", name="Customers")


def names(page: Page) -> Locator:
    """Return the links in all rendered rows of the table."""
    return table(page).get_by_role("cell").get_by_role("link")


def expect_total(page: Page, said: str) -> None:
    expect(page.get_by_role("main").get_by_role("status").filter(has_text="customer")).to_have_text(said)


def make_people(site: Site, people: Sequence[str]) -> None:
    """Create an app "atlas" with these customers, newest first, each a day older than the one before."""
    app = site.make_app("atlas", name="Atlas")
    for days, name in enumerate(people):
        email = f"{name.split()[0].lower()}@example.com"
        site.make_customer(
            app,
            name=name,
            email=email,
            external_id=f"crm-{days}",
            created_at=SUMMER - timedelta(days=days),
        )


def test_a_row_shows_the_customer_and_the_number_of_active_licenses(page: Page, site: Site) -> None:
    app = site.make_app("atlas", name="Atlas")
    jane = site.make_customer(
        app, name="Jane Roe", email="jane@example.com", external_id="crm-7", created_at=SUMMER
    )
    for revoked_at in (None, None, SUMMER):
        site.make_license(jane, revoked_at=revoked_at)
    site.make_customer(app, email="nobody@example.com", created_at=SUMMER - timedelta(days=1))

    page.goto("/apps/atlas/customers")

    expect_total(page, "2 customers")
    rows = table(page).get_by_role("row").filter(has=page.get_by_role("cell"))
    said = [[cell.inner_text() for cell in row.get_by_role("cell").all()] for row in rows.all()]
    assert said == [
        ["JR\nJane Roe\njane@example.com", "crm-7", "2 active of 3", "Jul 1, 2026"],
        ["N\nnobody@example.com", "–", "None", "Jun 30, 2026"],
    ]


def test_searching_finds_emails_and_names_and_changes_the_address(page: Page, site: Site) -> None:
    make_people(site, ["Jane Roe", "Joe Bloggs", "Jördis Ähre"])
    page.goto("/apps/atlas/customers")
    expect(names(page)).to_have_text(["Jane Roe", "Joe Bloggs", "Jördis Ähre"])
    search = page.get_by_role("textbox", name="Search by email or name")

    search.fill("jÖrdis")
    expect(names(page)).to_have_text(["Jördis Ähre"])
    expect_total(page, "1 matching customer")
    expect(page).to_have_url(f"{site.url}/apps/atlas/customers?search=j%C3%96rdis")
    search.fill("JOE@")
    expect(names(page)).to_have_text(["Joe Bloggs"])

    search.fill("nobody like this")
    expect(page.get_by_role("heading", name="No matching customers")).to_be_visible()
    expect_total(page, "0 matching customers")
    page.get_by_role("button", name="Clear search", exact=True).last.click()
    expect(names(page)).to_have_count(3)
    expect(search).to_have_value("")
    expect(page).to_have_url(f"{site.url}/apps/atlas/customers")


@one_database
def test_whitespace_around_a_search_does_not_count(page: Page, site: Site) -> None:
    make_people(site, ["Jane Roe", "Joe Bloggs"])
    page.goto("/apps/atlas/customers")
    search = page.get_by_role("textbox", name="Search by email or name")

    search.fill(" jane@example.com\t")
    expect(names(page)).to_have_text(["Jane Roe"])
    expect_total(page, "1 matching customer")
    expect(search).to_have_value(" jane@example.com\t")

    search.fill("  ")
    expect(names(page)).to_have_text(["Jane Roe", "Joe Bloggs"])
    expect_total(page, "2 customers")


@one_database
def test_a_new_customer_has_the_email_that_was_typed(page: Page, site: Site) -> None:
    """The field is not of the type "email", because Chrome would then turn the domain into Punycode."""
    site.make_app("atlas", name="Atlas")
    page.goto("/apps/atlas/customers")

    page.get_by_role("button", name="New customer").first.click()
    form = page.get_by_role("dialog", name="New customer")
    expect(form.get_by_label("Email")).to_have_attribute("inputmode", "email")
    form.get_by_label("Email").fill("a@bücher.example")
    form.get_by_role("button", name="Create customer").click()

    expect(page.get_by_role("heading", name="a@bücher.example")).to_be_visible()
    found = site.graph('{ app(slug: "atlas") { customers { nodes { email } } } }')
    assert found["app"]["customers"]["nodes"] == [{"email": "a@bücher.example"}]


@one_database
def test_many_matches_are_only_counted_up_to_a_bound(page: Page, site: Site) -> None:
    site.make_customers(site.make_app("atlas", name="Atlas"), 1_020)
    page.goto("/apps/atlas/customers")
    expect_total(page, "1,020 customers")
    expect(table(page)).to_have_attribute("aria-rowcount", "1021")

    page.get_by_role("textbox", name="Search by email or name").fill("@")

    expect_total(page, "1,000+ matching customers")
    expect(table(page)).to_have_attribute("aria-rowcount", "-1")


def test_customers_are_filtered_by_external_id_and_by_the_days_they_were_added(
    page: Page, site: Site
) -> None:
    make_people(site, ["Jane Roe", "Joe Bloggs", "Ann Other", "Max Power"])
    page.goto("/apps/atlas/customers")
    page.get_by_role("button", name="Filters").click()

    page.get_by_label("Added from").fill("2026-06-29")
    page.get_by_label("Added to").fill("2026-06-30")
    expect(names(page)).to_have_text(["Joe Bloggs", "Ann Other"])
    expect(page.get_by_role("button", name="Filters (2)")).to_be_visible()
    page.get_by_label("External ID").fill("crm-2")
    expect(names(page)).to_have_text(["Ann Other"])
    expect_total(page, "1 matching customer")

    page.reload()
    expect(names(page)).to_have_text(["Ann Other"])
    expect(page.get_by_label("Added to")).to_have_value("2026-06-30")
    page.get_by_role("button", name="Clear filters").click()
    expect(names(page)).to_have_count(4)
    expect(page.get_by_label("External ID")).to_have_value("")


def test_customers_are_ordered_by_column_headers_or_the_select_box(page: Page, site: Site) -> None:
    make_people(site, ["Jane Roe", "Zoe Bloggs", "Ann Other"])
    page.goto("/apps/atlas/customers")
    expect(names(page)).to_have_text(["Jane Roe", "Zoe Bloggs", "Ann Other"])
    head = table(page).get_by_role("columnheader")
    expect(head.filter(has_text="Added")).to_have_attribute("aria-sort", "descending")

    head.get_by_role("button", name="Name").click()
    expect(names(page)).to_have_text(["Ann Other", "Jane Roe", "Zoe Bloggs"])
    expect(head.filter(has_text="Name")).to_have_attribute("aria-sort", "ascending")
    expect(page.get_by_label("Order")).to_have_value("name")
    head.get_by_role("button", name="Name").click()
    expect(names(page)).to_have_text(["Zoe Bloggs", "Jane Roe", "Ann Other"])

    page.get_by_label("Order").select_option("Oldest first")
    expect(names(page)).to_have_text(["Ann Other", "Zoe Bloggs", "Jane Roe"])
    expect(head.filter(has_text="Added")).to_have_attribute("aria-sort", "ascending")
    expect(page).to_have_url(f"{site.url}/apps/atlas/customers?order=created_at")


def test_the_keyboard_is_enough_to_find_and_open_customers(page: Page, site: Site) -> None:
    site.make_customers(site.make_app("atlas", name="Atlas"), 80)
    page.goto("/apps/atlas/customers")
    emails = [
        node["email"]
        for node in site.graph('{ app(slug: "atlas") { customers(first: 80) { nodes { email } } } }')["app"][
            "customers"
        ]["nodes"]
    ]
    expect(names(page).first).to_be_visible()

    page.keyboard.press("/")
    search = page.get_by_role("textbox", name="Search by email or name")
    expect(search).to_be_focused()
    page.keyboard.type("a/b")
    expect(search).to_have_value("a/b")
    page.keyboard.press("Escape")
    expect(search).to_have_value("")
    expect_total(page, "80 customers")

    def expect_row(index: int) -> None:
        row = table(page).get_by_role("row").filter(has=page.locator(":focus"))
        expect(row).to_contain_text(emails[index])
        expect(row).to_be_in_viewport(ratio=0.9)

    page.keyboard.press("ArrowDown")
    expect_row(0)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect_row(2)
    page.keyboard.press("ArrowUp")
    expect_row(1)
    for _ in range(12):
        page.keyboard.press("PageDown")
        page.wait_for_timeout(100)
    expect_row(79)
    page.keyboard.press("Home")
    expect_row(0)
    page.keyboard.press("Enter")
    expect(page.get_by_role("main").get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("main")).to_contain_text(emails[0])
    page.go_back()
    expect_row(0)


def test_a_customer_is_added_and_the_addition_undone(page: Page, site: Site) -> None:
    site.make_app("atlas", name="Atlas")
    page.goto("/")
    page.get_by_role("link", name="Atlas").click()
    page.get_by_role("link", name="Customers").click()
    expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()
    page.get_by_role("button", name="New customer").click()
    form = page.get_by_role("dialog", name="New customer")
    expect(form.get_by_label("Email")).to_be_focused()

    page.keyboard.type("jane@example.com")
    form.get_by_label("Name").fill("Jane Roe")
    form.get_by_label("External ID").fill("crm-7")
    form.get_by_role("button", name="Add metadata").click()
    form.get_by_label("Metadata").fill('{"seats": 3}')
    form.get_by_role("button", name="Create customer").click()

    expect(page.get_by_role("heading", name="Jane Roe")).to_be_visible()
    assert site.graph('{ app(slug: "atlas") { customers { nodes { email name externalId metadata } } } }')[
        "app"
    ]["customers"]["nodes"] == [
        {"email": "jane@example.com", "name": "Jane Roe", "externalId": "crm-7", "metadata": {"seats": 3}}
    ]
    toast = page.get_by_role("status").filter(has_text="jane@example.com was added.")
    page.get_by_role("link", name="Atlas").click()
    expect(names(page)).to_have_text(["Jane Roe"])
    expect_total(page, "1 customer")

    toast.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("jane@example.com was removed.")).to_be_visible()
    expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()
    assert site.graph('{ app(slug: "atlas") { customers { totalCount } } }')["app"]["customers"] == {
        "totalCount": 0
    }


@one_database
def test_undoing_an_addition_on_the_page_of_the_customer_leads_to_the_list(page: Page, site: Site) -> None:
    site.make_app("atlas", name="Atlas")
    page.goto("/apps/atlas/customers")
    page.get_by_role("button", name="New customer").click()
    page.get_by_role("textbox", name="Email", exact=True).fill("jane@example.com")
    page.get_by_role("button", name="Create customer").click()
    expect(page.get_by_role("heading", name="jane@example.com")).to_be_visible()

    page.get_by_role("button", name="Undo").click()

    expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()


def test_errors_of_a_customer_are_shown_at_its_fields(page: Page, site: Site) -> None:
    app = site.make_app("atlas", name="Atlas")
    site.make_customer(app, email="taken@example.com", external_id="crm-7")
    page.goto("/apps/atlas/customers")
    page.get_by_role("button", name="New customer").click()
    form = page.get_by_role("dialog", name="New customer")
    email, name, external = (form.get_by_label(label) for label in ("Email", "Name", "External ID"))
    create = form.get_by_role("button", name="Create customer")

    create.click()
    expect(email).to_have_accessible_description("Email can't be blank.")
    expect(email).to_be_focused()
    email.fill("nobody")
    name.fill("x" * 256)
    create.click()
    expect(email).to_have_accessible_description("Email is not a valid address.")
    expect(name).to_have_accessible_description("Name is too long (maximum is 255 characters).")
    email.fill("TAKEN@example.com")
    expect(email).to_have_accessible_description("")
    name.fill("Someone")
    create.click()
    expect(email).to_have_accessible_description("Email has already been taken.")
    email.fill("new@example.com")
    external.fill("crm-7")
    form.get_by_role("button", name="Add metadata").click()
    form.get_by_label("Metadata").fill('{"seats": }')
    create.click()
    expect(form.get_by_label("Metadata")).to_have_accessible_description(
        re.compile("^This is not valid JSON")
    )
    expect(form.get_by_label("Metadata")).to_be_focused()
    form.get_by_label("Metadata").fill('{"seats": 3}')
    create.click()
    expect(external).to_have_accessible_description(re.compile("External ID has already been taken.$"))
    expect(name).to_have_value("Someone")
    external.fill("crm-8")
    create.click()
    expect(page.get_by_role("heading", name="Someone")).to_be_visible()
