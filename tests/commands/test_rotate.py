"""`keys rotate`: replaces an app's signing key, and signs new tokens for the app's active licenses."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select

from db.engine import Database
from db.signing_keys import signing_keys
from tests.commands.conftest import Command
from tests.keyrings import MASTER_KEY
from tests.processes import run_on_terminal

MASTER = {"LICENSEGRAPH_MASTER_KEY": MASTER_KEY}


@pytest.fixture
def variables(command: Command, unmigrated_url: str) -> dict[str, str]:
    """The environment variables for a database that has a demo app with 20 customers."""
    variables = {"DATABASE_URL": unmigrated_url, **MASTER}
    assert command("demo", "--customers", "20", **variables).returncode == 0
    return variables


def keys_of(url: str) -> list[tuple[int, bool, bool]]:
    """Return for each signing key: its generation, whether it is retired, and whether it is dropped."""

    async def find() -> list[tuple[int, bool, bool]]:
        database = Database(url)
        statement = select(signing_keys.c.generation, signing_keys.c.retired_at, signing_keys.c.dropped_at)
        async with database.read() as session:
            found = await session.rows(statement.order_by(signing_keys.c.generation), {})
        await database.close()
        return [
            (generation, retired is not None, dropped is not None) for generation, retired, dropped in found
        ]

    return asyncio.run(find())


def test_the_key_is_replaced_and_the_number_of_signed_licenses_is_printed(
    command: Command, variables: dict[str, str]
) -> None:
    first = command("keys", "rotate", "--app", "demo", **variables)
    second = command("keys", "rotate", "--app", "demo", **variables)

    assert (first.returncode, first.stderr) == (0, "")
    signed, *rest = first.stdout.splitlines()
    assert signed.startswith("Replaced the signing key of demo and signed new tokens for ")
    assert signed.endswith(" active licenses.")
    assert 10 <= int(signed.split()[-3]) <= 55
    assert rest == ["The new public key is at /api/v1/apps/demo/public-key"]
    assert second.stdout == first.stdout
    assert keys_of(variables["DATABASE_URL"]) == [
        (1, True, False),
        (2, True, False),
        (3, False, False),
        (4, False, False),
    ]


def test_immediately_drops_every_key_before_it(command: Command, variables: dict[str, str]) -> None:
    command("keys", "rotate", "--app", "demo", "--retire", "after-last-expiry", **variables)
    done = command("keys", "rotate", "--app", "demo", "--retire", "immediately", **variables)

    assert done.returncode == 0, done.stderr
    assert keys_of(variables["DATABASE_URL"]) == [
        (1, True, True),
        (2, True, True),
        (3, False, False),
        (4, False, False),
    ]


@pytest.mark.parametrize("slug", ["nowhere", "NOT A SLUG"])
def test_an_unknown_app_is_an_error_of_one_line(
    command: Command, variables: dict[str, str], slug: str
) -> None:
    done = command("keys", "rotate", "--app", slug, **variables)

    assert (done.returncode, done.stdout, done.stderr) == (1, "", "licensegraph: app does not exist\n")
    assert keys_of(variables["DATABASE_URL"]) == [(1, False, False)]


@pytest.mark.parametrize("arguments", [(), ("--app", "demo", "--retire", "tomorrow")])
def test_the_app_and_the_kind_of_rotation_are_required(command: Command, arguments: tuple[str, ...]) -> None:
    done = command("keys", "rotate", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_without_the_master_key_nothing_is_rotated(command: Command, variables: dict[str, str]) -> None:
    done = command("keys", "rotate", "--app", "demo", DATABASE_URL=variables["DATABASE_URL"])

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("licensegraph: the master key that encrypts")
    assert keys_of(variables["DATABASE_URL"]) == [(1, False, False)]


def test_the_help_distinguishes_the_two_kinds_of_keys(command: Command) -> None:
    shown = command("keys", "--help").stdout

    assert "Create, list and revoke API keys; rotate the signing keys of apps." in shown


def test_a_terminal_gets_a_progress_bar(command: Command, tmp_path: Path) -> None:
    variables = {"DATABASE_URL": f"sqlite:///{tmp_path}/demo.db", **MASTER}
    command("demo", "--customers", "1000", **variables)

    printed, shown = run_on_terminal(tmp_path, "keys", "rotate", "--app", "demo", **variables)

    count = printed.split(" active ")[0].split()[-1].replace(",", "")
    assert f"{count}/{count}" in shown
