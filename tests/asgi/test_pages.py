"""Pages for browsers: the built pages with their assets, and the plain pages that replace a missing build."""

import gzip
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import httpx
import pytest
from httpx import ASGITransport
from starlette.applications import Starlette

from server import create_app
from settings import Settings

# The header that browsers send when the user types an address.
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}

PLAIN = b"plain " * 100
PAGE = '<!doctype html><html><head><base href="/" /></head><body>{}</body></html>'


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a minimal front-end build."""
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE.format("dashboard"))
    (folder / "graphiql.html").write_text(PAGE.format("graphiql"))
    (folder / "docs.html").write_text(PAGE.format("docs"))
    (folder / "assets" / "dashboard-1.js").write_bytes(PLAIN)
    (folder / "assets" / "dashboard-1.js.gz").write_bytes(gzip.compress(b"zipped"))
    (folder / "assets" / "dashboard-1.js.br").write_bytes(b"brotli")
    monkeypatch.setattr("server.WEB", folder)
    return folder


@pytest.fixture
def no_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.WEB", tmp_path / "nothing")


def running(prefix: str = "") -> Starlette:
    return create_app(Settings(database_url="sqlite:////nowhere/at/all.db", path_prefix=prefix))


async def ask(app: Starlette, path: str, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=ASGITransport(app=app), base_url="http://testserver") as client:
        return await client.get(path, headers=headers)


async def get(path: str, *, prefix: str = "", **headers: str) -> httpx.Response:
    return await ask(running(prefix), path, **headers)


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
        ("/api/docs", "docs", "../"),
        ("/api/docs/", "docs", "../../"),
    ],
)
async def test_a_page_has_addresses_relative_to_the_server(path: str, page: str, base: str) -> None:
    answer = await get(path, **BROWSER)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text == PAGE.format(page).replace('href="/"', f'href="{base}"')
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["vary"] == "Accept"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.usefixtures("build")
async def test_the_content_policy_of_pages_only_allows_this_server() -> None:
    dashboard = (await get("/", **BROWSER)).headers["content-security-policy"]
    graphiql = (await get("/graphql", **BROWSER)).headers["content-security-policy"]
    docs = (await get("/api/docs", **BROWSER)).headers["content-security-policy"]

    assert docs == dashboard
    assert dashboard == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
    # GraphiQL's editor adds inline styles and fonts in data: URLs. Scripts are as restricted as on the
    # dashboard.
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
async def test_assets_are_sent_compressed_and_cached_forever(
    encodings: str, encoding: str | None, content: bytes
) -> None:
    app = running()
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
async def test_other_files_are_not_found(path: str) -> None:
    answer = await get(path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


@pytest.mark.usefixtures("build")
async def test_api_clients_get_json_where_browsers_get_pages() -> None:
    nowhere = await get("/apps/my-app")
    rest = await get("/api/v1/nothing", **BROWSER)
    graph = await get("/graphql", Accept="application/json")
    document = await get("/graphql?query=%7B__typename%7D", **BROWSER)

    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "not_found")
    assert (rest.status_code, rest.json()["error"]["code"]) == (404, "not_found")
    assert (graph.status_code, graph.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_USER_INPUT")
    assert document.json()["data"] == {"__typename": "Query"}


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/html"])
async def test_the_documentation_of_rest_is_a_page_for_everyone(accept: str) -> None:
    answer = await get("/api/docs", Accept=accept)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.text == PAGE.format("docs").replace('href="/"', 'href="../"')


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize(
    ("path", "base"),
    [
        ("/vendor/licenses/", "./"),
        ("/vendor/licenses/api/docs", "../"),
        ("/vendor/licenses/graphql", "./"),
        ("/vendor/licenses/apps/my-app", "../"),
        ("/apps/my-app", "../"),  # the proxy has stripped the prefix
    ],
)
async def test_pages_below_a_prefix_work_if_the_proxy_strips_it_and_if_not(path: str, base: str) -> None:
    answer = await get(path, prefix="/vendor/licenses", **BROWSER)

    assert answer.status_code == 200
    assert f'<base href="{base}" />' in answer.text


@pytest.mark.usefixtures("build")
async def test_everything_works_below_a_prefix() -> None:
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
async def test_without_a_build_a_plain_page_lists_the_addresses() -> None:
    start = await get("/", **BROWSER)
    deep = await get("/apps/my-app", **BROWSER)
    docs = await get("/api/docs")
    asset = await get("/assets/dashboard-1.js")

    assert start.status_code == 200
    for address in ("graphql", "api/v1/apps", "api/openapi.json", "api/health"):
        assert f'<a href="{address}">' in start.text
    assert "make web" in start.text
    assert '<base href="../" />' in deep.text
    assert docs.text == deep.text
    assert asset.status_code == 404


def publish(folder: Path, name: str) -> None:
    """Write a build as `make web` does: first the assets, then the pages that refer to them."""
    (folder / "assets").mkdir(parents=True, exist_ok=True)
    (folder / "assets" / f"{name}.js").write_text(name)
    for page in ("graphiql", "docs", "index"):
        script = f'<script src="./assets/{name}.js"></script>'
        (folder / f"{page}.new").write_text(PAGE.format(f"{page} {name}{script}"))
        (folder / f"{page}.new").rename(folder / f"{page}.html")


async def test_a_running_server_serves_a_new_build_and_keeps_the_assets_of_open_pages(build: Path) -> None:
    app = running()
    assert "dashboard" in (await ask(app, "/", **BROWSER)).text

    publish(build, "second")

    assert "index second" in (await ask(app, "/apps", **BROWSER)).text
    assert "graphiql second" in (await ask(app, "/graphql", **BROWSER)).text
    assert (await ask(app, "/assets/second.js")).text == "second"
    old = await ask(app, "/assets/dashboard-1.js", **{"Accept-Encoding": "identity"})
    assert old.content == PLAIN


async def test_an_asset_of_a_new_build_is_served_before_its_page_was_requested(build: Path) -> None:
    """Another server process may have served the page."""
    app = running()
    await ask(app, "/", **BROWSER)

    publish(build, "second")

    assert (await ask(app, "/assets/second.js")).text == "second"


@pytest.mark.usefixtures("no_build")
async def test_the_first_build_is_served_without_a_restart(tmp_path: Path) -> None:
    app = running()
    assert "make web" in (await ask(app, "/", **BROWSER)).text

    publish(tmp_path / "nothing", "first")

    assert "index first" in (await ask(app, "/", **BROWSER)).text
    assert (await ask(app, "/assets/first.js")).text == "first"


def without_its_end(build: Path) -> None:
    page = build / "index.html"
    page.write_text(page.read_text()[:-10])


def without_an_asset(build: Path) -> None:
    (build / "assets" / "second.js").unlink()
    (build / "index.html").touch()


def without_graphiql(build: Path) -> None:
    (build / "graphiql.html").unlink()
    (build / "index.html").touch()


def without_dashboard(build: Path) -> None:
    (build / "index.html").unlink()


@pytest.mark.parametrize("spoil", [without_its_end, without_an_asset, without_graphiql, without_dashboard])
async def test_a_build_that_is_half_written_is_not_served(build: Path, spoil: Callable[[Path], None]) -> None:
    app = running()
    first = (await ask(app, "/", **BROWSER)).text
    publish(build, "second")
    spoil(build)

    assert (await ask(app, "/", **BROWSER)).text == first
    assert "<body>graphiql</body>" in (await ask(app, "/graphql", **BROWSER)).text

    publish(build, "second")
    assert "index second" in (await ask(app, "/", **BROWSER)).text


async def test_a_build_that_is_removed_is_still_served_without_its_assets(build: Path) -> None:
    app = running()
    await ask(app, "/", **BROWSER)

    shutil.rmtree(build)
    asset = await ask(app, "/assets/dashboard-1.js")

    assert "dashboard" in (await ask(app, "/", **BROWSER)).text
    assert (asset.status_code, asset.json()["error"]["code"]) == (404, "not_found")


async def test_a_build_is_read_once(build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    read_text = Path.read_text

    def watched(path: Path) -> str:
        read.append(path)
        return read_text(path)

    monkeypatch.setattr(Path, "read_text", watched)
    app = running()

    for path in ("/", "/graphql", "/apps", "/assets/dashboard-1.js"):
        await ask(app, path, **BROWSER)

    assert [path.name for path in read] == ["index.html", "graphiql.html", "docs.html"]


@contextmanager
def building(folder: Path) -> Iterator[None]:
    """Simulate a running build: like `make web`, write a file with the build's process id."""
    folder.mkdir()
    with Popen(["sleep", "60"]) as process:
        (folder / ".building").write_text(f"{process.pid}\n")
        try:
            yield
        finally:
            process.kill()


