"""Indexes for every order of a connection, and PostgreSQL statistics for the columns of these indexes.

Revision: 0003, after 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

INDEXES = (
    ("ix_apps_account_id_name_folded_id", "apps", ["account_id", "name_folded", "id"]),
    ("ix_apps_account_id_slug_id", "apps", ["account_id", "slug", "id"]),
    ("ix_customers_app_id_name_folded_id", "customers", ["app_id", "name_folded", "id"]),
    ("ix_licenses_app_id_expires_at_id", "licenses", ["app_id", "expires_at", "id"]),
    ("ix_licenses_customer_id_expires_at_id", "licenses", ["customer_id", "expires_at", "id"]),
)

# Values for n_distinct: with -0.001, PostgreSQL always expects 1,000 rows per owner, regardless of what
# ANALYZE finds. Otherwise, if one app had most of the rows, PostgreSQL would walk the whole primary key to
# find the few rows of another app (docs/decisions.md).
EXPECTED = (
    ("apps", "account_id", -0.1),
    ("customers", "app_id", -0.001),
    ("licenses", "app_id", -0.001),
    ("licenses", "customer_id", -0.1),
)


def upgrade() -> None:
    for name, table, columns in INDEXES:
        op.create_index(name, table, columns)
    if op.get_context().dialect.name == "postgresql":
        for table, column, distinct in EXPECTED:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET (n_distinct = {distinct})")
        op.execute("ANALYZE apps, customers, licenses")


def downgrade() -> None:
    for name, table, _ in reversed(INDEXES):
        op.drop_index(name, table)
    if op.get_context().dialect.name == "postgresql":
        for table, column, _ in EXPECTED:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} RESET (n_distinct)")
