"""Accessibility: axe finds nothing serious, the keyboard is enough, and contrasts are high enough."""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from db import clock
from tests.factories import App, Customer
from tests.web.accessibility import axe
from tests.web.chromium import DESKTOP, PHONE
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site
from tests.web.traffic import answered
from tests.web.watch import Watch

LONG_AGO = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)

pytestmark = one_database
IN_BOTH_SCHEMES = pytest.mark.parametrize("color_scheme", ["light", "dark"])
# Each scheme and each screen is in the ordinary tests, and the other two combinations are in the long ones.
IN_BOTH_SCHEMES_ON_BOTH_SCREENS = pytest.mark.parametrize(
    ("color_scheme", "screen"),
    [
        ("light", DESKTOP),
        ("dark", PHONE),
        pytest.param("dark", DESKTOP, marks=pytest.mark.long),
        pytest.param("light", PHONE, marks=pytest.mark.long),
    ],
    ids=str,
)


RENAME = 'mutation($id: ID!) { updateCustomer(input: {id: $id, name: "Jane Doe-Roe"}) { customer { id } } }'


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
    site.make_license(jane, tier=tier, metadata={"seats": 5}, expires_at=clock.now() + timedelta(days=90))
    return jane


@IN_BOTH_SCHEMES_ON_BOTH_SCREENS
def test_axe_finds_nothing_serious_in_any_view(
    page: Page, open_page: OpenPage, site: Site, app: App, jane: Customer, watch: Watch
) -> None:
    watch.expect("status of 503")
    site.graph(RENAME, id=jane.id)
    key = site.make_key(kind="restricted", name="old shop", scopes=["read", "manage_keys"], apps=[app])
    site.make_usage_of(key, minute=clock.now(), requests=3, refused=1)
    old_shop = site.graph_with(key, "{ viewer { keyId } }")["viewer"]["keyId"]
    site.revoke(key)
    stranger = open_page()
    stranger.goto("/")
    stranger.get_by_role("button", name="Sign in").click()
    axe(stranger)
    for path, name in (
        ("/", "Atlas"),
        ("/apps/atlas", "Now: "),
        ("/apps/atlas/customers", "Jane Doe"),
        (f"/apps/atlas/customers/{jane.id}", "Jane Doe"),
        ("/apps/atlas/licenses", "jane@example.com"),
        ("/apps/atlas/licenses?status=expiring", "No matching licenses"),
        ("/apps/atlas/activity", "by the key ending in"),
        (f"/apps/atlas/customers/{jane.id}/activity", "by the key ending in"),
        ("/apps/atlas/activity?type=tier", "No matching events"),
        ("/apps/atlas/settings", "Atlas"),
        ("/keys?state=all", "old shop"),
        (f"/keys/{old_shop}", "old shop"),
        ("/no/such/view", "Page not found"),
        ("/apps/atlas/customers/cus_00000000000000000000000000", "Customer not found"),
    ):
        page.goto(path)
        expect(page.get_by_role("main").get_by_text(name).first).to_be_visible()
        axe(page)
    site.make_app("globe", name="Globe")
    page.goto("/apps/globe")
    page.get_by_text("Show numbers").click()
    page.get_by_role("button", name="Globe: switch app").click()
    expect(page.get_by_role("list", name="Apps").get_by_role("link")).to_have_count(2)
    axe(page)
    page.goto("/apps/globe/customers")
    expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()
    axe(page)
    with answered(page, 503, "UNAVAILABLE", operation="Customers"):
        page.reload()
        expect(page.get_by_role("alert")).to_be_visible()
        axe(page)


def look_at(page: Page, dialog: str) -> None:
    """Check an open dialog with axe, and close it."""
    expect(page.get_by_role("dialog", name=dialog)).to_be_visible()
    axe(page)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name=dialog)).to_have_count(0)


@IN_BOTH_SCHEMES_ON_BOTH_SCREENS
def test_axe_finds_nothing_serious_in_any_dialog(
    page: Page, site: Site, jane: Customer, watch: Watch
) -> None:
    watch.expect("status of 401")
    site.graph(RENAME, id=jane.id)

    page.goto(f"/apps/atlas/customers/{jane.id}/activity")
    page.get_by_role("button", name="Show state").click()
    look_at(page, "State of Jane Doe-Roe")
    page.goto("/")
    page.get_by_role("button", name="New app").click()
    look_at(page, "New app")
    page.goto("/apps/atlas/customers")
    page.get_by_role("button", name="New customer").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Jane")
    page.keyboard.press("Escape")
    look_at(page, "Discard your changes?")
    page.get_by_role("button", name="Cancel").click()
    page.goto("/apps/atlas/settings")
    for opener, dialog in (
        ("Edit tier Team", "Edit tier"),
        ("Add feature", "New feature"),
        ("Rotate…", "Rotate signing keys"),
        ("Delete app…", "Delete app"),
    ):
        page.get_by_role("button", name=opener).click()
        look_at(page, dialog)
    page.goto("/apps/atlas/licenses")
    page.get_by_role("checkbox", name="Select all").check()
    for opener, dialog in (
        ("Renew selected…", "Renew 3 licenses?"),
        ("Revoke selected…", "Revoke 3 licenses?"),
    ):
        page.get_by_role("button", name=opener).click()
        look_at(page, dialog)
    page.get_by_role("table").get_by_role("button", name="More actions").first.click()
    axe(page)
    page.keyboard.press("Escape")
    page.goto(f"/apps/atlas/customers/{jane.id}")
    page.get_by_role("button", name="Edit metadata").click()
    for opener, dialog in (
        ("Edit", "Edit customer"),
        ("Delete", "Delete customer"),
        ("Issue license", "Issue license"),
    ):
        page.get_by_role("button", name=opener, exact=True).click()
        look_at(page, dialog)
    active = page.get_by_role("listitem", name="Active license")
    for item, dialog in (
        ("Show token", "Token"),
        ("Show details", "License"),
        ("Change…", "Change license"),
        ("Renew…", "Renew license"),
        ("Hand over…", "Hand over license"),
        ("Revoke with a reason…", "Revoke license"),
        ("Delete…", "Delete license"),
    ):
        active.get_by_role("button", name="More actions").click()
        active.get_by_role("menuitem", name=item).click()
        look_at(page, dialog)
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


