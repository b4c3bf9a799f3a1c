"""Pages of another origin call the APIs, and read what the server reports (docs/from-a-browser.md)."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Request, expect

from tests.factories import App
from tests.processes import until
from tests.web.conftest import OpenPage
from tests.web.elsewhere import served_elsewhere
from tests.web.site import Site
from tests.web.watch import Watch

WEB = Path(__file__).parents[2] / "web"
VITE = WEB / "node_modules" / ".bin" / "vite"
INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
UNKNOWN = "sk_live_" + "x" * 32
BLOCKED = ("blocked by CORS policy", "net::ERR_FAILED")

postgresql = pytest.mark.parametrize("installation", ["postgresql"], indirect=True)
"""Runs a test with PostgreSQL only: SQLite is a file, which cannot be stopped."""

FETCH = """async ([url, options]) => {
  try {
    const response = await fetch(url, options);
    const waits = response.headers.get("Retry-After");
    return [response.status, await response.json(), response.headers.get("X-Request-Id").length, waits];
  } catch (error) {
    return String(error);
  }
}"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the built React page."""
    if not VITE.exists():
        said = "the packages of the web part are not installed (make web, which needs Node.js)"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(said)
    folder = tmp_path_factory.mktemp("react")
    command = [str(VITE), "build", "examples/react", "--outDir", str(folder), "--logLevel", "warn"]
    subprocess.run(command, cwd=WEB, check=True, timeout=120)
    return folder


@pytest.fixture
def page_of(built: Path) -> Callable[[str], Path]:
    """A function that returns the folder of an example page."""
    return lambda example: built if example == "react" else WEB / "examples" / example


@pytest.fixture
def serve(site: Site, watch: Watch) -> Iterator[Callable[[Path], str]]:
    """A function that serves the page in a folder, and returns the origin of the page.

    The page uses the server of the site, and the app "atlas".
    """
    with ExitStack() as stack:

        def serve(folder: Path) -> str:
            replaced = {"http://127.0.0.1:4000": site.url, "my-app": "atlas"}
            origin = stack.enter_context(served_elsewhere(folder, replaced))
            watch.allow(origin)
            return origin

        yield serve


@pytest.fixture
def elsewhere(tmp_path: Path, serve: Callable[[Path], str]) -> str:
    """The origin of an empty page."""
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text(
        '<!doctype html><link rel="icon" href="data:," /><title>A page</title>'
    )
    return serve(tmp_path / "page")


def make_key(site: Site, *origins: str, **fields: Any) -> str:
    """Create a key for pages of these origins, and wait until the server allows the origins."""
    key = site.make_key(origins=origins, **fields)
    for origin in origins:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        seconds = until(
            lambda headers=headers: (
                "Access-Control-Allow-Origin"  # type: ignore[misc]
                in httpx.options(f"{site.url}/graphql", headers=headers).headers
            )
        )
        # The server allows an origin within a second. The request itself takes time on a busy machine.
        assert seconds < 2
    return key


def make_browser_key(site: Site, *origins: str) -> str:
    return make_key(site, *origins, kind="restricted", scopes=["read", "read_customers"])


@pytest.fixture
def atlas(site: Site) -> App:
    """An app with twelve customers. The newest has three licenses."""
    atlas = site.make_app("atlas", name="Atlas")
    for number in range(12):
        customer = site.make_customer(atlas, email=f"c{number}@example.com")
    for installation in (None, None, INSTALLATION):
        site.make_license(customer, **({} if installation is None else {"installation_id": installation}))
    return atlas


