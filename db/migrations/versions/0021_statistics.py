"""Statistics by day (`app_days`), and totals of licenses by the day of their expiry (`app_expiries`).

The past is reconstructed from rows: when they were created, when they expire, and when they were revoked.
Rows do not show renewals, reinstatements and deletions before this migration.

Revision: 0021, after 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

COUNTED = (
    *("active", "issued", "renewed", "reinstated", "expired", "revoked", "deleted"),
    *("customers_added", "customers_deleted"),
)

# Revoked licenses do not expire.
DAY = """
    CASE WHEN {row}.revoked_at IS NOT NULL THEN 'revoked' WHEN {row}.expires_at IS NULL THEN 'never'
    ELSE substr({row}.expires_at, 1, 10) END
"""
TIER = "coalesce({row}.tier_id, '')"
KEY = f"{{row}}.app_id, {DAY}, {TIER}"
INSERT = "INSERT INTO app_expiries (app_id, day, tier_id, shard, licenses, unseen)"
ADD = """
    ON CONFLICT (app_id, day, tier_id, shard) DO UPDATE SET
      licenses = app_expiries.licenses + excluded.licenses, unseen = app_expiries.unseen + excluded.unseen
"""
MOVED = "expires_at, revoked_at, tier_id, app_id"

# Totals are changed in the order of their keys, so that transactions never deadlock. Before a license is
# deleted, its row in `license_seen` becomes one of a license that was never verified. Both a change of a
# license and its first verification lock this row before they change a total, so each knows of the other.
POSTGRESQL = {
    "count_expiries": f"""
        DECLARE
          sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
        BEGIN
          {INSERT}
          SELECT {KEY.format(row="changed")}, pg_backend_pid() % 4, sign * count(*), sign * count(*)
          FROM changed WHERE EXISTS (SELECT FROM apps WHERE apps.id = changed.app_id)
          GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
          {ADD};
          RETURN NULL;
        END
    """,
    "move_expiry": f"""
        DECLARE
          never_seen integer;
        BEGIN
          SELECT CASE WHEN at IS NULL THEN 1 ELSE 0 END INTO never_seen
          FROM license_seen WHERE license_id = NEW.id FOR SHARE;
          {INSERT}
          SELECT app_id, day, tier_id, pg_backend_pid() % 4, sum(change), sum(change * never_seen)
          FROM (VALUES ({KEY.format(row="OLD")}, -1), ({KEY.format(row="NEW")}, 1))
            AS moved (app_id, day, tier_id, change)
          GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
          {ADD};
          RETURN NULL;
        END
    """,
    "count_seen": f"""
        BEGIN
          {INSERT}
          SELECT {KEY.format(row="licenses")}, pg_backend_pid() % 4, 0,
            sum(CASE WHEN later.at IS NULL THEN 1 ELSE -1 END)
          FROM later JOIN earlier ON earlier.license_id = later.license_id
          JOIN licenses ON licenses.id = later.license_id
          WHERE (earlier.at IS NULL) <> (later.at IS NULL)
            AND EXISTS (SELECT FROM apps WHERE apps.id = licenses.app_id)
          GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
          {ADD};
          RETURN NULL;
        END
    """,
    "forget_seen": """
        BEGIN
          UPDATE license_seen SET at = NULL WHERE license_id = OLD.id AND at IS NOT NULL;
          RETURN OLD;
        END
    """,
}
POSTGRESQL_TRIGGERS = [
    *(
        f"CREATE TRIGGER count_expiries_{event.lower()} AFTER {event} ON licenses "
        f"REFERENCING {rows} TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION count_expiries()"
        for event, rows in (("INSERT", "NEW"), ("DELETE", "OLD"))
    ),
    f"CREATE TRIGGER move_expiry AFTER UPDATE OF {MOVED} ON licenses FOR EACH ROW "
    f"WHEN (({KEY.format(row='OLD')}) IS DISTINCT FROM ({KEY.format(row='NEW')})) "
    "EXECUTE FUNCTION move_expiry()",
    "CREATE TRIGGER count_seen AFTER UPDATE ON license_seen REFERENCING OLD TABLE AS earlier "
    "NEW TABLE AS later FOR EACH STATEMENT EXECUTE FUNCTION count_seen()",
    "CREATE TRIGGER forget_seen BEFORE DELETE ON licenses FOR EACH ROW EXECUTE FUNCTION forget_seen()",
]

# SQLite has one writer, and therefore one shard. A decrement never creates a row: its app may be gone.
MORE = f"""
    {INSERT} SELECT {KEY.format(row="new")}, 0, 1, {{unseen}} WHERE true {ADD};
