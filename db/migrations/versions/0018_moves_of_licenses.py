"""When a license last moved to another installation, and the installations that its earlier tokens are for.

Revision: 0018, after 0017
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("licenses", sa.Column("moved_at", text))
    op.add_column("tokens", sa.Column("installation_id", text))


def downgrade() -> None:
    # Older versions of the program do not know that licenses can move. They would accept the ids of tokens
    # that are for an earlier installation, so these ids are deleted.
    op.execute(
        "DELETE FROM tokens WHERE installation_id <> "
        "(SELECT installation_id FROM licenses WHERE licenses.id = tokens.license_id)"
    )
    with op.batch_alter_table("tokens") as table:
        table.drop_column("installation_id")
    with op.batch_alter_table("licenses") as table:
        table.drop_column("moved_at")
