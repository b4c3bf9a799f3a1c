"""The keys of the account: the list, one key, and creating, changing, rotating and revoking keys."""

import re
from datetime import timedelta
from typing import Any

from playwright.sync_api import Locator, Page, expect

from db import clock
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site
from tests.web.watch import Watch

SUPPORT = ["READ", "READ_CUSTOMERS", "READ_EVENTS", "WRITE_CUSTOMERS", "WRITE_LICENSES"]
KEYS = "{ apiKeys(first: 50) { nodes { id name kind scopes origins documents documentSets apps { slug } } } }"


def key_named(site: Site, name: str) -> dict[str, Any]:
    (found,) = [key for key in site.graph(KEYS)["apiKeys"]["nodes"] if key["name"] == name]
    return dict(found)


def new_key(page: Page) -> Locator:
    page.goto("/keys")
    page.get_by_role("button", name="New key").click()
    return page.get_by_role("dialog", name="New key")


def open_key(page: Page, name: str) -> None:
    page.goto("/keys")
    page.get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def shown_token(page: Page) -> str:
    dialog = page.get_by_role("dialog", name="Copy the key now")
    expect(dialog).to_be_visible()
    return dialog.get_by_role("region").inner_text()


def close_token(page: Page) -> None:
    page.get_by_role("button", name="I have stored the key").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def rows(page: Page) -> Locator:
    return page.get_by_role("list", name="Keys").get_by_role("listitem")


def test_a_key_for_support_is_created_and_its_token_shown_once(page: Page, site: Site) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    form = new_key(page)
    expect(form.get_by_label("Name")).to_be_focused()

    form.get_by_label("Name").fill("help desk")
    form.get_by_role("button", name="Support").click()
    expect(form.get_by_role("checkbox", name="Change licenses")).to_be_checked()
    expect(form.get_by_role("checkbox", name="Read tokens")).not_to_be_checked()
    form.get_by_role("button", name="Create key").click()

    token = shown_token(page)
    dialog = page.get_by_role("dialog", name="Copy the key now")
    assert re.fullmatch(r"rk_live_[0-9A-Za-z]{32}", token)
    expect(dialog.get_by_role("alert")).to_contain_text("This is the only time that the key is shown.")
    dialog.get_by_role("button", name="Copy key").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == token
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    close_token(page)

    expect(page.get_by_role("heading", level=1)).to_have_text("help desk")
    expect(page.get_by_role("main")).to_contain_text(f"rk_live_…{token[-4:]}")
    assert token not in page.content()
    created = key_named(site, "help desk")
    assert created == {
        "id": created["id"],
        "name": "help desk",
        "kind": "RESTRICTED",
        "scopes": SUPPORT,
        "origins": None,
        "documents": "ANY",
        "documentSets": None,
        "apps": None,
    }
    assert site.graph_with(token, "{ viewer { keyName scopes } }") == {
        "viewer": {"keyName": "help desk", "scopes": SUPPORT}
    }
    page.get_by_role("main").get_by_role("link", name="Keys").click()
    expect(rows(page).filter(has_text="help desk")).to_contain_text("Support")


@one_database
def test_a_key_is_limited_to_apps_origins_documents_and_a_date(page: Page, site: Site) -> None:
    site.make_app("atlas", name="Atlas")
    site.make_app("globe", name="Globe")
    form = new_key(page)

    form.get_by_label("Name").fill("portal")
    form.get_by_role("radio", name="Public").check()
    expect(form.get_by_role("checkbox", name="Read", exact=False).first).to_be_checked()
    expect(form.get_by_role("radio", name="Registered only")).to_be_checked()
    form.get_by_text("Only some", exact=True).click()
    form.get_by_role("checkbox", name="Globe").check()
    form.get_by_label("Origins").fill("https://portal.example.com\nhttp://localhost:3000\n")
    form.get_by_role("button", name="Only some sets").click()
    form.get_by_label("Sets").fill("portal@1.4.2")
    form.get_by_text("On a date").click()
    form.get_by_label("Last day").fill("2099-12-31")
    form.get_by_role("button", name="Create key").click()
    assert shown_token(page).startswith("pk_live_")
    close_token(page)

    created = key_named(site, "portal")
    assert created == {
        "id": created["id"],
        "name": "portal",
        "kind": "PUBLIC",
        "scopes": ["READ"],
        "origins": ["https://portal.example.com", "http://localhost:3000"],
        "documents": "REGISTERED",
        "documentSets": ["portal@1.4.2"],
        "apps": [{"slug": "globe"}],
    }
    access = page.get_by_role("region", name="Access")
    expect(access.get_by_role("link", name="Globe")).to_be_visible()
    expect(access).to_contain_text("https://portal.example.com")
    expect(access).to_contain_text("portal@1.4.2")
    expect(page.get_by_role("region", name="Details")).to_contain_text("Dec 31, 2099")


