"""Alembic's environment. The connection is handed in (`db.migrations.upgrade`); no URL is read here."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.ddl.sqlite import SQLiteImpl
from sqlalchemy import Connection, Table, text

import db.reads  # noqa: F401  (every table)
from db import accounts, keys, master_key  # noqa: F401
from db.metadata import is_modelled, metadata
from db.types import JsonObject, Slugs, UtcDateTime

_TEXT = 'sa.Text().with_variant(sa.Text(collation="C"), "postgresql")'
_PLAIN_TYPES = {
    UtcDateTime: _TEXT,
    Slugs: _TEXT,
    JsonObject: 'sa.Text().with_variant(postgresql.JSON(), "postgresql")',
}


def _plain(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write our own types as plain ones: a migration must still run when our modules have moved on."""
    if kind == "type" and type(item) in _PLAIN_TYPES:
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return _PLAIN_TYPES[type(item)]
    return False


class KeepingTriggers(SQLiteImpl):
    """SQLite changes a table by making it anew under another name: its triggers go with the old one."""

    __dialect__ = "sqlite"  # under which Alembic then finds it
    connection: Connection

    def drop_table(self, table: Table, **kw: Any) -> None:
        found = text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
        self._triggers = {table.name: list(self.connection.scalars(found, {"table": table.name}))}
        super().drop_table(table, **kw)

    def rename_table(self, old: str, new: Any, schema: Any = None) -> None:
        # As the name is free for a moment, what refers to it must be neither checked nor changed.
        self._exec("PRAGMA legacy_alter_table=ON")
        super().rename_table(old, new, schema)
        self._exec("PRAGMA legacy_alter_table=OFF")
        for trigger in self._triggers.pop(new, ()):
            self._exec(trigger)


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
