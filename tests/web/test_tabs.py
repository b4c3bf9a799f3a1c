"""The tabs of a browser share one session: a new tab is signed in, and signing out applies to all tabs."""

import pytest
from playwright.sync_api import Page, expect

from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site
from tests.web.test_docs import send as request
from tests.web.watch import Watch

pytestmark = one_database
KEPT = "() => JSON.stringify(localStorage)"
SIGN_IN = "Sign in to Licensegraph"


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Atlas")).to_be_visible()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Account").click()
    page.get_by_role("menuitem", name="Sign out").click()
    expect(page.get_by_role("heading", name=SIGN_IN)).to_be_visible()


@pytest.fixture
def sample(site: Site) -> Site:
    site.make_customer(site.make_app("atlas", name="Atlas"), name="Jane Roe")
    return site


def test_a_new_tab_has_the_session(open_page: OpenPage, sample: Site) -> None:
    first = open_page()
    first.goto("/")
    sign_in(first, sample.key)

    typed = first.context.new_page()
    typed.goto("/apps/atlas/customers")
    expect(typed.get_by_role("link", name="Jane Roe")).to_be_visible()
    with typed.context.expect_page() as opened:
        typed.get_by_role("link", name="Jane Roe").click(modifiers=["ControlOrMeta"])
    expect(opened.value.get_by_role("heading", level=1)).to_have_text("Jane Roe")
    explorer = first.context.new_page()
    explorer.goto("/graphql")
    expect(explorer.locator("header").get_by_role("status")).to_contain_text("Secret key of account")

    for page in first.context.pages:
        assert sample.key not in page.evaluate(KEPT)
    assert first.context.cookies() == []


def test_a_new_tab_has_the_session_of_graphiql(open_page: OpenPage, sample: Site) -> None:
    explorer = open_page()
    explorer.goto("/graphql")
    explorer.get_by_label("Key", exact=True).fill(sample.public_key)
    expect(explorer.locator("header").get_by_role("status")).to_contain_text("Public key")

    page = explorer.context.new_page()
    page.goto("/")

    expect(page.get_by_role("link", name="Atlas")).to_be_visible()
    expect(page.get_by_role("banner")).to_contain_text("Read only")


def test_a_tab_beside_one_that_is_not_signed_in_shows_the_sign_in_page(open_page: OpenPage) -> None:
    page = open_page()
    page.goto("/")
    other = page.context.new_page()
    other.goto("/")

    expect(other.get_by_role("heading", name=SIGN_IN)).to_be_visible()


def test_signing_out_ends_the_session_in_every_tab(open_page: OpenPage, sample: Site) -> None:
    first = open_page()
    first.goto("/")
    sign_in(first, sample.key)
    second, explorer = first.context.new_page(), first.context.new_page()
    second.goto("/apps/atlas/customers")
    expect(second.get_by_role("link", name="Jane Roe")).to_be_visible()
    explorer.goto("/graphql")
    standing = explorer.locator("header").get_by_role("status")
    expect(standing).to_contain_text("Secret key")

    sign_out(first)

    expect(second.get_by_role("heading", name=SIGN_IN)).to_be_visible()
    expect(standing).to_contain_text("No key")
    for page in (first, second, explorer):
        assert sample.key not in page.evaluate("() => JSON.stringify(sessionStorage)")
    third = first.context.new_page()
    third.goto("/")
    expect(third.get_by_role("heading", name=SIGN_IN)).to_be_visible()


def test_the_documentation_of_rest_follows_the_session(
    open_page: OpenPage, sample: Site, watch: Watch
) -> None:
    page = open_page()
    page.goto("/")
    sign_in(page, sample.key)
    documentation = page.context.new_page()
    documentation.goto("/api/docs")
    expect(request(documentation, "List apps")).to_contain_text('"slug": "atlas"')

    sign_out(page)

    watch.expect("status of 401")
    expect(documentation.get_by_role("button", name="Execute")).to_have_count(0)
    expect(request(documentation, "List apps")).to_contain_text("unauthorized")


def test_forgetting_the_key_in_graphiql_signs_out_as_well(open_page: OpenPage, sample: Site) -> None:
    page = open_page()
    page.goto("/")
    sign_in(page, sample.key)
    explorer = page.context.new_page()
    explorer.goto("/graphql")
    expect(explorer.locator("header").get_by_role("status")).to_contain_text("Secret key")

    explorer.get_by_role("button", name="Forget key").click()

    expect(page.get_by_role("heading", name=SIGN_IN)).to_be_visible()


def test_a_tab_with_another_key_stays_signed_in(open_page: OpenPage, sample: Site) -> None:
    writer = open_page()
    writer.goto("/")
    sign_in(writer, sample.key)
    reader = writer.context.new_page()
    reader.goto("/")
    expect(reader.get_by_role("link", name="Atlas")).to_be_visible()
    sign_out(writer)
    sign_in(reader, sample.public_key)
    sign_in(writer, sample.key)

    sign_out(writer)

    expect(reader.get_by_role("banner")).to_contain_text("Read only")
    reader.reload()
    expect(reader.get_by_role("link", name="Atlas")).to_be_visible()