@one_database
def test_errors_of_a_key_are_shown_at_its_fields(page: Page, site: Site) -> None:
    form = new_key(page)
    form.get_by_text("Only some", exact=True).click()
    form.get_by_text("On a date").click()
    form.get_by_role("button", name="Create key").click()
    expect(form.get_by_role("alert")).to_have_text(
        ["Choose at least one scope.", "Choose at least one app.", "Enter a date."]
    )

    form.get_by_role("button", name="Read only").click()
    form.get_by_text("All apps").click()
    form.get_by_text("Never").click()
    form.get_by_label("Origins").fill("https://portal.example.com/path")
    form.get_by_role("button", name="Create key").click()

    expect(form.get_by_label("Name")).to_have_accessible_description(re.compile("Name can't be blank"))
    expect(form.get_by_label("Name")).to_be_focused()
    expect(form.get_by_label("Origins")).to_have_accessible_description(re.compile("Origins"))
    expect(form.get_by_label("Origins")).to_have_value("https://portal.example.com/path")
    assert len(site.graph(KEYS)["apiKeys"]["nodes"]) == 2


def test_a_key_is_changed_and_the_change_undone(page: Page, site: Site) -> None:
    site.make_key(kind="restricted", name="crm", scopes=["read", "read_customers"])
    open_key(page, "crm")

    page.get_by_role("button", name="Edit").click()
    form = page.get_by_role("dialog", name="Edit key")
    form.get_by_label("Name").fill("crm sync")
    form.get_by_role("checkbox", name="Change customers").check()
    form.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("crm sync")
    assert key_named(site, "crm sync")["scopes"] == ["READ", "READ_CUSTOMERS", "WRITE_CUSTOMERS"]
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("crm")
    assert key_named(site, "crm")["scopes"] == ["READ", "READ_CUSTOMERS"]


def test_a_rotated_key_works_with_both_tokens_until_the_overlap_ends(page: Page, site: Site) -> None:
    old = site.make_key(kind="restricted", name="crm", scopes=["read"])
    open_key(page, "crm")

    page.get_by_role("button", name="Rotate…").click()
    form = page.get_by_role("dialog", name="Rotate key")
    expect(form.get_by_role("radio", name="For 24 hours")).to_be_checked()
    form.get_by_role("button", name="Rotate key").click()
    new = shown_token(page)
    expect(page.get_by_role("dialog")).to_contain_text("The old key works for 24 more hours.")
    close_token(page)

    assert new != old
    expect(page.get_by_role("main")).to_contain_text(f"rk_live_…{new[-4:]}")
    for token in (old, new):
        assert site.graph_with(token, "{ viewer { keyName } }") == {"viewer": {"keyName": "crm"}}
    page.get_by_role("button", name="Rotate…").click()
    form.get_by_role("radio", name="Not at all").check()
    form.get_by_role("button", name="Rotate key").click()
    newest = shown_token(page)
    close_token(page)
    for token in (old, new):
        site.wait_until_refused(token)
    assert site.graph_with(newest, "{ viewer { keyName } }") == {"viewer": {"keyName": "crm"}}


@one_database
def test_rotating_ones_own_key_keeps_the_session(open_page: OpenPage, site: Site) -> None:
    site.make_app("atlas", name="Atlas")
    own = site.make_key(name="admin")
    page = open_page(key=own)
    open_key(page, "admin")
    expect(page.get_by_role("main")).to_contain_text("Signed in with this key")

    page.get_by_role("button", name="Rotate…").click()
    form = page.get_by_role("dialog", name="Rotate key")
    form.get_by_role("radio", name="Not at all").check()
    form.get_by_role("button", name="Rotate key").click()
    token = shown_token(page)
    close_token(page)

    site.wait_until_refused(own)
    page.get_by_role("link", name="Licensegraph").click()
    expect(page.get_by_role("link", name="Atlas")).to_be_visible()
    assert token in page.evaluate("() => Object.values(sessionStorage)")


