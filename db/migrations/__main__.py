"""``python -m db.migrations revision "what it does"``: write a migration from the changes to our tables."""

import argparse
import asyncio
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from db.migrations import configuration, in_transaction, upgrade


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m db.migrations", description=__doc__)
    actions = parser.add_subparsers(required=True)
    revision = actions.add_parser("revision", help="write a migration from the changes to our tables")
    revision.add_argument("message", help="what the migration does, in a few words")
    asyncio.run(_revise(parser.parse_args().message))


async def _revise(message: str) -> None:
    """Write a migration from the differences between our tables and a freshly migrated database."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'migrated.db'}"
        await upgrade(url)
        await in_transaction(url, _write, message)


def _write(connection: Connection, message: str) -> None:
    config = configuration(connection)
    number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
    command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")


if __name__ == "__main__":
    main()
