"""The metadata every table hangs on."""

import re

from sqlalchemy import MetaData

# Constraints have names, so that migrations can name them and a refusal can be told apart by name.
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
    """Whether a table or index of the database belongs to a table of ours.

    What finds texts (`db.shaping.texts`) and features (`db.licenses`) differs wholly between the databases,
    and only migrations know it.
    """
    return name is None or _MADE_BY_MIGRATIONS.match(name) is None
