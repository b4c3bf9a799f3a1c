"""Every view has its own address, also if the server is available at a path such as /tools/licenses."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread as SystemThread

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.databases import SqliteTemplate
from tests.web import chromium
from tests.web.conftest import one_database
from tests.web.site import Installation, Site, installed
from tests.web.watch import Watch


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("main").get_by_role("heading", name=name).first).to_be_visible()


def test_every_view_can_be_opened_by_its_address(page: Page, site: Site) -> None:
    app = site.make_app("atlas", name="Atlas")
    jane = site.make_customer(app, name="Jane Roe", external_id="crm-7")
    site.make_customer(app, name="Joe Bloggs")
    views = {
        "/": ("Apps", "Apps · Licensegraph"),
        "/apps/atlas/customers": ("Atlas", "Atlas · Licensegraph"),
        f"/apps/atlas/customers/{jane.id}": ("Jane Roe", "Jane Roe · Licensegraph"),
        "/apps/atlas/licenses": ("Atlas", "Licenses of Atlas · Licensegraph"),
        "/apps/atlas/settings": ("Atlas", "Settings of Atlas · Licensegraph"),
        "/graphql": ("", "GraphiQL · Licensegraph"),
    }
    for path, (shown, title) in views.items():
        page.goto(path)
        expect(page).to_have_title(title)
        if shown:
            heading(page, shown)
            expect(page).to_have_url(f"{site.url}{path}")

    page.goto("/apps/atlas/customers?search=o&externalId=crm-7&order=-name")
    expect(page.get_by_role("table").get_by_role("link")).to_have_text(["Jane Roe"])
    expect(page.get_by_label("Search by email or name")).to_have_value("o")
    expect(page.get_by_label("External ID")).to_have_value("crm-7")
    expect(page.get_by_label("Order")).to_have_value("-name")


@one_database
@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/apps", "/"),
        ("/apps/atlas/customers/", "/apps/atlas/customers/"),
    ],
)
def test_addresses_without_a_view_redirect_to_one(page: Page, site: Site, path: str, leads_to: str) -> None:
    site.make_customer(site.make_app("atlas", name="Atlas"), name="Jane Roe")

    page.goto(path)

    expect(page.get_by_role("link", name="Atlas" if leads_to == "/" else "Jane Roe")).to_be_visible()
    expect(page).to_have_url(f"{site.url}{leads_to}")


@one_database
def test_unknown_addresses_show_a_message(page: Page, site: Site, watch: Watch) -> None:
    watch.expect("status of 400")  # The server returns status 400 for a string that is not an id.
    customer = site.make_customer(site.make_app("atlas", name="Atlas"), name="Jane Roe")
    site.make_app("zephyr", name="Zephyr")
    absent = {
        "/no/such/view": "page",
        "/apps/atlas/nothing": "page",
        "/apps/%E0%A4%A": "app",
        "/apps/nowhere/customers": "app",
        "/apps/nowhere/settings": "app",
        "/apps/a%2Fb%3Fc/customers": "app",
        "/apps/atlas/customers/cus_00000000000000000000000000": "customer",
        "/apps/atlas/customers/hello": "customer",
        "/apps/atlas/customers/%25%F0%9F%94%91": "customer",
        f"/apps/zephyr/customers/{customer.id}": "customer",
    }
    for path, what in absent.items():
        page.goto(path)
        heading(page, f"{what.capitalize()} not found")
        expect(page).to_have_title("Not found · Licensegraph")
    page.get_by_role("link", name="All apps").click()
    expect(page.get_by_role("link", name="Zephyr")).to_be_visible()


@one_database
@pytest.mark.parametrize("path", ["customers/cus_00000000000000000000000000", "customers/hello", "nothing"])
def test_what_an_app_does_not_have_leads_back_to_the_app(
    page: Page, site: Site, watch: Watch, path: str
) -> None:
    if path.endswith("hello"):
        watch.expect("status of 400")
    site.make_customer(site.make_app("atlas", name="Atlas"), name="Jane Roe")
    page.goto(f"/apps/atlas/{path}")

    page.get_by_role("link", name="Overview of atlas").click()

    expect(page).to_have_url(f"{site.url}/apps/atlas")
    heading(page, "Active licenses")


def test_going_back_and_forward_goes_through_the_views(page: Page, site: Site) -> None:
    site.make_customer(site.make_app("atlas", name="Atlas"), name="Jane Roe")
    page.goto("/")
    page.get_by_role("link", name="Atlas").click()
    page.get_by_role("link", name="Customers").click()
    page.get_by_label("Search by email or name").fill("ja")
    expect(page.get_by_text("1 matching customer")).to_be_visible()
    page.get_by_role("link", name="Jane Roe").click()
    heading(page, "Jane Roe")
    page.get_by_role("link", name="Atlas").click()
    expect(page.get_by_label("Search by email or name")).to_have_value("ja")
    page.get_by_role("link", name="Settings").click()
    heading(page, "Signing")

    page.go_back()
    expect(page.get_by_role("link", name="Jane Roe")).to_be_visible()
    expect(page.get_by_label("Search by email or name")).to_have_value("ja")
    page.go_back()
    heading(page, "Active licenses")
    page.go_back()
    heading(page, "Apps")
    page.go_forward()
    heading(page, "Active licenses")
    page.go_forward()
    expect(page.get_by_label("Search by email or name")).to_have_value("ja")
    page.go_forward()
    heading(page, "Signing")


@one_database
def test_a_link_opens_in_another_tab(page: Page, site: Site) -> None:
    customer = site.make_customer(site.make_app("atlas", name="Atlas"), name="Jane Roe")
    page.goto("/apps/atlas/customers")

    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Jane Roe").click(modifiers=["ControlOrMeta"])

    expect(opened.value).to_have_url(f"{page.url}/{customer.id}")
    heading(opened.value, "Jane Roe")
    expect(page.get_by_role("link", name="Jane Roe")).to_be_visible()


@pytest.fixture
def below(sqlite_template: SqliteTemplate, tmp_path: Path) -> Iterator[Installation]:
    """A server that has the path at which it is available, /tools/licenses, in its settings."""
    with (
        sqlite_template.copied() as url,
        installed(tmp_path, url, LICENSEGRAPH_PATH_PREFIX="/tools/licenses") as installation,
    ):
        yield installation


def test_everything_works_below_a_path_that_the_server_knows(
    browser: Browser, watch: Watch, below: Installation
) -> None:
    walk(browser, watch, Site(below), below.url.removesuffix("/tools/licenses"))


@one_database
def test_everything_works_behind_a_proxy_that_strips_the_path(
    browser: Browser, watch: Watch, site: Site
) -> None:
    with proxied(site.url) as url:
        walk(browser, watch, site, url)


def walk(browser: Browser, watch: Watch, site: Site, origin: str) -> None:
    """Visit the views of a server that is available at ``{origin}/tools/licenses/``."""
    site.make_customer(site.make_app("atlas", name="Atlas"), name="Jane Roe")
    home = f"{origin}/tools/licenses"
    with chromium.opened(browser, origin, watch, key=site.key) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{home}/")
        page.get_by_role("link", name="Atlas").click()
        page.get_by_role("link", name="Customers").click()
        page.get_by_role("link", name="Jane Roe").click()
        heading(page, "Jane Roe")
        customer = page.url
        assert customer.startswith(f"{home}/apps/atlas/customers/cus_")
        page.reload()
        heading(page, "Jane Roe")
        page.get_by_role("link", name="Atlas").click()
        expect(page).to_have_url(f"{home}/apps/atlas/customers")
        page.get_by_role("button", name="New customer").click()
        page.get_by_role("textbox", name="Email", exact=True).fill("joe@example.com")
        page.get_by_role("button", name="Create customer").click()
        heading(page, "joe@example.com")
        page.get_by_role("button", name="Undo").click()
        expect(page).to_have_url(f"{home}/apps/atlas/customers")
        page.get_by_role("link", name="Licensegraph").click()
        expect(page).to_have_url(f"{home}/")
        page.go_back()
        expect(page.get_by_role("link", name="Jane Roe")).to_be_visible()
        page.goto(f"{home}/no/such/view")
        page.get_by_role("link", name="All apps").click()
        expect(page.get_by_role("link", name="Atlas")).to_be_visible()
        page.get_by_role("link", name="GraphiQL").click()
        expect(page).to_have_url(f"{home}/graphql")
        expect(page).to_have_title("GraphiQL · Licensegraph")
        assert [url for url in asked if not url.startswith(f"{home}/")] == []
    watch.check()


@contextmanager
def proxied(url: str) -> Iterator[str]:
    """Run a proxy that makes `url` available at /tools/licenses. The server does not know this path."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith("/tools/licenses/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            address = url + self.path.removeprefix("/tools/licenses")
            headers = {name: value for name, value in self.headers.items() if name.lower() in PASSED_ON}
            with httpx.stream(self.command, address, headers=headers, content=body) as answer:
                raw = b"".join(answer.iter_raw())
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in {"content-length", "transfer-encoding", "connection"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_POST = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        SystemThread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


PASSED_ON = {"accept", "accept-encoding", "authorization", "content-type"}