def fetch(page: Page, url: str, key: str | None = None, method: str = "GET", body: str | None = None) -> Any:
    """Call `fetch` in the page. Return a list about the response, or the error as a text.

    The list has the status, the JSON, the length of X-Request-Id, and Retry-After.
    """
    headers = {"Accept": "application/graphql-response+json, application/json"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    return page.evaluate(FETCH, [url, {"method": method, "headers": headers, "body": body}])


def test_fetch_works_with_a_key_for_the_origin_of_the_page(
    open_page: OpenPage, site: Site, watch: Watch, elsewhere: str
) -> None:
    watch.expect(*BLOCKED)
    page = open_page()
    page.goto(elsewhere)
    query = (f"{site.url}/graphql", "POST", '{"query": "{ apps { totalCount } }"}')
    url, method, body = query

    without = [fetch(page, url, site.key, method, body), fetch(page, f"{site.url}/api/v1/apps", site.key)]
    needs_none = fetch(page, f"{site.url}/api/health")
    key = make_browser_key(site, elsewhere)
    graph = fetch(page, url, key, method, body)
    rest = fetch(page, f"{site.url}/api/v1/apps", key)

    assert without == ["TypeError: Failed to fetch"] * 2
    assert needs_none[:2] == [200, {"data": {"status": "ok", "version": "0.1.0"}}]
    assert (graph[0], graph[1]["data"]) == (200, {"apps": {"totalCount": 0}})
    assert (rest[0], rest[1]["data"]) == (200, [])


def test_a_page_reads_the_status_and_the_json_of_errors(
    open_page: OpenPage, site: Site, watch: Watch, elsewhere: str, atlas: App
) -> None:
    watch.expect("status of 401", "status of 403", "status of 422")
    key = make_browser_key(site, elsewhere)
    of_others = site.make_key(origins=["https://foreign.example"])
    page = open_page()
    page.goto(elsewhere)
    apis = {
        "graph": (f"{site.url}/graphql", "POST", '{"query": "{ apps { totalCount } }"}'),
        "rest": (f"{site.url}/api/v1/apps/atlas/customers", "POST", '{"email": "?"}'),
    }

    def code(api: str, key: str | None) -> tuple[int, str]:
        url, method, body = apis[api]
        status, answer, id_length, _ = fetch(page, url, key, method, body)
        assert id_length == 36
        return status, answer["error"]["code"] if api == "rest" else answer["errors"][0]["extensions"]["code"]

    assert code("graph", None) == code("graph", UNKNOWN) == (401, "UNAUTHENTICATED")
    assert code("rest", None) == code("rest", UNKNOWN) == (401, "unauthorized")
    assert code("graph", of_others) == (403, "FORBIDDEN")
    assert code("rest", of_others) == code("rest", key) == (403, "forbidden")
    assert code("rest", site.key) == (422, "validation_error")


@postgresql
def test_a_page_reads_that_the_database_is_unavailable(
    open_page: OpenPage, site: Site, watch: Watch, elsewhere: str
) -> None:
    watch.expect("status of 503")
    key = make_browser_key(site, elsewhere)
    page = open_page()
    page.goto(elsewhere)
    with site.without_database():
        graph = fetch(page, f"{site.url}/graphql", key, "POST", '{"query": "{ apps { totalCount } }"}')
        rest = fetch(page, f"{site.url}/api/v1/apps", key)

    assert (graph[0], graph[1]["errors"][0]["extensions"]["code"], graph[3]) == (503, "UNAVAILABLE", "1")
    assert (rest[0], rest[1]["error"]["code"], rest[3]) == (503, "unavailable", "1")


REGISTER = """mutation ($documents: [DocumentInput!]!) {
  registerDocuments(input: {set: "portal", documents: $documents}) { added userErrors { message } }
}"""


def points(burst: int) -> dict[str, str]:
    """Return settings with so few points that a key must wait after it has read one page."""
    return {"LICENSEGRAPH_BUDGET_BURST": str(burst), "LICENSEGRAPH_BUDGET_PER_SECOND": "1"}


def test_a_page_reads_that_a_limit_is_reached(
    open_page: OpenPage, site: Site, watch: Watch, elsewhere: str, atlas: App
) -> None:
    watch.expect("status of 429")
    key = make_browser_key(site, elsewhere)
    page = open_page()
    page.goto(elsewhere)
    query = '{"query": "{ apps(first: 18) { nodes { id } } }"}'

    with site.with_settings(LICENSEGRAPH_RATE_LIMIT_PER_MINUTE="1", **points(18)):
        fetch(page, f"{site.url}/graphql", key, "POST", query)
        graph = fetch(page, f"{site.url}/graphql", key, "POST", query)
        rest = [fetch(page, f"{site.url}/api/v1/apps/atlas", key) for _ in range(2)]

    assert (graph[0], graph[1]["errors"][0]["extensions"]["code"]) == (429, "RATE_LIMITED")
    assert 1 <= int(graph[3]) <= 2
    assert rest[0][0] == 200
    assert (rest[1][0], rest[1][1]["error"]["code"]) == (429, "rate_limited")
    assert 55 <= int(rest[1][3]) <= 60


def sign_in(page: Page, key: str) -> None:
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def emails(page: Page) -> list[str]:
    """Return the emails of the customers that the page shows."""
    items = page.get_by_role("region", name="Customers").locator("> ul > li")
    return [text.split(".com")[0] + ".com" for text in items.all_inner_texts()]


def expect_pages(page: Page) -> None:
    """Check the pages of customers, from the first to the last and back."""
    numbers = [[11, 10, 9, 8, 7], [6, 5, 4, 3, 2], [1, 0]]
    expected = [[f"c{number}@example.com" for number in numbers] for numbers in numbers]
    customers = page.get_by_role("region", name="Customers")
    next_page = customers.get_by_role("button", name="Next page").last
    previous = customers.get_by_role("button", name="Previous page").last

    expect(customers.get_by_role("heading")).to_have_text("Atlas: 12 customers")
    for shown in (expected[0], expected[1], expected[2]):
        expect(customers.get_by_text(shown[0])).to_be_visible()
        assert emails(page) == shown
        if shown is not expected[2]:
            next_page.click()
    expect(next_page).to_be_disabled()
    previous.click()
    expect(customers.get_by_text("c6@")).to_be_visible()
    previous.click()
    expect(customers.get_by_text("c11@")).to_be_visible()
    expect(previous).to_be_disabled()
    assert emails(page) == expected[0]


def test_the_plain_page_shows_customers_and_licenses(
    open_page: OpenPage, site: Site, watch: Watch, serve: Callable[[Path], str], atlas: App
) -> None:
    watch.expect("status of 401", "status of 403", "status of 422")
    origin = serve(WEB / "examples" / "plain")
    key = make_browser_key(site, origin)
    page = open_page()
    page.goto(origin)
    alert = page.get_by_role("alert")

    sign_in(page, UNKNOWN)
    expect(alert).to_have_text("401 UNAUTHENTICATED: The API key is unknown, expired or revoked.")
    sign_in(page, site.make_key(origins=["https://foreign.example"]))
    expect(alert).to_contain_text("403 FORBIDDEN: This key only works on pages of its origins")
    sign_in(page, key)
    expect_pages(page)
    expect(alert).to_be_empty()
    expect(page.get_by_label("Key")).to_be_hidden()

    expect_licenses(page, "plain")

    page.get_by_label("Installation").fill(INSTALLATION)
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("status")).to_have_text("Valid: active")
    page.get_by_label("Installation").fill("7")
    page.get_by_role("button", name="Verify").click()
    expect(alert).to_contain_text("422 validation_error: installation_id must be a UUID")


