"""Signing in and out, and what each kind of key may see and do."""

import re

from playwright.sync_api import Page, expect

from tests.web.conftest import OpenPage, one_database
from tests.web.site import Installation, Site
from tests.web.watch import Watch

KEPT = "() => ({local: Object.keys(localStorage), session: Object.values(sessionStorage)})"

SHOWS = re.compile("^(.*[Ss]witch app|Filters|Clear filters|Name|Email|Added|Copy .*|More actions)$")
"""Names of buttons that change only what is shown. They change no stored data."""


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Sign out").click()


def test_a_key_opens_the_requested_view_and_is_forgotten_on_sign_out(open_page: OpenPage, site: Site) -> None:
    site.make_customer(site.make_app("atlas"), name="Jane Roe")
    page = open_page()
    page.goto("/apps/atlas/customers?search=jane")
    expect(page.get_by_role("heading", name="Sign in to Licensegraph")).to_be_visible()
    expect(page).to_have_title("Sign in · Licensegraph")
    expect(page.get_by_label("Key", exact=True)).to_be_focused()

    page.keyboard.type(f" {site.key} ")
    page.keyboard.press("Enter")

    expect(page.get_by_role("link", name="Jane Roe")).to_be_visible()
    expect(page.get_by_role("banner")).to_contain_text(f"{site.account.name}Secret key")
    kept = page.evaluate(KEPT)
    assert kept["local"] == []
    assert site.key in kept["session"]

    page.reload()
    expect(page.get_by_role("link", name="Jane Roe")).to_be_visible()

    sign_out(page)
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    assert page.evaluate(KEPT) == {"local": [], "session": []}
    page.reload()
    expect(page.get_by_role("heading", name="Sign in to Licensegraph")).to_be_visible()


def test_an_unknown_key_is_refused_at_its_field(open_page: OpenPage, watch: Watch) -> None:
    watch.expect("status of 401")
    page = open_page()
    page.goto("/")
    page.get_by_role("button", name="Sign in").click()
    field = page.get_by_label("Key", exact=True)
    expect(field).to_have_accessible_description("Enter a key.")

    for key in ("sk_live_…4f2a", "sk_live_" + "0" * 32):
        field.fill("")
        sign_in(page, key)
        expect(field).to_have_accessible_description("This key is wrong, revoked or expired.")
        expect(field).to_have_value(key)
    assert page.evaluate(KEPT) == {"local": [], "session": []}


def test_a_key_for_registered_documents_is_refused_with_the_reason(
    open_page: OpenPage, site: Site, watch: Watch
) -> None:
    """The dashboard's own documents are not registered."""
    watch.expect("status of 403")
    made = site.graph(
        """mutation {
          createApiKey(input: {kind: RESTRICTED, name: "page", scopes: [READ], documents: REGISTERED}) {
            token apiKey { documents } userErrors { message }
          }
        }"""
    )["createApiKey"]
    assert (made["apiKey"], made["userErrors"]) == ({"documents": "REGISTERED"}, [])
    public = site.make_key(kind="public", documents="registered", document_sets=["portal@1.0.0"])
    page = open_page()
    page.goto("/")
    field = page.get_by_label("Key", exact=True)

    for key in (made["token"], public):
        field.fill("")
        sign_in(page, key)
        expect(field).to_have_accessible_description(
            "This key only runs registered documents. Use another key."
        )
        expect(field).to_have_value(key)
    assert page.evaluate(KEPT) == {"local": [], "session": []}


@one_database
def test_a_key_is_hidden_until_it_is_revealed(open_page: OpenPage, site: Site) -> None:
    page = open_page()
    page.goto("/")
    field = page.get_by_label("Key", exact=True)
    field.fill(site.key)
    expect(field).to_have_attribute("type", "password")

    page.get_by_role("button", name="Show the key").click()

    expect(field).to_have_attribute("type", "text")
    expect(field).to_have_value(site.key)
    page.get_by_role("button", name="Hide the key").click()
    expect(field).to_have_attribute("type", "password")


def test_a_key_of_another_account_shows_no_data_of_the_previous_one(
    page: Page, site: Site, installation: Installation
) -> None:
    other = Site(installation)
    site.make_customer(site.make_app("atlas", name="Atlas"), name="Jane Roe")
    other.make_app("borealis", name="Borealis")
    page.goto("/")
    page.get_by_role("link", name="Atlas").click()
    page.get_by_role("link", name="Customers").click()
    page.get_by_role("link", name="Jane Roe").click()
    expect(page.get_by_role("heading", name="Jane Roe")).to_be_visible()

    sign_out(page)
    sign_in(page, other.key)

    expect(page.get_by_role("heading", name="Customer not found")).to_be_visible()
    expect(page.get_by_role("banner")).to_contain_text(other.account.name)
    page.go_back()
    expect(page.get_by_role("heading", name="App not found")).to_be_visible()
    page.go_back()
    page.go_back()
    expect(page.get_by_role("link", name="Borealis")).to_be_visible()
    expect(page.get_by_text("Atlas")).to_have_count(0)