def test_a_key_is_revoked_once_its_name_is_typed(page: Page, site: Site) -> None:
    token = site.make_key(kind="restricted", name="crm", scopes=["read"])
    open_key(page, "crm")

    page.get_by_role("button", name="Revoke…").click()
    dialog = page.get_by_role("dialog", name="Revoke key")
    dialog.get_by_role("button", name="Revoke key").click()
    expect(dialog.get_by_role("alert")).to_have_text("This does not match.")
    dialog.get_by_label("Type the key's name to confirm").fill("crm")
    dialog.get_by_role("button", name="Revoke key").click()

    expect(dialog).to_have_count(0)
    expect(page.get_by_role("main").get_by_text("Revoked", exact=True).first).to_be_visible()
    for name in ("Edit", "Rotate…", "Revoke…"):
        expect(page.get_by_role("button", name=name)).to_have_count(0)
    site.wait_until_refused(token)
    page.get_by_role("main").get_by_role("link", name="Keys").click()
    expect(rows(page).filter(has_text="crm")).to_have_count(0)
    page.get_by_text("All", exact=True).click()
    expect(rows(page).filter(has_text="crm")).to_contain_text("Revoked")


@one_database
def test_the_last_secret_key_is_not_revoked(page: Page, site: Site) -> None:
    page.goto("/keys")
    page.get_by_role("listitem").filter(has_text=site.key[-4:]).get_by_role("link").click()

    page.get_by_role("button", name="Revoke…").click()
    dialog = page.get_by_role("dialog", name="Revoke key")
    expect(dialog).to_contain_text("You are signed in with this key")
    dialog.get_by_label("Type the key's last four characters to confirm").fill(site.key[-4:])
    dialog.get_by_role("button", name="Revoke key").click()

    expect(dialog.get_by_role("alert")).to_contain_text("The key")
    assert site.graph("{ viewer { accountName } }")


@one_database
def test_revoking_ones_own_key_asks_for_another(open_page: OpenPage, site: Site, watch: Watch) -> None:
    watch.expect("status of 401")
    own = site.make_key(name="admin")
    page = open_page(key=own)
    open_key(page, "admin")

    page.get_by_role("button", name="Revoke…").click()
    dialog = page.get_by_role("dialog", name="Revoke key")
    dialog.get_by_label("Type the key's name to confirm").fill("admin")
    dialog.get_by_role("button", name="Revoke key").click()
    expect(dialog).to_have_count(0)
    again = page.get_by_role("dialog", name="Your key no longer works")
    page.get_by_role("main").get_by_role("link", name="Keys").click()
    site.wait_until_refused(own)
    page.get_by_text("All", exact=True).click()
    expect(again).to_be_visible()

    again.get_by_label("Key", exact=True).fill(site.key)
    again.get_by_role("button", name="Sign in").click()
    expect(rows(page).first).to_be_visible()


@one_database
def test_the_list_shows_last_use_usage_and_expiry_and_is_filtered(page: Page, site: Site) -> None:
    now = clock.now()
    site.make_key(kind="public", name="website", expires_at=now + timedelta(days=365, hours=1))
    site.make_key(kind="restricted", name="old sync", scopes=["read"], expires_at=now - timedelta(days=1))
    used = site.make_key(kind="restricted", name="crm", scopes=["read", "write_catalog"])
    site.make_usage_of(used, minute=now - timedelta(hours=2), requests=1_200, points=5_000, refused=7)

    page.goto("/keys")

    expect(page.get_by_role("status").filter(has_text="4 live keys")).to_be_visible()
    crm = rows(page).filter(has_text="crm")
    expect(crm).to_contain_text("Restricted rk_live_…")
    expect(crm).to_contain_text("Read, Change the catalog")
    expect(crm).to_contain_text("2 hours ago")
    expect(crm).to_contain_text("1,200 requests")
    expect(rows(page).filter(has_text="website")).to_contain_text("Never")
    page.get_by_text("All", exact=True).click()
    expect(page).to_have_url(f"{site.url}/keys?state=all")
    expect(rows(page).filter(has_text="old sync")).to_contain_text("Expired")
    page.get_by_label("Kind").select_option("Public")
    expect(page).to_have_url(f"{site.url}/keys?state=all&kind=public")
    expect(rows(page)).to_have_count(2)
    page.reload()
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_label("Kind")).to_have_value("PUBLIC")

    open_key(page, "crm")
    usage = page.get_by_role("region", name="Usage in 30 days")
    expect(usage.get_by_role("definition")).to_have_text(["2 hours ago", "1,200", "5,000", "7"])
    usage.get_by_text("Show days").click()
    day = (now - timedelta(hours=2)).strftime("%b %-d, %Y")
    expect(usage.get_by_role("row").nth(1)).to_have_text(f"{day}1,2005,0007")


