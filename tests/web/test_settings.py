"""An app's settings: its fields, tiers, features and signing keys, and its deletion."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.factories import App
from tests.web.conftest import one_database
from tests.web.site import Site


@pytest.fixture
def atlas(site: Site) -> App:
    return site.make_app("atlas", name="Atlas Editor", description="Maps, drawn.")


def open_settings(page: Page) -> None:
    page.goto("/apps/atlas/settings")
    expect(page.get_by_role("region", name="About")).to_be_visible()


def rows(section: Locator) -> list[str]:
    return [" ".join(row.inner_text().split()) for row in section.get_by_role("listitem").all()]


def test_an_app_is_changed_and_the_change_undone(page: Page, site: Site, atlas: App) -> None:
    open_settings(page)
    about = page.get_by_role("region", name="About")
    name, description, webhook = (
        about.get_by_label(label) for label in ("Name", "Description", "Webhook URL")
    )

    name.fill("")
    webhook.fill("ftp://example.com")
    about.get_by_role("button", name="Save").click()
    expect(name).to_have_accessible_description("Name can't be blank.")
    expect(name).to_be_focused()
    expect(about.get_by_text("Webhook URL must be")).to_be_visible()

    name.fill("Atlas Studio")
    description.fill("")
    webhook.fill("https://example.com/hook")
    about.get_by_role("button", name="Save").click()
    expect(page.get_by_text("App changed.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Atlas Studio")
    expect(page).to_have_title("Settings of Atlas Studio · Licensegraph")
    assert stored(site) == {
        "name": "Atlas Studio",
        "description": None,
        "webhookUrl": "https://example.com/hook",
    }

    page.get_by_role("button", name="Undo").click()

    expect(page.get_by_text("The change to the app was undone.")).to_be_visible()
    assert [field.input_value() for field in (name, description, webhook)] == [
        "Atlas Editor",
        "Maps, drawn.",
        "",
    ]
    assert stored(site) == {"name": "Atlas Editor", "description": "Maps, drawn.", "webhookUrl": None}


def test_the_public_key_is_shown_and_copied(page: Page, site: Site, atlas: App) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_settings(page)
    signing = page.get_by_role("region", name="Signing")

    expect(signing).to_contain_text("EdDSA")
    signing.get_by_role("button", name="Copy public key").click()

    expect(signing.get_by_role("button", name="Copied public key")).to_be_visible()
    pem = site.graph('{ app(slug: "atlas") { publicKeyPem } }')["app"]["publicKeyPem"]
    assert page.evaluate("navigator.clipboard.readText()") == pem
    expect(signing.get_by_role("region", name="Public key")).to_have_text(pem)


def test_a_rotation_keeps_the_old_key_and_says_what_each_key_is_for(
    page: Page, site: Site, atlas: App
) -> None:
    jane = site.make_customer(atlas)
    site.make_license(jane, expires_at=datetime(2099, 1, 1, tzinfo=UTC))
    first = site.graph('{ signingKeys(appSlug: "atlas") { kid publicKeyPem status } }')["signingKeys"][-1]
    open_settings(page)
    signing = page.get_by_role("region", name="Signing")
    current = signing.get_by_role("listitem").filter(has_text="Current")
    expect(current).to_contain_text(first["kid"])
    expect(signing.get_by_role("region", name="Public key")).to_have_text(first["publicKeyPem"])

    signing.get_by_role("button", name="Rotate…").click()
    form = page.get_by_role("dialog", name="Rotate signing keys")
    expect(form.get_by_role("radio", name="Keep the old keys")).to_be_checked()
    form.get_by_role("button", name="Rotate").click()

    expect(page.get_by_text("Signing key replaced. 1 license got a new token.")).to_be_visible()
    expect(form).to_have_count(0)
    retired = signing.get_by_role("listitem").filter(has_text="Retired")
    expect(retired).to_contain_text(first["kid"])
    expect(retired).to_contain_text("Verifies older tokens until Mar 2, 2099, 12:00 AM.")
    expect(current).not_to_contain_text(first["kid"])
    pem = site.graph('{ app(slug: "atlas") { publicKeyPem } }')["app"]["publicKeyPem"]
    assert pem != first["publicKeyPem"]
    expect(signing.get_by_role("region", name="Public key")).to_have_text(pem)


def test_old_keys_are_dropped_once_the_slug_is_typed(page: Page, site: Site, atlas: App) -> None:
    site.make_signing_key(atlas, 0, retired_at=atlas.created_at, last_expiry=atlas.created_at)
    open_settings(page)
    signing = page.get_by_role("region", name="Signing")
    retired = signing.get_by_role("listitem").filter(has_text="Retired")
    expect(retired).to_have_count(1)

    signing.get_by_role("button", name="Rotate…").click()
    form = page.get_by_role("dialog", name="Rotate signing keys")
    form.get_by_role("radio", name="Drop the old keys").check()
    form.get_by_role("button", name="Rotate").click()
    field = form.get_by_label("Type the app's slug to confirm")
    expect(form.get_by_role("alert")).to_have_text("This does not match.")
    expect(field).to_be_focused()
    field.fill("atlas")
    field.press("Enter")

    expect(page.get_by_text("Signing key replaced. 0 licenses got a new token.")).to_be_visible()
    expect(retired).to_have_count(0)
    found = site.graph('{ signingKeys(appSlug: "atlas") { status } }')["signingKeys"]
    assert [key["status"] for key in found if key["status"] != "NEXT"] == ["CURRENT"]


@one_database
def test_the_error_for_an_app_with_too_many_licenses_names_the_command(
    page: Page, site: Site, atlas: App
) -> None:
    site.make_customers(atlas, 1_000, licenses_each=10)
    open_settings(page)

    page.get_by_role("button", name="Rotate…").click()
    page.get_by_role("dialog").get_by_role("button", name="Rotate").click()

    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(
        "run: ./licensegraph keys rotate --app atlas."
    )


def test_a_feature_is_added_changed_and_deleted(page: Page, site: Site, atlas: App) -> None:
    open_settings(page)
    features = page.get_by_role("region", name="Features")
    expect(features.get_by_text("No features yet.")).to_be_visible()

    features.get_by_role("button", name="Add feature").click()
    form = page.get_by_role("dialog", name="New feature")
    form.get_by_label("Name").fill("Export")
    form.get_by_label("Slug").fill("Ex port")
    form.get_by_role("button", name="Add feature").click()
    expect(form.get_by_role("alert")).to_have_text("Slug must be lower-case letters, digits and underscores.")
    form.get_by_label("Slug").fill("export")
    form.get_by_role("button", name="Add feature").click()
    expect(form).to_have_count(0)
    expect(features.get_by_role("listitem")).to_have_count(1)
    assert rows(features) == ["Export export"]

    features.get_by_role("button", name="Edit feature Export").click()
    form = page.get_by_role("dialog", name="Edit feature")
    form.get_by_label("Description").fill("To PDF and SVG")
    form.get_by_role("button", name="Save").click()
    expect(features.get_by_text("To PDF and SVG")).to_be_visible()
    undo(page, "Feature changed.")
    expect(features.get_by_text("To PDF and SVG")).to_have_count(0)

    features.get_by_role("button", name="Delete feature Export").click()
    expect(features.get_by_text("No features yet.")).to_be_visible()
    undo(page, "The feature Export was deleted.")
    expect(features.get_by_role("listitem")).to_have_count(1)
    assert rows(features) == ["Export export"]

    features.get_by_role("button", name="Add feature").click()
    form = page.get_by_role("dialog", name="New feature")
    form.get_by_label("Name").fill("Another")
    form.get_by_label("Slug").fill("export")
    form.get_by_role("button", name="Add feature").click()
    expect(form.get_by_role("alert")).to_have_text("Slug has already been taken.")


def test_a_tier_is_added_changed_and_deleted(page: Page, site: Site, atlas: App) -> None:
    site.make_feature(atlas, slug="export", name="Export")
    site.make_feature(atlas, slug="sso", name="Single sign-on")
    open_settings(page)
    tiers = page.get_by_role("region", name="Tiers")

    tiers.get_by_role("button", name="Add tier").click()
    form = page.get_by_role("dialog", name="New tier")
    form.get_by_label("Name").fill("Team")
    form.get_by_label("Slug").fill("team")
    form.get_by_role("checkbox", name="Export").check()
    form.get_by_role("button", name="Add tier").click()
    expect(tiers.get_by_role("listitem")).to_have_count(1)
    assert rows(tiers) == ["Team team Export"]
    undo(page, "Tier added.")
    expect(tiers.get_by_text("No tiers yet.")).to_be_visible()

    site.make_tier(atlas, slug="team", name="Team")
    page.reload()
    tiers.get_by_role("button", name="Edit tier Team").click()
    form = page.get_by_role("dialog", name="Edit tier")
    form.get_by_role("checkbox", name="Single sign-on").check()
    form.get_by_role("button", name="Save").click()
    expect(tiers.get_by_text("Single sign-on")).to_be_visible()
    undo(page, "Tier changed.")
    expect(tiers.get_by_text("Single sign-on")).to_have_count(0)

    tiers.get_by_role("button", name="Delete tier Team").click()
    expect(tiers.get_by_text("No tiers yet.")).to_be_visible()
    undo(page, "The tier Team was deleted.")
    expect(tiers.get_by_role("listitem")).to_have_count(1)
    assert rows(tiers) == ["Team team"]


def test_edits_of_features_and_tiers_keep_the_changes_of_others(page: Page, site: Site, atlas: App) -> None:
    feature = site.make_feature(atlas, slug="export", name="Export")
    tier = site.make_tier(atlas, slug="team", name="Team", features=[feature])
    open_settings(page)

    page.get_by_role("button", name="Edit feature Export").click()
    form = page.get_by_role("dialog", name="Edit feature")
    form.get_by_label("Name").fill("Exports")
    site.graph(
        'mutation($id: ID!) { updateFeature(input: {id: $id, description: "To PDF"}) { feature { id } } }',
        id=feature.id,
    )
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)

    page.get_by_role("button", name="Edit tier Team").click()
    form = page.get_by_role("dialog", name="Edit tier")
    form.get_by_label("Name").fill("Teams")
    site.graph(
        "mutation($id: ID!) { updateTier(input: {id: $id, features: []}) { tier { id } } }", id=tier.id
    )
    form.get_by_role("button", name="Save").click()
    expect(form).to_have_count(0)

    saved = site.graph(
        """{ app(slug: "atlas") {
          features { nodes { name description } }
          tiers { nodes { name features { slug } } }
        } }"""
    )["app"]
    assert saved["features"]["nodes"] == [{"name": "Exports", "description": "To PDF"}]
    assert saved["tiers"]["nodes"] == [{"name": "Teams", "features": []}]


def test_features_and_tiers_in_use_are_not_deleted_and_the_reason_is_shown(
    page: Page, site: Site, atlas: App
) -> None:
    team = site.make_tier(
        atlas, slug="team", name="Team", features=[site.make_feature(atlas, slug="export", name="Export")]
    )
    site.make_license(site.make_customer(atlas), tier=team)
    open_settings(page)

    page.get_by_role("button", name="Delete tier Team").click()
    expect(page.get_by_text("The tier is in use by a license.")).to_be_visible()
    page.get_by_role("button", name="Delete feature Export").click()
    expect(page.get_by_text("The feature is in use by a tier or a license.")).to_be_visible()

    assert rows(page.get_by_role("region", name="Tiers")) == ["Team team Export"]
    assert rows(page.get_by_role("region", name="Features")) == ["Export export"]


def test_an_app_is_deleted_once_its_slug_is_typed(page: Page, site: Site, atlas: App) -> None:
    site.make_license(site.make_customer(atlas))
    site.make_customer(atlas)
    site.make_app("globe", name="Globe")
    page.goto("/")
    page.get_by_role("link", name="Atlas Editor").click()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("button", name="Delete app…").click()
    dialog = page.get_by_role("dialog", name="Delete app")
    expect(dialog).to_contain_text("2 customers and 1 license will also be deleted.")

    dialog.get_by_role("button", name="Delete app").click()
    expect(dialog.get_by_role("alert")).to_have_text("This does not match.")
    dialog.get_by_label("Type the app's slug to confirm").fill("atlas")
    dialog.get_by_role("button", name="Delete app").click()

    expect(page.get_by_text("Atlas Editor was deleted, with 2 customers and 1 license.")).to_be_visible()
    expect(page).to_have_url(f"{site.url}/")
    expect(page.get_by_text("1 app", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Atlas Editor")).to_have_count(0)
    assert site.graph("{ apps { nodes { slug } } }") == {"apps": {"nodes": [{"slug": "globe"}]}}


def undo(page: Page, said: str) -> None:
    """Click Undo in the message that contains the text `said`."""
    toast = page.get_by_text(said, exact=False)
    toast.locator("..").get_by_role("button", name="Undo").click()


def stored(site: Site) -> dict[str, str | None]:
    found: dict[str, str | None] = site.graph('{ app(slug: "atlas") { name description webhookUrl } }')["app"]
    return found
