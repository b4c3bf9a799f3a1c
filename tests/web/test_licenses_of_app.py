"""All licenses of an app: the table, its search and filters, CSV, and actions on one license or on many."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.factories import App, Customer, License
from tests.web.chromium import PHONE
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site
from tests.web.traffic import held

NOW = datetime.now(UTC).replace(microsecond=0)
LONG_AGO = datetime(2025, 3, 1, 9, 30, tzinfo=UTC)
LICENSES = "/apps/atlas/licenses"


@pytest.fixture
def atlas(site: Site) -> App:
    return site.make_app("atlas", name="Atlas")


@pytest.fixture
def jane(site: Site, atlas: App) -> Customer:
    return site.make_customer(atlas, email="jane@example.com", name="Jane Doe")


def rows(page: Page) -> Locator:
    return page.get_by_role("table", name="Licenses").get_by_role("row").filter(has=page.get_by_role("link"))


def row_of(page: Page, license: License) -> Locator:
    return rows(page).filter(has_text=license.installation_id)


def expect_shown(page: Page, *licenses: License) -> None:
    expect(rows(page).locator("code")).to_have_text([each.installation_id for each in licenses])


def choose(row: Locator, action: str) -> None:
    row.get_by_role("button", name="More actions").click()
    row.get_by_role("menuitem", name=action, exact=True).click()


def statuses(site: Site) -> list[Any]:
    document = '{ app(slug: "atlas") { licenses(first: 100) { nodes { id status revokedReason } } } }'
    return [
        (each["id"], each["status"], each["revokedReason"])
        for each in site.graph(document)["app"]["licenses"]["nodes"]
    ]


def test_a_row_shows_the_license_and_leads_to_its_customer(
    page: Page, site: Site, atlas: App, jane: Customer
) -> None:
    trial = site.make_tier(atlas, slug="trial", name="Try it", trial=True)
    expired = site.make_license(jane, created_at=LONG_AGO, expires_at=LONG_AGO)
    license = site.make_license(jane, tier=trial, expires_at=NOW + timedelta(days=20, hours=1))
    site.note_verified(license, NOW - timedelta(days=2))
    page.goto("/apps/atlas/customers")
    page.get_by_role("link", name="Licenses").click()

    expect(page).to_have_title("Licenses of Atlas · Licensegraph")
    expect(page.get_by_text("2 licenses")).to_be_visible()
    expires = NOW + timedelta(days=20, hours=1)
    assert [cell.inner_text() for cell in rows(page).first.get_by_role("cell").all()][1:-1] == [
        "Active",
        "Try it Trial",
        "Jane Doe\njane@example.com",
        license.installation_id,
        f"{expires:%b} {expires.day}, {expires.year}\nin 20 days",
        "2 days ago",
    ]
    old = row_of(page, expired).get_by_role("cell").all_inner_texts()
    assert (old[1], old[2], old[6]) == ("Expired", "No tier", "Never")
    rows(page).first.get_by_role("link", name="Jane Doe").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jane Doe")
    page.go_back()
    expect_shown(page, license, expired)


def test_filters_search_and_order_are_in_the_address(
    page: Page, site: Site, atlas: App, jane: Customer
) -> None:
    team = site.make_tier(atlas, slug="team", name="Team")
    trial = site.make_tier(atlas, slug="trial", name="Try it", trial=True)
    revoked = site.make_license(jane, created_at=LONG_AGO, revoked_at=LONG_AGO)
    tried = site.make_license(
        jane, tier=trial, created_at=NOW - timedelta(days=60), expires_at=NOW + timedelta(days=90)
    )
    soon = site.make_license(jane, tier=team, expires_at=NOW + timedelta(days=10))
    site.note_verified(soon, NOW - timedelta(days=40))
    site.note_verified(tried, NOW - timedelta(days=1))
    page.goto(LICENSES)
    expect_shown(page, soon, tried, revoked)

    for label, option, query, shown in (
        ("Status", "Expiring in 30 days", "status=expiring", [soon]),
        ("Status", "Revoked", "status=revoked", [revoked]),
        ("Tier", "Team", "tier=team", [soon]),
        ("Trial", "Only trials", "trial=yes", [tried]),
        ("Last verified", "Verified in the last 7 days", "verified=week", [tried]),
        ("Last verified", "Never verified", "verified=never", [revoked]),
        ("Last verified", "Last verified more than 30 days ago", "verified=earlier", [soon]),
    ):
        page.get_by_label(label, exact=True).select_option(option)
        expect(page).to_have_url(f"{site.url}{LICENSES}?{query}")
        expect_shown(page, *shown)
        expect(page.get_by_text("1 matching license")).to_be_visible()
        page.get_by_role("button", name="Clear filters").click()
        expect_shown(page, soon, tried, revoked)

    page.get_by_role("textbox", name="Search").fill(tried.jti)
    expect_shown(page, tried)
    page.get_by_role("textbox", name="Search").fill(soon.installation_id[:13].upper())
    expect_shown(page, soon)
    page.get_by_role("textbox", name="Search").fill("nothing")
    expect(page.get_by_role("heading", name="No matching licenses")).to_be_visible()
    page.get_by_role("button", name="Clear search and filters").click()

    page.get_by_role("button", name="Expires").click()
    expect_shown(page, soon, tried, revoked)
    page.get_by_role("columnheader", name="Expires").get_by_role("button").click()
    expect_shown(page, tried, soon, revoked)
    page.get_by_label("Status", exact=True).select_option("Active")
    page.reload()
    expect(page.get_by_label("Order")).to_have_value("-expires_at")
    expect_shown(page, tried, soon)


def test_all_pages_of_the_filtered_rows_are_exported_without_formulas(
    page: Page, site: Site, atlas: App, jane: Customer
) -> None:
    site.make_license(jane, created_at=LONG_AGO, revoked_at=LONG_AGO)
    for number in range(120):
        site.make_license(jane, created_at=LONG_AGO + timedelta(minutes=number))
    mallory = site.make_customer(atlas, email="mallory@example.com", name='=HYPERLINK("evil", "a")')
    last = site.make_license(mallory, expires_at=NOW + timedelta(days=5))
    page.goto(f"{LICENSES}?status=active&order=-created_at")
    expect(page.get_by_text("121 matching licenses")).to_be_visible()

    with held(page, "ManyLicenses") as pages:
        page.get_by_role("button", name="Export CSV").click()
        dialog = page.get_by_role("dialog", name="Export licenses")
        pages.wait_for(1)
        pages.release()
        expect(dialog.get_by_role("status")).to_have_text("100 licenses of 121 licenses so far")
        pages.wait_for(1)
        dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_have_count(0)

    with page.expect_download() as download:
        page.get_by_role("button", name="Export CSV").click()
    assert download.value.suggested_filename == f"licenses-atlas-{datetime.now(UTC):%Y-%m-%d}.csv"
    text = download.value.path().read_bytes().decode("utf-8-sig")
    exported = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len({each["id"] for each in exported}) == 121
    assert {each["status"] for each in exported} == {"active"}
    assert exported[0] == {
        "id": last.id,
        "status": "active",
        "tier": "",
        "features": "",
        "trial": "no",
        "customer_id": mallory.id,
        "customer_email": "mallory@example.com",
        "customer_name": '\'=HYPERLINK("evil", "a")',
        "installation_id": last.installation_id,
        "created_at": exported[0]["created_at"],
        "expires_at": f"{NOW + timedelta(days=5):%Y-%m-%dT%H:%M:%SZ}",
        "revoked_at": "",
        "revoked_reason": "",
        "last_verified_at": "",
        "jti": last.jti,
    }
    expect(page.get_by_text("121 licenses exported.")).to_be_visible()


def test_selected_licenses_are_revoked_and_failures_are_listed(
    page: Page, site: Site, jane: Customer
) -> None:
    first, gone, kept = (site.make_license(jane) for _ in range(3))
    page.goto(LICENSES)
    for license in (first, gone):
        row_of(page, license).get_by_role("checkbox").check()
    expect(page.get_by_text("3 licenses, 2 selected")).to_be_visible()
    # Meanwhile, another user deletes one of the selected licenses.
    site.graph(
        "mutation($id: ID!) { deleteLicense(input: {id: $id}) { userErrors { message } } }", id=gone.id
    )

    page.get_by_role("button", name="Revoke selected…").click()
    dialog = page.get_by_role("dialog", name="Revoke 2 licenses")
    dialog.get_by_label("Reason").fill("Charged back.")
    with held(page, "RevokeLicense") as revocations:
        dialog.get_by_role("button", name="Revoke 2 licenses").click()
        revocations.wait_for(1)
        expect(dialog.get_by_role("status")).to_have_text("0 of 2 licenses")

    expect(dialog.get_by_role("status")).to_have_text("1 license revoked. 1 license could not be revoked:")
    failures = dialog.get_by_role("list", name="Failures").get_by_role("listitem")
    expect(failures).to_have_count(1)
    expect(failures).to_contain_text(gone.installation_id)
    dialog.get_by_role("button", name="Close").last.click()
    assert sorted(statuses(site)) == sorted(
        [(first.id, "REVOKED", "Charged back."), (kept.id, "ACTIVE", None)]
    )
    expect(row_of(page, first)).to_contain_text("Revoked")


def test_all_licenses_of_the_list_are_renewed_for_the_terms_of_their_tiers(
    page: Page, site: Site, atlas: App, jane: Customer
) -> None:
    expires = NOW.replace(hour=12) + timedelta(days=3)
    for days in (30, 60):
        tier = site.make_tier(atlas, duration_days=days)
        site.make_license(jane, tier=tier, expires_at=expires)
    site.make_license(jane)
    page.goto(f"{LICENSES}?status=expiring")
    expect(rows(page)).to_have_count(2)

    page.get_by_role("checkbox", name="Select all").check()
    page.get_by_role("button", name="Renew selected…").click()
    dialog = page.get_by_role("dialog", name="Renew 2 licenses?")
    expect(dialog.get_by_role("radio", name="For the tier's term")).to_be_checked()
    dialog.get_by_role("button", name="Renew 2 licenses").click()

    expect(page.get_by_text("2 licenses renewed.")).to_be_visible()
    expect(page.get_by_role("heading", name="No matching licenses")).to_be_visible()
    document = '{ app(slug: "atlas") { licenses { nodes { expiresAt } } } }'
    assert sorted(each["expiresAt"] or "" for each in site.graph(document)["app"]["licenses"]["nodes"]) == [
        "",
        *(f"{expires + timedelta(days=days):%Y-%m-%dT%H:%M:%SZ}" for days in (30, 60)),
    ]


def test_a_license_is_revoked_and_reinstated_from_its_row(page: Page, site: Site, jane: Customer) -> None:
    license = site.make_license(jane)
    page.goto(f"{LICENSES}?status=active")

    choose(row_of(page, license), "Revoke")
    expect(page.get_by_role("heading", name="No matching licenses")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect_shown(page, license)

    site.graph(
        "mutation($id: ID!) { deleteLicense(input: {id: $id}) { userErrors { message } } }", id=license.id
    )
    choose(row_of(page, license), "New token")
    expect(page.get_by_role("banner").get_by_role("status")).to_contain_text("It ")


@one_database
@pytest.mark.parametrize("screen", [PHONE], ids=str)
def test_a_menu_in_the_last_row_is_whole(page: Page, site: Site, jane: Customer) -> None:
    licenses = [site.make_license(jane) for _ in range(6)]
    page.goto(LICENSES)
    row = row_of(page, licenses[0])
    row.scroll_into_view_if_needed()

    row.get_by_role("button", name="More actions").click()

    for item in row.get_by_role("menuitem").all():
        expect(item).to_be_in_viewport(ratio=1)


@one_database
def test_a_public_key_can_export_but_not_change(open_page: OpenPage, site: Site, jane: Customer) -> None:
    license = site.make_license(jane)
    page = open_page(key=site.public_key)
    page.goto(LICENSES)

    row_of(page, license).get_by_role("checkbox").check()

    selected = page.get_by_role("group", name="Selected licenses")
    assert selected.get_by_role("button").all_inner_texts() == ["Export selected", "Clear selection"]
    with page.expect_download() as download:
        selected.get_by_role("button", name="Export selected").click()
    assert license.id in download.value.path().read_text(encoding="utf-8")