@one_database
def test_a_key_offers_no_more_than_it_has(open_page: OpenPage, site: Site) -> None:
    site.make_app("atlas", name="Atlas")
    page = open_page(key=site.make_key(kind="restricted", name="ops", scopes=["read", "manage_keys"]))

    form = new_key(page)

    expect(form.get_by_role("radio", name=re.compile("^Secret"))).to_have_count(0)
    expect(form.get_by_role("checkbox")).to_have_count(2)
    expect(form.get_by_role("checkbox", name="Manage keys")).to_be_visible()
    expect(form.get_by_role("button", name="Support")).to_have_count(0)
    form.get_by_label("Name").fill("reader")
    form.get_by_role("checkbox", name="Read").check()
    form.get_by_role("button", name="Create key").click()
    shown_token(page)
    close_token(page)
    details = page.get_by_role("region", name="Details")
    expect(details.get_by_role("link", name="ops")).to_be_visible()


@one_database
def test_keys_are_not_offered_without_the_scope(open_page: OpenPage, site: Site) -> None:
    page = open_page(key=site.make_key(kind="restricted", scopes=["read", "read_customers"]))
    page.goto("/")
    expect(page.get_by_role("heading", name="Apps", exact=True)).to_be_visible()
    expect(page.get_by_role("banner").get_by_role("link", name="Keys")).to_have_count(0)

    page.goto("/keys")

    expect(page.get_by_role("alert")).to_contain_text("Your key does not allow this")
    expect(page.get_by_role("button", name="New key")).to_have_count(0)


@one_database
def test_a_key_limited_to_apps_creates_none(open_page: OpenPage, site: Site) -> None:
    atlas = site.make_app("atlas", name="Atlas")
    site.make_app("globe", name="Globe")
    page = open_page(
        key=site.make_key(kind="restricted", scopes=["read", "write_catalog", "manage_keys"], apps=[atlas])
    )
    page.goto("/")

    expect(page.get_by_role("main").get_by_role("heading", level=2)).to_have_text(["Atlas"])
    expect(page.get_by_role("button", name="New app")).to_have_count(0)
    form = new_key(page)
    expect(form.get_by_text("All apps of your key")).to_be_visible()
    form.get_by_text("Only some", exact=True).click()
    expect(form.get_by_role("checkbox", name="Atlas")).to_be_visible()
    expect(form.get_by_role("checkbox", name="Globe")).to_have_count(0)


@one_database
def test_a_narrowed_key_is_offered_less_at_once(open_page: OpenPage, site: Site) -> None:
    site.make_app("atlas", name="Atlas")
    token = site.make_key(
        kind="restricted", name="shop", scopes=["read", "read_customers", "write_customers"]
    )
    page = open_page(key=token)
    page.goto("/apps/atlas/customers")
    page.get_by_role("button", name="New customer").first.click()
    form = page.get_by_role("dialog", name="New customer")
    form.get_by_label("Email").fill("jane@example.com")

    site.graph(
        "mutation($id: ID!) { updateApiKey(input: {id: $id, scopes: [READ, READ_CUSTOMERS]}) {"
        " userErrors { message } } }",
        id=key_named(site, "shop")["id"],
    )
    site.wait_for_scopes(token, "READ", "READ_CUSTOMERS")
    form.get_by_role("button", name="Create customer").click()

    expect(form.get_by_role("alert")).to_contain_text("Your key does not allow this")
    expect(form.get_by_label("Email")).to_have_value("jane@example.com")
    expect(page.get_by_role("banner")).to_contain_text("Read only")


@one_database
def test_the_page_asks_before_a_new_token_is_lost(page: Page, site: Site) -> None:
    form = new_key(page)
    form.get_by_label("Name").fill("crm")
    form.get_by_role("button", name="Read only").click()
    form.get_by_role("button", name="Create key").click()
    token = shown_token(page)

    page.go_back()

    page.get_by_role("button", name="Keep editing").click()
    assert shown_token(page) == token
    close_token(page)
    page.go_back()
    expect(page.get_by_role("heading", name="Keys", exact=True)).to_be_visible()


@one_database
def test_the_bar_shows_the_name_of_the_key(open_page: OpenPage, site: Site) -> None:
    named = site.make_key(kind="restricted", name="help desk", scopes=["read"])
    for key, name in ((named, "help desk"), (site.key, "Secret key"), (site.public_key, "Public key")):
        page = open_page(key=key)
        page.goto("/")
        expect(page.get_by_role("banner")).to_contain_text(f"{site.account.name}{name}")
        expect(page.get_by_role("banner")).not_to_contain_text(key[-4:])


@one_database
def test_an_unknown_key_is_not_found(page: Page) -> None:
    page.goto("/keys/key_00000000000000000000000000")

    expect(page.get_by_role("heading", name="Key not found")).to_be_visible()