@pytest.mark.usefixtures("no_build")
async def test_while_the_first_build_runs_the_page_says_so_and_reloads(tmp_path: Path) -> None:
    app, folder = running(), tmp_path / "nothing"
    with building(folder):
        during = (await ask(app, "/", **BROWSER)).text
        publish(folder, "first")
        after = (await ask(app, "/", **BROWSER)).text

    assert "is being built" in during
    assert '<meta http-equiv="refresh" content="2">' in during
    assert "index first" in after


@pytest.mark.usefixtures("no_build")
@pytest.mark.parametrize("left", ["ended", "", "nonsense"])
async def test_a_build_that_failed_is_not_waited_for(tmp_path: Path, left: str) -> None:
    folder = tmp_path / "nothing"
    with building(folder):
        pass
    if left != "ended":
        (folder / ".building").write_text(left)

    page = (await get("/", **BROWSER)).text

    assert "has not been built" in page
    assert "refresh" not in page


@pytest.mark.usefixtures("build")
@pytest.mark.parametrize("accept", [{}, {"Accept": "*/*"}, {"Accept": "application/json"}])
@pytest.mark.parametrize("prefix", ["", "/licenses"])
async def test_a_program_that_asks_for_the_root_gets_the_addresses(
    accept: dict[str, str], prefix: str
) -> None:
    answer = await get(f"{prefix}/", prefix=prefix, **accept)

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["vary"] == "Accept"
    assert answer.json() == {
        "name": "Licensegraph",
        "graphql": f"{prefix}/graphql",
        "rest": f"{prefix}/api/v1/apps",
        "docs": f"{prefix}/api/docs",
        "openapi": f"{prefix}/api/openapi.json",
        "health": f"{prefix}/api/health",
    }


@pytest.mark.usefixtures("no_build")
async def test_every_address_is_on_the_plain_page_and_works() -> None:
    page = (await get("/", **BROWSER)).text
    addresses = (await get("/")).json()
    del addresses["name"]

    assert re.findall('<a href="(.+?)">', page) == [address.lstrip("/") for address in addresses.values()]
    answers = {name: (await get(address)).status_code for name, address in addresses.items()}
    # The REST API requires a key, and the GraphQL API requires a query. The health check finds no database.
    assert answers == {"graphql": 400, "rest": 401, "docs": 200, "openapi": 200, "health": 503}


async def test_only_reading_the_root_gets_the_addresses() -> None:
    app = running()
    async with httpx.AsyncClient(transport=ASGITransport(app=app), base_url="http://testserver") as client:
        head, post = await client.head("/"), await client.post("/")

    assert (head.status_code, head.headers["content-type"]) == (200, "application/json")
    assert post.status_code == 404


@pytest.mark.usefixtures("no_build")
async def test_without_a_build_graphiql_is_the_page_of_strawberry() -> None:
    answer = await get("/graphql", **BROWSER)

    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "GraphiQL" in answer.text
    assert "customers(first: $customers)" in answer.text
