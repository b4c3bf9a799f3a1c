"""The page that browsers get at `/graphql`: GraphiQL as Strawberry brings it, with a first tab of our own."""

import json
import re

from strawberry.http.ides import get_graphql_ide_html

FIRST_QUERY = """\
# Apps, their customers and the customers' licenses: one request, one SQL statement.
#
# Put your key below, under "Headers":
#   {"Authorization": "Bearer sk_live_…"}
{
  apps(first: 3) {
    nodes {
      slug
      name
      customers(first: 10) {
        totalCount
        nodes {
          email
          name
          licenses(first: 5) {
            totalCount
            nodes {
              installationId
              status
              expiresAt
            }
          }
        }
        pageInfo {
          hasNextPage
          endCursor
        }
      }
    }
  }
}
"""

_EXAMPLE = re.compile(r"const EXAMPLE_QUERY = `.*?`;", re.DOTALL)


def _page() -> str:
    html = get_graphql_ide_html(graphql_ide="graphiql")
    page, count = _EXAMPLE.subn(lambda _: f"const EXAMPLE_QUERY = {json.dumps(FIRST_QUERY)};", html)
    assert count == 1, "Strawberry's GraphiQL page has changed: see where its example query went"
    return page.replace("Strawberry GraphiQL", "Licensegraph · GraphiQL")


PAGE = _page()
