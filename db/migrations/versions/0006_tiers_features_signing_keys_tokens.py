"""Tiers, features, signing keys and tokens.

Apps get their first signing key at the next start of a server. An existing license has no token until a
client requests one. Until then, the license's `jti` is its id.

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# Values for n_distinct, for the same reason as in migration 0003.
EXPECTED = (
    ("licenses", "tier_id", -0.001),
    ("tiers", "app_id", -0.1),
    ("features", "app_id", -0.1),
    ("tokens", "license_id", -0.5),
)
INDEXES = (
    ("ix_licenses_tier_id_id", ["tier_id", "id"]),
    ("ix_licenses_tier_id_expires_at_id", ["tier_id", "expires_at", "id"]),
    ("ix_licenses_installation_id_app_id_id", ["installation_id", "app_id", "id"]),
)


def upgrade() -> None:
    op.create_table(
        "tiers",
        sa.Column("id", text, nullable=False),
        sa.Column("app_id", text, nullable=False),
        sa.Column("slug", text, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("rank", text, nullable=False),
        sa.Column("created_at", text, nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_tiers_app_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_tiers"),
        sa.UniqueConstraint("app_id", "slug", name="uq_tiers_app_id_slug"),
    )
    op.create_index("ix_tiers_app_id_rank_id", "tiers", ["app_id", "rank", "id"])
    op.create_table(
        "features",
        sa.Column("id", text, nullable=False),
        sa.Column("app_id", text, nullable=False),
        sa.Column("slug", text, nullable=False),
        sa.Column("name", text, nullable=False),
        sa.Column("description", text, nullable=True),
        sa.Column("created_at", text, nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_features_app_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_features"),
        sa.UniqueConstraint("app_id", "slug", name="uq_features_app_id_slug"),
    )
    op.create_index("ix_features_app_id_slug_id", "features", ["app_id", "slug", "id"])
    op.create_table(
        "tier_features",
        sa.Column("tier_id", text, nullable=False),
        sa.Column("feature_id", text, nullable=False),
        sa.ForeignKeyConstraint(
            ["tier_id"], ["tiers.id"], name="fk_tier_features_tier_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["feature_id"], ["features.id"], name="fk_tier_features_feature_id"),
        sa.PrimaryKeyConstraint("tier_id", "feature_id", name="pk_tier_features"),
    )
    op.create_index("ix_tier_features_feature_id", "tier_features", ["feature_id"])
    op.create_table(
        "signing_keys",
        sa.Column("id", text, nullable=False),
        sa.Column("app_id", text, nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("public_key_pem", text, nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", text, nullable=False),
        sa.Column("retired_at", text, nullable=True),
        sa.Column("last_expiry", text, nullable=True),
        sa.Column("dropped_at", text, nullable=True),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_signing_keys_app_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name="pk_signing_keys"),
        sa.UniqueConstraint("app_id", "generation", name="uq_signing_keys_app_id_generation"),
    )
    op.create_table(
        "tokens",
        sa.Column("jti", text, nullable=False),
        sa.Column("license_id", text, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("token", text, nullable=True),
        sa.ForeignKeyConstraint(["license_id"], ["licenses.id"], name="fk_tokens_license_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("jti", name="pk_tokens"),
        sa.UniqueConstraint("license_id", "number", name="uq_tokens_license_id_number"),
    )
    op.add_column("apps", sa.Column("signing_algorithm", text, nullable=False, server_default="RS256"))
    op.add_column("apps", sa.Column("signing_generation", sa.Integer(), nullable=False, server_default="1"))
    # This is written as SQL text, because Alembic's add_column() would either rebuild the table on SQLite or
    # not be able to name the constraint.
    collation = ' COLLATE "C"' if op.get_context().dialect.name == "postgresql" else ""
    op.execute(
        f"ALTER TABLE licenses ADD COLUMN tier_id TEXT{collation} "
        "CONSTRAINT fk_licenses_tier_id REFERENCES tiers (id)"
    )
    for name in ("features", "own_features"):
        op.add_column("licenses", sa.Column(name, text, nullable=False, server_default="[]"))
    for name, columns in INDEXES:
        op.create_index(name, "licenses", columns)
    op.execute("INSERT INTO tokens (jti, license_id, number, generation) SELECT id, id, 1, 1 FROM licenses")
    if op.get_context().dialect.name == "postgresql":
        for table, name, distinct in EXPECTED:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {name} SET (n_distinct = {distinct})")
        op.execute("ANALYZE apps, licenses, tokens")


def downgrade() -> None:
    for name, _ in reversed(INDEXES):
        op.drop_index(name, "licenses")
    with op.batch_alter_table("licenses") as licenses:
        for column in ("own_features", "features", "tier_id"):
            licenses.drop_column(column)
    with op.batch_alter_table("apps") as apps:
        for column in ("signing_generation", "signing_algorithm"):
            apps.drop_column(column)
    for table in ("tokens", "signing_keys", "tier_features", "features", "tiers"):
        op.drop_table(table)
