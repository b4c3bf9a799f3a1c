"""Alembic's environment. The connection is handed in (`db.migrations.upgrade`); no URL is read here."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext

import db.reads  # noqa: F401  (every table)
from db import accounts, keys  # noqa: F401
from db.metadata import is_modelled, metadata
from db.types import JsonObject, UtcDateTime

_PLAIN_TYPES = {
    UtcDateTime: 'sa.Text().with_variant(sa.Text(collation="C"), "postgresql")',
    JsonObject: 'sa.Text().with_variant(postgresql.JSON(), "postgresql")',
}


def _plain(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write our own types as plain ones: a migration must still run when our modules have moved on."""
    if kind == "type" and type(item) in _PLAIN_TYPES:
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return _PLAIN_TYPES[type(item)]
    return False


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite alters a table by making it anew
    compare_type=True,
    compare_server_default=True,
    render_item=_plain,
    include_name=lambda name, _type, _parents: is_modelled(name),
)
with context.begin_transaction():
    context.run_migrations()