"""
FEWER = f"""
    UPDATE app_expiries SET licenses = licenses - 1, unseen = unseen - {{unseen}}
    WHERE (app_id, day, tier_id, shard) = ({KEY.format(row="old")}, 0);
"""
NEVER_SEEN = "EXISTS (SELECT 1 FROM license_seen WHERE license_id = {row}.id AND at IS NULL)"
SQLITE = {
    "licenses_insert": ("AFTER INSERT ON licenses", MORE.format(unseen=1)),
    "licenses_delete": ("AFTER DELETE ON licenses", FEWER.format(unseen=1)),
    "licenses_move": (
        f"AFTER UPDATE OF {MOVED} ON licenses "
        f"WHEN ({KEY.format(row='old')}) IS NOT ({KEY.format(row='new')})",
        "".join(change.format(unseen=NEVER_SEEN.format(row="new")) for change in (FEWER, MORE)),
    ),
    "licenses_forget": (
        "BEFORE DELETE ON licenses",
        "UPDATE license_seen SET at = NULL WHERE license_id = old.id AND at IS NOT NULL;",
    ),
    "seen": (
        "AFTER UPDATE OF at ON license_seen WHEN (old.at IS NULL) <> (new.at IS NULL)",
        f"""
        UPDATE app_expiries SET unseen = unseen + CASE WHEN new.at IS NULL THEN 1 ELSE -1 END
        WHERE (app_id, day, tier_id, shard) =
          (SELECT {KEY.format(row="licenses")}, 0 FROM licenses WHERE id = new.license_id);
        """,
    ),
}

# What happened, as far as rows show it. An event "license.expired" is yet to be written for licenses that
# have not passed the mark in `watermarks`.
FILL_DAYS = f"""
WITH issued AS (
  SELECT app_id, tier_id, created_at, revoked_at,
    CASE WHEN revoked_at < expires_at OR expires_at IS NULL THEN revoked_at ELSE expires_at END AS ended_at,
    CASE WHEN (revoked_at IS NULL OR revoked_at >= expires_at) AND (
      SELECT until > expires_at OR until = expires_at AND last_id >= licenses.id
      FROM watermarks WHERE name = 'expired'
    ) THEN expires_at END AS expired_at
  FROM licenses
), facts AS (
  SELECT app_id, tier_id, substr(created_at, 1, 10) AS day, 1 AS active, 1 AS issued, 0 AS renewed,
    0 AS reinstated, 0 AS expired, 0 AS revoked, 0 AS deleted, 0 AS customers_added, 0 AS customers_deleted
  FROM issued
  UNION ALL
  SELECT app_id, tier_id, substr(ended_at, 1, 10), -1, 0, 0, 0, 0, 0, 0, 0, 0
  FROM issued WHERE ended_at IS NOT NULL
  UNION ALL
  SELECT app_id, tier_id, substr(expired_at, 1, 10), 0, 0, 0, 0, 1, 0, 0, 0, 0
  FROM issued WHERE expired_at IS NOT NULL
  UNION ALL
  SELECT app_id, tier_id, substr(revoked_at, 1, 10), 0, 0, 0, 0, 0, 1, 0, 0, 0
  FROM issued WHERE revoked_at IS NOT NULL
  UNION ALL
  SELECT app_id, NULL, substr(created_at, 1, 10), 0, 0, 0, 0, 0, 0, 0, 1, 0 FROM customers
), daily AS (
  SELECT app_id, tier_id, day, {", ".join(f"sum({name}) AS {name}" for name in COUNTED)}
  FROM facts GROUP BY app_id, tier_id, day
), expanded AS (
  SELECT app_id, CASE WHEN of_app = 1 THEN '*' ELSE tier_id END AS tier_id, span,
    CASE span WHEN 'day' THEN day ELSE substr(day, 1, 8) || '01' END AS day, {", ".join(COUNTED)}
  FROM daily
  CROSS JOIN (SELECT 1 AS of_app UNION ALL SELECT 0) AS scopes
  CROSS JOIN (SELECT 'day' AS span UNION ALL SELECT 'month') AS spans
  WHERE of_app = 1 OR tier_id IS NOT NULL
)
INSERT INTO app_days (app_id, tier_id, span, day, {", ".join(COUNTED)})
SELECT expanded.app_id, tier_id, span, day, {", ".join(f"sum({name})" for name in COUNTED)}
FROM expanded JOIN apps ON apps.id = expanded.app_id WHERE apps.account_id IS NOT NULL
GROUP BY expanded.app_id, tier_id, span, day
"""  # noqa: S608  (constants)
FILL_EXPIRIES = f"""
{INSERT}
SELECT {KEY.format(row="licenses")}, 0, count(*),
  sum(CASE WHEN {NEVER_SEEN.format(row="licenses")} THEN 1 ELSE 0 END)
