"""Counters, maintained by triggers: an app's customers and licenses, and a customer's licenses.

An app may now have no account and no slug. Such an app counts as deleted, and its rows are purged later.

Revision: 0002, after 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

OWNER_HAS_SLUG = "(account_id IS NULL) = (slug IS NULL)"

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# A counter has several shards, and connections are spread over them, so that concurrent inserts into one app
# rarely wait for each other. Inserts and deletes are counted once per statement, so a bulk load changes each
# counter only once. Rows that a cascade deletes with their app are not counted.
POSTGRESQL = {
    "count_in_apps": """
        DECLARE
          sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
        BEGIN
          INSERT INTO app_counters AS kept (app_id, shard, customers, licenses)
          SELECT
            app_id,
            pg_backend_pid() % 16,
            CASE TG_TABLE_NAME WHEN 'customers' THEN sign * count(*) ELSE 0 END,
            CASE TG_TABLE_NAME WHEN 'licenses' THEN sign * count(*) ELSE 0 END
          FROM changed
          WHERE EXISTS (SELECT FROM apps WHERE apps.id = changed.app_id)
          GROUP BY app_id
          ON CONFLICT (app_id, shard) DO UPDATE SET
            customers = kept.customers + excluded.customers,
            licenses = kept.licenses + excluded.licenses;
          RETURN NULL;
        END
    """,
    "count_in_customers": """
        DECLARE
          sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
        BEGIN
          UPDATE customers SET license_count = license_count + sign * counted.licenses
          FROM (SELECT customer_id, count(*) AS licenses FROM changed GROUP BY customer_id) AS counted
          WHERE customers.id = counted.customer_id;
          RETURN NULL;
        END
    """,
    "move_between_apps": """
        BEGIN
          INSERT INTO app_counters AS kept (app_id, shard, customers, licenses)
          SELECT
            moved.app_id,
            pg_backend_pid() % 16,
            CASE TG_TABLE_NAME WHEN 'customers' THEN moved.change ELSE 0 END,
            CASE TG_TABLE_NAME WHEN 'licenses' THEN moved.change ELSE 0 END
          FROM (VALUES (OLD.app_id, -1), (NEW.app_id, 1)) AS moved (app_id, change)
          ON CONFLICT (app_id, shard) DO UPDATE SET
            customers = kept.customers + excluded.customers,
            licenses = kept.licenses + excluded.licenses;
          RETURN NULL;
        END
    """,
    "move_between_customers": """
        BEGIN
          UPDATE customers
          SET license_count = license_count + CASE customers.id WHEN NEW.customer_id THEN 1 ELSE -1 END
          WHERE customers.id IN (OLD.customer_id, NEW.customer_id);
          RETURN NULL;
        END
    """,
}
POSTGRESQL_TRIGGERS = [
    f"CREATE TRIGGER {function}_{event.lower()} AFTER {event} ON {table} "
    f"REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
    for table, function in (
        ("customers", "count_in_apps"),
        ("licenses", "count_in_apps"),
        ("licenses", "count_in_customers"),
    )
    for event, rows in (("INSERT", "NEW"), ("DELETE", "OLD"))
] + [
    f"CREATE TRIGGER {function} AFTER UPDATE OF {column} ON {table} "
    f"FOR EACH ROW WHEN (OLD.{column} <> NEW.{column}) EXECUTE FUNCTION {function}()"
    for table, function, column in (
        ("customers", "move_between_apps", "app_id"),
        ("licenses", "move_between_apps", "app_id"),
        ("licenses", "move_between_customers", "customer_id"),
    )
]

# SQLite has one writer, and therefore one shard. A decrement never creates a counter row. Otherwise a cascade
# would create a counter row for an app that is already deleted.
MORE = """
    INSERT INTO app_counters (app_id, shard, customers, licenses) VALUES (new.app_id, 0, {counts})
    ON CONFLICT (app_id, shard) DO UPDATE SET {table} = app_counters.{table} + 1;
