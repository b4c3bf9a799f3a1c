"""The dashboard follows the scopes of the key: it offers nothing that the key may not do."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.factories import App, Customer
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site
from tests.web.test_sign_in import SHOWS, buttons_of, sign_in

pytestmark = one_database

CUSTOMERS = "/apps/atlas/customers"
SETTINGS = "/apps/atlas/settings"
READS = ("read", "read_customers")
SUPPORT = (*READS, "read_events", "write_customers", "write_licenses")

OFFERED: dict[str, dict[str, set[str]]] = {
    "read_tokens": {"menu": {"Show token"}},
    "read_events": {"menu": {"Show activity"}},
    "write_customers": {
        CUSTOMERS: {"New customer"},
        "customer": {"Edit", "Delete", "Edit metadata"},
    },
    "write_licenses": {
        "customer": {"Issue license", "Revoke"},
        "menu": {"Change…", "Hand over…", "New token", "Revoke with a reason…", "Delete…"},
    },
    "write_catalog": {
        "/": {"New app"},
        SETTINGS: {
            *("Save", "Delete app…", "Add tier", "Edit tier Team", "Delete tier Team"),
            *("Add feature", "Edit feature Export", "Delete feature Export"),
        },
    },
    "rotate_signing_keys": {SETTINGS: {"Rotate…"}},
    "manage_keys": {"/keys": {"New key"}, "key": {"Edit", "Rotate…", "Revoke…"}},
    "manage_webhooks": {},
}
"""What each scope adds to each view, for a key that can read."""

CHANGES = {"write_customers", "write_licenses", "write_catalog", "rotate_signing_keys", "manage_keys"}


@pytest.fixture
def atlas(site: Site) -> App:
    return site.make_app("atlas", name="Atlas")


@pytest.fixture
def jane(site: Site, atlas: App) -> Customer:
    team = site.make_tier(
        atlas, slug="team", name="Team", features=[site.make_feature(atlas, slug="export", name="Export")]
    )
    jane = site.make_customer(atlas, name="Jane Roe")
    site.make_license(jane, tier=team)
    return jane


def restricted(site: Site, *scopes: str) -> str:
    return site.make_key(kind="restricted", name="crm sync", scopes=list(scopes))


def offered(page: Page, jane: Customer) -> Iterator[tuple[str, set[str]]]:
    """Open each view, and yield its name and the buttons in it that change something.

    The menu of a license counts as a view. The views of keys are left out if the key cannot manage keys.
    """
    page.goto("/")
    expect(page.get_by_role("main").get_by_role("heading", level=1)).to_be_visible()
    keys = page.get_by_role("banner").get_by_role("link", name="Keys")
    if keys.count():
        keys.click()
        expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()
        yield "/keys", {name for name in buttons_of(page) if not SHOWS.match(name)}
        page.get_by_role("link", name="crm sync").click()
        expect(page.get_by_role("heading", name="crm sync")).to_be_visible()
        yield "key", {name for name in buttons_of(page) if not SHOWS.match(name)}
    for view in ("/", CUSTOMERS, "customer", SETTINGS):
        page.goto(f"{CUSTOMERS}/{jane.id}" if view == "customer" else view)
        expect(page.get_by_role("main").get_by_role("heading", level=1)).to_be_visible()
        yield view, {name for name in buttons_of(page) if not SHOWS.match(name)}
        if view == "customer":
            page.get_by_role("button", name="More actions").click()
            yield "menu", set(page.get_by_role("menuitem").all_inner_texts()) - {"Show details"}


@pytest.mark.parametrize("scope", OFFERED)
def test_a_scope_offers_its_own_changes_and_no_others(
    open_page: OpenPage, site: Site, jane: Customer, scope: str
) -> None:
    page = open_page(key=restricted(site, *READS, scope))

    found = {view: names for view, names in offered(page, jane) if names}

    assert found == OFFERED[scope]
    expect(page.get_by_role("banner").get_by_text("Read only")).to_have_count(0 if scope in CHANGES else 1)


def test_support_changes_customers_and_licenses_and_sees_no_token(
    open_page: OpenPage, site: Site, jane: Customer
) -> None:
    page = open_page(key=restricted(site, *SUPPORT))

    found = {view: names for view, names in offered(page, jane) if names}

    assert found == {
        CUSTOMERS: {"New customer"},
        "customer": {"Edit", "Delete", "Edit metadata", "Issue license", "Revoke"},
        "menu": {
            "Show activity",
            "Change…",
            "Hand over…",
            "New token",
            "Revoke with a reason…",
            "Delete…",
        },
    }
    # What is offered works.
    page.goto(f"{CUSTOMERS}/{jane.id}")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="New token").click()
    expect(page.get_by_role("status").get_by_text("The license has a new token.")).to_be_visible()
    page.get_by_role("button", name="Edit", exact=True).click()
    form = page.get_by_role("dialog", name="Edit customer")
    form.get_by_label("Name").fill("Jane Doe")
    form.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jane Doe")


def test_a_key_that_cannot_read_customers_sees_none(open_page: OpenPage, site: Site, jane: Customer) -> None:
    page = open_page(key=restricted(site, "read", "write_catalog"))
    page.goto("/")
    expect(page.get_by_text("Licenses1")).to_be_visible()
    expect(page.get_by_text("Customers")).to_have_count(0)

    page.get_by_role("link", name="Atlas").click()

    expect(page).to_have_url(f"{site.url}/apps/atlas")
    expect(page.get_by_role("img", name="Active licenses: ")).to_be_visible()
    expect(page.get_by_role("heading", level=2)).to_have_text(["Active licenses", "This month", "Tiers"])
    expect(page.get_by_text("Customers added")).to_have_count(0)
    expect(page.get_by_role("navigation", name="App").get_by_role("link")).to_have_text(
        ["Overview", "Settings"]
    )
    page.get_by_role("link", name="Settings").click()
    danger = page.get_by_role("region", name="Delete")
    expect(danger).to_contain_text("Its customers and 1 license belong to this app.")
    page.goto("/")
    page.get_by_role("button", name="New app").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Globe")
    page.get_by_role("button", name="Create app").click()
    expect(page).to_have_url(f"{site.url}/apps/globe")


def test_a_key_that_cannot_read_is_refused_at_sign_in(open_page: OpenPage, site: Site) -> None:
    page = open_page()
    page.goto("/")
    field = page.get_by_label("Key", exact=True)

    sign_in(page, restricted(site, "write_customers"))

    expect(field).to_have_accessible_description("This key does not have the scope READ. Use another key.")
    assert page.evaluate("() => Object.values(sessionStorage)") == []
    sign_in(page, site.key)
    expect(page.get_by_role("heading", name="Apps", exact=True)).to_be_visible()


def test_the_session_of_a_customer_is_refused_at_sign_in(
    open_page: OpenPage, site: Site, jane: Customer
) -> None:
    session = site.make_key(kind="session", scopes=["read"], customer=jane)
    page = open_page()
    page.goto("/")

    sign_in(page, session)

    expect(page.get_by_label("Key", exact=True)).to_have_accessible_description(
        "This is the session of a customer, which only shows that customer. Use a key of your account."
    )
    # GraphiQL accepts the token of the session, and shares it with a new tab of the dashboard.
    explorer = page.context.new_page()
    explorer.goto("/graphql")
    explorer.get_by_label("Key", exact=True).fill(session)
    expect(explorer.locator("header").get_by_role("status")).to_contain_text("Session of a customer")
    other = page.context.new_page()
    other.goto("/")
    expect(other.get_by_text("This is the session of a customer")).to_be_visible()


def test_graphiql_says_what_a_restricted_key_may_do(open_page: OpenPage, site: Site) -> None:
    page = open_page()
    page.goto("/graphql")

    page.get_by_label("Key", exact=True).fill(restricted(site, *READS, "write_licenses"))

    expect(page.locator("header").get_by_role("status")).to_have_text(
        f"Restricted key of account {site.account.name}: READ, READ_CUSTOMERS, WRITE_LICENSES."
    )
