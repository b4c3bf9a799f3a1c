"""Changing, renewing and handing over licenses, and taking it back."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.factories import App, Customer, License, Tier
from tests.web.conftest import one_database
from tests.web.site import Site

INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
OTHER = "45c48cce-2e2d-4fbd-aa1a-fc51c7c6ad26"
LONG_AGO = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)

LICENSE = """query($id: ID!) { license(id: $id) {
  tier { slug } features installationId expiresAt metadata customer { email } token version
} }"""


@pytest.fixture
def atlas(site: Site) -> App:
    return site.make_app("atlas", name="Atlas Editor")


@pytest.fixture
def jane(site: Site, atlas: App) -> Customer:
    return site.make_customer(atlas, email="jane@example.com", name="Jane Doe")


@pytest.fixture
def team(site: Site, atlas: App) -> Tier:
    features = [site.make_feature(atlas, slug="export", name="Export")]
    return site.make_tier(atlas, slug="team", name="Team", features=features, duration_days=90)


def row_of(page: Page, customer: Customer, license: License) -> Locator:
    page.goto(f"/apps/atlas/customers/{customer.id}")
    return page.get_by_role("listitem", name=f"license for {license.installation_id}")


def choose(row: Locator, action: str) -> None:
    row.get_by_role("button", name="More actions").click()
    row.get_by_role("menuitem", name=action, exact=True).click()


def stored(site: Site, license: License) -> Any:
    return site.graph(LICENSE, id=license.id)["license"]


def undo(page: Page) -> None:
    page.get_by_role("button", name="Undo").click()


def toast(page: Page) -> Locator:
    return page.get_by_role("banner").get_by_role("status")


def day(moment: datetime) -> str:
    return f"{moment:%b} {moment.day}, {moment.year}"


def test_a_license_is_changed_and_the_change_undone(
    page: Page, site: Site, atlas: App, jane: Customer, team: Tier
) -> None:
    site.make_feature(atlas, slug="sso", name="Single sign-on")
    site.make_tier(atlas, slug="pro", name="Pro")
    license = site.make_license(
        jane,
        tier=team,
        installation_id=INSTALLATION,
        expires_at=NOON + timedelta(days=9),
        metadata={"seats": 5},
    )
    before = stored(site, license)
    row = row_of(page, jane, license)

    choose(row, "Change…")
    form = page.get_by_role("dialog", name="Change license")
    expect(form.get_by_role("checkbox", name="Export (included)")).to_be_checked()
    form.get_by_label("Tier").select_option("Pro")
    form.get_by_role("checkbox", name="Single sign-on").check()
    form.get_by_label("Installation").fill(OTHER)
    form.get_by_text("Until a date").click()
    form.get_by_label("Last day").fill("2099-12-30")
    form.get_by_label("Metadata as JSON").fill('{"seats": 6}')
    form.get_by_role("button", name="Save").click()

    expect(form).to_have_count(0)
    moved = page.get_by_role("listitem", name=f"Active license for {OTHER}")
    expect(moved).to_contain_text("Pro")
    expect(moved).to_contain_text("Dec 30, 2099")
    after = stored(site, license)
    assert (after["tier"], after["features"], after["installationId"], after["metadata"]) == (
        {"slug": "pro"},
        ["sso"],
        OTHER,
        {"seats": 6},
    )

    undo(page)

    expect(page.get_by_text("The change to the license was undone.")).to_be_visible()
    again = stored(site, license)
    assert again["token"] != after["token"]
    assert {**again, "token": None, "version": 1} == {**before, "token": None, "version": 1}


def test_an_undo_does_not_overwrite_a_later_change(page: Page, site: Site, jane: Customer) -> None:
    license = site.make_license(jane, metadata={"seats": 5})
    choose(row_of(page, jane, license), "Change…")
    form = page.get_by_role("dialog", name="Change license")
    form.get_by_label("Metadata as JSON").fill('{"seats": 6}')
    form.get_by_role("button", name="Save").click()
    expect(toast(page)).to_contain_text("License changed.")
    # Meanwhile, another user changes the license.
    site.graph(
        """mutation($id: ID!) {
          updateLicense(input: {id: $id, metadata: {seats: 7}}) { userErrors { message } }
        }""",
        id=license.id,
    )

    undo(page)

    expect(toast(page)).to_contain_text("That could not be undone. It has been changed again since then.")
    expect(page.get_by_role("button", name="Try again")).to_have_count(0)
    assert stored(site, license)["metadata"] == {"seats": 7}


def test_errors_of_a_change_are_shown_at_its_fields(
    page: Page, site: Site, atlas: App, jane: Customer, team: Tier
) -> None:
    site.make_license(jane, installation_id=OTHER)
    license = site.make_license(jane, created_at=LONG_AGO, expires_at=LONG_AGO + timedelta(days=1))
    choose(row_of(page, jane, license), "Change…")
    form = page.get_by_role("dialog", name="Change license")
    installation, save = form.get_by_label("Installation"), form.get_by_role("button", name="Save")

    installation.fill("my laptop")
    form.get_by_label("Metadata as JSON").fill("{")
    save.click()
    expect(form.get_by_text("Enter a UUID, such as 8f14e45f-")).to_be_visible()
    expect(form.get_by_text("This is not valid JSON: ")).to_be_visible()
    expect(installation).to_be_focused()

    installation.fill(license.installation_id)
    form.get_by_label("Metadata as JSON").fill("")
    form.get_by_label("Tier").select_option("Team")
    save.click()
    expect(form.get_by_role("alert")).to_contain_text("Tier ")
    expect(form.get_by_label("Tier")).to_have_attribute("aria-invalid", "true")

    form.get_by_text("Forever").click()
    installation.fill(OTHER)
    save.click()
    expect(form.get_by_text("Installation already has an active license.")).to_be_visible()
    assert stored(site, license)["version"] == 1


def test_a_license_is_renewed_for_the_term_of_its_tier_and_the_renewal_undone(
    page: Page, site: Site, jane: Customer, team: Tier
) -> None:
    expires = NOON + timedelta(days=10)
    license = site.make_license(jane, tier=team, expires_at=expires)
    row = row_of(page, jane, license)

    choose(row, "Renew…")
    form = page.get_by_role("dialog", name="Renew license")
    days = form.get_by_role("textbox", name="Days", exact=True)
    expect(days).to_have_value("90")
    days.fill("36501")
    form.get_by_role("button", name="Renew license").click()
    expect(form.get_by_text("Days must be less than or equal to 36500.")).to_be_visible()
    days.fill("90")
    form.get_by_role("button", name="Renew license").click()

    later = expires + timedelta(days=90)
    expect(toast(page)).to_contain_text(f"License renewed: valid until {day(later)}.")
    expect(row).to_contain_text(day(later))

    undo(page)

    expect(toast(page)).to_contain_text("The license has its previous expiry again.")
    expect(row).to_contain_text(day(expires))
    assert stored(site, license)["expiresAt"] == f"{expires:%Y-%m-%dT%H:%M:%SZ}"


def test_an_expired_license_is_renewed_from_now_and_that_is_final(
    page: Page, site: Site, jane: Customer
) -> None:
    license = site.make_license(jane, created_at=LONG_AGO, expires_at=LONG_AGO + timedelta(days=30))
    row = row_of(page, jane, license)

    choose(row, "Renew…")
    form = page.get_by_role("dialog", name="Renew license")
    expect(form.get_by_role("textbox", name="Days", exact=True)).to_have_accessible_description(
        "Counted from now."
    )
    form.get_by_role("button", name="Renew license").click()

    expect(row).to_have_accessible_name(f"Active license for {license.installation_id}")
    expect(row).to_contain_text(day(datetime.now(UTC) + timedelta(days=365)))
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)


def test_a_license_is_handed_over_and_given_back(page: Page, site: Site, atlas: App, jane: Customer) -> None:
    john = site.make_customer(atlas, email="john@example.com", name="John Roe")
    site.make_customer(site.make_app("globe"), email="john@globe.example", name="John Globe")
    license = site.make_license(jane)
    row = row_of(page, jane, license)

    choose(row, "Hand over…")
    form = page.get_by_role("dialog", name="Hand over license")
    form.get_by_role("button", name="Hand over license").click()
    expect(form.get_by_text("Choose a customer.")).to_be_visible()
    form.get_by_label("Search by email or name").fill("nobody")
    expect(form.get_by_text("No other customer is found.")).to_be_visible()
    form.get_by_label("Search by email or name").fill("john")
    expect(form.get_by_role("radio")).to_have_count(1)
    form.get_by_role("radio", name="John Roe").check()
    form.get_by_role("button", name="Hand over license").click()

    expect(toast(page)).to_contain_text("License handed over to john@example.com.")
    expect(page.get_by_role("heading", name="No licenses yet")).to_be_visible()
    assert stored(site, license)["customer"] == {"email": "john@example.com"}

    undo(page)

    expect(toast(page)).to_contain_text("jane@example.com has the license again.")
    expect(row).to_be_visible()
    page.goto(f"/apps/atlas/customers/{john.id}/activity")
    events = page.get_by_role("list", name="Events, newest first").locator("> li")
    expect(events.first).to_contain_text("License handed over by the key ending in")
    expect(events.first.get_by_role("definition")).to_have_text("from John Roe to Jane Doe")
    expect(events.nth(1).get_by_role("definition")).to_have_text("from Jane Doe to John Roe")


@one_database
def test_a_token_is_copied_with_the_way_to_enter_it(page: Page, site: Site, jane: Customer) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    license = site.make_license(jane, token="eyJhbGciOiJFZERTQSJ9.e30.c2ln")
    choose(row_of(page, jane, license), "Show token")

    page.get_by_role("dialog", name="Token").get_by_role("button", name="Copy for customer").click()

    expect(toast(page)).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()").splitlines() == [
        "eyJhbGciOiJFZERTQSJ9.e30.c2ln",
        "",
        "1. Copy the whole text above this list. It is one long word.",
        "2. In Atlas Editor, open the window that asks for your license.",
        "3. Paste the text there and confirm.",
    ]
