"""Alembic's environment. `db.migrations` passes the connection in; no URL is read here."""

from typing import Any, Literal

from alembic import context
from alembic.autogenerate.api import AutogenContext
from alembic.ddl.sqlite import SQLiteImpl
from sqlalchemy import Connection, Table, text

import db.reads  # noqa: F401  (most tables; the next line adds the others)
from db import accounts, documents, events, idempotency, keys, master_key, trials, usage  # noqa: F401
from db.metadata import is_modelled, metadata
from db.types import JsonObject, Texts, UtcDateTime

_TEXT = 'sa.Text().with_variant(sa.Text(collation="C"), "postgresql")'
_PLAIN_TYPES = {
    UtcDateTime: _TEXT,
    Texts: _TEXT,
    JsonObject: 'sa.Text().with_variant(postgresql.JSON(), "postgresql")',
}


def _plain(kind: str, item: Any, autogen: AutogenContext) -> str | Literal[False]:
    """Write our own column types as plain SQLAlchemy types in a new migration.

    A migration must still run after our modules have changed.
    """
    if kind == "type" and type(item) in _PLAIN_TYPES:
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
        return _PLAIN_TYPES[type(item)]
    return False


class KeepingTriggers(SQLiteImpl):
    """Keeps the triggers of a SQLite table when the table is rebuilt.

    Otherwise the triggers would be dropped with the old table.
    """

    __dialect__ = "sqlite"  # tells Alembic to use this class for SQLite
    connection: Connection

    def drop_table(self, table: Table, **kw: Any) -> None:
        found = text("SELECT sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table")
        self._triggers = {table.name: list(self.connection.scalars(found, {"table": table.name}))}
        super().drop_table(table, **kw)

    def rename_table(self, old: str, new: Any, schema: Any = None) -> None:
        # During the renaming, no table has the final name. Without this pragma, SQLite would check or change
        # everything that refers to that name.
        self._exec("PRAGMA legacy_alter_table=ON")
        super().rename_table(old, new, schema)
        self._exec("PRAGMA legacy_alter_table=OFF")
        for trigger in self._triggers.pop(new, ()):
            self._exec(trigger)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # on SQLite, tables are altered by rebuilding them
    compare_type=True,
    compare_server_default=True,
    render_item=_plain,
    include_name=lambda name, _type, _parents: is_modelled(name),
)
with context.begin_transaction():
    context.run_migrations()
