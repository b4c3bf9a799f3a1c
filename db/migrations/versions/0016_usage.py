"""What each key, and each other subject of a limit, used in each minute.

Revision: 0016, after 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "usage",
        sa.Column("subject", text, nullable=False),
        sa.Column("minute", text, nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("last_at", text, nullable=False),
        sa.PrimaryKeyConstraint("subject", "minute", name="pk_usage"),
    )
    op.create_index("ix_usage_minute", "usage", ["minute"])


def downgrade() -> None:
    op.drop_table("usage")
