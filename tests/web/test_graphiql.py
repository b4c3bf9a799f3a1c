"""GraphiQL in a browser: the key, the first tabs, the cost, the docs, and that responses are not stored."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.web.accessibility import axe
from tests.web.chromium import DESKTOP, PHONE, ColorScheme, Screen
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site
from tests.web.traffic import GRAPH, held
from tests.web.watch import Watch

REFUSED = "401"
PANELS = ("Documentation Explorer", "History", "GraphiQL Explorer")


def visit(page: Page, path: str = "/graphql") -> None:
    """Open GraphiQL, and wait until it is ready."""
    page.goto(path)
    expect(page.get_by_label("Operation Editor")).to_contain_text("query Dashboard")


def key_field(page: Page) -> Locator:
    return page.get_by_label("Key", exact=True)


def standing(page: Page) -> Locator:
    """Return the element in which the page describes the key."""
    return page.locator("header").get_by_role("status")


def answer(page: Page) -> Locator:
    return page.get_by_label("Result Window")


def cost(page: Page) -> Locator:
    return page.locator("main").get_by_role("status")


def run(page: Page) -> None:
    page.get_by_role("button", name="Execute query").click()


def tab(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def write(page: Page, editor: str, text: str) -> None:
    """Replace the text in one of the editors below the document's editor."""
    page.get_by_role("button", name=editor, exact=True).click()
    page.get_by_role("region", name=editor).locator(".monaco-editor:visible").click()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.press("Delete")
    page.keyboard.insert_text(text)


@pytest.fixture
def sample(site: Site) -> Site:
    """A site with one customer, in the app that the queries of the first tabs read."""
    app = site.make_app("my-app", name="My App")
    site.make_customer(app, email="jane@example.com")
    return site


@one_database
def test_without_a_key_the_schema_can_be_read(open_page: OpenPage) -> None:
    page = open_page()
    visit(page)

    expect(standing(page)).to_have_text("No key: you can read the schema, but no data.")
    page.get_by_role("button", name="Show Documentation Explorer").click()
    page.get_by_role("link", name="Query", exact=True).click()
    page.get_by_role("link", name="viewer", exact=True).click()
    expect(page.locator(".graphiql-plugin")).to_contain_text(
        "The API key of this request, and its permissions."
    )


def test_a_key_is_sent_with_every_request_and_ends_with_the_session(
    open_page: OpenPage, sample: Site
) -> None:
    page = open_page()
    visit(page)

    key_field(page).fill(f" {sample.key} ")
    expect(key_field(page)).to_have_attribute("type", "password")
    expect(standing(page)).to_have_text(f"Secret key of account {sample.account.name}: can read and write.")
    with page.expect_request(lambda request: request.method == "POST") as asked:
        run(page)

    expect(answer(page)).to_contain_text("jane@example.com")
    assert asked.value.headers["authorization"] == f"Bearer {sample.key}"
    page.wait_for_timeout(1_000)  # GraphiQL stores its state after half a second.
    assert sample.key in page.evaluate("JSON.stringify(sessionStorage)")
    kept = page.evaluate("JSON.stringify(localStorage)")
    assert "Dashboard" in kept
    assert sample.key not in kept
    assert "jane@example.com" not in kept


def test_the_key_is_shared_with_the_dashboard(page: Page, sample: Site) -> None:
    with page.expect_request(lambda request: "IntrospectionQuery" in (request.post_data or "")) as asked:
        visit(page)

    assert asked.value.headers["authorization"] == f"Bearer {sample.key}"
    expect(standing(page)).to_contain_text("Secret key")
    page.get_by_role("link", name="Dashboard").click()
    expect(page.get_by_role("link", name="My App")).to_be_visible()
    page.go_back()
    page.get_by_role("button", name="Forget key").click()
    expect(standing(page)).to_contain_text("No key")
    assert page.evaluate("sessionStorage.length") == 0


@one_database
def test_the_key_is_shown_on_demand(page: Page, sample: Site) -> None:
    visit(page)
    page.get_by_role("button", name="Show key").click()

    expect(key_field(page)).to_have_attribute("type", "text")
    expect(key_field(page)).to_have_value(sample.key)


