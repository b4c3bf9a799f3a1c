"""No log line contains a value from a request, whatever fails and wherever the value was sent."""

import re
from pathlib import Path
from typing import Any, TypeAlias

import httpx

from db.engine import Database
from tests.asgi.failing_server import BESIDE, ERRORS, FUNCTIONS, SECRET
from tests.factories import make_account, make_app, make_customer, make_key
from tests.keyrings import MASTER_KEY
from tests.processes import serving

PROGRAM = Path(__file__).parent / "failing_server.py"
HEADERS = {
    "User-Agent": f"{SECRET}-agent",
    "Cookie": f"session={SECRET}-cookie",
    "X-Forwarded-For": f"{SECRET}-forwarded",
    "X-Request-Id": f"{SECRET} is no id",
    "Origin": f"https://{SECRET}.example",
    "Referer": f"http://localhost/{SECRET}-referer",
    f"X-{SECRET}": "name",
}
LITERAL = f"""mutation Named($id: ID!) {{
  {SECRET}alias: updateCustomer(input: {{id: $id, name: "{SECRET}-literal"}}) {{
    customer {{ id name }} userErrors {{ message }}
  }}
}}"""
READ = f"""query Search($search: String) {{
  app(slug: "{SECRET}-slug") {{ customers(filter: {{search: $search}}) {{ totalCount }} }}
  node(id: "{SECRET}-id") {{ id }}
  # {SECRET}-comment
}}"""
RENEW = f'mutation {{ regenerateLicense(input: {{currentToken: "{SECRET}.e30.x"}}) {{ license {{ id }} }} }}'
TOKEN = f"eyJhbGciOiJFZERTQSJ9.{SECRET}.{SECRET}"

Call: TypeAlias = tuple[str, str, dict[str, Any], dict[str, str]]


def calls(customer_id: str) -> list[Call]:
    """Return requests with secrets in all places that can hold a value."""
    app = "/api/v1/apps/atlas"
    body = {"email": f"{SECRET}@example.com", "name": f"{SECRET}-name", "metadata": {f"{SECRET}-key": SECRET}}
    graph: list[dict[str, object]] = [
        {"query": LITERAL, "variables": {"id": customer_id}},
        {"query": LITERAL, "variables": {"id": f"{SECRET}-variable"}, "operationName": f"{SECRET}operation"},
        {"query": LITERAL, "variables": {"id": [f"{SECRET}-variable"], f"{SECRET}-unknown": 1}},
        {"query": READ, "variables": {"search": f"{SECRET}-search"}},
        {"query": RENEW},
        {"query": f'{{ {SECRET}field(name: "{SECRET}-invalid") }}'},
        {"query": f'{{ app(slug: "{SECRET}-unterminated'},
        {"query": READ, "extensions": {f"{SECRET}-extension": SECRET}},
    ]
    broken = f'{{"email": {SECRET}'
    json_type = {"Content-Type": "application/json"}
    return [
        *(("POST", "/graphql", {"json": each}, {}) for each in graph),
        ("POST", "/graphql", {"content": broken}, json_type),
        ("POST", "/graphql", {"content": SECRET}, {"Content-Type": f"text/{SECRET}"}),
        ("GET", "/graphql", {"params": {"query": READ, "variables": f'{{"search": "{SECRET}-get"}}'}}, {}),
        ("GET", f"/api/v1/apps/{SECRET}-slug", {}, {}),
        ("GET", f"{app}/customers", {"params": {"email": f"{SECRET}-query", f"{SECRET}-name": "1"}}, {}),
        ("GET", f"{app}/customers/by-email", {"params": {"email": f"{SECRET}@example.com"}}, {}),
        ("GET", f"{app}/customers/{SECRET}-id", {}, {}),
        ("POST", f"{app}/customers", {"json": body}, {}),
        ("PUT", f"{app}/customers/{customer_id}", {"json": {"external_id": f"{SECRET}-external"}}, {}),
        ("POST", f"{app}/customers", {"content": broken}, json_type),
        ("POST", f"{app}/licenses/{SECRET}-id/regenerate", {"json": {"current_token": TOKEN}}, {}),
        ("GET", f"{app}/licenses/verify", {"params": {"token": TOKEN}}, {}),
        ("GET", f"{app}/licenses/verify", {"params": {"installation_id": f"{SECRET}-1"}}, {}),
        ("GET", "/api/health", {"params": {SECRET: SECRET}}, {}),
        ("OPTIONS", f"{app}/customers/{SECRET}-id", {}, {"Access-Control-Request-Method": f"{SECRET}"}),
    ]


async def test_no_line_holds_a_value_of_a_request(
    tmp_path: Path, database_url: str, database: Database
) -> None:
    account = await make_account(database)
    customer = await make_customer(database, await make_app(database, account, slug="atlas"))
    good, *others = [await make_key(database, account), f"sk_live_{SECRET.ljust(32, '0')}", f"{SECRET}-key"]
    kinds = [*ERRORS]
    variables = {
        "DATABASE_URL": database_url,
        "LICENSEGRAPH_MASTER_KEY": MASTER_KEY,
        "LICENSEGRAPH_LOG_FORMAT": "console" if database.is_sqlite else "json",
    }
    statuses: list[int] = []

    with serving(tmp_path, program=str(PROGRAM), **variables) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:

            async def send(call: Call, key: str, failing: str = "") -> None:
                method, path, options, headers = call
                headers = {**HEADERS, "Authorization": f"Bearer {key}", "X-Fail": failing, **headers}
                statuses.append((await client.request(method, path, headers=headers, **options)).status_code)

            for key in (good, *others):
                for call in calls(customer.id):
                    await send(call, key)
            for step, place in enumerate([*FUNCTIONS, *FUNCTIONS]):
                for turn, call in enumerate(calls(customer.id)):
                    await send(call, good, f"{place}:{kinds[(2 * step + turn) % len(kinds)]}")
            for place in BESIDE:
                for kind in kinds:
                    await send(("GET", "/api/health", {}, {}), good, f"{place}:{kind}")
        assert server.stop() == 0

    log = (tmp_path / "server.log").read_text()
    assert {200, 400, 401, 404, 415, 422, 500, 503} <= {*statuses}
    assert len(re.findall(r"request\.answered", log)) == 1 + len(statuses), (
        "one request checked that the server was up"
    )
    for event in ("request", "graphql", "thread", "finalizer"):
        assert f"{event}.failed" in log
    assert "store.unavailable" in log
    assert "Task exception was never retrieved" in log
    assert log.count("failing_server.py") > 100, "tracebacks show where errors were raised"
    assert [line for line in log.splitlines() if SECRET in line.lower()] == []
