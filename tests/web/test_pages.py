"""The dashboard's pages as the server sends them, and as a browser loads them."""

import httpx
import pytest
from playwright.sync_api import Page, Request, Response

from tests.web.conftest import one_database
from tests.web.site import Site

BROWSER = {
    "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "Accept-Encoding": "gzip, deflate, br, zstd",
}
# The kind of database makes no difference here.
pytestmark = one_database

PATHS = ["/", "/apps/atlas/customers", "/no/such/view", "/graphql", "/api/docs"]


@pytest.mark.parametrize("path", PATHS)
def test_a_page_has_its_policy_and_is_requested_again_each_time(site: Site, path: str) -> None:
    answer = httpx.get(f"{site.url}{path}", headers=BROWSER)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert answer.headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", PATHS)
def test_assets_of_a_page_are_compressed_and_cacheable(page: Page, path: str) -> None:
    assets: list[Response] = []

    def note(response: Response) -> None:
        if "/assets/" in response.url:
            assets.append(response)

    page.on("response", note)

    page.goto(path, wait_until="networkidle")

    assert [asset.url for asset in assets if asset.url.endswith(".js")]
    for asset in assets:
        assert asset.status == 200, asset.url
        assert asset.headers["cache-control"] == "max-age=315360000, public, immutable", asset.url
        if asset.url.endswith((".js", ".css", ".svg")):
            assert asset.headers["content-encoding"] == "br", asset.url


def test_the_dashboard_loads_little(page: Page) -> None:
    scripts: list[Request] = []

    def note(response: Response) -> None:
        if response.url.endswith(".js"):
            scripts.append(response.request)

    page.on("response", note)

    page.goto("/", wait_until="networkidle")

    assert 0 < sum(script.sizes()["responseBodySize"] for script in scripts) <= 180_000
