"""The fingerprint of the master key that encrypts the private keys in the database.

Revision: 0005, after 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "master_key",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", text, nullable=False),
        sa.Column("created_at", text, nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_master_key_only_one")),
        sa.PrimaryKeyConstraint("id", name="pk_master_key"),
    )


def downgrade() -> None:
    op.drop_table("master_key")