FROM licenses GROUP BY 1, 2, 3
"""  # noqa: S608  (constants)

# The rows contain everything that happened until now. So these events get their positions here, and are
# counted already.
NUMBER = """
WITH placed AS (
  SELECT id, version, max(id) OVER (PARTITION BY subject_id ORDER BY version) AS place
  FROM events WHERE position IS NULL
), numbered AS (
  SELECT id, row_number() OVER (ORDER BY place, version) AS number FROM placed
)
UPDATE events SET position = log.head + numbered.number FROM numbered, log WHERE events.id = numbered.id
"""


def is_sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def upgrade() -> None:
    op.add_column("log", sa.Column("counted", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "app_days",
        sa.Column("app_id", text, nullable=False),
        sa.Column("tier_id", text, nullable=False),
        sa.Column("span", text, nullable=False),
        sa.Column("day", text, nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in COUNTED),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_app_days_app_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app_id", "tier_id", "span", "day", name="pk_app_days"),
    )
    op.create_table(
        "app_expiries",
        sa.Column("app_id", text, nullable=False),
        sa.Column("day", text, nullable=False),
        sa.Column("tier_id", text, nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("licenses", sa.BigInteger(), nullable=False),
        sa.Column("unseen", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["app_id"], ["apps.id"], name="fk_app_expiries_app_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("app_id", "day", "tier_id", "shard", name="pk_app_expiries"),
    )
    if is_sqlite():
        for name, (event, body) in SQLITE.items():
            op.execute(f"CREATE TRIGGER expiry_{name} {event} BEGIN {body} END")
    else:
        # As in `app_counters`, this leaves room for new versions of rows.
        for table in ("app_days", "app_expiries"):
            op.execute(f"ALTER TABLE {table} SET (fillfactor = 50)")
        # No events are written or numbered until the migration ends.
        op.execute("SELECT pg_advisory_xact_lock(7102026)")
        op.execute("LOCK TABLE licenses, customers, license_seen, events IN SHARE ROW EXCLUSIVE MODE")
        for name, body in POSTGRESQL.items():
            op.execute(f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$")
        for trigger in POSTGRESQL_TRIGGERS:
            op.execute(trigger)
        op.execute(NUMBER)
        op.execute("UPDATE log SET head = (SELECT greatest(head, max(position)) FROM events)")
    op.execute("UPDATE log SET counted = head")
    op.execute(FILL_EXPIRIES)
    op.execute(FILL_DAYS)


def downgrade() -> None:
    if is_sqlite():
        for name in SQLITE:
            op.execute(f"DROP TRIGGER expiry_{name}")
    else:
        for name in POSTGRESQL:
            op.execute(f"DROP FUNCTION {name}() CASCADE")  # CASCADE also drops the function's triggers
    op.drop_table("app_expiries")
    op.drop_table("app_days")
    op.drop_column("log", "counted")