@postgresql
def test_the_plain_page_tries_again_until_the_database_is_back(
    open_page: OpenPage, site: Site, watch: Watch, serve: Callable[[Path], str], atlas: App
) -> None:
    watch.expect("status of 503")
    origin = serve(WEB / "examples" / "plain")
    page = open_page()
    page.goto(origin)
    sign_in(page, make_browser_key(site, origin))
    expect(page.get_by_text("c11@")).to_be_visible()

    with site.without_database():
        page.get_by_role("button", name="Next page").click()
        expect(page.get_by_role("alert")).to_have_text("503 UNAVAILABLE: the database is unavailable")

    expect(page.get_by_text("c6@")).to_be_visible()
    expect(page.get_by_role("alert")).to_be_empty()


@pytest.mark.parametrize("example", ["plain", "react"])
def test_a_page_needs_only_its_registered_documents(
    open_page: OpenPage,
    site: Site,
    watch: Watch,
    page_of: Callable[[str], Path],
    serve: Callable[[Path], str],
    atlas: App,
    example: str,
) -> None:
    """The test registers the documents that the page sends, without changing them."""
    watch.expect("status of 403")
    origin = serve(page_of(example))
    key = make_browser_key(site, origin)
    registered = site.make_key(
        kind="restricted",
        scopes=["read", "read_customers"],
        origins=[origin],
        documents="registered",
        document_sets=["portal"],
    )
    page = open_page()
    page.goto(origin)
    sent: set[str] = set()

    def note(request: Request) -> None:
        if request.post_data:
            sent.add(json.loads(request.post_data)["query"])

    page.on("request", note)

    sign_in(page, registered)
    expect(page.get_by_role("alert")).to_contain_text("403 DOCUMENT_NOT_REGISTERED")
    sign_in(page, key)
    expect_pages(page)
    expect_licenses(page, example)
    site.graph(REGISTER, documents=[{"text": text} for text in sent])

    page.evaluate("sessionStorage.clear()")
    page.reload()
    sign_in(page, registered)
    expect_pages(page)
    expect_licenses(page, example)
    query = '{"query": "{ apps { totalCount } }"}'
    status, answer, *_ = fetch(page, f"{site.url}/graphql", registered, "POST", query)
    assert (status, answer["errors"][0]["extensions"]["code"]) == (403, "DOCUMENT_NOT_REGISTERED")


