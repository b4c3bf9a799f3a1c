"""An index of the trigrams in customers' emails and names.

Revision: 0004, after 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Two separators follow each text, so that a trigram starts at every character of the text, including the last
# two.
_SQLITE_TEXT = "{0}email_folded || char(31, 31) || coalesce({0}name_folded, '') || char(31, 31)"

# SQLite may renumber the rowids of `customers`, but the full-text index needs numbers that never change.
SQLITE = (
    """CREATE TABLE customer_numbers (
         number INTEGER NOT NULL CONSTRAINT pk_customer_numbers PRIMARY KEY,
         customer_id TEXT NOT NULL CONSTRAINT uq_customer_numbers_customer_id UNIQUE
       )""",
    "INSERT INTO customer_numbers (customer_id) SELECT id FROM customers ORDER BY id",
    f"""CREATE VIEW customer_texts AS
       SELECT number, {_SQLITE_TEXT.format("")} AS text
       FROM customer_numbers JOIN customers ON id = customer_id""",
    """CREATE VIRTUAL TABLE customer_grams USING fts5(
         text, content='customer_texts', content_rowid='number',
         tokenize='trigram case_sensitive 1', detail=none, columnsize=0
       )""",
    "CREATE VIRTUAL TABLE customer_gram_terms USING fts5vocab('customer_grams', 'instance')",
    "INSERT INTO customer_grams (customer_grams) VALUES ('rebuild')",
    f"""CREATE TRIGGER customer_grams_insert AFTER INSERT ON customers BEGIN
         INSERT INTO customer_numbers (customer_id) VALUES (new.id);
         INSERT INTO customer_grams (rowid, text)
         SELECT number, {_SQLITE_TEXT.format("new.")} FROM customer_numbers WHERE customer_id = new.id;
       END""",
    f"""CREATE TRIGGER customer_grams_update AFTER UPDATE OF email_folded, name_folded ON customers
       WHEN new.email_folded <> old.email_folded OR new.name_folded IS NOT old.name_folded BEGIN
         INSERT INTO customer_grams (customer_grams, rowid, text)
         SELECT 'delete', number, {_SQLITE_TEXT.format("old.")} FROM customer_numbers
         WHERE customer_id = old.id;
         INSERT INTO customer_grams (rowid, text)
         SELECT number, {_SQLITE_TEXT.format("new.")} FROM customer_numbers WHERE customer_id = new.id;
       END""",
    f"""CREATE TRIGGER customer_grams_delete AFTER DELETE ON customers BEGIN
         INSERT INTO customer_grams (customer_grams, rowid, text)
         SELECT 'delete', number, {_SQLITE_TEXT.format("old.")} FROM customer_numbers
         WHERE customer_id = old.id;
         DELETE FROM customer_numbers WHERE customer_id = old.id;
       END""",
)
SQLITE_DOWN = (
    "DROP TRIGGER customer_grams_insert",
    "DROP TRIGGER customer_grams_update",
    "DROP TRIGGER customer_grams_delete",
    "DROP TABLE customer_gram_terms",
    "DROP TABLE customer_grams",
    "DROP VIEW customer_texts",
    "DROP TABLE customer_numbers",
)

POSTGRESQL = (
    # This is PL/pgSQL, because plain SQL would take twice the time.
    r"""CREATE FUNCTION customer_grams(email text, name text) RETURNS tsvector
       LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
       DECLARE
         texts text := email || E'\x1f\x1f' || coalesce(name, '') || E'\x1f\x1f';
       BEGIN
         RETURN array_to_tsvector(ARRAY(
           SELECT substr(texts, start, 3) FROM generate_series(1, length(texts) - 2) AS start
         ));
       END $$""",
    r"""CREATE FUNCTION gram_query(part text) RETURNS tsquery
       LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
       BEGIN
         IF length(part) < 3 THEN
           RETURN (format('''%s'':*', replace(replace(part, '\', '\\'), '''', '''''')))::tsquery;
         END IF;
         RETURN (
           SELECT string_agg(
             format('''%s''', replace(replace(substr(part, start, 3), '\', '\\'), '''', '''''')), ' & '
           )::tsquery
           FROM generate_series(1, least(length(part), 32) - 2) AS start
         );
       END $$""",
    # Every search also reads the index's list of pending entries, so a limit keeps this list short.
    """CREATE INDEX ix_customers_grams ON customers
       USING gin (customer_grams(email_folded, name_folded)) WITH (gin_pending_list_limit = 256)""",
    "ANALYZE customers",
)
POSTGRESQL_DOWN = (
    "DROP INDEX ix_customers_grams",
    "DROP FUNCTION gram_query",
    "DROP FUNCTION customer_grams",
)


def upgrade() -> None:
    for statement in SQLITE if _is_sqlite() else POSTGRESQL:
        _execute(statement)


def downgrade() -> None:
    for statement in SQLITE_DOWN if _is_sqlite() else POSTGRESQL_DOWN:
        _execute(statement)


def _is_sqlite() -> bool:
    return bool(op.get_context().dialect.name == "sqlite")


def _execute(statement: str) -> None:
    # text() is not used here, because it would treat a word after a colon as a parameter.
    op.get_bind().exec_driver_sql(statement)
