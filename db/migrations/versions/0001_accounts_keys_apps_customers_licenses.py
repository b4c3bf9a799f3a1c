"""Accounts, keys, apps, customers and licenses.

Revision: 0001, after nothing
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
json = sa.Text().with_variant(postgresql.JSON(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", text, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("created_at", text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_accounts"),
        sa.UniqueConstraint("name", name="uq_accounts_name"),
    )
    op.create_table(
        "keys",
        sa.Column("id", text, nullable=False),
        sa.Column("account_id", text, nullable=False),
        sa.Column("kind", text, nullable=False),
        sa.Column("name", text),
        sa.Column("digest", text, nullable=False),
        sa.Column("last4", text, nullable=False),
        sa.Column("created_at", text, nullable=False),
        sa.Column("expires_at", text),
        sa.Column("revoked_at", text),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_keys_account_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
        sa.UniqueConstraint("digest", name="uq_keys_digest"),
    )
    op.create_index("ix_keys_account_id", "keys", ["account_id"])
    op.create_table(
        "apps",
        sa.Column("id", text, nullable=False),
        sa.Column("account_id", text, nullable=False),
        sa.Column("slug", text, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("name_folded", text, nullable=False),
        sa.Column("description", text),
        sa.Column("webhook_url", text),
        sa.Column("created_at", text, nullable=False),
        sa.Column("updated_at", text, nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name="fk_apps_account_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_apps"),
        sa.UniqueConstraint("slug", name="uq_apps_slug"),
    )
    op.create_index("ix_apps_account_id_id", "apps", ["account_id", "id"])
    op.create_table(
        "customers",
        sa.Column("id", text, nullable=False),
        sa.Column("app_id", text, nullable=False),
        sa.Column("email", text, nullable=False),
        sa.Column("email_folded", text, nullable=False),
        sa.Column("name", text),
        sa.Column("name_folded", text),
        sa.Column("external_id", text),
        sa.Column("metadata", json, nullable=False),
        sa.Column("created_at", text, nullable=False),
        sa.Column("updated_at", text, nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_customers_app_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_customers"),
        sa.UniqueConstraint("app_id", "email_folded", name="uq_customers_app_id_email_folded"),
        sa.UniqueConstraint("app_id", "external_id", name="uq_customers_app_id_external_id"),
    )
    op.create_index("ix_customers_app_id_id", "customers", ["app_id", "id"])
    op.create_table(
        "licenses",
        sa.Column("id", text, nullable=False),
        sa.Column("app_id", text, nullable=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("installation_id", text, nullable=False),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("expires_at", text),
        sa.Column("revoked_at", text),
        sa.Column("revoked_reason", text),
        sa.Column("metadata", json, nullable=False),
        sa.Column("created_at", text, nullable=False),
        sa.Column("updated_at", text, nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_licenses_app_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["customer_id"], ["customers.id"], name="fk_licenses_customer_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_licenses"),
    )
    op.create_index("ix_licenses_app_id_id", "licenses", ["app_id", "id"])
    op.create_index("ix_licenses_customer_id_id", "licenses", ["customer_id", "id"])
    op.create_index(
        "uq_licenses_current_installation",
        "licenses",
        ["app_id", "installation_id"],
        unique=True,
        sqlite_where=sa.text("is_current"),
        postgresql_where=sa.text("is_current"),
    )


def downgrade() -> None:
    for table in ("licenses", "customers", "apps", "keys", "accounts"):
        op.drop_table(table)