@IN_BOTH_SCHEMES_ON_BOTH_SCREENS
def test_axe_finds_nothing_serious_in_any_dialog_of_keys(page: Page, site: Site, app: App) -> None:
    site.make_key(kind="public", name="portal", origins=["https://portal.example"])
    page.goto("/keys")
    page.get_by_role("button", name="New key").click()
    page.get_by_text("Only some", exact=True).click()
    page.get_by_role("checkbox", name="Atlas").wait_for()
    page.get_by_text("All apps").click()
    look_at(page, "New key")
    page.get_by_role("link", name="portal").click()
    for opener, dialog in (("Edit", "Edit key"), ("Rotate…", "Rotate key"), ("Revoke…", "Revoke key")):
        page.get_by_role("button", name=opener, exact=True).click()
        look_at(page, dialog)
    page.get_by_role("button", name="Rotate…").click()
    page.get_by_role("button", name="Rotate key").click()
    expect(page.get_by_role("dialog", name="Copy the key now")).to_be_visible()
    axe(page)
    page.get_by_role("button", name="I have stored the key").click()


def tab_to(page: Page, name: str, *, back: bool = False) -> None:
    """Press Tab (Shift+Tab if `back`) until the button or link with this name gets the focus."""
    control = page.locator(":focus").and_(
        page.get_by_role("button", name=name, exact=True).or_(page.get_by_role("link", name=name, exact=True))
    )
    for _ in range(40):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if control.count():
            return
    raise AssertionError(f"Tab never reaches {name}")


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
    tab_to(page, "Customers")
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
    expect(page.get_by_role("button", name="Keep editing")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
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


CONTRAST = """element => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
  const context = canvas.getContext("2d", {willReadFrequently: true});
  const luminance = (color) => {
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue] = [...context.getImageData(0, 0, 1, 1).data].slice(0, 3)
      .map((part) => part / 255)
      .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const around = (start) => {
    for (let at = start; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (!/, 0\\)$/.test(color)) return color;
    }
  };
  const {color, borderTopColor} = getComputedStyle(element);
  return {
    text: contrast(color, around(element)),
    border: contrast(borderTopColor, around(element.parentElement)),
    shape: contrast(around(element), around(element.parentElement.parentElement)),
  };
}"""
"""A script that returns three contrasts of an element: of its text, its border, and its background.

The text is compared with the background of the element, and the other two colors with the background around
the element.
"""


@IN_BOTH_SCHEMES
def test_chips_and_switches_have_enough_contrast(page: Page, site: Site, jane: Customer) -> None:
    page.goto(f"/apps/atlas/customers/{jane.id}")
    for status in ("Active", "Expired", "Revoked"):
        row = page.get_by_role("listitem", name=f"{status} license")
        chip = row.get_by_text(status, exact=True).first.evaluate(CONTRAST)
        assert chip["text"] >= 4.5
        assert chip["border"] >= 3

    def look_at_switch(group: Locator) -> None:
        chosen = group.locator("input:checked + span").evaluate(CONTRAST)
        assert chosen["text"] >= 4.5
        assert chosen["shape"] >= 3, "the chosen option must stand out"
        other = group.locator("input:not(:checked) + span").first.evaluate(CONTRAST)
        assert other["text"] >= 4.5

    look_at_switch(page.get_by_role("group", name="Status"))
    page.get_by_role("button", name="Issue license").click()
    look_at_switch(page.get_by_role("group", name="Valid"))
    page.goto("/apps/atlas/settings")
    chip = page.get_by_role("region", name="Tiers").get_by_text("SSO", exact=True).evaluate(CONTRAST)
    assert chip["text"] >= 4.5
    assert chip["border"] >= 3
    assert page.get_by_role("button", name="Theme").evaluate(CONTRAST)["text"] >= 4.5


@pytest.mark.parametrize("screen", [PHONE], ids=str)
def test_the_brand_has_a_name_on_a_phone(page: Page, app: App) -> None:
    page.goto("/apps/atlas/settings")

    page.get_by_role("link", name="Licensegraph", exact=True).click()

    expect(page.get_by_role("link", name="Atlas")).to_be_visible()
