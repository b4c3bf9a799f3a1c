"""An index of the features in licenses' tokens, by app.

Revision: 0008, after 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# A license's list of features is short and has no duplicates, so a trigger can replace all entries of the
# license.
SQLITE = (
    """CREATE TABLE license_features (
         app_id TEXT NOT NULL,
         feature TEXT NOT NULL,
         license_id TEXT NOT NULL,
         CONSTRAINT pk_license_features PRIMARY KEY (app_id, feature, license_id)
       ) WITHOUT ROWID""",
    """INSERT OR IGNORE INTO license_features
       SELECT app_id, value, licenses.id FROM licenses, json_each(features)""",
    """CREATE TRIGGER license_features_insert AFTER INSERT ON licenses WHEN new.features <> '[]' BEGIN
         INSERT OR IGNORE INTO license_features SELECT new.app_id, value, new.id FROM json_each(new.features);
       END""",
    """CREATE TRIGGER license_features_update AFTER UPDATE OF features, app_id ON licenses
       WHEN new.features <> old.features OR new.app_id <> old.app_id BEGIN
         DELETE FROM license_features WHERE app_id = old.app_id AND license_id = old.id
         AND feature IN (SELECT value FROM json_each(old.features));
         INSERT OR IGNORE INTO license_features SELECT new.app_id, value, new.id FROM json_each(new.features);
       END""",
    """CREATE TRIGGER license_features_delete AFTER DELETE ON licenses WHEN old.features <> '[]' BEGIN
         DELETE FROM license_features WHERE app_id = old.app_id AND license_id = old.id
         AND feature IN (SELECT value FROM json_each(old.features));
       END""",
)
SQLITE_DOWN = (
    "DROP TRIGGER license_features_insert",
    "DROP TRIGGER license_features_update",
    "DROP TRIGGER license_features_delete",
    "DROP TABLE license_features",
)

POSTGRESQL = (
    """CREATE FUNCTION license_features(app_id text, features text) RETURNS text[]
       LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
       BEGIN
         RETURN ARRAY(SELECT app_id || ' ' || value FROM json_array_elements_text(features::json));
       END $$""",
    # Every search also reads the index's list of pending entries, so a limit keeps this list short.
    """CREATE INDEX ix_licenses_features ON licenses
       USING gin (license_features(app_id, features)) WITH (gin_pending_list_limit = 256)""",
    "ANALYZE licenses",
)
POSTGRESQL_DOWN = (
    "DROP INDEX ix_licenses_features",
    "DROP FUNCTION license_features",
)


def upgrade() -> None:
    for statement in SQLITE if _is_sqlite() else POSTGRESQL:
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    for statement in SQLITE_DOWN if _is_sqlite() else POSTGRESQL_DOWN:
        op.get_bind().exec_driver_sql(statement)


def _is_sqlite() -> bool:
    return bool(op.get_context().dialect.name == "sqlite")
