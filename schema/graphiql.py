"""The page that browsers get at `/graphql` if GraphiQL is not built: Strawberry's page, with our first tab.

`tabs/` has the documents that GraphiQL shows on a first visit, each with a file of variables. Strawberry's
page has only one tab and cannot show variables. The tab therefore has the document that runs without them.
"""

import json
import re
from pathlib import Path

from strawberry.http.ides import get_graphql_ide_html

TABS = Path(__file__).parent / "tabs"

_HINT = """\
# Put your key below, under "Headers":
#   {"Authorization": "Bearer sk_live_…"}
#
"""
_EXAMPLE = re.compile(r"const EXAMPLE_QUERY = `.*?`;", re.DOTALL)


def _page() -> str:
    html = get_graphql_ide_html(graphql_ide="graphiql")
    query = _HINT + (TABS / "dashboard.graphql").read_text()
    page, count = _EXAMPLE.subn(lambda _: f"const EXAMPLE_QUERY = {json.dumps(query)};", html)
    assert count == 1, "Strawberry's GraphiQL page has changed: see where its example query went"
    return page.replace("Strawberry GraphiQL", "Licensegraph · GraphiQL")


PAGE = _page()
