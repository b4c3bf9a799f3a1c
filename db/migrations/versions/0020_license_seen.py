"""When each license was last verified.

Revision: 0020, after 0019
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

COPIED = "app_id, customer_id, tier_id"
ADD = f"INSERT INTO license_seen (license_id, {COPIED}) SELECT id, {COPIED} FROM"  # noqa: S608
SQLITE = (
    f"""CREATE TRIGGER license_seen_insert AFTER INSERT ON licenses BEGIN
         INSERT INTO license_seen (license_id, {COPIED})
         VALUES (new.id, new.app_id, new.customer_id, new.tier_id);
       END""",
    f"""CREATE TRIGGER license_seen_update AFTER UPDATE OF {COPIED} ON licenses
       WHEN (new.app_id, new.customer_id) <> (old.app_id, old.customer_id) OR new.tier_id IS NOT old.tier_id
       BEGIN
         UPDATE license_seen SET app_id = new.app_id, customer_id = new.customer_id, tier_id = new.tier_id
         WHERE license_id = new.id;
       END""",
)
SQLITE_DOWN = ("DROP TRIGGER license_seen_insert", "DROP TRIGGER license_seen_update")

POSTGRESQL = (
    f"""CREATE FUNCTION add_license_seen() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         {ADD} changed;
         RETURN NULL;
       END $$""",
    """CREATE TRIGGER license_seen_insert AFTER INSERT ON licenses
       REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION add_license_seen()""",
    """CREATE FUNCTION update_license_seen() RETURNS trigger LANGUAGE plpgsql AS $$
       BEGIN
         UPDATE license_seen
         SET app_id = NEW.app_id, customer_id = NEW.customer_id, tier_id = NEW.tier_id
         WHERE license_id = NEW.id;
         RETURN NULL;
       END $$""",
    f"""CREATE TRIGGER license_seen_update AFTER UPDATE OF {COPIED} ON licenses
       FOR EACH ROW WHEN ((OLD.app_id, OLD.customer_id, OLD.tier_id)
         IS DISTINCT FROM (NEW.app_id, NEW.customer_id, NEW.tier_id))
       EXECUTE FUNCTION update_license_seen()""",
)
POSTGRESQL_DOWN = ("DROP FUNCTION add_license_seen CASCADE", "DROP FUNCTION update_license_seen CASCADE")


def upgrade() -> None:
    op.create_table(
        "license_seen",
        sa.Column("license_id", text, nullable=False),
        sa.Column("at", text),
        sa.Column("app_id", text, nullable=False),
        sa.Column("customer_id", text, nullable=False),
        sa.Column("tier_id", text),
        sa.PrimaryKeyConstraint("license_id", name="pk_license_seen"),
        sa.ForeignKeyConstraint(
            ["license_id"], ["licenses.id"], name="fk_license_seen_license_id", ondelete="CASCADE"
        ),
    )
    for statement in SQLITE if _is_sqlite() else POSTGRESQL:
        op.get_bind().exec_driver_sql(statement)
    # Creating a trigger locks its table, so every license is added once.
    op.execute(f"{ADD} licenses")
    for owner in ("app_id", "customer_id", "tier_id"):
        op.create_index(f"ix_license_seen_{owner}_at_license_id", "license_seen", [owner, "at", "license_id"])


def downgrade() -> None:
    for statement in SQLITE_DOWN if _is_sqlite() else POSTGRESQL_DOWN:
        op.get_bind().exec_driver_sql(statement)
    op.drop_table("license_seen")


def _is_sqlite() -> bool:
    return bool(op.get_context().dialect.name == "sqlite")
