"""The schema's migrations, on both databases."""

import asyncio
import os
import re
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias
from uuid import uuid4

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError

from db import apps, clock, master_key, migrations, trials
from db.engine import Database, StoreUnavailable
from db.metadata import is_modelled, metadata
from db.revisions import REVISIONS, MigrationError, UnfitDatabase
from db.statistics import DAY, WHOLE_APP, app_days
from resolvers import counters
from tests.factories import (
    Account,
    key_id,
    make_account,
    make_app,
    make_customer,
    make_document,
    make_event,
    make_feature,
    make_key,
    make_license,
    make_outcome,
    make_signing_key,
    make_tier,
    make_token,
    make_usage,
)

ROOT = Path(__file__).parents[2]
TABLES = [
    "accounts",
    "app_counters",
    "app_days",
    "app_expiries",
    "apps",
    "customers",
    "document_ids",
    "documents",
    "events",
    "features",
    "idempotency",
    "keys",
    "license_seen",
    "licenses",
    "log",
    "master_key",
    "retired_slugs",
    "signing_keys",
    "tier_features",
    "tiers",
    "tokens",
    "trials",
    "usage",
    "watermarks",
]

SQLITE_TRIGGERS = [
    ("customers", "count_customers_delete"),
    ("customers", "count_customers_insert"),
    ("customers", "count_customers_move"),
    ("customers", "customer_grams_delete"),
    ("customers", "customer_grams_insert"),
    ("customers", "customer_grams_update"),
    ("events", "events_insert"),
    ("license_seen", "expiry_seen"),
    ("licenses", "count_licenses_delete"),
    ("licenses", "count_licenses_insert"),
    ("licenses", "count_licenses_move_between_apps"),
    ("licenses", "count_licenses_move_between_customers"),
    ("licenses", "expiry_licenses_delete"),
    ("licenses", "expiry_licenses_forget"),
    ("licenses", "expiry_licenses_insert"),
    ("licenses", "expiry_licenses_move"),
    ("licenses", "license_features_delete"),
    ("licenses", "license_features_insert"),
    ("licenses", "license_features_update"),
    ("licenses", "license_seen_insert"),
    ("licenses", "license_seen_update"),
]
POSTGRESQL_TRIGGERS = [
    ("customers", "count_in_apps_delete"),
    ("customers", "count_in_apps_insert"),
    ("customers", "move_between_apps"),
    ("license_seen", "count_seen"),
    ("licenses", "count_expiries_delete"),
    ("licenses", "count_expiries_insert"),
    ("licenses", "count_in_apps_delete"),
    ("licenses", "count_in_apps_insert"),
    ("licenses", "count_in_customers_delete"),
    ("licenses", "count_in_customers_insert"),
    ("licenses", "forget_seen"),
    ("licenses", "license_seen_insert"),
    ("licenses", "license_seen_update"),
    ("licenses", "move_between_apps"),
    ("licenses", "move_between_customers"),
    ("licenses", "move_expiry"),
]

Facts: TypeAlias = dict[str, dict[str, object]]
Contents: TypeAlias = dict[str, list[dict[str, Any]]]
AddMigration: TypeAlias = Callable[..., None]


async def run(url: str, function: Callable[[Connection], Any]) -> Any:
    """Run a function in a SQLAlchemy transaction."""
    return await migrations.in_transaction(url, function)


def tables(connection: Connection) -> list[str]:
    return sorted(name for name in inspect(connection).get_table_names() if is_modelled(name))


def described(connection: Connection) -> Facts:
    """Return the properties of every table except Alembic's own, as the database reports them."""
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
    """Return a foreign key with its name.

    On SQLite, SQLAlchemy does not find the name if the key is declared as part of a column.
    """
    if key["name"] is not None:
        return key
    (column,) = key["constrained_columns"]
    (made,) = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = :table"), {"table": table})
    (name,) = re.findall(rf"\b{column} [^,]*?CONSTRAINT (\w+) REFERENCES", made.sql)
    return {**key, "name": name}