def test_a_public_key_reads_and_writes_nothing(open_page: OpenPage, sample: Site) -> None:
    page = open_page(key=sample.public_key)
    visit(page)

    expect(standing(page)).to_have_text(f"Public key of account {sample.account.name}: can only read.")
    run(page)
    expect(answer(page)).to_contain_text("jane@example.com")
    tab(page, "GetOrCreateCustomer").click()
    run(page)
    expect(answer(page)).to_contain_text("FORBIDDEN")


@one_database
@pytest.mark.parametrize("typed", ["sk_live_wrong", "sk_live_…", "\N{LOCK}"])
def test_a_wrong_key_is_reported(open_page: OpenPage, sample: Site, watch: Watch, typed: str) -> None:
    watch.expect(REFUSED)
    page = open_page()
    visit(page)

    key_field(page).fill(typed)

    expect(standing(page)).to_contain_text("This key is wrong, revoked or expired")
    expect(key_field(page)).to_have_attribute("aria-invalid", "true")
    page.reload()
    page.get_by_role("button", name="Show Documentation Explorer").click()
    expect(page.get_by_role("link", name="Query", exact=True)).to_be_visible()
    key_field(page).fill(sample.key)
    expect(standing(page)).to_contain_text("Secret key")


def test_a_key_that_is_revoked_in_mid_session_is_reported(page: Page, sample: Site, watch: Watch) -> None:
    visit(page)
    expect(standing(page)).to_contain_text("Secret key")
    sample.revoke(sample.key)
    watch.expect(REFUSED)

    run(page)

    expect(answer(page)).to_contain_text("UNAUTHENTICATED")
    expect(standing(page)).to_contain_text("This key is wrong, revoked or expired")


@one_database
def test_a_typed_header_overrides_the_key(page: Page, sample: Site, watch: Watch) -> None:
    watch.expect(REFUSED)
    visit(page)
    expect(standing(page)).to_contain_text("Secret key")
    write(page, "Headers", '{"Authorization": "Bearer sk_live_other"}')

    run(page)

    expect(answer(page)).to_contain_text("UNAUTHENTICATED")
    expect(standing(page)).to_contain_text("Secret key")
    page.wait_for_timeout(1_000)  # GraphiQL stores its state after half a second.
    assert "sk_live_other" not in page.evaluate("JSON.stringify(localStorage)")


def test_no_answer_outlives_its_key(page: Page, sample: Site) -> None:
    visit(page)
    run(page)
    expect(answer(page)).to_contain_text("jane@example.com")
    tab(page, "CustomersPage").click()
    run(page)
    expect(answer(page)).to_contain_text("jane@example.com")

    key_field(page).fill(sample.public_key)

    expect(answer(page)).not_to_contain_text("jane@example.com")
    expect(cost(page)).to_be_empty()
    tab(page, "Dashboard").click()
    expect(answer(page)).not_to_contain_text("jane@example.com")
    expect(page.get_by_label("Operation Editor")).to_contain_text("query Dashboard")


@one_database
def test_a_response_that_arrives_after_a_change_of_key_is_not_shown(page: Page, sample: Site) -> None:
    visit(page)
    with held(page, "Dashboard") as holding:
        run(page)
        holding.wait_for(1)
        key_field(page).fill(sample.public_key)
        expect(standing(page)).to_contain_text("Public key")
    run(page)

    expect(answer(page)).to_contain_text("jane@example.com")


@one_database
def test_an_answer_never_shows_in_another_tab(page: Page, sample: Site) -> None:
    visit(page)
    with held(page, "Dashboard") as holding:
        run(page)
        holding.wait_for(1)
        page.get_by_role("button", name="New tab").click()
        expect(page.get_by_role("button", name="Execute query")).to_be_visible()

    page.wait_for_timeout(200)
    expect(answer(page)).not_to_contain_text("jane@example.com")


def test_the_first_tabs_run_and_show_their_cost(page: Page, sample: Site) -> None:
    visit(page)

    run(page)
    expect(cost(page)).to_have_text(re.compile(r"Cost 122 of 20,000 allowed · \d+ ms"))
    tab(page, "GetOrCreateCustomer").click()
    expect(cost(page)).to_be_empty()
    run(page)
    expect(answer(page)).to_contain_text('"created": true')
    tab(page, "CustomersPage").click()
    run(page)
    expect(answer(page)).to_contain_text("ada@example.com")
    expect(cost(page)).to_have_text(re.compile(r"Cost \d+ of 20,000 allowed · \d+ ms"))


