"""What browsers are shown: built pages with their assets, and plain ones where nothing was built."""

import gzip
from pathlib import Path

import httpx
import pytest
from httpx import ASGITransport

from server import create_app
from settings import Settings

# What browsers send when somebody types an address.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}

PLAIN = b"plain " * 100
PAGE = '<!doctype html><html><head><base href="/" /></head><body>{}</body></html>'


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build of the web part, as small as can be."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE.format("dashboard"))
    (folder / "graphiql.html").write_text(PAGE.format("graphiql"))
    (folder / "assets" / "dashboard-1.js").write_bytes(PLAIN)
    (folder / "assets" / "dashboard-1.js.gz").write_bytes(gzip.compress(b"zipped"))
    (folder / "assets" / "dashboard-1.js.br").write_bytes(b"brotli")
    monkeypatch.setattr("server.WEB", folder)
    return folder


@pytest.fixture
def no_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.WEB", tmp_path / "nothing")


async def get(path: str, *, prefix: str = "", **headers: str) -> httpx.Response:
    app = create_app(Settings(database_url="sqlite:////nowhere/at/all.db", path_prefix=prefix))
    async with httpx.AsyncClient(transport=ASGITransport(app=app), base_url="http://testserver") as client:
        return await client.get(path, headers=headers)


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize(
    ("path", "page", "base"),
    [
        ("/", "dashboard", "./"),
        ("/apps", "dashboard", "./"),
        ("/apps/my-app/customers", "dashboard", "../../"),
        ("/apps/my-app/customers/", "dashboard", "../../../"),
        ("/apps/a%2Fb", "dashboard", "../"),
        ("/no/such/page", "dashboard", "../../"),
        ("/graphql", "graphiql", "./"),
        ("/graphql/", "graphiql", "../"),
    ],
)
async def test_a_browser_gets_a_page_whose_addresses_begin_at_the_server(
    path: str, page: str, base: str
) -> None:
    answer = await get(path, **BROWSER)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text == PAGE.format(page).replace('href="/"', f'href="{base}"')
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.usefixtures("build")
async def test_pages_let_in_nothing_but_what_the_server_sends() -> None:
    dashboard = (await get("/", **BROWSER)).headers["content-security-policy"]
    graphiql = (await get("/graphql", **BROWSER)).headers["content-security-policy"]

    assert dashboard == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
    # GraphiQL's editor writes styles of its own; scripts are as strict as on the dashboard.
    assert graphiql == dashboard.replace("style-src 'self'", "style-src 'self' 'unsafe-inline'").replace(
        "font-src 'self'", "font-src 'self' data:"
    )


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize(
    ("encodings", "encoding", "content"),
    [
        ("gzip, deflate, br", "br", b"brotli"),
        ("gzip", "gzip", b"zipped"),
        ("identity", None, PLAIN),
    ],
)
async def test_assets_are_sent_as_they_were_compressed_and_kept_for_good(
    encodings: str, encoding: str | None, content: bytes
) -> None:
    app = create_app(Settings(database_url="sqlite:////nowhere/at/all.db"))
    async with httpx.AsyncClient(transport=ASGITransport(app=app), base_url="http://testserver") as client:
        request = client.build_request(
            "GET", "/assets/dashboard-1.js", headers={"Accept-Encoding": encodings}
        )
        answer = await client.send(request, stream=True)
        sent = b"".join([part async for part in answer.aiter_raw()])

    assert answer.status_code == 200
    assert answer.headers.get("content-encoding") == encoding
    assert (gzip.decompress(sent) if encoding == "gzip" else sent) == content
    assert answer.headers["content-type"] == 'text/javascript; charset="utf-8"'
    assert answer.headers["cache-control"] == "max-age=315360000, public, immutable"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize(
    "path", ["/assets/dashboard-2.js", "/assets/", "/assets/../index.html", "/assets/%2e%2e/index.html"]
)
async def test_other_files_are_not_there(path: str) -> None:
    answer = await get(path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.usefixtures("build")
async def test_programs_get_json_where_browsers_get_pages() -> None:
    nowhere = await get("/apps/my-app")
    rest = await get("/api/v1/nothing", **BROWSER)
    graph = await get("/graphql", Accept="application/json")
    document = await get("/graphql?query=%7B__typename%7D", **BROWSER)

    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "not_found")
    assert (rest.status_code, rest.json()["error"]["code"]) == (404, "not_found")
    assert (graph.status_code, graph.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_USER_INPUT")
    assert document.json()["data"] == {"__typename": "Query"}


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/vendor/licenses/", "./"),
        ("/vendor/licenses/graphql", "./"),
        ("/vendor/licenses/apps/my-app", "../"),
        ("/apps/my-app", "../"),  # a proxy has taken the prefix away
    ],
)
async def test_pages_below_a_prefix_find_their_way_with_and_without_a_proxy_that_takes_it_away(
    path: str, base: str
) -> None:
    answer = await get(path, prefix="/vendor/licenses", **BROWSER)

    assert answer.status_code == 200
    assert f'<base href="{base}" />' in answer.text


@pytest.mark.usefixtures("build")
async def test_everything_answers_below_a_prefix() -> None:
    asset = await get("/licenses/assets/dashboard-1.js", prefix="/licenses")
    graph = await get("/licenses/graphql?query=%7B__typename%7D", prefix="/licenses")
    rest = await get("/licenses/api/openapi.json", prefix="/licenses")
    start = await get("/licenses", prefix="/licenses", **BROWSER)
    neighbour = await get("/licensesx", prefix="/licenses")

    assert asset.status_code == 200
    assert graph.json() == (await get("/graphql?query=%7B__typename%7D")).json()
    assert rest.json()["openapi"] == "3.1.0"
    assert (start.status_code, start.headers["location"]) == (308, "licenses/")
    assert neighbour.status_code == 404


@pytest.mark.usefixtures("no_build")
async def test_without_a_build_a_plain_page_has_the_addresses_of_everything() -> None:
    start = await get("/", **BROWSER)
    deep = await get("/apps/my-app", **BROWSER)
    asset = await get("/assets/dashboard-1.js")

    assert start.status_code == 200
    for address in ("graphql", "api/v1/apps", "api/openapi.json", "api/health"):
        assert f'<a href="{address}">' in start.text
    assert "make web" in start.text
    assert '<base href="../" />' in deep.text
    assert asset.status_code == 404


@pytest.mark.usefixtures("no_build")
async def test_without_a_build_graphiql_is_the_page_that_strawberry_brings() -> None:
    answer = await get("/graphql", **BROWSER)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "GraphiQL" in answer.text
    assert "customers(first: $customers)" in answer.text
