"""In every dialog and form, unsaved input is lost only if the user agrees or presses Cancel."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Dialog, Locator, Page, expect

from tests.factories import Customer
from tests.web.conftest import one_database
from tests.web.site import Site

pytestmark = one_database


@pytest.fixture
def jane(site: Site) -> Customer:
    app = site.make_app("atlas", name="Atlas", description="Maps, drawn.")
    export = site.make_feature(app, slug="export", name="Export")
    site.make_tier(app, slug="team", name="Team", features=[export])
    site.make_feature(app, slug="sso", name="Single sign-on")
    jane = site.make_customer(app, email="jane@example.com", name="Jane Doe")
    site.make_license(jane)
    site.make_key(kind="restricted", name="crm", scopes=["read"])
    return jane


def press(name: str) -> Callable[[Page], None]:
    return lambda page: page.get_by_role("button", name=name, exact=True).click()


def choose(item: str) -> Callable[[Page], None]:
    def choose(page: Page) -> None:
        page.get_by_role("button", name="More actions").click()
        page.get_by_role("menuitem", name=item).click()

    return choose


def fill(label: str) -> Callable[[Locator], None]:
    return lambda form: form.get_by_role("textbox", name=label, exact=True).fill("something")


def check(label: str) -> Callable[[Locator], None]:
    return lambda form: form.get_by_role("checkbox", name=label).click()


def pick(label: str) -> Callable[[Locator], None]:
    return lambda form: form.get_by_text(label).click()


CUSTOMER = "/apps/atlas/customers/{jane}"
SETTINGS = "/apps/atlas/settings"


def open_crm(button: str) -> Callable[[Page], None]:
    """Return a function that opens the page of the key "crm", unless it is open, and presses a button."""

    def open_dialog(page: Page) -> None:
        if page.url.endswith("/keys"):
            page.get_by_role("link", name="crm").click()
        press(button)(page)

    return open_dialog


DIALOGS = {
    "New app": ("/", press("New app"), fill("Description")),
    "New app, algorithm": ("/", press("New app"), pick("EdDSA (Ed25519)")),
    "New customer": ("/apps/atlas/customers", press("New customer"), fill("External ID")),
    "Edit customer": (CUSTOMER, press("Edit"), fill("Name")),
    "Delete customer": (CUSTOMER, press("Delete"), fill("Type the customer's email to confirm")),
    "Issue license": (CUSTOMER, press("Issue license"), fill("Metadata as JSON")),
    "Issue license, term": (CUSTOMER, press("Issue license"), pick("Forever")),
    "Issue license, features": (CUSTOMER, press("Issue license"), check("Single sign-on")),
    "Revoke license": (CUSTOMER, choose("Revoke with a reason…"), fill("Reason")),
    "Delete license": (CUSTOMER, choose("Delete…"), fill("Type the customer's email to confirm")),
    "New tier": (SETTINGS, press("Add tier"), fill("Slug")),
    "Edit tier": (SETTINGS, press("Edit tier Team"), fill("Name")),
    "Edit tier, features": (SETTINGS, press("Edit tier Team"), check("Export")),
    "New feature": (SETTINGS, press("Add feature"), fill("Name")),
    "Edit feature": (SETTINGS, press("Edit feature Export"), fill("Description")),
    "Rotate signing keys": (SETTINGS, press("Rotate…"), pick("Drop the old keys")),
    "New key": ("/keys", press("New key"), fill("Origins")),
    "New key, kind": ("/keys", press("New key"), pick("May do everything.")),
    "New key, scopes": ("/keys", press("New key"), check("Manage webhooks")),
    "New key, preset": ("/keys", press("New key"), pick("Support")),
    "New key, expiry": ("/keys", press("New key"), pick("On a date")),
    "Edit key": ("/keys", open_crm("Edit"), fill("Name")),
    "Edit key, documents": ("/keys", open_crm("Edit"), pick("Registered only")),
    "Rotate key": ("/keys", open_crm("Rotate…"), pick("For 7 days")),
    "Revoke key": ("/keys", open_crm("Revoke…"), fill("Type the key's name to confirm")),
    "Delete app": (SETTINGS, press("Delete app…"), fill("Type the app's slug to confirm")),
}


@pytest.mark.parametrize("name", DIALOGS)
def test_escape_asks_before_a_dialog_loses_what_was_entered(page: Page, jane: Customer, name: str) -> None:
    path, open_dialog, enter = DIALOGS[name]
    page.goto(path.format(jane=jane.id))
    dialog = page.get_by_role("dialog", name=name.partition(",")[0], exact=True)
    question = page.get_by_role("dialog", name="Discard your changes?")

    open_dialog(page)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(question).to_have_count(0)

    open_dialog(page)
    enter(dialog)
    before = values(dialog)
    for _ in range(3):
        page.keyboard.press("Escape")
        expect(question.get_by_role("button", name="Keep editing")).to_be_focused()
        page.keyboard.press("Escape")
        expect(question).to_have_count(0)
    dialog.get_by_role("button", name="Close").click()
    question.get_by_role("button", name="Keep editing").click()
    assert values(dialog) == before

    page.keyboard.press("Escape")
    question.get_by_role("button", name="Discard").click()
    expect(dialog).to_have_count(0)
    expect(question).to_have_count(0)


def values(form: Locator) -> list[str]:
    found: list[str] = form.locator("input, textarea, select").evaluate_all(
        "controls => controls.map((control) => `${control.value} ${control.checked}`)"
    )
    return found


def test_escape_does_not_ask_after_a_change_was_taken_back(page: Page, jane: Customer) -> None:
    page.goto(f"/apps/atlas/customers/{jane.id}")
    page.get_by_role("button", name="Edit", exact=True).click()
    name = page.get_by_role("dialog").get_by_label("Name")
    name.fill("Jane Roe")
    name.fill("Jane Doe")

    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_have_count(0)


def test_cancel_closes_at_once(page: Page, jane: Customer) -> None:
    page.goto(f"/apps/atlas/customers/{jane.id}")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("dialog").get_by_label("Name").fill("Jane Roe")

    page.get_by_role("button", name="Cancel").click()

    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Jane Doe")


def change_settings(page: Page) -> Locator:
    """Open the settings from the list of apps, and change them without saving. Return the changed field."""
    page.goto("/")
    page.get_by_role("link", name="Atlas").click()
    page.get_by_role("link", name="Settings").click()
    description = page.get_by_role("region", name="About").get_by_label("Description")
    description.fill("Maps, printed.")
    return description


def open_account_menu(page: Page, item: str) -> None:
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name=item).click()


LEAVE: dict[str, tuple[Callable[[Page], object], str]] = {
    "a tab of the app": (lambda page: page.get_by_role("link", name="Customers").click(), "Jane Doe"),
    "the breadcrumb": (lambda page: page.get_by_role("link", name="Apps", exact=True).click(), "1 app"),
    "the brand": (lambda page: page.get_by_role("link", name="Licensegraph").click(), "1 app"),
    "the back button": (lambda page: page.evaluate("history.back()"), "Active licenses"),
    "two steps back": (lambda page: page.evaluate("history.go(-2)"), "1 app"),
    "GraphiQL": (lambda page: page.get_by_role("link", name="GraphiQL").click(), "Dashboard"),
    "sign out": (lambda page: open_account_menu(page, "Sign out"), "Sign in to Licensegraph"),
}


@pytest.mark.parametrize("way", LEAVE)
def test_leaving_settings_with_changes_asks(page: Page, jane: Customer, way: str) -> None:
    leave, arrived_at = LEAVE[way]
    description = change_settings(page)
    address = page.url
    question = page.get_by_role("dialog", name="Discard your changes?")

    for _ in range(2):
        leave(page)
        question.get_by_role("button", name="Keep editing").click()
        expect(question).to_have_count(0)
        expect(description).to_have_value("Maps, printed.")
        assert page.url == address

    leave(page)
    question.get_by_role("button", name="Discard").click()
    expect(page.get_by_text(arrived_at).first).to_be_visible()
    assert page.url != address or way == "sign out"
    expect(description).to_have_count(0)


def test_a_link_to_the_same_view_does_not_ask(page: Page, jane: Customer) -> None:
    description = change_settings(page)

    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(description).to_have_value("Maps, printed.")
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(description).to_have_value("Maps, printed.")

    page.evaluate("history.back()")
    expect(page.get_by_role("dialog", name="Discard your changes?")).to_be_visible()


def test_going_forward_with_changes_asks(page: Page, jane: Customer) -> None:
    description = change_settings(page)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("App changed.")).to_be_visible()
    page.get_by_role("link", name="Customers").click()
    expect(page.get_by_role("link", name="Jane Doe")).to_be_visible()
    page.go_back()
    description.fill("Maps, folded.")

    page.evaluate("history.forward()")
    page.get_by_role("button", name="Keep editing").click()
    expect(description).to_have_value("Maps, folded.")
    page.evaluate("history.forward()")
    page.get_by_role("button", name="Discard").click()

    expect(page.get_by_role("link", name="Jane Doe")).to_be_visible()


@pytest.mark.parametrize("what", ["settings", "metadata", "a dialog"])
def test_closing_the_tab_with_changes_asks(page: Page, jane: Customer, what: str) -> None:
    asked: list[str] = []

    def keep(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    page.on("dialog", keep)
    if what == "settings":
        field = change_settings(page)
    else:
        page.goto(f"/apps/atlas/customers/{jane.id}")
        page.get_by_role("button", name="Edit metadata" if what == "metadata" else "Edit", exact=True).click()
        field = page.get_by_label("Metadata as JSON") if what == "metadata" else page.get_by_label("Name")
        field.fill('{"seats": 3}')

    page.close(run_before_unload=True)
    for _ in range(100):
        page.wait_for_timeout(100)
        if asked:
            break

    assert asked == ["beforeunload"]
    expect(field).to_be_visible()


def test_nothing_is_asked_after_a_change_was_saved(page: Page, site: Site, jane: Customer) -> None:
    asked: list[str] = []

    def agree(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", agree)
    description = change_settings(page)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("App changed.")).to_be_visible()
    expect(description).to_have_value("Maps, printed.")
    page.get_by_role("link", name="Customers").click()
    expect(page.get_by_role("link", name="Jane Doe")).to_be_visible()
    page.get_by_role("button", name="New customer").click()
    page.get_by_role("dialog").get_by_label("Email").fill("joe@example.com")
    page.get_by_role("button", name="Create customer").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("joe@example.com")

    page.reload()

    expect(page.get_by_role("heading", level=1)).to_have_text("joe@example.com")
    assert asked == []


def test_editing_metadata_asks_before_the_view_is_left(page: Page, jane: Customer) -> None:
    page.goto(f"/apps/atlas/customers/{jane.id}")
    page.get_by_role("button", name="Edit metadata").click()
    editor = page.get_by_label("Metadata as JSON")
    editor.fill('{"seats": 3}')

    page.get_by_role("main").get_by_role("link", name="Atlas").click()
    page.get_by_role("button", name="Keep editing").click()
    expect(editor).to_have_value('{"seats": 3}')
    # A second form that has no changes closes without a question.
    page.get_by_role("button", name="Edit", exact=True).click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(editor).to_have_value('{"seats": 3}')