"""
MORE_CUSTOMERS = MORE.format(table="customers", counts="1, 0")
MORE_LICENSES = MORE.format(table="licenses", counts="0, 1")
FEWER_CUSTOMERS = "UPDATE app_counters SET customers = customers - 1 WHERE app_id = old.app_id AND shard = 0;"
FEWER_LICENSES = "UPDATE app_counters SET licenses = licenses - 1 WHERE app_id = old.app_id AND shard = 0;"
MORE_OF_CUSTOMER = "UPDATE customers SET license_count = license_count + 1 WHERE id = new.customer_id;"
FEWER_OF_CUSTOMER = "UPDATE customers SET license_count = license_count - 1 WHERE id = old.customer_id;"
SQLITE = {
    "customers_insert": ("INSERT ON customers", MORE_CUSTOMERS),
    "customers_delete": ("DELETE ON customers", FEWER_CUSTOMERS),
    "customers_move": (
        "UPDATE OF app_id ON customers WHEN old.app_id <> new.app_id",
        FEWER_CUSTOMERS + MORE_CUSTOMERS,
    ),
    "licenses_insert": ("INSERT ON licenses", MORE_LICENSES + MORE_OF_CUSTOMER),
    "licenses_delete": ("DELETE ON licenses", FEWER_LICENSES + FEWER_OF_CUSTOMER),
    "licenses_move_between_apps": (
        "UPDATE OF app_id ON licenses WHEN old.app_id <> new.app_id",
        FEWER_LICENSES + MORE_LICENSES,
    ),
    "licenses_move_between_customers": (
        "UPDATE OF customer_id ON licenses WHEN old.customer_id <> new.customer_id",
        FEWER_OF_CUSTOMER + MORE_OF_CUSTOMER,
    ),
}


def is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def upgrade() -> None:
    with op.batch_alter_table("apps") as apps:
        apps.alter_column("account_id", existing_type=text, nullable=True)
        apps.alter_column("slug", existing_type=text, nullable=True)
        apps.create_check_constraint(op.f("ck_apps_owner_has_slug"), OWNER_HAS_SLUG)
    op.create_table(
        "app_counters",
        sa.Column("app_id", text, nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("customers", sa.BigInteger(), nullable=False),
        sa.Column("licenses", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_app_counters_app_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app_id", "shard", name="pk_app_counters"),
    )
    op.add_column("customers", sa.Column("license_count", sa.Integer(), server_default="0", nullable=False))
    if is_sqlite():
        for name, (event, body) in SQLITE.items():
            op.execute(f"CREATE TRIGGER count_{name} AFTER {event} BEGIN {body} END")
    else:
        # This leaves room on each disk page for new versions of the page's rows, so that updates of rows do
        # not change any index.
        op.execute("ALTER TABLE app_counters SET (fillfactor = 20)")
        op.execute("ALTER TABLE customers SET (fillfactor = 90)")
        for name, body in POSTGRESQL.items():
            op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        for trigger in POSTGRESQL_TRIGGERS:
            op.execute(trigger)
    # Creating a trigger locks its table, so every row that is added after this point is counted.
    op.execute(
        "INSERT INTO app_counters (app_id, shard, customers, licenses) SELECT id, 0, "
        "(SELECT count(*) FROM customers WHERE customers.app_id = apps.id), "
        "(SELECT count(*) FROM licenses WHERE licenses.app_id = apps.id) FROM apps"
    )
    op.execute(
        "UPDATE customers SET license_count = "
        "(SELECT count(*) FROM licenses WHERE licenses.customer_id = customers.id) "
        "WHERE EXISTS (SELECT 1 FROM licenses WHERE licenses.customer_id = customers.id)"
    )


def downgrade() -> None:
    if is_sqlite():
        for name in SQLITE:
            op.execute(f"DROP TRIGGER count_{name}")
    else:
        for name in POSTGRESQL:
            op.execute(f"DROP FUNCTION {name}() CASCADE")  # CASCADE also drops the function's triggers
        op.execute("ALTER TABLE customers RESET (fillfactor)")
    op.drop_column("customers", "license_count")
    op.drop_table("app_counters")
    # On SQLite, foreign keys are off during migrations, so nothing cascades.
    for table in ("licenses", "customers"):
        op.execute(f"DELETE FROM {table} WHERE app_id IN (SELECT id FROM apps WHERE account_id IS NULL)")
    op.execute("DELETE FROM apps WHERE account_id IS NULL")
    with op.batch_alter_table("apps") as apps:
        apps.drop_constraint(op.f("ck_apps_owner_has_slug"), type_="check")
        apps.alter_column("account_id", existing_type=text, nullable=False)
        apps.alter_column("slug", existing_type=text, nullable=False)
