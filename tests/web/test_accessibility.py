"""Everybody gets everywhere: axe finds nothing serious, and the keyboard is enough."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from tests.factories import App, Customer
from tests.web.accessibility import axe
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site
from tests.web.traffic import answered
from tests.web.watch import Watch

LONG_AGO = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)

pytestmark = one_database
IN_BOTH_SCHEMES = pytest.mark.parametrize("color_scheme", ["light", "dark"])


@pytest.fixture
def app(site: Site) -> App:
    return site.make_app("atlas", name="Atlas", description="Maps, drawn.")


@pytest.fixture
def jane(site: Site, app: App) -> Customer:
    """A customer with a license of each status."""
    jane = site.make_customer(
        app, email="jane@example.com", name="Jane Doe", metadata={"plan": "team", "seats": 5}
    )
    tier = site.make_tier(
        app, slug="team", name="Team", features=[site.make_feature(app, slug="sso", name="SSO")]
    )
    site.make_license(jane, created_at=LONG_AGO, revoked_at=LONG_AGO, revoked_reason="Charged back.")
    site.make_license(jane, created_at=LONG_AGO, expires_at=LONG_AGO)
    site.make_license(jane, tier=tier, metadata={"seats": 5})
    return jane


@IN_BOTH_SCHEMES
def test_axe_finds_nothing_serious_in_any_view(
    page: Page, open_page: OpenPage, site: Site, jane: Customer, watch: Watch
) -> None:
    watch.expect("status of 503")
    stranger = open_page()
    stranger.goto("/")
    stranger.get_by_role("button", name="Sign in").click()
    axe(stranger)
    for path, name in (
        ("/", "Atlas"),
        ("/apps/atlas/customers", "Jane Doe"),
        (f"/apps/atlas/customers/{jane.id}", "Jane Doe"),
        ("/apps/atlas/settings", "Atlas"),
        ("/no/such/view", "There is no such page"),
    ):
        page.goto(path)
        expect(page.get_by_role("main").get_by_text(name).first).to_be_visible()
        axe(page)
    site.make_app("globe", name="Globe")
    page.goto("/apps/globe/customers")
    expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()
    axe(page)
    with answered(page, 503, "UNAVAILABLE", operation="Customers"):
        page.reload()
        expect(page.get_by_role("alert")).to_be_visible()
        axe(page)


@IN_BOTH_SCHEMES
def test_axe_finds_nothing_serious_in_any_dialog(
    page: Page, site: Site, jane: Customer, watch: Watch
) -> None:
    watch.expect("status of 401")

    def look_at(dialog: str) -> None:
        expect(page.get_by_role("dialog", name=dialog)).to_be_visible()
        axe(page)
        page.keyboard.press("Escape")
        expect(page.get_by_role("dialog")).to_have_count(0)

    page.goto("/")
    page.get_by_role("button", name="New app").click()
    look_at("New app")
    page.goto("/apps/atlas/customers")
    page.get_by_role("button", name="New customer").click()
    look_at("New customer")
    page.goto("/apps/atlas/settings")
    for opener, dialog in (
        ("Edit tier Team", "Edit tier"),
        ("Add feature", "New feature"),
        ("Delete app…", "Delete app"),
    ):
        page.get_by_role("button", name=opener).click()
        look_at(dialog)
    page.goto(f"/apps/atlas/customers/{jane.id}")
    page.get_by_role("button", name="Edit metadata").click()
    for opener, dialog in (
        ("Edit", "Edit customer"),
        ("Delete", "Delete customer"),
        ("Issue license", "Issue license"),
    ):
        page.get_by_role("button", name=opener, exact=True).click()
        look_at(dialog)
    active = page.get_by_role("listitem", name="Active license")
    for item, dialog in (
        ("Show token", "Token"),
        ("Show metadata", "Metadata of the license"),
        ("Revoke with a reason…", "Revoke license"),
        ("Delete…", "Delete license"),
    ):
        active.get_by_role("button", name="More actions").click()
        active.get_by_role("menuitem", name=item).click()
        look_at(dialog)
    active.get_by_role("button", name="More actions").click()
    axe(page)
    page.keyboard.press("Escape")
    active.get_by_role("button", name="Revoke").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    axe(page)
    site.revoke(site.key)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("dialog", name="Your key no longer works")).to_be_visible()
    axe(page)


def tab_to(page: Page, name: str, *, back: bool = False) -> None:
    """Press Tab until a control of this name has the focus."""
    control = page.locator(":focus").and_(
        page.get_by_role("button", name=name, exact=True).or_(page.get_by_role("link", name=name, exact=True))
    )
    for _ in range(40):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if control.count():
            return
    raise AssertionError(f"Tab does not lead to {name}")


def test_the_keyboard_is_enough(open_page: OpenPage, site: Site, app: App) -> None:
    jane = site.make_customer(app, email="jane@example.com", name="Jane Doe")
    site.make_customer(app, email="john@example.com", name="John Doe")
    license = site.make_license(jane)
    page = open_page()
    page.goto("/")

    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    page.keyboard.type(site.key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Apps")).to_be_visible()
    tab_to(page, "Atlas")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="John Doe")).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_label("Search by email or name")).to_be_focused()
    page.keyboard.type("jane")
    expect(page.get_by_role("link", name="John Doe")).to_have_count(0)
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("link", name="Jane Doe")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1, name="Jane Doe")).to_be_visible()

    card = page.get_by_role("listitem", name=license.installation_id)
    tab_to(page, "Revoke")
    page.keyboard.press("Enter")
    expect(card).to_have_accessible_name(f"Revoked license for {license.installation_id}")
    expect(card.get_by_role("button", name="Reinstate")).to_be_focused()
    tab_to(page, "Undo")
    page.keyboard.press("Enter")
    expect(card).to_have_accessible_name(f"Active license for {license.installation_id}")
    expect(page.locator("body")).not_to_be_focused()
    tab_to(page, "Revoke", back=True)
    page.keyboard.press("Enter")
    expect(card).to_have_accessible_name(f"Revoked license for {license.installation_id}")
    page.keyboard.press("Control+z")
    expect(card).to_have_accessible_name(f"Active license for {license.installation_id}")
    expect(card.get_by_role("button", name="Revoke")).to_be_focused()

    tab_to(page, "Issue license", back=True)
    page.keyboard.press("Enter")
    form = page.get_by_role("dialog", name="Issue license")
    expect(form.get_by_role("radio", name="For a number of days")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(form.get_by_role("radio", name="Forever")).to_be_checked()
    page.keyboard.press("Escape")
    expect(form).to_have_count(0)
    expect(page.get_by_role("button", name="Issue license")).to_be_focused()


def test_the_focus_stays_in_a_dialog_and_comes_back_from_it(page: Page, jane: Customer) -> None:
    page.goto(f"/apps/atlas/customers/{jane.id}")
    active = page.get_by_role("listitem", name="Active license")
    menu = active.get_by_role("button", name="More actions")

    menu.focus()
    page.keyboard.press("ArrowDown")
    expect(active.get_by_role("menuitem").first).to_be_focused()
    page.keyboard.press("End")
    expect(active.get_by_role("menuitem", name="Delete…")).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Delete license")
    expect(dialog.get_by_role("textbox")).to_be_focused()
    seen = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        where = page.evaluate(
            """() => document.activeElement === document.body ? "the browser's own controls"
                   : document.activeElement.closest("dialog") ? "the dialog" : "the page behind" """
        )
        seen.add(where)
    assert "the page behind" not in seen
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()

    page.get_by_role("button", name="Edit metadata").click()
    editor = page.get_by_label("Metadata as JSON")
    expect(editor).to_be_focused()
    page.get_by_role("button", name="Cancel").press("Enter")
    expect(page.get_by_role("button", name="Edit metadata")).to_be_focused()
