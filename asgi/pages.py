"""What browsers are shown: the dashboard and GraphiQL as they were built, or plain pages where they were not.

A build is a folder with one HTML file a page, and `assets/` with everything else, each file named for its
content and beside it the same compressed (`.br`, `.gz`).
"""

from dataclasses import dataclass
from pathlib import Path
from wsgiref.headers import Headers as MutableHeaders

from servestatic import ServeStaticASGI
from starlette.datastructures import Headers, QueryParams
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ASSETS = "/assets/"
GRAPHQL_PATHS = {"/graphql", "/graphql/"}
"""Where the graph answers programs, and GraphiQL is shown to people."""

_BASE = '<base href="/" />'
_SECURITY = {"Referrer-Policy": "no-referrer"}
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src {styles}; img-src 'self' data:; font-src {fonts}; "
    "connect-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
)
# Monaco, GraphiQL's editor, writes styles of its own into the page and brings fonts inside its styles.
_POLICY_OF_DASHBOARD = _CONTENT_SECURITY_POLICY.format(styles="'self'", fonts="'self'")
_POLICY_OF_GRAPHIQL = _CONTENT_SECURITY_POLICY.format(styles="'self' 'unsafe-inline'", fonts="'self' data:")

_PLAIN_DASHBOARD = f"""\
<!doctype html>
<html lang="en">
<head>
{_BASE}
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark">
<title>Licensegraph</title>
</head>
<body>
<h1>Licensegraph</h1>
<p>This server answers. Its dashboard is not built: <code>make web</code> builds it and needs Node.js;
then start the server again.</p>
<ul>
<li><a href="graphql">graphql</a>: the graph, and GraphiQL to explore it</li>
<li><a href="api/v1/apps">api/v1/</a>: the REST interface, to be called with a key</li>
<li><a href="api/openapi.json">api/openapi.json</a>: its description (OpenAPI)</li>
<li><a href="api/health">api/health</a>: whether all is well</li>
</ul>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class _Page:
    html: str
    policy: str | None


class Pages:
    """The ASGI application of pages and of their assets.

    `built` is the folder of the build. Without it the dashboard is a plain page with the addresses of
    everything, and GraphiQL the page that is given.
    """

    def __init__(self, built: Path, *, graphiql: str, missing: ASGIApp) -> None:
        self.are_built = (built / "index.html").is_file()
        if self.are_built:
            self._dashboard = _Page((built / "index.html").read_text(), _POLICY_OF_DASHBOARD)
            self._graphiql = _Page((built / "graphiql.html").read_text(), _POLICY_OF_GRAPHIQL)
            self._assets: ASGIApp = ServeStaticASGI(
                missing,
                root=built / "assets",
                prefix=ASSETS,
                immutable_file_test=lambda _path, _url: True,
                allow_all_origins=False,
                add_headers_function=_secured,
            )
        else:
            self._dashboard = _Page(_PLAIN_DASHBOARD, None)
            self._graphiql = _Page(graphiql, None)
            self._assets = missing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope["path"]
        if path.startswith(ASSETS):
            await self._assets(scope, receive, send)
            return
        page = self._graphiql if path in GRAPHQL_PATHS else self._dashboard
        headers = {"Cache-Control": "no-cache", "Vary": "Accept", **_SECURITY}
        if page.policy is not None:
            headers["Content-Security-Policy"] = page.policy
        html = page.html.replace(_BASE, f'<base href="{_base(scope)}" />', 1)
        await HTMLResponse(html, headers=headers)(scope, receive, send)


def wants_page(scope: Scope) -> bool:
    """Whether a browser asks for a page: it names text/html, and sends no document to be executed."""
    if scope["method"] not in {"GET", "HEAD"} or "text/html" not in Headers(scope=scope).get("accept", ""):
        return False
    return scope["path"] not in GRAPHQL_PATHS or "query" not in QueryParams(scope["query_string"])


def _secured(headers: MutableHeaders, _path: str, _url: str) -> None:
    for name, value in _SECURITY.items():
        headers[name] = value


def _base(scope: Scope) -> str:
    """From the page that is asked for to where the server's addresses begin, whatever stands before them.

    Relative, so that nobody has to say under which path a proxy offers the server.
    """
    asked: bytes = scope.get("raw_path") or scope["path"].encode()
    below = asked.count(b"/") - scope.get("root_path", "").count("/") - 1
    return "../" * below or "./"