@one_database
def test_the_variables_editor_marks_wrong_values_and_no_right_ones(page: Page, sample: Site) -> None:
    visit(page)
    marks = page.get_by_role("region", name="Variables").locator(".squiggly-error")
    for name in ("Dashboard", "GetOrCreateCustomer", "CustomersPage"):
        tab(page, name).click()
        expect(page.get_by_label("Operation Editor")).to_contain_text(name)
        # The editor checks the variables in the background, which takes a moment.
        page.wait_for_timeout(2_000)
        expect(marks).to_have_count(0)

    tab(page, "GetOrCreateCustomer").click()
    write(page, "Variables", '{"input": {"appSlug": "my-app", "email": "a@b.example", "metadata": "annual"}}')
    expect(marks).to_have_count(1)
    write(page, "Variables", '{"input": {"appSlug": "my-app", "email": "a@b.example", "metadata": null}}')
    expect(marks).to_have_count(0)


@one_database
def test_tabs_and_history_are_there_on_the_next_visit(page: Page, sample: Site) -> None:
    visit(page)
    write(page, "Variables", '{"app": "my-app", "customers": 1}')
    run(page)
    expect(answer(page)).to_contain_text("jane@example.com")
    page.wait_for_timeout(1_000)  # GraphiQL stores its state after half a second.

    page.reload()

    expect(page.get_by_role("region", name="Variables")).to_contain_text('"customers": 1')
    tabs = page.get_by_role("list", name="Select active operation").get_by_role("listitem")
    expect(tabs).to_have_count(3)
    page.get_by_role("button", name="Show History").click()
    expect(page.get_by_role("region", name="History")).to_contain_text("Dashboard")


@one_database
def test_a_server_that_does_not_answer_is_reported(page: Page, sample: Site, watch: Watch) -> None:
    watch.expect("ERR_CONNECTION_REFUSED")
    visit(page)
    expect(standing(page)).to_contain_text("Secret key")
    # This aborts only requests to the graph, because the editor may still be loading its workers.
    page.route(GRAPH, lambda route: route.abort("connectionrefused"))

    run(page)

    expect(answer(page)).to_contain_text("The server is not responding.")
    page.unroute(GRAPH)
    run(page)
    expect(answer(page)).to_contain_text("jane@example.com")


@one_database
def test_it_can_be_used_by_keyboard(page: Page, sample: Site) -> None:
    visit(page)
    key_field(page).focus()
    for name in ("Show key", "Forget key"):
        page.keyboard.press("Tab")
        expect(page.get_by_role("button", name=name)).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Dashboard")).to_be_focused()

    page.get_by_role("button", name="Execute query").focus()
    page.keyboard.press("Enter")

    expect(answer(page)).to_contain_text("jane@example.com")


@one_database
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_the_theme_follows_the_system_or_the_choice_of_the_user(
    page: Page, color_scheme: ColorScheme
) -> None:
    visit(page)
    body, theme = page.locator("body"), page.get_by_label("Theme")
    expect(body).to_contain_class(f"graphiql-{color_scheme}")
    other = {"light": "dark", "dark": "light"}[color_scheme]

    theme.select_option(other)

    expect(body).to_contain_class(f"graphiql-{other}")
    page.reload()
    expect(body).to_contain_class(f"graphiql-{other}")
    expect(page.locator("html")).to_have_css("color-scheme", other)
    theme.select_option("system")
    expect(body).to_contain_class(f"graphiql-{color_scheme}")


@one_database
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=str)
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_it_is_accessible(page: Page, sample: Site, screen: Screen, color_scheme: ColorScheme) -> None:
    visit(page)
    run(page)
    expect(cost(page)).to_contain_text("Cost 122")

    axe(page)
    for panel in PANELS:
        page.get_by_role("button", name=f"Show {panel}").click()
        expect(page.get_by_role("button", name=f"Hide {panel}")).to_be_visible()
        axe(page)
