"""A column for the keys by which emails are compared, with the keys of ASCII emails.

The keys of ASCII emails are unique already. Migration 0012 adds the keys of the other emails.

Revision: 0011, after 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# The key of an ASCII email is the email in lower case.
SQLITE = "UPDATE customers SET email_key = lower(email) WHERE length(CAST(email AS BLOB)) = length(email)"
# Changing the type of a column rewrites the table and its indexes once. An UPDATE would instead add an entry
# for every row to every index.
POSTGRESQL = """ALTER TABLE customers ALTER COLUMN email_key TYPE text COLLATE "C"
    USING CASE WHEN octet_length(email) = length(email) THEN lower(email) END"""


def upgrade() -> None:
    op.add_column("customers", sa.Column("email_key", text))
    op.execute(SQLITE if op.get_context().dialect.name == "sqlite" else POSTGRESQL)
    op.create_index("uq_customers_app_id_email_key", "customers", ["app_id", "email_key"], unique=True)


def downgrade() -> None:
    op.drop_index("uq_customers_app_id_email_key", "customers")
    op.drop_column("customers", "email_key")
