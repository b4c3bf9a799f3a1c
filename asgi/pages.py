"""Serves browsers the dashboard, GraphiQL and the REST documentation, or plain pages until these are built.

A build is a folder with one HTML file per page. Its `assets/` folder has all other files. They are named
after a hash of their content, and most have compressed variants (`.br`, `.gz`). Old assets stay there for
some days, for pages that are still open. `web/publish.mjs` writes the assets before the pages, so that the
assets of a published page always exist.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from wsgiref.headers import Headers as MutableHeaders

from servestatic import ServeStaticASGI
from starlette.datastructures import Headers, QueryParams
from starlette.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ASSETS = "/assets/"
GRAPHQL_PATHS = {"/graphql", "/graphql/"}
"""The paths of the GraphQL API, where browsers get GraphiQL."""
DOCS_PATHS = {"/api/docs", "/api/docs/"}
"""The paths of the page that shows the OpenAPI document."""

ADDRESSES = {
    "graphql": ("graphql", "the GraphQL API, with GraphiQL to explore it"),
    "rest": ("api/v1/apps", "the REST API (requires a key)"),
    "docs": ("api/docs", "the documentation of the REST API"),
    "openapi": ("api/openapi.json", "the OpenAPI description of the REST API"),
    "health": ("api/health", "the health check"),
}
"""The server's addresses by name. Each has a path relative to the server's root, and a description."""

_BASE = '<base href="/" />'
_ASSET = re.compile(r"assets/[\w.-]+")
_SECURITY = {"Referrer-Policy": "no-referrer"}
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src {styles}; img-src 'self' data:; font-src {fonts}; "
    "connect-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
# Monaco, GraphiQL's editor, adds style elements to the page and embeds fonts in its styles. GraphiQL's policy
# allows both.
_POLICY_OF_DASHBOARD = _CONTENT_SECURITY_POLICY.format(styles="'self'", fonts="'self'")
_POLICY_OF_GRAPHIQL = _CONTENT_SECURITY_POLICY.format(styles="'self' 'unsafe-inline'", fonts="'self' data:")

_NOT_BUILT = """\
<p>The server is running. Its dashboard has not been built. To build it, run <code>make web</code>
(needs Node.js), and reload this page.</p>"""
_IS_BUILDING = """\
<p>The server is running. Its dashboard is being built, which takes about a minute the first time. This page
reloads by itself and shows the dashboard when it is ready.</p>"""
_RELOADING = '<meta http-equiv="refresh" content="2">\n'


def _plain_dashboard(about: str, head: str = "") -> str:
    links = "\n".join(
        f'<li><a href="{address}">{address}</a>: {what}</li>' for address, what in ADDRESSES.values()
    )
    return f"""\
<!doctype html>
<html lang="en">
<head>
{_BASE}
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
{head}<title>Licensegraph</title>
</head>
<body>
<h1>Licensegraph</h1>
{about}
<ul>
{links}
</ul>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class _Page:
    html: str
    policy: str | None


@dataclass(frozen=True, slots=True)
class _Build:
    """A complete build: its pages, and the application that serves its assets."""

    dashboard: _Page
    graphiql: _Page
    docs: _Page
    assets: ServeStaticASGI


