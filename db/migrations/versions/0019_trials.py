"""Adds terms and trials to tiers, a table of the trials that were used, and an index for transfers.

Revision: 0019, after 0018
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("tiers", sa.Column("duration_days", sa.Integer()))
    op.add_column("tiers", sa.Column("trial", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "trials",
        sa.Column("app_id", text, nullable=False),
        sa.Column("used_by", text, nullable=False),
        sa.Column("license_id", text, nullable=False),
        sa.PrimaryKeyConstraint("app_id", "used_by", name="pk_trials"),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_trials_app_id", ondelete="CASCADE"),
    )
    is_transfer = sa.text("other_customer_id IS NOT NULL")
    op.create_index(
        "ix_events_other_customer_id_position",
        "events",
        ["other_customer_id", "position"],
        sqlite_where=is_transfer,
        postgresql_where=is_transfer,
    )


def downgrade() -> None:
    op.drop_index("ix_events_other_customer_id_position", "events")
    op.drop_table("trials")
    with op.batch_alter_table("tiers") as table:
        table.drop_column("trial")
        table.drop_column("duration_days")
