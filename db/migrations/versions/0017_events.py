"""The record: events, the log's head, versions of what events are about, watermarks, and idempotency.

Revision: 0017, after 0016
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

VERSIONED = ("apps", "customers", "licenses", "tiers", "features", "keys")

# SQLite has one writer, so a position is assigned with the event. On PostgreSQL, the projector assigns it.
SQLITE_TRIGGER = """
    CREATE TRIGGER events_insert AFTER INSERT ON events WHEN new.position IS NOT NULL
    BEGIN UPDATE log SET head = new.position; END
"""


def upgrade() -> None:
    for table in VERSIONED:
        op.add_column(table, sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
    op.create_table(
        "events",
        sa.Column("id", text, nullable=False),
        sa.Column("position", sa.BigInteger()),
        sa.Column("account_id", text, nullable=False),
        sa.Column("app_id", text),
        sa.Column("app_slug", text),
        sa.Column("customer_id", text),
        sa.Column("other_customer_id", text),
        sa.Column("subject_type", text, nullable=False),
        sa.Column("subject_id", text, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("type", text, nullable=False),
        sa.Column("created_at", text, nullable=False),
        sa.Column("actor_kind", text, nullable=False),
        sa.Column("actor_id", text),
        sa.Column("request_id", text),
        sa.Column("caused_by", text),
        sa.Column("data", text, nullable=False),
        sa.Column("changes", text, nullable=False),
        sa.Column("erased", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name="fk_events_account_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("position", name="uq_events_position"),
        sa.UniqueConstraint("subject_id", "version", name="uq_events_subject_id_version"),
    )
    for column in ("account_id", "app_id", "customer_id"):
        op.create_index(f"ix_events_{column}_position", "events", [column, "position"])
    op.create_index(
        "ix_events_without_position",
        "events",
        ["id"],
        sqlite_where=sa.text("position IS NULL"),
        postgresql_where=sa.text("position IS NULL"),
    )
    is_deleted_app = sa.text("type = 'app.deleted'")
    op.create_index(
        "ix_events_deleted_apps",
        "events",
        ["account_id", "app_slug"],
        sqlite_where=is_deleted_app,
        postgresql_where=is_deleted_app,
    )
    log = op.create_table(
        "log",
        sa.Column("head", sa.BigInteger(), nullable=False),
        sa.Column("gaps_until", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("since", text, nullable=False),
        sa.PrimaryKeyConstraint("since", name="pk_log"),
    )
    watermarks = op.create_table(
        "watermarks",
        sa.Column("name", text, nullable=False),
        sa.Column("until", text, nullable=False),
        sa.Column("last_id", text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_watermarks"),
    )
    now = datetime.now(UTC).isoformat()[:19] + "Z"
    op.bulk_insert(log, [{"head": 0, "since": now}])
    op.bulk_insert(watermarks, [{"name": name, "until": now, "last_id": ""} for name in ("expired", "expiring")])
    op.create_index(
        "ix_licenses_expires_at_id",
        "licenses",
        ["expires_at", "id"],
        sqlite_where=sa.text("expires_at IS NOT NULL"),
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.create_table(
        "idempotency",
        sa.Column("key_id", text, nullable=False),
        sa.Column("scope", text, nullable=False),
        sa.Column("key", text, nullable=False),
        sa.Column("fingerprint", text, nullable=False),
        sa.Column("outcome", sa.LargeBinary()),
        sa.Column("created_at", text, nullable=False),
        sa.Column("customer_id", text),
        sa.PrimaryKeyConstraint("key_id", "scope", "key", name="pk_idempotency"),
        sa.ForeignKeyConstraint(["key_id"], ["keys.id"], name="fk_idempotency_key_id", ondelete="CASCADE"),
    )
    for column in ("created_at", "customer_id"):
        op.create_index(f"ix_idempotency_{column}", "idempotency", [column])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(SQLITE_TRIGGER)


def downgrade() -> None:
    op.drop_index("ix_licenses_expires_at_id", "licenses")
    for table in ("idempotency", "watermarks", "log", "events"):
        op.drop_table(table)
    for table in VERSIONED:
        with op.batch_alter_table(table) as changed:
            changed.drop_column("version")
