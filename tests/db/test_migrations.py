"""The history of the schema, on both databases."""

import asyncio
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError

from db import apps, clock, master_key, migrations
from db.engine import Database, StoreUnavailable
from db.metadata import is_modelled, metadata
from db.revisions import REVISIONS, MigrationError, UnfitDatabase
from tests.factories import (
    make_account,
    make_app,
    make_customer,
    make_feature,
    make_key,
    make_license,
    make_tier,
)

ROOT = Path(__file__).parents[2]
TABLES = [
    "accounts",
    "app_counters",
    "apps",
    "customers",
    "features",
    "keys",
    "licenses",
    "master_key",
    "retired_slugs",
    "signing_keys",
    "tier_features",
    "tiers",
    "tokens",
]

SQLITE_TRIGGERS = [
    ("customers", "count_customers_delete"),
    ("customers", "count_customers_insert"),
    ("customers", "count_customers_move"),
    ("customers", "customer_grams_delete"),
    ("customers", "customer_grams_insert"),
    ("customers", "customer_grams_update"),
    ("licenses", "count_licenses_delete"),
    ("licenses", "count_licenses_insert"),
    ("licenses", "count_licenses_move_between_apps"),
    ("licenses", "count_licenses_move_between_customers"),
    ("licenses", "license_features_delete"),
    ("licenses", "license_features_insert"),
    ("licenses", "license_features_update"),
]
POSTGRESQL_TRIGGERS = [
    ("customers", "count_in_apps_delete"),
    ("customers", "count_in_apps_insert"),
    ("customers", "move_between_apps"),
    ("licenses", "count_in_apps_delete"),
    ("licenses", "count_in_apps_insert"),
    ("licenses", "count_in_customers_delete"),
    ("licenses", "count_in_customers_insert"),
    ("licenses", "move_between_apps"),
    ("licenses", "move_between_customers"),
]

Facts: TypeAlias = dict[str, dict[str, object]]
AddMigration: TypeAlias = Callable[..., None]


async def run(url: str, function: Callable[[Connection], Any]) -> Any:
    """Run a function in a transaction of SQLAlchemy's."""
    return await migrations.in_transaction(url, function)


def tables(connection: Connection) -> list[str]:
    return sorted(name for name in inspect(connection).get_table_names() if is_modelled(name))


def described(connection: Connection) -> Facts:
    """Every table but Alembic's own, as the database itself tells of it."""
    found = inspect(connection)
    return {
        table: {
            "columns": [
                (column["name"], repr(column["type"]), column["nullable"], column["default"])
                for column in found.get_columns(table)
            ],
            "primary key": (found.get_pk_constraint(table)["name"], found.get_pk_constraint(table)),
            "unique": {item["name"]: item["column_names"] for item in found.get_unique_constraints(table)},
            "foreign keys": {
                item["name"]: item
                for item in (named(connection, table, key) for key in found.get_foreign_keys(table))
            },
            "checks": {item["name"]: item["sqltext"] for item in found.get_check_constraints(table)},
            "indexes": {
                item["name"]: (item["column_names"], bool(item["unique"]), predicate(connection, item))
                for item in found.get_indexes(table)
                if is_modelled(item["name"])
            },
        }
        for table in tables(connection)
        if table != "alembic_version"
    }


def named(connection: Connection, table: str, key: Any) -> Any:
    """A foreign key with its name, which SQLAlchemy overlooks on SQLite where it stands with its column."""
    if key["name"] is not None:
        return key
    (column,) = key["constrained_columns"]
    (made,) = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = :table"), {"table": table})
    (name,) = re.findall(rf"\b{column} [^,]*?CONSTRAINT (\w+) REFERENCES", made.sql)
    return {**key, "name": name}


def predicate(connection: Connection, index: Any) -> str | None:
    """Which rows a partial index holds."""
    where = index.get("dialect_options", {}).get(f"{connection.dialect.name}_where")
    return None if where is None else str(where)