def test_a_key_of_another_account_takes_over_when_the_first_is_revoked(
    page: Page, site: Site, installation: Installation, watch: Watch
) -> None:
    watch.expect("status of 401")
    other = Site(installation)
    site.make_app("atlas", name="Atlas")
    other.make_app("borealis", name="Borealis")
    page.goto("/")
    expect(page.get_by_role("link", name="Atlas")).to_be_visible()
    site.revoke(site.key)
    page.get_by_role("link", name="Atlas").click()

    dialog = page.get_by_role("dialog", name="Your key no longer works")
    dialog.get_by_label("Key", exact=True).fill(other.key)
    dialog.get_by_role("button", name="Sign in").click()

    expect(page.get_by_role("heading", name="App not found")).to_be_visible()
    expect(dialog).to_have_count(0)
    page.get_by_role("link", name="All apps").click()
    expect(page.get_by_role("link", name="Borealis")).to_be_visible()
    expect(page.get_by_text("Atlas")).to_have_count(0)


def test_a_public_key_sees_the_same_and_can_change_nothing(open_page: OpenPage, site: Site) -> None:
    app = site.make_app("atlas", name="Atlas", description="Maps of everywhere")
    tier = site.make_tier(app, slug="team", name="Team", features=[site.make_feature(app, slug="export")])
    customer = site.make_customer(app, name="Jane Roe", metadata={"seats": 3})
    site.make_license(customer, tier=tier)
    writer, reader = open_page(key=site.key), open_page(key=site.public_key)
    changes = {
        "/": {"New app"},
        "/apps/atlas/customers": {"New customer"},
        f"/apps/atlas/customers/{customer.id}": {
            *("Edit", "Delete", "Issue license", "Revoke", "Edit metadata"),
        },
        "/apps/atlas/settings": {
            *("Save", "Delete app…", "Add tier", "Edit tier Team", "Delete tier Team"),
            *("Add feature", "Edit feature Export", "Delete feature Export"),
            "Rotate…",
        },
    }

    for path, buttons in changes.items():
        for page in (writer, reader):
            page.goto(path)
            expect(page.get_by_role("main").get_by_role("heading", level=1)).to_be_visible()
        assert buttons_of(writer) - buttons_of(reader) == buttons
        assert all(map(SHOWS.match, buttons_of(reader))), buttons_of(reader)
        # In the settings, a writer sees values in input fields, and a reader sees them as text.
        if path != "/apps/atlas/settings":
            assert without_buttons(reader) == without_buttons(writer)
        expect(reader.get_by_role("banner")).to_contain_text("Read only")
        expect(writer.get_by_role("banner")).not_to_contain_text("Read only")


@one_database
def test_a_public_key_sees_text_and_no_fields(open_page: OpenPage, site: Site) -> None:
    app = site.make_app(
        "atlas", name="Atlas", description="Maps of everywhere", webhook_url="https://example.com/hook"
    )
    site.make_tier(app, slug="team", name="Team")
    customer = site.make_customer(app, name="Jane Roe")
    site.make_license(customer)
    reader = open_page(key=site.public_key)

    reader.goto("/apps/atlas/settings")
    about = reader.get_by_role("region", name="About")
    expect(about.get_by_role("term")).to_have_text(["Name", "Description", "Webhook URL"])
    expect(about.get_by_role("definition")).to_have_text(
        ["Atlas", "Maps of everywhere", "https://example.com/hook"]
    )
    fields = reader.get_by_role("main").locator("input, textarea, select")
    expect(fields).to_have_count(0)
    for path in ("/", f"/apps/atlas/customers/{customer.id}"):
        reader.goto(path)
        expect(reader.get_by_role("main").get_by_role("heading", level=1)).to_be_visible()
        expect(fields).to_have_count(0)


def buttons_of(page: Page) -> set[str]:
    """Return the names of the buttons in the view."""
    names: list[str] = page.get_by_role("main").evaluate(
        "main => [...main.querySelectorAll('button')].map("
        "each => each.getAttribute('aria-label') ?? each.textContent.trim())"
    )
    return set(names)


def without_buttons(page: Page) -> str:
    """Return the text of the view without buttons, tabs, and the section for deleting an app."""
    said: str = page.get_by_role("main").evaluate(
        "main => { const copy = main.cloneNode(true);"
        " copy.querySelectorAll('button, nav, [aria-labelledby=danger]').forEach(each => each.remove());"
        " return copy.textContent; }"
    )
    return said