def expect_licenses(page: Page, example: str) -> None:
    """Check that the newest customer has three licenses, on two pages."""
    newest = page.get_by_role("listitem").filter(has_text="c11@")
    if example == "plain":
        expect(newest.get_by_role("listitem")).to_have_count(2)
        newest.get_by_role("button", name="More licenses").click()
        expect(newest.get_by_role("listitem")).to_have_count(3)
        expect(newest.get_by_role("button", name="More licenses")).to_be_hidden()
    else:
        newest.get_by_role("button", name="3 licenses").click()
        expect(newest.get_by_role("listitem")).to_have_count(2)
        newest.get_by_role("button", name="Next page").click()
        expect(newest.get_by_role("listitem")).to_have_count(1)


def test_the_react_page_shows_customers_and_licenses(
    open_page: OpenPage, site: Site, watch: Watch, serve: Callable[[Path], str], built: Path, atlas: App
) -> None:
    watch.expect("status of 401", "status of 403", "status of 422")
    origin = serve(built)
    key = make_browser_key(site, origin)
    page = open_page()
    page.goto(origin)
    alert = page.get_by_role("alert")

    sign_in(page, UNKNOWN)
    expect(alert).to_contain_text("401 UNAUTHENTICATED: The API key is unknown, expired or revoked.")
    sign_in(page, site.make_key(origins=["https://foreign.example"]))
    expect(alert).to_contain_text("403 FORBIDDEN: This key only works on pages of its origins")
    sign_in(page, key)
    expect_pages(page)
    expect(alert).to_have_count(0)
    expect_licenses(page, "react")

    page.get_by_label("Installation").fill(INSTALLATION)
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("status")).to_have_text("Valid: active")
    page.get_by_label("Installation").fill("7")
    page.get_by_role("button", name="Verify").click()
    expect(page.get_by_role("status")).to_contain_text("422 validation_error: installation_id must be a UUID")


@postgresql
def test_the_react_page_shows_that_the_database_is_away(
    open_page: OpenPage, site: Site, watch: Watch, serve: Callable[[Path], str], built: Path, atlas: App
) -> None:
    watch.expect("status of 503")
    origin = serve(built)
    page = open_page()
    page.goto(origin)
    sign_in(page, make_browser_key(site, origin))
    expect(page.get_by_text("c11@")).to_be_visible()

    with site.without_database():
        page.get_by_role("button", name="Next page").click()
        expect(page.get_by_role("alert")).to_contain_text("503 UNAVAILABLE: the database is unavailable")
    page.get_by_role("button", name="Try again").click()

    expect(page.get_by_text("c6@")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize(("example", "burst"), [("plain", 18), ("react", 13)])
def test_an_example_page_shows_that_a_limit_is_reached(
    open_page: OpenPage,
    site: Site,
    watch: Watch,
    page_of: Callable[[str], Path],
    serve: Callable[[Path], str],
    atlas: App,
    example: str,
    burst: int,
) -> None:
    """`burst` is one point more than the maximum cost of the query with which the page reads customers."""
    watch.expect("status of 429")
    origin = serve(page_of(example))
    key = make_browser_key(site, origin)
    page = open_page()
    page.goto(origin)

    with site.with_settings(**points(burst)):
        sign_in(page, key)
        expect(page.get_by_text("c11@")).to_be_visible()
        page.get_by_role("button", name="Next page").click()

        expect(page.get_by_role("alert")).to_contain_text("429 RATE_LIMITED: The request costs ")