def contents(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table: [tuple(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY 1"))]
        for table in TABLES
    }


def triggers(connection: Connection) -> list[tuple[str, str]]:
    """The triggers and their tables, but for those that PostgreSQL makes of foreign keys."""
    if connection.dialect.name == "sqlite":
        found = "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger' ORDER BY 1, 2"
    else:
        found = "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
    return [tuple(row) for row in connection.execute(text(found))]


async def fill(url: str) -> None:
    """Put one row into every table."""
    database = Database(url)
    account = await make_account(database)
    await make_key(database, account)
    app = await make_app(database, account, description="An editor")
    tier = await make_tier(database, app, features=[await make_feature(database, app)])
    customer = await make_customer(database, app, metadata={"plan": "team"})
    await make_license(database, customer, tier=tier, token="a.b.c")
    async with database.write() as session:
        await apps.disown(session, account.id, f"deleted-{account.id[-9:]}", "no app")
        await master_key.settle(session, "a fingerprint", clock.now())
    await database.close()


@pytest.fixture
def add_migration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AddMigration:
    """Adds a migration to the end of the history, as long as the test runs."""
    known = migrations.configuration

    def longer(connection: Connection | None = None) -> Config:
        config = known(connection)
        folders = [str(ROOT / "db" / "migrations" / "versions"), str(tmp_path)]
        config.set_main_option("version_locations", os.pathsep.join(folders))
        return config

    def add(upgrade: str, downgrade: str = "pass") -> None:
        head = ScriptDirectory(str(ROOT / "db" / "migrations")).get_current_head()
        (tmp_path / "next.py").write_text(
            "import sqlalchemy as sa\n"
            "from alembic import op\n"
            "revision = 'next'\n"
            f"down_revision = {head!r}\n"
            f"def upgrade():\n    {upgrade}\n"
            f"def downgrade():\n    {downgrade}\n"
        )
        monkeypatch.setattr(migrations, "configuration", longer)

    return add


def test_revisions_are_known_by_the_names_of_their_files() -> None:
    scripts = ScriptDirectory.from_config(migrations.configuration())

    assert [script.revision for script in scripts.walk_revisions()][::-1] == REVISIONS


async def test_upgrade_and_downgrade_and_upgrade_again(unmigrated_url: str) -> None:
    assert await run(unmigrated_url, tables) == []

    assert await migrations.upgrade(unmigrated_url) is True
    made = await run(unmigrated_url, described)
    assert sorted(made) == TABLES

    await migrations.downgrade(unmigrated_url, "base")
    assert await run(unmigrated_url, tables) == ["alembic_version"]

    assert await migrations.upgrade(unmigrated_url) is True
    assert await run(unmigrated_url, described) == made


async def test_models_agree_with_the_migrated_database(database_url: str) -> None:
    await migrations.check(database_url)


async def test_check_tells_what_differs(database_url: str) -> None:
    await run(database_url, lambda connection: connection.execute(text("DROP INDEX ix_keys_account_id")))

    with pytest.raises(CommandError, match="ix_keys_account_id"):
        await migrations.check(database_url)


async def test_migrated_tables_are_those_of_the_models(database_url: str, unmigrated_url: str) -> None:
    await run(unmigrated_url, metadata.create_all)

    migrated, made = await run(database_url, described), await run(unmigrated_url, described)

    assert sorted(made) == TABLES
    for table in TABLES:
        assert migrated[table] == made[table], table


async def test_what_holds_the_rules_in_the_migrated_database(database_url: str) -> None:
    found = await run(database_url, described)

    unique = {name: columns for table in TABLES for name, columns in found[table]["unique"].items()}
    assert unique == {
        "uq_accounts_name": ["name"],
        "uq_apps_slug": ["slug"],
        "uq_customers_app_id_email_folded": ["app_id", "email_folded"],
        "uq_customers_app_id_external_id": ["app_id", "external_id"],
        "uq_features_app_id_slug": ["app_id", "slug"],
        "uq_keys_digest": ["digest"],
        "uq_signing_keys_app_id_generation": ["app_id", "generation"],
        "uq_tiers_app_id_slug": ["app_id", "slug"],
        "uq_tokens_license_id_number": ["license_id", "number"],
    }
    assert found["licenses"]["indexes"]["uq_licenses_current_installation"] == (
        ["app_id", "installation_id"],
        True,
        "is_current",
    )
    foreign = {
        name: (key["referred_table"], key["options"])
        for table in TABLES
        for name, key in found[table]["foreign keys"].items()
    }
    assert foreign == {
        "fk_app_counters_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_apps_account_id": ("accounts", {"ondelete": "CASCADE"}),
        "fk_customers_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_features_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_keys_account_id": ("accounts", {"ondelete": "CASCADE"}),
        "fk_licenses_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_licenses_customer_id": ("customers", {"ondelete": "CASCADE"}),
        "fk_licenses_tier_id": ("tiers", {}),
        "fk_retired_slugs_account_id": ("accounts", {"ondelete": "CASCADE"}),
        "fk_signing_keys_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_tier_features_feature_id": ("features", {}),
        "fk_tier_features_tier_id": ("tiers", {"ondelete": "CASCADE"}),
        "fk_tiers_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_tokens_license_id": ("licenses", {"ondelete": "CASCADE"}),
    }


async def test_text_in_postgresql_is_compared_by_code_point_whatever_the_locale(
    postgresql_url: str,
) -> None:
    found = await run(postgresql_url, described)

    types = {type_ for table in TABLES for _, type_, _, _ in found[table]["columns"]}
    assert {type_ for type_ in types if "TEXT" in type_.upper()} == {
        "TEXT(collation='C')",
        "JSON(astext_type=Text())",
    }


async def test_every_change_of_a_row_that_is_counted_sets_off_a_trigger(database_url: str) -> None:
    is_sqlite = database_url.startswith("sqlite")

    assert await run(database_url, triggers) == (SQLITE_TRIGGERS if is_sqlite else POSTGRESQL_TRIGGERS)

    await migrations.downgrade(database_url, "0001")
    assert await run(database_url, triggers) == []


async def test_downgrade_removes_what_is_still_there_of_deleted_apps(database_url: str) -> None:
    await fill(database_url)
    await run(database_url, lambda made: made.execute(text("UPDATE apps SET account_id = NULL, slug = NULL")))
    database = Database(database_url)
    account = await make_account(database)
    kept = await make_license(database, await make_customer(database, await make_app(database, account)))
    await database.close()

    await migrations.downgrade(database_url, "0001")

    def left(connection: Connection) -> list[str]:
        return [
            connection.execute(text(f"SELECT {column} FROM {table}")).scalar_one()
            for table, column in (("apps", "id"), ("customers", "app_id"), ("licenses", "app_id"))
        ]

    assert await run(database_url, left) == [kept.app_id] * 3


async def test_upgrade_counts_what_is_there(unmigrated_url: str) -> None:
    await migrations.upgrade(unmigrated_url)
    for _ in range(2):
        await fill(unmigrated_url)
    before = await run(unmigrated_url, contents)
    await migrations.downgrade(unmigrated_url, "0001")

    await migrations.upgrade(unmigrated_url)

    after = await run(unmigrated_url, contents)
    for table in ("accounts", "keys", "customers"):
        assert after[table] == before[table]
    # What came with a later migration is as if it had never been there.
    assert after["apps"] == [(*row[:-2], "RS256", 1) for row in before["apps"]]
    assert after["licenses"] == [(*row[:-3], None, "[]", "[]") for row in before["licenses"]]
    assert after["tokens"] == [(row[0], row[0], 1, 1, None) for row in before["licenses"]]
    later = ("features", "master_key", "retired_slugs", "signing_keys", "tier_features", "tiers")
    assert {table: after[table] for table in later} == {table: [] for table in later}
    assert [customer[-1] for customer in after["customers"]] == [1, 1]
    assert after["app_counters"] == [(app[0], 0, 1, 1) for app in after["apps"]]


@pytest.mark.parametrize("table", ["customers", "licenses"])
async def test_table_that_is_made_anew_keeps_its_triggers(
    sqlite_url: str, add_migration: AddMigration, table: str
) -> None:
    await fill(sqlite_url)
    before = await run(sqlite_url, contents)
    add_migration(
        f"with op.batch_alter_table({table!r}, recreate='always') as table: "
        "table.alter_column('metadata', existing_type=sa.Text(), nullable=True)"
    )

    await migrations.upgrade(sqlite_url)

    assert await run(sqlite_url, triggers) == SQLITE_TRIGGERS
    assert await run(sqlite_url, contents) == before
    await fill(sqlite_url)
    after = await run(sqlite_url, contents)
    assert after["app_counters"] == [(app[0], 0, 1, 1) for app in after["apps"]]


async def test_second_upgrade_does_nothing(database_url: str) -> None:
    await fill(database_url)
    before = await run(database_url, contents)

    assert await migrations.upgrade(database_url) is False
    assert await run(database_url, contents) == before


async def test_upgrade_keeps_the_rows_of_a_table_that_is_made_anew(
    database_url: str, add_migration: AddMigration
) -> None:
    # Making `apps` anew drops it on SQLite: with foreign keys on, its customers and licenses would go along.
    await fill(database_url)
    before = await run(database_url, contents)
    add_migration(
        "with op.batch_alter_table('apps') as apps: "
        "apps.alter_column('description', existing_type=sa.Text(), nullable=False)",
        "with op.batch_alter_table('apps') as apps: "
        "apps.alter_column('description', existing_type=sa.Text(), nullable=True)",
    )

    assert await migrations.upgrade(database_url) is True
    changed = (await run(database_url, described))["apps"]["columns"]
    assert {name: nullable for name, _, nullable, _ in changed}["description"] is False
    assert await run(database_url, contents) == before
    assert {table: len(rows) for table, rows in before.items()} == dict.fromkeys(TABLES, 1)

    await migrations.downgrade(database_url, "-1")
    changed = (await run(database_url, described))["apps"]["columns"]
    assert {name: nullable for name, _, nullable, _ in changed}["description"] is True
    assert await run(database_url, contents) == before


async def test_migration_that_leaves_a_row_pointing_to_nothing_changes_nothing(
    database_url: str, add_migration: AddMigration
) -> None:
    await fill(database_url)
    before = await run(database_url, contents)
    add_migration("op.execute(\"UPDATE customers SET app_id = 'app_gone'\")")
    # PostgreSQL refuses the statement itself; SQLite's foreign keys are off, and what came of it is checked.
    is_sqlite = database_url.startswith("sqlite")
    refusal = (MigrationError, "customers") if is_sqlite else (IntegrityError, "fk_customers_app_id")

    for _ in range(2):
        with pytest.raises(refusal[0], match=refusal[1]):
            await migrations.upgrade(database_url)
        assert await run(database_url, contents) == before


async def test_migration_that_fails_half_way_changes_nothing(
    database_url: str, add_migration: AddMigration
) -> None:
    await fill(database_url)
    before = await run(database_url, contents), await run(database_url, tables)
    add_migration("op.create_table('odd', sa.Column('id', sa.Text())); op.execute('DELETE FROM keys'); 1 / 0")

    with pytest.raises(ZeroDivisionError):
        await migrations.upgrade(database_url)

    assert (await run(database_url, contents), await run(database_url, tables)) == before


async def test_processes_that_find_a_new_sqlite_file_at_once_all_get_in(tmp_path: Path) -> None:
    """SQLite refuses at once, whatever its busy timeout, when several switch a file to WAL."""
    for number in range(20):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"

        answers = await asyncio.gather(*(migrations.upgrade(url) for _ in range(8)))

        assert sorted(answers) == [False] * 7 + [True]


async def test_tasks_that_migrate_at_once_take_turns(unmigrated_url: str) -> None:
    answers = await asyncio.gather(*(migrations.upgrade(unmigrated_url) for _ in range(8)))

    assert Counter(answers) == {True: 1, False: 7}
    assert sorted(await run(unmigrated_url, described)) == TABLES


async def test_processes_that_migrate_at_once_all_succeed(unmigrated_url: str, tmp_path: Path) -> None:
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            str(ROOT / "server.py"),
            "migrate",
            cwd=tmp_path,
            env={**os.environ, "DATABASE_URL": unmigrated_url},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        for _ in range(2)
    ]

    said = [await process.communicate() for process in processes]

    assert [process.returncode for process in processes] == [0, 0], said
    assert Counter(said) == {
        (b"The database has been brought up to date.\n", b""): 1,
        (b"The database is up to date already.\n", b""): 1,
    }
    assert sorted(await run(unmigrated_url, described)) == TABLES


async def test_database_of_a_later_version_is_left_alone(database_url: str) -> None:
    await fill(database_url)
    await run(
        database_url,
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9'")),
    )
    before = await run(database_url, contents)

    with pytest.raises(UnfitDatabase, match="does not know its revision 9;"):
        await migrations.upgrade(database_url)

    assert await run(database_url, contents) == before


async def test_database_that_does_not_answer_is_not_migrated(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await migrations.upgrade(f"sqlite:///{tmp_path}/no/such/folder.db")
    with pytest.raises(StoreUnavailable):
        await migrations.upgrade(f"postgresql://postgres@/licensegraph?host={tmp_path}")
