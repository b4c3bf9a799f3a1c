"""Keys have scopes, apps, origins, registered documents, a customer, a creator, and a previous token.

Revision: 0014, after 0013
"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    with op.batch_alter_table("keys") as table:
        for name in ("scopes", "app_ids", "origins"):
            table.add_column(sa.Column(name, text))
        table.add_column(sa.Column("documents", text, nullable=False, server_default="any"))
        for name in ("document_sets", "customer_id", "created_by", "previous_digest", "previous_until"):
            table.add_column(sa.Column(name, text))
        table.create_foreign_key(
            "fk_keys_customer_id", "customers", ["customer_id"], ["id"], ondelete="CASCADE"
        )
        table.create_foreign_key("fk_keys_created_by", "keys", ["created_by"], ["id"], ondelete="SET NULL")
    for name in ("previous_digest", "customer_id", "created_by"):
        op.create_index(f"ix_keys_{name}", "keys", [name])
    has_origins = sa.text("origins IS NOT NULL AND revoked_at IS NULL")
    op.create_index(
        "ix_keys_with_origins",
        "keys",
        ["expires_at"],
        sqlite_where=has_origins,
        postgresql_where=has_origins,
    )
    op.drop_index("ix_keys_account_id", "keys")
    op.create_index("ix_keys_account_id_kind_id", "keys", ["account_id", "kind", "id"])
    is_no_session = sa.text("kind != 'session'")
    op.create_index(
        "ix_keys_account_id_id",
        "keys",
        ["account_id", "id"],
        sqlite_where=is_no_session,
        postgresql_where=is_no_session,
    )


def downgrade() -> None:
    # Older versions of the program do not know the new kinds and restrictions of keys. They would let such
    # keys do more than allowed, so these keys are deleted.
    op.execute(
        "DELETE FROM keys WHERE kind NOT IN ('secret', 'public') OR scopes IS NOT NULL OR app_ids IS NOT NULL "
        "OR origins IS NOT NULL OR documents <> 'any'"
    )
    for name in (
        "with_origins",
        "previous_digest",
        "customer_id",
        "created_by",
        "account_id_kind_id",
        "account_id_id",
    ):
        op.drop_index(f"ix_keys_{name}", "keys")
    op.create_index("ix_keys_account_id", "keys", ["account_id"])
    with op.batch_alter_table("keys") as table:
        table.drop_constraint("fk_keys_created_by", type_="foreignkey")
        table.drop_constraint("fk_keys_customer_id", type_="foreignkey")
        for name in (
            "previous_until",
            "previous_digest",
            "created_by",
            "customer_id",
            "document_sets",
            "documents",
            "origins",
            "app_ids",
            "scopes",
        ):
            table.drop_column(name)