class Pages:
    """The ASGI application that serves pages and their assets.

    A program that requests `/` and does not accept text/html gets a list of addresses.

    `folder` is where builds are published. A new build is served from the next request on. Until there is a
    build, the dashboard and the REST documentation are replaced by a plain page of links, and GraphiQL by the
    page `graphiql`. Requests for assets that do not exist go to `missing`. `path_prefix` is the path of the
    server's root.
    """

    def __init__(self, folder: Path, *, graphiql: str, missing: ASGIApp, path_prefix: str = "") -> None:
        self._folder = folder
        self._index = folder / "index.html"
        self._missing = missing
        self._build: _Build | None = None
        self._version: tuple[int, ...] | None = None
        self._not_built = _Page(_plain_dashboard(_NOT_BUILT), None)
        self._is_building = _Page(_plain_dashboard(_IS_BUILDING, _RELOADING), None)
        self._graphiql = _Page(graphiql, None)
        self._addresses = {
            "name": "Licensegraph",
            **{name: f"{path_prefix}/{address}" for name, (address, _) in ADDRESSES.items()},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(ASSETS):
            await self._send_asset(scope, receive, send)
        elif wants_page(scope):
            await self._send_page(scope, receive, send)
        else:
            headers = {"Cache-Control": "no-cache", "Vary": "Accept"}
            await JSONResponse(self._addresses, headers=headers)(scope, receive, send)

    async def _send_asset(self, scope: Scope, receive: Receive, send: Send) -> None:
        build, path = self._current(), scope["path"]
        # Check that the file exists, because an asset may have been removed since the build was read.
        if build is not None and path in build.assets.files and (self._folder / path[1:]).is_file():
            await build.assets(scope, receive, send)
        else:
            await self._missing(scope, receive, send)

    async def _send_page(self, scope: Scope, receive: Receive, send: Send) -> None:
        build = self._current()
        if scope["path"] in GRAPHQL_PATHS:
            page = self._graphiql if build is None else build.graphiql
        elif build is None:
            page = self._is_building if _is_building(self._folder) else self._not_built
        else:
            page = build.docs if scope["path"] in DOCS_PATHS else build.dashboard
        headers = {"Cache-Control": "no-cache", "Vary": "Accept", **_SECURITY}
        if page.policy is not None:
            headers["Content-Security-Policy"] = page.policy
        html = page.html.replace(_BASE, f'<base href="{_base(scope)}" />', 1)
        await HTMLResponse(html, headers=headers)(scope, receive, send)

    def _current(self) -> _Build | None:
        """Return the newest complete build, or None if there is no build yet.

        Each request calls `stat` once. As long as a new build is incomplete, each request tries to read it.
        """
        try:
            version = _version_of(self._index.stat())
            if version != self._version and (build := self._read()) is not None:
                self._build, self._version = build, version
        except OSError:
            pass  # there is no build, or it is being replaced: keep serving the last one
        return self._build

    def _read(self) -> _Build | None:
        """Read and return the build in the folder. Return None if it is not complete. Raises OSError."""
        html = {name: (self._folder / f"{name}.html").read_text() for name in ("index", "graphiql", "docs")}
        for page in html.values():
            if not page.rstrip().endswith("</html>"):
                return None
            if not all((self._folder / asset).is_file() for asset in _ASSET.findall(page)):
                return None
        assets = ServeStaticASGI(
            self._missing,
            root=self._folder / "assets",
            prefix=ASSETS,
            immutable_file_test=lambda _path, _url: True,
            allow_all_origins=False,
            add_headers_function=_secured,
        )
        return _Build(
            dashboard=_Page(html["index"], _POLICY_OF_DASHBOARD),
            graphiql=_Page(html["graphiql"], _POLICY_OF_GRAPHIQL),
            docs=_Page(html["docs"], _POLICY_OF_DASHBOARD),
            assets=assets,
        )


def is_for_pages(scope: Scope) -> bool:
    """Return whether a request is for `Pages`.

    The caller has already handled all paths of the REST API except `DOCS_PATHS`.
    """
    path: str = scope["path"]
    if path == "/":
        return scope["method"] in {"GET", "HEAD"}
    return path.startswith(ASSETS) or wants_page(scope)


def wants_page(scope: Scope) -> bool:
    """Return whether a request is a GET or HEAD for a page: it accepts text/html and has no GraphQL document.

    The REST documentation is a page for every client.
    """
    if scope["method"] not in {"GET", "HEAD"}:
        return False
    if scope["path"] in DOCS_PATHS:
        return True
    if "text/html" not in Headers(scope=scope).get("accept", ""):
        return False
    return scope["path"] not in GRAPHQL_PATHS or "query" not in QueryParams(scope["query_string"])


def _version_of(found: os.stat_result) -> tuple[int, ...]:
    return found.st_ino, found.st_mtime_ns, found.st_size


def _is_building(folder: Path) -> bool:
    """Return whether `make web` is running. While it runs, a file contains its process id."""
    try:
        os.kill(int((folder / ".building").read_text()), 0)
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _secured(headers: MutableHeaders, _path: str, _url: str) -> None:
    for name, value in _SECURITY.items():
        headers[name] = value


def _base(scope: Scope) -> str:
    """Return the relative URL from the requested page to the server's root.

    The URL is relative so that the server does not need to know the path at which a proxy serves it.
    """
    asked: bytes = scope.get("raw_path") or scope["path"].encode()
    below = asked.count(b"/") - scope.get("root_path", "").count("/") - 1
    return "../" * below or "./"
