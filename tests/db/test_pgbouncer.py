"""PgBouncer in transaction mode: everything works with LICENSEGRAPH_TRANSACTION_POOLING.

Without this setting, no command starts.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import func, select

from db.accounts import accounts
from db.customers import customers
from db.engine import Database
from db.postgresql import SETTINGS, PoolerFound
from tests.db.pgbouncer import pgbouncer
from tests.factories import make_account, make_app, make_key
from tests.keyrings import MASTER_KEY
from tests.processes import run, serving

MUTATION = """mutation($email: String!) {
  getOrCreateCustomer(input: {appSlug: "atlas", email: $email}) { customer { email } userErrors { code } }
}"""
QUERY = """query($first: Int!) {
  app(slug: "atlas") {
    customers(first: $first) { totalCount nodes { email licenses(first: 3) { totalCount } } }
  }
}"""
SESSION_PARAMETERS = ",".join([*SETTINGS, "lock_timeout", "statement_timeout"])


@pytest.fixture
def pooled_url(postgresql_url: str, tmp_path: Path) -> Iterator[str]:
    with pgbouncer(postgresql_url, tmp_path, "transaction") as url:
        yield url


async def test_many_clients_read_and_write(postgresql_url: str, pooled_url: str, tmp_path: Path) -> None:
    direct = Database(postgresql_url)
    account = await make_account(direct)
    await make_app(direct, account, slug="atlas")
    headers = {"Authorization": f"Bearer {await make_key(direct, account)}"}
    variables = {
        "DATABASE_URL": pooled_url,
        "LICENSEGRAPH_TRANSACTION_POOLING": "true",
        "LICENSEGRAPH_MASTER_KEY": MASTER_KEY,
    }

    with serving(tmp_path, "--workers", "2", **variables) as server:
        limits = httpx.Limits(max_connections=40)
        async with httpx.AsyncClient(
            base_url=server.url, headers=headers, timeout=60, limits=limits
        ) as client:

            async def ask(number: int) -> int:
                if number % 2:
                    body = {"query": MUTATION, "variables": {"email": f"{number // 4}@example.com"}}
                else:
                    body = {"query": QUERY, "variables": {"first": 1 + number % 20}}
                response = await client.post("/graphql", json=body)
                assert "errors" not in response.json()
                return response.status_code

            statuses = await asyncio.gather(*(ask(number) for number in range(480)))
        assert server.stop() == 0

    assert statuses == [200] * 480
    async with direct.read() as session:
        assert await session.row(select(func.count()).select_from(customers), {}) == (120,)
    await direct.close()


async def test_settings_hold_in_every_transaction(pooled_url: str) -> None:
    database = Database(pooled_url, pooled=True)
    async with database.read() as session:
        row = await session.row(
            select(func.current_setting("jit"), func.current_setting("statement_timeout")), {}
        )
    await database.close()

    assert tuple(row or ()) == ("off", "10s")


def test_migrations_run(tmp_path: Path, postgresql_template: object) -> None:
    with postgresql_template.empty() as empty, pgbouncer(empty, tmp_path, "transaction") as url:  # type: ignore[attr-defined]
        made = run(tmp_path, "migrate", DATABASE_URL=url, LICENSEGRAPH_TRANSACTION_POOLING="true")

    assert (made.returncode, made.stdout) == (0, "The database has been migrated.\n")


@pytest.mark.parametrize("ignored", ["", SESSION_PARAMETERS])
@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_without_the_setting_nothing_starts(
    postgresql_url: str, tmp_path: Path, ignored: str, command: str
) -> None:
    with pgbouncer(postgresql_url, tmp_path, "transaction", ignored=ignored) as url:
        arguments = ("serve", "--port", "0") if command == "serve" else ("migrate",)
        ended = run(tmp_path, *arguments, DATABASE_URL=url)

    assert ended.returncode == 1
    assert ended.stderr == f"licensegraph: {PoolerFound()}\n"


@pytest.mark.parametrize("size", [1, 5])
async def test_pooler_is_detected_even_with_few_sessions(
    postgresql_url: str, tmp_path: Path, size: int
) -> None:
    with pgbouncer(postgresql_url, tmp_path, "transaction", size=size, ignored=SESSION_PARAMETERS) as url:
        database = Database(url)
        with pytest.raises(PoolerFound):
            async with database.read() as session:
                await session.rows(select(accounts.c.id), {})
        await database.close()


async def test_pooler_in_session_mode_needs_no_setting(postgresql_url: str, tmp_path: Path) -> None:
    with pgbouncer(postgresql_url, tmp_path, "session", ignored=SESSION_PARAMETERS) as url:
        database = Database(url)
        async with database.read() as session:
            assert await session.rows(select(accounts.c.id), {}) == []
        await database.close()
