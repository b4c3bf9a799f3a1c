"""Accounts can be removed. The slugs of their deleted apps stay reserved, without an account.

Revision: 0010, after 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
NAME = "fk_retired_slugs_account_id"


def upgrade() -> None:
    with op.batch_alter_table("retired_slugs") as table:
        table.alter_column("account_id", existing_type=text, nullable=True)
        table.drop_constraint(NAME, type_="foreignkey")
        table.create_foreign_key(NAME, "accounts", ["account_id"], ["id"], ondelete="SET NULL")


def downgrade() -> None:
    op.execute("DELETE FROM retired_slugs WHERE account_id IS NULL")
    with op.batch_alter_table("retired_slugs") as table:
        table.drop_constraint(NAME, type_="foreignkey")
        table.create_foreign_key(NAME, "accounts", ["account_id"], ["id"], ondelete="CASCADE")
        table.alter_column("account_id", existing_type=text, nullable=False)
