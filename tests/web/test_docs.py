"""The page of the REST API shows the OpenAPI document and uses the session's key.

It loads nothing from other hosts.
"""

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from server import WEB
from tests.databases import SqliteTemplate
from tests.web import chromium
from tests.web.accessibility import axe
from tests.web.chromium import DESKTOP, PHONE, ColorScheme, Screen
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site, installed
from tests.web.test_addresses import proxied
from tests.web.watch import Watch


def visit(page: Page, url: str = "/api/docs") -> None:
    page.goto(url)
    expect(page).to_have_title("REST API · Licensegraph")
    expect(page.get_by_role("heading", name="Licensegraph")).to_be_visible()


def operation(page: Page, summary: str) -> Locator:
    return page.locator(".opblock").filter(has_text=summary).first


def send(page: Page, summary: str) -> Locator:
    """Send the example request of an operation, and return the element that shows the response."""
    opened = operation(page, summary)
    opened.get_by_role("button").first.click()
    opened.get_by_role("button", name="Try it out").click()
    opened.get_by_role("button", name="Execute").click()
    return opened.locator(".live-responses-table")


@one_database
def test_every_operation_is_listed_and_one_is_described_with_an_example(page: Page, site: Site) -> None:
    visit(page)

    paths = httpx.get(f"{site.url}/api/openapi.json").json()["paths"]
    expect(page.locator(".opblock")).to_have_count(sum(map(len, paths.values())))
    create = operation(page, "Create a customer")
    create.get_by_role("button").first.click()
    expect(create).to_contain_text("lena@orbit.example")
    expect(create).to_contain_text("The email and the external id must be unique within the app")


def test_a_request_is_sent_with_the_key_of_the_session(page: Page, site: Site) -> None:
    site.make_app("atlas", name="Atlas")
    visit(page)

    expect(send(page, "List apps")).to_contain_text('"slug": "atlas"')


@one_database
def test_without_a_session_the_page_is_the_same_and_a_request_is_unauthorized(
    open_page: OpenPage, watch: Watch
) -> None:
    watch.expect("status of 401")
    page = open_page()
    visit(page)

    expect(send(page, "List apps")).to_contain_text("unauthorized")


def walk(browser: Browser, watch: Watch, site: Site, origin: str) -> None:
    """Open the page of a server that is available at {origin}/tools/licenses, and send a request."""
    site.make_app("atlas", name="Atlas")
    home = f"{origin}/tools/licenses"
    with chromium.opened(browser, origin, watch, key=site.key) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        visit(page, f"{home}/api/docs")
        expect(send(page, "List apps")).to_contain_text('"slug": "atlas"')
        assert f"{home}/api/v1/apps" in {url.partition("?")[0] for url in asked}
        assert [url for url in asked if not url.startswith((f"{home}/", "data:"))] == []
    watch.check()


def test_it_works_below_a_path_that_the_server_knows(
    browser: Browser, watch: Watch, sqlite_template: SqliteTemplate, tmp_path: Path
) -> None:
    with (
        sqlite_template.copied() as url,
        installed(tmp_path, url, LICENSEGRAPH_PATH_PREFIX="/tools/licenses") as below,
    ):
        walk(browser, watch, Site(below), below.url.removesuffix("/tools/licenses"))


@one_database
def test_it_works_behind_a_proxy_that_strips_the_path(browser: Browser, watch: Watch, site: Site) -> None:
    with proxied(site.url) as url:
        walk(browser, watch, site, url)


@one_database
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_accessible(page: Page, screen: Screen, color_scheme: ColorScheme) -> None:
    visit(page)

    axe(page)


def _scripts(page: Page, path: str) -> set[str]:
    """Open a page, and return the names of the scripts that it loads."""
    loaded: set[str] = set()
    page.on("request", lambda request: loaded.add(request.url.rpartition("/")[2]))
    page.goto(path, wait_until="networkidle")
    return {name for name in loaded if name.endswith(".js")}


@one_database
def test_what_shows_the_document_is_not_loaded_by_the_dashboard(open_page: OpenPage, site: Site) -> None:
    of_docs, of_dashboard = (_scripts(open_page(key=site.key), path) for path in ("/api/docs", "/"))

    (large,) = (name for name in of_docs if (WEB / "assets" / name).stat().st_size > 1_000_000)
    assert large not in of_dashboard
