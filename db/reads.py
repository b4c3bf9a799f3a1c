"""The one way to read: hand in what was selected, get finished JSON."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from db.apps import APP
from db.customers import CUSTOMER
from db.engine import ReadSession, ResultRow
from db.features import FEATURE
from db.licenses import LICENSE
from db.shaping.compiler import Compiler, Statement, takes_long
from db.shaping.nouns import Noun
from db.shaping.scans import may_scan
from db.shaping.selection import Read, Value, parts_of
from db.statements import SCANS
from db.tiers import TIER

NOUNS: dict[str, Noun] = {noun.name: noun for noun in (APP, CUSTOMER, LICENSE, TIER, FEATURE)}
"""Every noun of the graph, by its GraphQL type name."""

NOUN_BY_PREFIX: dict[str, Noun] = {noun.prefix: noun for noun in NOUNS.values()}

_compiler = Compiler(NOUNS)


async def rows(
    session: ReadSession,
    account_id: str,
    read: Read,
    values: Sequence[Value],
    at: datetime,
    *,
    tokens: bool,
) -> Sequence[ResultRow]:
    """Run a read in an account, as of the moment `at`. Values are those of the read's slots, in order.

    JSON comes as text. `tokens` says whether those of licenses may be seen; else they are null.
    """
    query = await session.database.statements.query_of(read, _compile, takes_long)
    parameters: dict[str, Any] = {f"v{slot}": value for slot, value in enumerate(values)}
    parameters["account"] = account_id
    parameters["tokens"] = tokens
    parameters["now"] = at
    return await session.rows(query, parameters)


def _compile(read: Read) -> Statement:
    statement = _compiler.compile(read)
    return statement.execution_options(**{SCANS: True}) if may_scan(parts_of(read)) else statement