def predicate(connection: Connection, index: Any) -> str | None:
    """Return the WHERE condition of a partial index, or None."""
    where = index.get("dialect_options", {}).get(f"{connection.dialect.name}_where")
    return None if where is None else str(where)


def contents(connection: Connection) -> Contents:
    """Return the rows of every existing table except Alembic's own.

    Each row is a dict of its values by column.
    """
    return {
        table: [dict(row) for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY 1")).mappings()]
        for table in tables(connection)
        if table in TABLES
    }


def with_columns_of(older: Contents, newer: Contents) -> Contents:
    """Return the contents of `newer`, without tables and columns that `older` does not have.

    No table of `older` may be empty.
    """
    return {
        table: [{column: row[column] for column in rows[0]} for row in newer[table]]
        for table, rows in older.items()
    }


def counted(app: dict[str, Any]) -> dict[str, Any]:
    """Return the counter row that a migration creates for an app with one customer and one license."""
    return {"app_id": app["id"], "shard": 0, "customers": 1, "licenses": 1}


def owners(license: dict[str, Any]) -> dict[str, Any]:
    """Return the columns of a license that say whose it is."""
    return {name: license[name] for name in ("app_id", "customer_id")}


def triggers(connection: Connection) -> list[tuple[str, str]]:
    """Return the triggers with their tables, without those that PostgreSQL creates for foreign keys."""
    if connection.dialect.name == "sqlite":
        found = "SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger' ORDER BY 1, 2"
    else:
        found = "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2"
    return [tuple(row) for row in connection.execute(text(found))]


async def fill(url: str) -> None:
    """Insert one row into every table."""
    database = Database(url)
    account = await make_account(database)
    key = await make_key(database, account)
    app = await make_app(database, account, description="An editor")
    tier = await make_tier(database, app, features=[await make_feature(database, app)])
    customer = await make_customer(database, app, metadata={"plan": "team"})
    license = await make_license(database, customer, tier=tier, token="a.b.c")
    await make_document(database, account, document_id="x-relay:viewer")
    await make_usage(database, account.id)
    await make_event(database, account, subject_id=customer.id)
    await make_outcome(database, await key_id(database, key))
    async with database.write() as session:
        await trials.note(session, app.id, license.id, [customer.id])
        await apps.disown(session, account.id, f"deleted-{account.id[-9:]}", "no app")
        await master_key.settle(session, "a fingerprint", clock.now())
        counted = dict.fromkeys((column.name for column in app_days.c), 0)
        texts = {"app_id": app.id, "tier_id": WHOLE_APP, "span": DAY, "day": "2026-01-23"}
        await session.execute(app_days.insert().values(**counted | texts))
    await database.close()


@pytest.fixture
def add_migration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AddMigration:
    """Adds a migration at the end of the history, for this test only."""
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


def test_revisions_are_named_after_their_files() -> None:
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


async def test_check_names_the_differences(database_url: str) -> None:
    await run(database_url, lambda connection: connection.execute(text("DROP INDEX ix_keys_account_id_id")))

    with pytest.raises(CommandError, match="ix_keys_account_id_id"):
        await migrations.check(database_url)


async def test_migrated_tables_are_those_of_the_models(database_url: str, unmigrated_url: str) -> None:
    await run(unmigrated_url, metadata.create_all)

    migrated, made = await run(database_url, described), await run(unmigrated_url, described)

    assert sorted(made) == TABLES
    for table in TABLES:
        assert migrated[table] == made[table], table


async def test_constraints_of_the_migrated_database(database_url: str) -> None:
    found = await run(database_url, described)

    unique = {name: columns for table in TABLES for name, columns in found[table]["unique"].items()}
    assert unique == {
        "uq_accounts_name": ["name"],
        "uq_apps_slug": ["slug"],
        "uq_customers_app_id_external_id": ["app_id", "external_id"],
        "uq_events_position": ["position"],
        "uq_events_subject_id_version": ["subject_id", "version"],
        "uq_documents_account_id_document_id_set": ["account_id", "document_id", "set"],
        "uq_features_app_id_slug": ["app_id", "slug"],
        "uq_keys_digest": ["digest"],
        "uq_signing_keys_app_id_generation": ["app_id", "generation"],
        "uq_tiers_app_id_slug": ["app_id", "slug"],
        "uq_tokens_license_id_number": ["license_id", "number"],
    }
    assert found["customers"]["indexes"]["uq_customers_app_id_email_key"] == (
        ["app_id", "email_key"],
        True,
        None,
    )
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
        "fk_app_days_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_app_expiries_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_apps_account_id": ("accounts", {"ondelete": "CASCADE"}),
        "fk_customers_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_document_ids_account_id": ("accounts", {"ondelete": "CASCADE"}),
        "fk_documents_account_id": ("accounts", {"ondelete": "CASCADE"}),
        "fk_events_account_id": ("accounts", {"ondelete": "CASCADE"}),
        "fk_idempotency_key_id": ("keys", {"ondelete": "CASCADE"}),
        "fk_features_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_keys_account_id": ("accounts", {"ondelete": "CASCADE"}),
        "fk_keys_created_by": ("keys", {"ondelete": "SET NULL"}),
        "fk_keys_customer_id": ("customers", {"ondelete": "CASCADE"}),
        "fk_license_seen_license_id": ("licenses", {"ondelete": "CASCADE"}),
        "fk_licenses_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_licenses_customer_id": ("customers", {"ondelete": "CASCADE"}),
        "fk_licenses_tier_id": ("tiers", {}),
        "fk_retired_slugs_account_id": ("accounts", {"ondelete": "SET NULL"}),
        "fk_signing_keys_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_tier_features_feature_id": ("features", {}),
        "fk_tier_features_tier_id": ("tiers", {"ondelete": "CASCADE"}),
        "fk_tiers_app_id": ("apps", {"ondelete": "CASCADE"}),
        "fk_tokens_license_id": ("licenses", {"ondelete": "CASCADE"}),
        "fk_trials_app_id": ("apps", {"ondelete": "CASCADE"}),
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


async def test_every_change_of_a_counted_row_has_a_trigger(database_url: str) -> None:
    is_sqlite = database_url.startswith("sqlite")

    assert await run(database_url, triggers) == (SQLITE_TRIGGERS if is_sqlite else POSTGRESQL_TRIGGERS)

    await migrations.downgrade(database_url, "0001")
    assert await run(database_url, triggers) == []


async def test_downgrade_deletes_the_remaining_rows_of_deleted_apps(database_url: str) -> None:
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


async def test_upgrade_from_the_first_revision_keeps_its_rows_and_counts_them(unmigrated_url: str) -> None:
    await migrations.upgrade(unmigrated_url)
    for _ in range(2):
        await fill(unmigrated_url)
    before = await run(unmigrated_url, contents)
    await migrations.downgrade(unmigrated_url, "0001")
    first = await run(unmigrated_url, contents)

    await migrations.upgrade(unmigrated_url)

    after = await run(unmigrated_url, contents)
    assert sorted(first) == ["accounts", "apps", "customers", "keys", "licenses"]
    assert with_columns_of(first, before) == first
    assert with_columns_of(first, after) == first
    # Later migrations fill their new columns with defaults or computed values, create tokens and counters for
    # the existing rows, and leave their other new tables empty.
    for app in after["apps"]:
        assert (app["signing_algorithm"], app["signing_generation"]) == ("RS256", 1)
    for license in after["licenses"]:
        assert (license["tier_id"], license["features"], license["own_features"]) == (None, "[]", "[]")
    assert after["tokens"] == [
        {
            "jti": row["id"],
            "license_id": row["id"],
            "number": 1,
            "generation": 1,
            "token": None,
            "installation_id": None,
        }
        for row in before["licenses"]
    ]
    assert after["license_seen"] == [
        {"license_id": row["id"], "at": None, "tier_id": None, **owners(row)} for row in before["licenses"]
    ]
    later = (
        "documents",
        "features",
        "master_key",
        "retired_slugs",
        "signing_keys",
        "tier_features",
        "tiers",
        "usage",
    )
    assert {table: after[table] for table in later} == {table: [] for table in later}
    assert [customer["license_count"] for customer in after["customers"]] == [1, 1]
    assert after["app_counters"] == [counted(app) for app in after["apps"]]


async def test_downgrade_keeps_keys_that_have_signed_and_deletes_next_ones(database_url: str) -> None:
    """The version before revision 0009 signs each new token with every key after the current one."""
    database = Database(database_url)
    account = await make_account(database)
    used, rotating = [await make_app(database, account, slug=slug) for slug in ("used", "rotating")]
    await make_signing_key(database, rotating, 2, activated_at=clock.now())
    await make_signing_key(database, used, 2)
    await database.close()

    await migrations.downgrade(database_url, "0008")

    found = (await run(database_url, contents))["signing_keys"]
    assert sorted((key["app_id"], key["generation"]) for key in found) == sorted(
        [(used.id, 1), (rotating.id, 1), (rotating.id, 2)]
    )


@pytest.mark.parametrize("table", ["customers", "licenses"])
async def test_a_table_that_is_rebuilt_keeps_its_triggers(
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
    assert after["app_counters"] == [counted(app) for app in after["apps"]]


async def test_statistics_begin_with_what_rows_show(database_url: str) -> None:
    """Also with events that have no position yet: what they tell is in the rows already."""
    database = Database(database_url)
    begin = datetime(2026, 1, 30, 10, tzinfo=UTC)
    app = await make_app(database, await make_account(database))
    tier = await make_tier(database, app)
    customer = await make_customer(database, app, created_at=begin)
    for days, revoked in ((1, None), (3, 2), (None, None), (40_000, None)):
        await make_license(
            database,
            customer,
            tier=tier,
            created_at=begin,
            expires_at=None if days is None else begin + timedelta(days=days),
            revoked_at=None if revoked is None else begin + timedelta(days=revoked),
        )
    await make_event(database, Account(app.account_id, ""), subject_id=customer.id)
    await migrations.downgrade(database_url, "0020")
    await run(database_url, lambda made: made.execute(text("UPDATE watermarks SET until = '2026-03'")))

    await migrations.upgrade(database_url)

    found = await run(database_url, contents)
    (log,) = found["log"]
    # SQLite has no events without a position: this one is none that a server could have written.
    assert [event["position"] for event in found["events"]] == [None if log["head"] == 0 else 1]
    assert log["counted"] == log["head"]
    names = "span", "day", "active", "issued", "expired", "revoked", "customers_added"
    for tier_id, added in (("*", 1), (tier.id, 0)):
        kept = [row for row in found["app_days"] if row["tier_id"] == tier_id]
        assert sorted(tuple(row[name] for name in names) for row in kept) == [
            ("day", "2026-01-30", 4, 4, 0, 0, added),
            ("day", "2026-01-31", -1, 0, 1, 0, 0),
            ("day", "2026-02-01", -1, 0, 0, 1, 0),
            ("day", "2135-08-07", -1, 0, 0, 0, 0),
            ("month", "2026-01-01", 3, 4, 1, 0, added),
            ("month", "2026-02-01", -1, 0, 0, 1, 0),
            ("month", "2135-08-01", -1, 0, 0, 0, 0),
        ]
    totals = {row["day"]: (row["tier_id"], row["licenses"], row["unseen"]) for row in found["app_expiries"]}
    assert totals == dict.fromkeys(("2026-01-31", "2135-08-07", "never", "revoked"), (tier.id, 1, 1))
    await counters.check(database)
    await database.close()


async def test_second_upgrade_does_nothing(database_url: str) -> None:
    await fill(database_url)
    before = await run(database_url, contents)

    assert await migrations.upgrade(database_url) is False
    assert await run(database_url, contents) == before


async def test_upgrade_keeps_the_rows_of_a_table_that_is_rebuilt(
    database_url: str, add_migration: AddMigration
) -> None:
    # On SQLite, rebuilding `apps` drops the table. With foreign keys on, this would also delete all
    # customers.
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
    assert {table: len(rows) for table, rows in before.items()} == dict.fromkeys(TABLES, 1) | {
        "watermarks": 2
    }

    await migrations.downgrade(database_url, "-1")
    changed = (await run(database_url, described))["apps"]["columns"]
    assert {name: nullable for name, _, nullable, _ in changed}["description"] is True
    assert await run(database_url, contents) == before


async def test_migration_that_leaves_a_dangling_reference_changes_nothing(
    database_url: str, add_migration: AddMigration
) -> None:
    await fill(database_url)
    before = await run(database_url, contents)
    add_migration("op.execute(\"UPDATE customers SET app_id = 'app_gone'\")")
    # PostgreSQL refuses the statement itself. On SQLite, foreign keys are off during a migration and checked
    # at its end.
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


@pytest.mark.long
async def test_concurrent_upgrades_of_a_new_sqlite_file_all_succeed(tmp_path: Path) -> None:
    """SQLite ignores the busy timeout if several connections switch a file to WAL: some fail immediately."""
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
        (b"The database has been migrated.\n", b""): 1,
        (b"The database is already up to date.\n", b""): 1,
    }
    assert sorted(await run(unmigrated_url, described)) == TABLES


async def test_database_of_a_later_version_is_unchanged(database_url: str) -> None:
    await fill(database_url)
    await run(
        database_url,
        lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9'")),
    )
    before = await run(database_url, contents)

    with pytest.raises(UnfitDatabase, match="does not know its revision 9;"):
        await migrations.upgrade(database_url)

    assert await run(database_url, contents) == before


async def test_database_that_cannot_be_reached_is_not_migrated(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await migrations.upgrade(f"sqlite:///{tmp_path}/no/such/folder.db")
    with pytest.raises(StoreUnavailable):
        await migrations.upgrade(f"postgresql://postgres@/licensegraph?host={tmp_path}")


# Email keys

EMAILS = [
    "Ada@Example.com",
    "a@bücher.example",
    "b@xn--bcher-kva.example",
    "a@BU\u0308CHER.example",
    "b@BÜCHER.example",
    "a@xn--bcher-kva.example",
    "e\u0301@x.example",
    "É@x.example",
    "c@straße.example",
    "\u212a@x.example",  # the Kelvin sign
]


async def people(url: str) -> list[str]:
    """Create customers of two apps as they were before emails had keys.

    Returns the ids of the first app's customers, oldest first.
    """
    await migrations.upgrade(url)
    database = Database(url)
    account = await make_account(database)
    app, other = await make_app(database, account), await make_app(database, account)
    made = [await make_customer(database, app, email=email, key=email) for email in EMAILS]
    await make_customer(database, other, email="a@BÜCHER.example")
    await database.close()
    await migrations.downgrade(url, "0008")
    return [customer.id for customer in made]


def keys(connection: Connection) -> list[str]:
    return list(connection.scalars(text("SELECT email_key FROM customers ORDER BY id")))


def emails(connection: Connection) -> list[tuple[str, str]]:
    return [tuple(row) for row in connection.execute(text("SELECT id, email FROM customers ORDER BY id"))]


async def test_customers_whose_emails_become_equal_all_stay(unmigrated_url: str) -> None:
    ids = await people(unmigrated_url)
    before = await run(unmigrated_url, emails)

    await migrations.upgrade(unmigrated_url)

    assert await run(unmigrated_url, emails) == before
    assert await run(unmigrated_url, keys) == [
        "ada@example.com",
        "a@xn--bcher-kva.example",
        "b@xn--bcher-kva.example",
        f"a@xn--bcher-kva.example {ids[3]}",
        f"b@xn--bcher-kva.example {ids[4]}",
        f"a@xn--bcher-kva.example {ids[5]}",
        "é@x.example",
        f"é@x.example {ids[7]}",
        "c@xn--strae-oqa.example",
        "k@x.example",
        "a@xn--bcher-kva.example",
    ]


async def test_any_number_of_emails_gets_keys(unmigrated_url: str) -> None:
    """The emails do not fit in one batch of the migration. Each one becomes equal to one other email."""
    await people(unmigrated_url)
    add = """INSERT INTO customers (id, app_id, email, email_folded, metadata, created_at, updated_at)
        WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 2999)
        SELECT 'cus_z' || i, (SELECT min(app_id) FROM customers),
               CASE WHEN i < 2000 THEN 'ü' || i || '@ü.example'
                    ELSE 'ü' || (i - 1000) || '@xn--tda.example' END,
               i || '@x.example', '{}', '', '' FROM n"""
    await run(unmigrated_url, lambda connection: connection.exec_driver_sql(add))

    await migrations.upgrade(unmigrated_url)

    assert (await run(unmigrated_url, keys))[-2_000:] == [
        *(f"ü{number}@xn--tda.example" for number in range(1000, 2000)),
        *(f"ü{number}@xn--tda.example cus_z{number + 1000}" for number in range(1000, 2000)),
    ]


async def test_downgrade_deletes_keys_that_the_older_version_would_not_limit(database_url: str) -> None:
    """The version before revision 0014 only knows secret and public keys, and would ignore a key's limits."""
    database = Database(database_url)
    account = await make_account(database)
    app = await make_app(database, account)
    kept = [await make_key(database, account), await make_key(database, account, kind="public")]
    await make_key(database, account, kind="restricted", scopes=["read"])
    await make_key(database, account, apps=[app])
    await make_key(database, account, origins=["https://portal.example"])
    await make_key(database, account, kind="public", documents="registered")
    ids = {await key_id(database, key) for key in kept}
    customer = await make_customer(database, app)
    await make_key(database, account, kind="session", customer=customer, created_by=min(ids))
    await database.close()

    await migrations.downgrade(database_url, "0013")

    assert {key["id"] for key in (await run(database_url, contents))["keys"]} == ids


async def test_downgrade_deletes_ids_of_tokens_that_the_older_version_would_accept(database_url: str) -> None:
    """The version before revision 0018 does not know that a license can move to another installation."""
    database = Database(database_url)
    customer = await make_customer(database, await make_app(database, await make_account(database)))
    license = await make_license(database, customer)
    await make_token(database, license, 1, installation_id=str(uuid4()))
    came_back = await make_token(database, license, 1, installation_id=license.installation_id)
    await database.close()

    await migrations.downgrade(database_url, "0017")

    found = (await run(database_url, contents))["tokens"]
    assert {token["jti"] for token in found} == {license.jti, came_back}


async def test_downgrade_keeps_customers_whose_emails_were_once_equal(unmigrated_url: str) -> None:
    await migrations.upgrade(unmigrated_url)
    database = Database(unmigrated_url)
    app = await make_app(database, await make_account(database))
    made = [
        await make_customer(database, app, email=email)
        for email in ("a@strasse.example", "a@straße.example", "a@Straße2.example")
    ]
    await database.close()
    before = await run(unmigrated_url, contents)

    await migrations.downgrade(unmigrated_url, "0008")
    folded = [row["email_folded"] for row in (await run(unmigrated_url, contents))["customers"]]
    await migrations.upgrade(unmigrated_url)

    assert folded == ["a@strasse.example", f"a@strasse.example {made[1].id}", "a@strasse2.example"]
    after = await run(unmigrated_url, contents)
    for begun_again in ("log", "watermarks", "app_days"):
        del before[begun_again], after[begun_again]
    assert after == before
