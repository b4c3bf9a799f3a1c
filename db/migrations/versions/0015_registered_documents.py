"""Registered documents, what each document id stands for, and a version of each account's documents.

Revision: 0015, after 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "documents",
        sa.Column("id", text, nullable=False),
        sa.Column("account_id", text, nullable=False),
        sa.Column("document_id", text, nullable=False),
        sa.Column("set", text, nullable=False),
        sa.Column("digest", text, nullable=False),
        sa.Column("operations", text, nullable=False),
        sa.Column("text", text, nullable=False),
        sa.Column("max_cost", sa.Integer(), nullable=False),
        sa.Column("registered_at", text, nullable=False),
        sa.Column("last_used_at", text),
        sa.PrimaryKeyConstraint("id", name="pk_documents"),
        sa.UniqueConstraint(
            "account_id", "document_id", "set", name="uq_documents_account_id_document_id_set"
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_documents_account_id", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_documents_account_id_id", "documents", ["account_id", "id"])
    op.create_index("ix_documents_account_id_set_id", "documents", ["account_id", "set", "id"])
    op.create_index("ix_documents_account_id_digest", "documents", ["account_id", "digest"])
    op.create_table(
        "document_ids",
        sa.Column("account_id", text, nullable=False),
        sa.Column("document_id", text, nullable=False),
        sa.Column("digest", text, nullable=False),
        sa.PrimaryKeyConstraint("account_id", "document_id", name="pk_document_ids"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_document_ids_account_id", ondelete="CASCADE"
        ),
    )
    op.add_column(
        "accounts", sa.Column("documents_version", sa.Integer(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    with op.batch_alter_table("accounts") as table:
        table.drop_column("documents_version")
    op.drop_table("document_ids")
    op.drop_table("documents")
