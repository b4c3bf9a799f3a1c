"""The SQLAlchemy metadata of all tables."""

import re

from sqlalchemy import MetaData

# Constraints have names, so that migrations can refer to them and errors show which constraint was broken.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_MADE_BY_MIGRATIONS = re.compile(
    r"customer_(numbers|gram)\w*|ix_customers_grams|license_features|ix_licenses_features"
)


def is_modelled(name: str | None) -> bool:
    """Return whether a table or index is declared in these modules, and not only in migrations.

    The indexes for the search of texts (`db.shaping.texts`) and of features (`db.licenses`) are completely
    different in SQLite and PostgreSQL. Only migrations define these indexes.
    """
    return name is None or _MADE_BY_MIGRATIONS.match(name) is None
