"""The licenses of a customer: issuing, revoking, reinstating, regenerating, deleting and finding them."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.factories import App, Customer
from tests.web.chromium import DESKTOP, PHONE
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site
from tests.web.traffic import held, requests

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
    """Choose an action from the menu of a license."""
    license.get_by_role("button", name="More actions").click()
    license.get_by_role("menuitem", name=action).click()


def test_a_license_is_issued_and_the_issue_undone(page: Page, site: Site, atlas: App, jane: Customer) -> None:
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
    expect(card.get_by_role("definition").nth(2)).to_have_text(
        f"{expires:%b} {expires.day}, {expires.year} in 30 days"
    )
    expect(card).to_contain_text("Team")
    assert card.get_by_role("list", name="Features").get_by_role("listitem").all_inner_texts() == [
        "Export",
        "Single sign-on",
    ]
    choose(card, "Show details")
    dialog = page.get_by_role("dialog", name="License")
    expect(dialog.get_by_role("region")).to_have_text(json.dumps({"seats": 5}, indent=2))
    dialog.get_by_role("button", name="Close").click()

    page.get_by_role("button", name="Undo").click()

    expect(page.get_by_text("The license was deleted.")).to_be_visible()
    expect(licenses.get_by_role("heading", name="No licenses yet")).to_be_visible()
    assert (
        site.graph('{ app(slug: "atlas") { licenses { totalCount } } }')["app"]["licenses"]["totalCount"] == 0
    )


def test_a_license_is_valid_until_the_end_of_a_day_or_forever(page: Page, jane: Customer) -> None:
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
        licenses.get_by_role("listitem", name="Active license").filter(has_text="ExpiresNever")
    ).to_have_count(1)
    expect(licenses.get_by_role("heading", name="Licenses 2")).to_be_visible()


def test_errors_of_a_new_license_are_shown_at_its_fields(page: Page, site: Site, jane: Customer) -> None:
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
    expect(form.get_by_text("This is not valid JSON: ")).to_be_visible()

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
    installation.fill(f"{{{INSTALLATION.upper()}}}")
    metadata.fill("")
    issue.click()
    expect(last).to_have_accessible_description(
        "The license expires at the end of this day. Last day must be in the future."
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


def test_the_reason_for_not_reinstating_is_shown_at_the_license(
    page: Page, site: Site, jane: Customer
) -> None:
    before = site.make_license(jane, installation_id=INSTALLATION, revoked_at=LONG_AGO, created_at=LONG_AGO)
    licenses = open_licenses(page, jane)
    card = licenses.get_by_role("listitem", name="Revoked license")
    current = site.make_license(jane, installation_id=INSTALLATION)

    card.get_by_role("button", name="Reinstate").click()

    expect(card.get_by_role("alert")).to_have_text("The installation already has an active license.")
    assert status_of(site, before.id) == ("REVOKED", None)

    # Meanwhile, another user deletes the active license and reinstates the revoked one.
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


def test_a_license_gets_a_new_token_and_shows_it_on_demand(page: Page, site: Site, jane: Customer) -> None:
    created = site.graph(
        """mutation($customer: ID!) { createLicense(input: {customerId: $customer, forever: true}) {
             license { id token }
           } }""",
        customer=jane.id,
    )["createLicense"]["license"]
    with requests(page) as sent:
        licenses = open_licenses(page, jane)
        card = licenses.get_by_role("listitem", name="Active license")
        expect(card).to_be_visible()
    assert "LicenseToken" not in [request.operation for request in sent]
    choose(card, "Show token")
    dialog = page.get_by_role("dialog", name="Token")
    expect(dialog.get_by_role("region", name="Token")).to_have_text(created["token"])
    dialog.get_by_role("button", name="Close").click()

    choose(card, "New token")
    expect(page.get_by_text("The license has a new token.")).to_be_visible()
    regenerated = site.graph("query($id: ID!) { license(id: $id) { token } }", id=created["id"])["license"][
        "token"
    ]
    assert regenerated != created["token"]
    choose(card, "Show token")
    expect(dialog.get_by_role("region", name="Token")).to_have_text(regenerated)


def test_a_public_key_sees_licenses_but_no_token_and_no_way_to_change(
    open_page: OpenPage, site: Site, jane: Customer
) -> None:
    site.make_license(jane, installation_id=INSTALLATION, metadata={"seats": 5})
    page = open_page(key=site.public_key)

    licenses = open_licenses(page, jane)

    expect(page.get_by_role("banner").get_by_text("Read only")).to_be_visible()
    card = licenses.get_by_role("listitem", name=f"Active license for {INSTALLATION}")
    card.get_by_role("button", name="More actions").click()
    assert card.get_by_role("menuitem").all_inner_texts() == ["Show details"]
    page.keyboard.press("Escape")
    names = [
        button.get_attribute("aria-label") or button.inner_text()
        for button in page.get_by_role("main").get_by_role("button").all()
    ]
    assert names == [
        *("Switch app", "Copy Email", "Copy ID"),
        *("Copy license ID", "Copy installation", "More actions"),
    ]


def test_licenses_are_filtered_by_status(page: Page, site: Site, jane: Customer) -> None:
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
    expect(licenses.get_by_text("No licenses have this status.")).to_be_visible()
    status.get_by_text("Revoked", exact=True).click()
    expect(licenses.get_by_role("listitem", name="Revoked license")).to_have_count(2)
    status.get_by_text("All", exact=True).click()
    expect(cards).to_have_count(3)


@one_database
def test_the_status_is_in_the_url(page: Page, site: Site, jane: Customer) -> None:
    site.make_license(jane)
    site.make_license(jane, revoked_at=LONG_AGO, created_at=LONG_AGO)
    page.goto("/apps/atlas/customers?order=email")
    page.get_by_role("link", name="Jane Doe").click()
    rows = page.get_by_role("listitem", name="license for")
    expect(rows).to_have_count(2)

    page.get_by_text("Revoked", exact=True).first.click()
    expect(page).to_have_url(f"{site.url}/apps/atlas/customers/{jane.id}?status=revoked")
    expect(rows).to_have_count(1)
    page.reload()
    expect(rows).to_have_count(1)
    expect(page.get_by_role("radio", name="Revoked")).to_be_checked()
    page.get_by_role("main").get_by_role("link", name="Atlas Editor").click()
    expect(page).to_have_url(f"{site.url}/apps/atlas/customers?order=email")

    page.go_forward()
    expect(rows).to_have_count(1)
    page.get_by_text("All", exact=True).click()
    expect(page).to_have_url(f"{site.url}/apps/atlas/customers/{jane.id}")
    expect(rows).to_have_count(2)
    page.goto(f"/apps/atlas/customers/{jane.id}?status=nonsense")
    expect(rows).to_have_count(2)


@one_database
def test_a_status_from_the_url_can_be_left_even_if_there_is_one_license(
    page: Page, site: Site, jane: Customer
) -> None:
    site.make_license(jane)
    page.goto(f"/apps/atlas/customers/{jane.id}?status=expired")
    expect(page.get_by_text("No licenses have this status.")).to_be_visible()

    page.get_by_text("All", exact=True).click()

    expect(page.get_by_role("listitem", name="Active license")).to_be_visible()


def test_a_license_of_an_app_with_tiers_is_not_issued_without_one(
    page: Page, site: Site, atlas: App, jane: Customer
) -> None:
    export = site.make_feature(atlas, slug="export", name="Export")
    site.make_feature(atlas, slug="sso", name="Single sign-on")
    site.make_tier(atlas, slug="team", name="Team", features=[export])
    licenses = open_licenses(page, jane)
    form = page.get_by_role("dialog", name="Issue license")
    with held(page, "Catalog") as catalog:
        licenses.get_by_role("button", name="Issue license").click()
        catalog.wait_for(1)
        page.keyboard.press("Enter")
        expect(form.get_by_role("button", name="Issue license")).to_be_disabled()
    tier = form.get_by_label("Tier")
    expect(tier).to_have_js_property("value", "")
    page.keyboard.press("Enter")

    expect(tier).to_have_accessible_description("Choose a tier.")
    expect(tier).to_be_focused()
    assert tier.get_by_role("option").all_inner_texts() == ["Choose a tier", "Team"]
    assert site.graph("{ apps { nodes { licenses { totalCount } } } }")["apps"]["nodes"] == [
        {"licenses": {"totalCount": 0}}
    ]

    tier.select_option("Team")
    expect(form.get_by_role("checkbox", name="Export (included)")).to_be_checked()
    expect(form.get_by_role("checkbox", name="Single sign-on", exact=True)).not_to_be_checked()
    form.get_by_label("Installation").press("Enter")
    expect(form).to_have_count(0)
    issued = site.graph(
        "query($id: ID!) { customer(id: $id) { licenses { nodes { tier { slug } features } } } }", id=jane.id
    )
    assert issued["customer"]["licenses"]["nodes"] == [{"tier": {"slug": "team"}, "features": ["export"]}]


def test_a_row_shows_the_names_and_the_id_of_a_license(
    page: Page, site: Site, atlas: App, jane: Customer
) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for number in range(130):
        site.make_feature(atlas, slug=f"f{number:03}", name=f"Feature {number}")
    tier = site.make_tier(atlas, slug="team", name="Team")
    site.make_license(jane, tier=tier, own_features=["f000", "f129"], installation_id=INSTALLATION)
    plain = site.make_license(jane)
    licenses = open_licenses(page, jane)

    row = licenses.get_by_role("listitem", name=INSTALLATION)
    assert row.get_by_role("list", name="Features").get_by_role("listitem").all_inner_texts() == [
        "Feature 0",
        "Feature 129",
    ]
    expect(row).not_to_contain_text("No tier")
    other = licenses.get_by_role("listitem", name=plain.installation_id)
    expect(other).to_contain_text("No tier")
    expect(other.get_by_role("list", name="Features")).to_have_count(0)
    expect(other.get_by_text(plain.id, exact=True)).to_be_visible()
    other.get_by_role("button", name="Copy license ID").click()
    expect(other.get_by_role("button", name="Copied license ID")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == plain.id


@one_database
def test_everything_about_a_license_is_in_its_details(
    page: Page, site: Site, atlas: App, jane: Customer
) -> None:
    export = site.make_feature(atlas, slug="export", name="Export")
    license = site.make_license(
        jane,
        tier=site.make_tier(atlas, slug="team", name="Team", features=[export]),
        installation_id=INSTALLATION,
        created_at=LONG_AGO,
        expires_at=LONG_AGO + timedelta(days=30),
        revoked_at=LONG_AGO + timedelta(days=1),
        revoked_reason="Charged back.",
    )
    licenses = open_licenses(page, jane)
    choose(licenses.get_by_role("listitem"), "Show details")

    dialog = page.get_by_role("dialog", name="License")
    expect(dialog.get_by_text("No metadata.")).to_be_visible()
    terms = dialog.get_by_role("term").all_inner_texts()
    jti = site.graph("query($id: ID!) { license(id: $id) { jti } }", id=license.id)["license"]["jti"]
    assert dict(zip(terms, dialog.get_by_role("definition").all_inner_texts(), strict=True)) == {
        "ID": license.id,
        "Installation": INSTALLATION,
        "Status": "Revoked",
        "Tier": "Team",
        "Features": "Export",
        "Issued": "Mar 1, 2025, 9:30 AM",
        "Expires": "Mar 31, 2025, 9:30 AM",
        "Last verified": "Never",
        "Revoked": "Mar 2, 2025, 9:30 AM",
        "Reason": "Charged back.",
        "Token ID": jti,
    }


@one_database
def test_twelve_licenses_fit_on_a_laptop_one_in_each_row(
    page: Page, site: Site, atlas: App, jane: Customer
) -> None:
    features = [
        site.make_feature(atlas, slug=f"f{number}", name=f"Long feature {number}") for number in range(8)
    ]
    tier = site.make_tier(atlas, slug="team", name="Team", features=features)
    for number in range(14):
        site.make_license(
            jane,
            tier=tier if number % 3 else None,
            created_at=LONG_AGO,
            expires_at=LONG_AGO if number % 4 == 1 else None,
            revoked_at=LONG_AGO if number % 4 == 2 else None,
        )
    rows = open_licenses(page, jane).get_by_role("listitem", name="license for")
    expect(rows).to_have_count(14)

    boxes = [row.bounding_box() for row in rows.all()]
    whole = [box for box in boxes if box and box["y"] + box["height"] <= DESKTOP.height]
    assert len(whole) >= 12
    assert len({box["x"] for box in whole}) == 1


@one_database
@pytest.mark.parametrize("screen", [PHONE], ids=str)
def test_details_are_above_licenses_on_a_phone(page: Page, site: Site, jane: Customer) -> None:
    site.make_license(jane)
    licenses = open_licenses(page, jane).bounding_box()
    details = page.get_by_role("region", name="Details").bounding_box()
    metadata = page.get_by_role("region", name="Metadata", exact=True).first.bounding_box()

    assert licenses
    assert details
    assert metadata
    assert details["y"] + details["height"] <= licenses["y"]
    assert licenses["y"] + licenses["height"] <= metadata["y"]


def test_more_than_fifty_licenses_are_shown_on_demand(page: Page, site: Site, atlas: App) -> None:
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
    names = cards.evaluate_all("cards => cards.map((card) => card.ariaLabel)")
    assert len(set(names)) == 120


def test_a_license_is_deleted_once_the_email_is_typed(page: Page, site: Site, jane: Customer) -> None:
    license = site.make_license(jane, installation_id=INSTALLATION)
    site.make_license(jane)
    licenses = open_licenses(page, jane)
    card = licenses.get_by_role("listitem", name=INSTALLATION)

    choose(card, "Delete…")
    dialog = page.get_by_role("dialog", name="Delete license")
    expect(dialog).to_contain_text(
        f"This deletes the license for installation {INSTALLATION}. Only its activity is kept."
    )
    dialog.get_by_role("button", name="Delete license").click()
    expect(dialog.get_by_role("alert")).to_have_text("This does not match.")
    expect(dialog.get_by_role("textbox")).to_be_focused()
    dialog.get_by_label("Type the customer's email to confirm").fill("Jane@Example.com")
    dialog.get_by_role("button", name="Delete license").click()

    expect(page.get_by_text("License deleted.")).to_be_visible()
    expect(licenses.get_by_role("heading", name="Licenses 1")).to_be_visible()
    expect(card).to_have_count(0)
    assert site.graph("query($id: ID!) { license(id: $id) { id } }", id=license.id) == {"license": None}


def status_of(site: Site, id: str) -> tuple[str, str | None]:
    found = site.graph("query($id: ID!) { license(id: $id) { status revokedReason } }", id=id)["license"]
    return found["status"], found["revokedReason"]
