"""The keys of emails that are not ASCII, including those of duplicates.

If several customers of an app have equal emails, the oldest customer gets the key. Each of the other
customers gets the key followed by a space and the customer's id. This text is not the key of any email.

Revision: 0012, after 0011
"""

import re
import unicodedata

import idna
import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BATCH = 500

customers = sa.table("customers", *map(sa.column, ("id", "app_id", "email", "email_key")))


def upgrade() -> None:
    connection = op.get_bind()
    # Customers are read in the order of their ids, which is from the oldest to the newest.
    batch = (
        sa.select(customers.c.id, customers.c.app_id, customers.c.email)
        .where(customers.c.email_key.is_(None), customers.c.id > sa.bindparam("after"))
        .order_by(customers.c.id)
        .limit(BATCH)
    )
    after = ""
    while rows := connection.execute(batch, {"after": after}).all():
        for id, app_id, email in rows:
            key = _email_key(email)
            named = sa.and_(customers.c.app_id == app_id, customers.c.email_key == key)
            holder = connection.execute(sa.select(customers.c.id).where(named)).scalar()
            if holder is not None and holder > id:
                _set_key(connection, holder, f"{key} {holder}")
            _set_key(connection, id, key if holder is None or holder > id else f"{key} {id}")
        after = rows[-1].id


# This is a copy of db.emails at the time of this migration, so that later changes to our modules do not
# change the migration.
def _email_key(email: str) -> str:
    local, at, domain = _composed(email.strip()).rpartition("@")
    if len(domain) > 254:
        return email
    labels = re.split("[.\u3002\uff0e\uff61]", domain)
    return f"{_composed(local.casefold())}{at}{'.'.join(map(_a_label, labels))}"


def _a_label(label: str) -> str:
    try:
        mapped = idna.uts46_remap(label, std3_rules=False)
    except idna.IDNAError:
        return _composed(label.lower())
    if " " in mapped:
        return _composed(label.lower())
    if mapped.isascii() or len(mapped) > 63:
        return mapped
    return f"xn--{mapped.encode('punycode').decode()}"


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _set_key(connection: sa.Connection, id: str, key: str) -> None:
    connection.execute(sa.update(customers).where(customers.c.id == id).values(email_key=key))


def downgrade() -> None:
    pass
