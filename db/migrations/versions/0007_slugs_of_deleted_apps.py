"""The slugs of deleted apps, and the accounts that these apps belonged to.

The slugs of apps that were deleted before this migration are not known.

Revision: 0007, after 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "retired_slugs",
        sa.Column("slug", text, nullable=False),
        sa.Column("account_id", text, nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_retired_slugs_account_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("slug", name="pk_retired_slugs"),
    )
    op.create_index("ix_retired_slugs_account_id", "retired_slugs", ["account_id"])


def downgrade() -> None:
    op.drop_table("retired_slugs")
