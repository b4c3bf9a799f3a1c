"""A customer's licenses: issued, revoked, reinstated, renewed, deleted, and found again among many."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.factories import App, Customer
from tests.web.conftest import OpenPage
from tests.web.site import Site
from tests.web.traffic import requests

INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
LONG_AGO = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)


@pytest.fixture
def atlas(site: Site) -> App:
    return site.make_app("atlas", name="Atlas Editor")


@pytest.fixture
def jane(site: Site, atlas: App) -> Customer:
    return site.make_customer(atlas, email="jane@example.com", name="Jane Doe")


def open_licenses(page: Page, customer: Customer) -> Locator:
    page.goto(f"/apps/atlas/customers/{customer.id}")
    licenses = page.get_by_role("region", name="Licenses")
    expect(licenses).to_be_visible()
    return licenses


def choose(license: Locator, action: str) -> None:
    """Choose from the menu of a license."""
    license.get_by_role("button", name="More actions").click()
    license.get_by_role("menuitem", name=action).click()


def test_a_license_is_issued_and_taken_back(page: Page, site: Site, atlas: App, jane: Customer) -> None:
    export = site.make_feature(atlas, slug="export", name="Export")
    site.make_feature(atlas, slug="sso", name="Single sign-on")
    site.make_tier(atlas, slug="team", name="Team", features=[export])
    licenses = open_licenses(page, jane)
    expect(licenses.get_by_role("heading", name="No licenses yet")).to_be_visible()

    licenses.get_by_role("button", name="Issue license").click()
    form = page.get_by_role("dialog", name="Issue license")
    form.get_by_role("textbox", name="Days", exact=True).fill("30")
    form.get_by_label("Tier").select_option("Team")
    expect(form.get_by_role("checkbox", name="Export")).to_be_checked()
    expect(form.get_by_role("checkbox", name="Export")).to_be_disabled()
    form.get_by_role("checkbox", name="Single sign-on").check()
    form.get_by_label("Installation").fill(INSTALLATION.upper())
    form.get_by_label("Metadata as JSON").fill('{"seats": 5}')
    form.get_by_role("button", name="Issue license").click()

    expect(form).to_have_count(0)
    card = licenses.get_by_role("listitem", name=f"Active license for {INSTALLATION}")
    expires = datetime.now(UTC) + timedelta(days=30)
    expect(card.get_by_role("definition").nth(1)).to_have_text(
        f"{expires:%b} {expires.day}, {expires.year} in 30 days"
    )
    expect(card).to_contain_text("Team")
    assert card.get_by_role("list", name="Features").get_by_role("listitem").all_inner_texts() == [
        "export",
        "sso",
    ]
    choose(card, "Show metadata")
    dialog = page.get_by_role("dialog", name="Metadata of the license")
    expect(dialog.get_by_role("region")).to_have_text(json.dumps({"seats": 5}, indent=2))
    dialog.get_by_role("button", name="Close").click()

    page.get_by_role("button", name="Undo").click()

    expect(page.get_by_text("The license was taken back.")).to_be_visible()
    expect(licenses.get_by_role("heading", name="No licenses yet")).to_be_visible()
    assert (
        site.graph('{ app(slug: "atlas") { licenses { totalCount } } }')["app"]["licenses"]["totalCount"] == 0
    )


def test_a_license_holds_until_a_day_ends_or_forever(page: Page, jane: Customer) -> None:
    licenses = open_licenses(page, jane)
    form = page.get_by_role("dialog", name="Issue license")

    licenses.get_by_role("button", name="Issue license").click()
    form.get_by_text("Until a date").click()
    form.get_by_label("Last day").fill("2099-12-30")
    form.get_by_role("button", name="Issue license").click()
    expect(form).to_have_count(0)
    until = licenses.get_by_role("listitem", name="Active license").filter(has_text="Dec 30, 2099")
    expect(until).to_have_count(1)

    licenses.get_by_role("button", name="Issue license").click()
    form.get_by_text("Forever").click()
    form.get_by_role("button", name="Issue license").click()
    expect(form).to_have_count(0)
    expect(
        licenses.get_by_role("listitem", name="Active license").filter(has_text="Expiresnever")
    ).to_have_count(1)
    expect(licenses.get_by_role("heading", name="Licenses 2")).to_be_visible()


def test_what_is_wrong_with_a_new_license_is_said_at_its_fields(
    page: Page, site: Site, jane: Customer
) -> None:
    site.make_license(jane, installation_id=INSTALLATION)
    licenses = open_licenses(page, jane)
    licenses.get_by_role("button", name="Issue license").click()
    form = page.get_by_role("dialog", name="Issue license")
    days, installation, metadata = (
        form.get_by_role("textbox", name=name, exact=True)
        for name in ("Days", "Installation", "Metadata as JSON")
    )
    issue = form.get_by_role("button", name="Issue license")

    days.fill("a year")
    installation.fill("my laptop")
    metadata.fill("{")
    issue.click()
    expect(days).to_have_accessible_description("Enter a whole number of days.")
    expect(days).to_be_focused()
    expect(form.get_by_text("Enter a UUID, such as 8f14e45f-")).to_be_visible()
    expect(form.get_by_text("This is not JSON: ")).to_be_visible()

    days.fill("36501")
    installation.fill("")
    metadata.fill(json.dumps(dict.fromkeys(map(str, range(51)), 0)))
    issue.click()
    expect(days).to_have_accessible_description("Days must be less than or equal to 36500.")
    expect(metadata).to_have_accessible_description("Metadata has too many keys (maximum is 50).")
    expect(days).to_have_value("36501")

    form.get_by_text("Until a date").click()
    last = form.get_by_label("Last day")
    last.fill("2025-01-01")
    installation.fill(INSTALLATION)
    metadata.fill("")
    issue.click()
    expect(last).to_have_accessible_description(
        "It expires when this day ends. Last day must be in the future."
    )

    form.get_by_text("Forever").click()
    issue.click()
    expect(form.get_by_text("Installation already has an active license.")).to_be_visible()
    expect(installation).to_be_focused()
    installation.fill("")
    issue.click()
    expect(form).to_have_count(0)
    expect(licenses.get_by_role("heading", name="Licenses 2")).to_be_visible()


def test_a_license_is_revoked_at_once_and_the_revocation_undone(
    page: Page, site: Site, jane: Customer
) -> None:
    license = site.make_license(jane, installation_id=INSTALLATION)
    licenses = open_licenses(page, jane)
    card = licenses.get_by_role("listitem", name=INSTALLATION)

    card.get_by_role("button", name="Revoke").click()

    expect(card).to_have_accessible_name(f"Revoked license for {INSTALLATION}")
    assert status_of(site, license.id) == ("REVOKED", None)

    page.get_by_role("button", name="Undo").click()

    expect(page.get_by_text("License reinstated.")).to_be_visible()
    expect(card).to_have_accessible_name(f"Active license for {INSTALLATION}")
    assert status_of(site, license.id) == ("ACTIVE", None)


def test_a_reason_is_kept_with_a_revocation(page: Page, site: Site, jane: Customer) -> None:
    license = site.make_license(jane, installation_id=INSTALLATION)
    licenses = open_licenses(page, jane)
    card = licenses.get_by_role("listitem", name=INSTALLATION)

    choose(card, "Revoke with a reason…")
    form = page.get_by_role("dialog", name="Revoke license")
    reason = form.get_by_label("Reason")
    expect(reason).to_be_focused()
    reason.fill("x" * 501)
    form.get_by_role("button", name="Revoke license").click()
    expect(form.get_by_role("alert")).to_have_text("Reason is too long (maximum is 500 characters).")
    reason.fill("Charged back, ticket 4711.")
    form.get_by_role("button", name="Revoke license").click()

    expect(form).to_have_count(0)
    expect(card).to_contain_text("Charged back, ticket 4711.")
    expect(card).to_have_accessible_name(f"Revoked license for {INSTALLATION}")

    card.get_by_role("button", name="Reinstate").click()
    expect(card).to_have_accessible_name(f"Active license for {INSTALLATION}")
    expect(card).not_to_contain_text("Charged back")
    page.get_by_role("status").filter(has_text="License reinstated.").get_by_role(
        "button", name="Undo"
    ).last.click()
    expect(card).to_contain_text("Charged back, ticket 4711.")
    assert status_of(site, license.id) == ("REVOKED", "Charged back, ticket 4711.")


def test_why_a_license_is_not_reinstated_is_said_at_it(page: Page, site: Site, jane: Customer) -> None:
    before = site.make_license(jane, installation_id=INSTALLATION, revoked_at=LONG_AGO, created_at=LONG_AGO)
    licenses = open_licenses(page, jane)
    card = licenses.get_by_role("listitem", name="Revoked license")
    current = site.make_license(jane, installation_id=INSTALLATION)

    card.get_by_role("button", name="Reinstate").click()

    expect(card.get_by_role("alert")).to_have_text("The installation already has an active license.")
    assert status_of(site, before.id) == ("REVOKED", None)

    # Somebody else mends it meanwhile, and reinstates this one.
    site.graph(
        """mutation($current: ID!, $before: ID!) {
             deleteLicense(input: {id: $current}) { userErrors { message } }
             reinstateLicense(input: {id: $before}) { userErrors { message } }
           }""",
        current=current.id,
        before=before.id,
    )
    card.get_by_role("button", name="Reinstate").click()

    active = licenses.get_by_role("listitem", name="Active license")
    expect(active.get_by_role("alert")).to_have_text("The license is not revoked.")


def test_a_license_gets_a_new_token_and_shows_it_when_asked(page: Page, site: Site, jane: Customer) -> None:
    created = site.graph(
        """mutation($customer: ID!) { createLicense(input: {customerId: $customer, forever: true}) {
             license { id token }
           } }""",
        customer=jane.id,
    )["createLicense"]["license"]
    with requests(page) as sent:
        licenses = open_licenses(page, jane)
        card = licenses.get_by_role("listitem", name="Active license")
        choose(card, "Show token")
        dialog = page.get_by_role("dialog", name="Token")
        show = dialog.get_by_role("button", name="Show the token")
        expect(show).to_be_focused()
    assert "LicenseToken" not in [request.operation for request in sent]
    expect(dialog.get_by_role("region", name="Token")).to_have_count(0)
    show.click()
    expect(dialog.get_by_role("region", name="Token")).to_have_text(created["token"])
    dialog.get_by_role("button", name="Close").click()

    choose(card, "New token")
    expect(page.get_by_text("The license has a new token.")).to_be_visible()
    renewed = site.graph("query($id: ID!) { license(id: $id) { token } }", id=created["id"])["license"][
        "token"
    ]
    assert renewed != created["token"]
    choose(card, "Show token")
    dialog.get_by_role("button", name="Show the token").click()
    expect(dialog.get_by_role("region", name="Token")).to_have_text(renewed)


def test_a_public_key_sees_licenses_but_no_token_and_no_way_to_change(
    open_page: OpenPage, site: Site, jane: Customer
) -> None:
    site.make_license(jane, installation_id=INSTALLATION, metadata={"seats": 5})
    page = open_page(key=site.public_key)

    licenses = open_licenses(page, jane)

    expect(page.get_by_role("banner").get_by_text("Read only")).to_be_visible()
    card = licenses.get_by_role("listitem", name=f"Active license for {INSTALLATION}")
    card.get_by_role("button", name="More actions").click()
    assert card.get_by_role("menuitem").all_inner_texts() == ["Show metadata"]
    page.keyboard.press("Escape")
    names = [
        button.get_attribute("aria-label") or button.inner_text()
        for button in page.get_by_role("main").get_by_role("button").all()
    ]
    assert names == ["More actions", "Copy installation", "Copy Email", "Copy ID"]


def test_licenses_are_told_apart_by_status(page: Page, site: Site, jane: Customer) -> None:
    site.make_license(jane)
    expired = site.make_license(jane, created_at=LONG_AGO, expires_at=LONG_AGO + timedelta(days=30))
    site.make_license(jane, revoked_at=LONG_AGO, created_at=LONG_AGO)
    licenses = open_licenses(page, jane)
    status = licenses.get_by_role("group", name="Status")
    cards = licenses.get_by_role("listitem", name="license for")
    expect(cards).to_have_count(3)

    status.get_by_text("Expired", exact=True).click()
    expect(cards).to_have_count(1)
    expect(cards).to_have_accessible_name(f"Expired license for {expired.installation_id}")
    expect(cards).to_contain_text("ExpiredMar 31, 2025")
    expect(cards.get_by_role("button", name="Revoke")).to_be_visible()

    status.get_by_text("Active", exact=True).click()
    expect(licenses.get_by_role("listitem", name="Active license")).to_have_count(1)
    expect(cards).to_have_count(1)
    cards.get_by_role("button", name="Revoke").click()
    expect(licenses.get_by_text("No license has this status.")).to_be_visible()
    status.get_by_text("Revoked", exact=True).click()
    expect(licenses.get_by_role("listitem", name="Revoked license")).to_have_count(2)
    status.get_by_text("All", exact=True).click()
    expect(cards).to_have_count(3)


def test_more_than_fifty_licenses_come_when_asked_for(page: Page, site: Site, atlas: App) -> None:
    site.make_customers(atlas, 1, licenses_each=120)
    found = site.graph('{ app(slug: "atlas") { customers { nodes { id email } } } }')["app"]["customers"][
        "nodes"
    ][0]
    page.goto(f"/apps/atlas/customers/{found['id']}")
    licenses = page.get_by_role("region", name="Licenses")
    cards = licenses.get_by_role("listitem", name="license for")
    expect(licenses.get_by_role("heading", name="Licenses 120")).to_be_visible()
    expect(cards).to_have_count(50)

    licenses.get_by_role("button", name="Show more licenses").click()
    expect(cards).to_have_count(100)
    licenses.get_by_role("button", name="Show more licenses").click()
    expect(cards).to_have_count(120)

    expect(licenses.get_by_role("button", name="Show more licenses")).to_have_count(0)
    names = [card.get_attribute("aria-label") for card in cards.all()]
    assert len(set(names)) == 120


def test_a_license_is_deleted_once_the_email_is_typed(page: Page, site: Site, jane: Customer) -> None:
    license = site.make_license(jane, installation_id=INSTALLATION)
    site.make_license(jane)
    licenses = open_licenses(page, jane)
    card = licenses.get_by_role("listitem", name=INSTALLATION)

    choose(card, "Delete…")
    dialog = page.get_by_role("dialog", name="Delete license")
    expect(dialog).to_contain_text(
        f"The license of installation {INSTALLATION} and its history are gone then."
    )
    dialog.get_by_role("button", name="Delete license").click()
    expect(dialog.get_by_role("alert")).to_have_text("This is not the same.")
    dialog.get_by_label("Type the customer's email to confirm").fill("Jane@Example.com")
    dialog.get_by_role("button", name="Delete license").click()

    expect(page.get_by_text("License deleted.")).to_be_visible()
    expect(licenses.get_by_role("heading", name="Licenses 1")).to_be_visible()
    expect(card).to_have_count(0)
    assert site.graph("query($id: ID!) { license(id: $id) { id } }", id=license.id) == {"license": None}


def status_of(site: Site, id: str) -> tuple[str, str | None]:
    found = site.graph("query($id: ID!) { license(id: $id) { status revokedReason } }", id=id)["license"]
    return found["status"], found["revokedReason"]
