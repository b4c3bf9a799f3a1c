"""Customers are unique by the keys of their emails, and no longer by the case-folded emails.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

text = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

# Emails with different keys may be equal when case-folded (for example with ß and ss in the domain). The
# earlier schema does not allow equal case-folded emails. A downgrade therefore appends a space and the id to
# the case-folded emails of the newer customers.
MARK = """UPDATE customers SET email_folded = email_folded || ' ' || id WHERE EXISTS (
    SELECT 1 FROM customers AS older WHERE older.app_id = customers.app_id
    AND older.email_folded = customers.email_folded AND older.id < customers.id)"""
UNMARK = """UPDATE customers SET email_folded = substr(email_folded, 1, length(email_folded) - length(id) - 1)
    WHERE email_folded LIKE '% ' || id"""


def upgrade() -> None:
    with op.batch_alter_table("customers") as customers:
        customers.drop_constraint("uq_customers_app_id_email_folded", type_="unique")
        customers.alter_column("email_key", existing_type=text, nullable=False)
    op.create_index("ix_customers_app_id_email_folded_id", "customers", ["app_id", "email_folded", "id"])
    _run(UNMARK)
    if op.get_context().dialect.name == "postgresql":
        op.execute("ANALYZE customers")


def downgrade() -> None:
    _run(MARK)
    op.drop_index("ix_customers_app_id_email_folded_id", "customers")
    with op.batch_alter_table("customers") as customers:
        customers.alter_column("email_key", existing_type=text, nullable=True)
        customers.create_unique_constraint("uq_customers_app_id_email_folded", ["app_id", "email_folded"])


def _run(statement: str) -> None:
    # The statement is passed to the driver unchanged, as in migration 0004.
    op.get_bind().exec_driver_sql(statement)
