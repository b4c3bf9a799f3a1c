"""A column for the time at which a rotation began to sign with a key.

Until that time, an app's next key is only published.

Revision: 0009, after 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("signing_keys", sa.Column("activated_at", text, nullable=True))


def downgrade() -> None:
    # Earlier versions of the program have no such column, and sign each new token with the current key and
    # with every later key. Keys that have not been activated must not sign, so they are deleted.
    op.execute(
        "DELETE FROM signing_keys WHERE activated_at IS NULL AND generation > "
        "(SELECT signing_generation FROM apps WHERE apps.id = signing_keys.app_id)"
    )
    with op.batch_alter_table("signing_keys") as signing_keys:
        signing_keys.drop_column("activated_at")
