"""Reads: a selection is run as one statement, which returns finished JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from db import search, snapshots
from db.apps import APP
from db.customers import CUSTOMER
from db.documents import REGISTERED_DOCUMENT
from db.engine import ReadSession, ResultRow
from db.features import FEATURE
from db.history import EVENT
from db.keys import API_KEY
from db.licenses import LICENSE
from db.shaping.compiler import Compiler, Statement, takes_long
from db.shaping.nouns import Noun
from db.shaping.scans import may_scan
from db.shaping.selection import Read, Value, parts_of
from db.shaping.slots import slot_values
from db.statements import SCANS
from db.tenancy import Tenant
from db.tiers import TIER

NOUNS: dict[str, Noun] = {
    noun.name: noun for noun in (APP, CUSTOMER, LICENSE, TIER, FEATURE, API_KEY, REGISTERED_DOCUMENT, EVENT)
}
"""All nouns, by the names of their GraphQL types."""

NOUN_BY_PREFIX: dict[str, Noun] = {noun.prefix: noun for noun in NOUNS.values()}

_compiler = Compiler(NOUNS, snapshot=snapshots.of_row, hit=search.HIT, hits=search.hits)
# This compiler is for tenants that cannot reach their whole account. Its statements have more conditions,
# which most requests do not need.
_limited_compiler = Compiler(NOUNS, limited=True, snapshot=snapshots.of_row, hit=search.HIT, hits=search.hits)


@dataclass(frozen=True, slots=True)
class _Limited:
    """A read by a tenant that cannot reach its whole account."""

    read: Read


async def rows(
    session: ReadSession,
    tenant: Tenant,
    read: Read,
    values: Sequence[Value],
    at: datetime,
    *,
    tokens: bool,
    customers: bool,
    scopes: Mapping[str, str],
) -> Sequence[ResultRow]:
    """Run a read of what a tenant can reach, as of the time `at`.

    `values` are those of the read's slots, in order. JSON is returned as text. Unless `tokens` is true, the
    tokens of licenses are null. Unless `customers` is true, events about customers are left out. `scopes` has
    the values of `db.keys.SECRET_SCOPES` and `PUBLIC_SCOPES`.
    """
    statements = session.database.statements
    if tenant.is_account:
        query = await statements.query_of(read, _compile, takes_long)
    else:
        query = await statements.query_of(_Limited(read), _compile_limited, _takes_long)
    parameters = slot_values(values)
    parameters.update(tenant.parameters)
    parameters.update(scopes)
    parameters["tokens"] = tokens
    parameters["customers"] = customers
    parameters["now"] = at
    return await session.rows(query, parameters)


def _compile(read: Read) -> Statement:
    return _with_options(_compiler.compile(read), read)


def _compile_limited(limited: _Limited) -> Statement:
    return _with_options(_limited_compiler.compile(limited.read), limited.read)


def _takes_long(limited: _Limited) -> bool:
    return takes_long(limited.read)


def _with_options(statement: Statement, read: Read) -> Statement:
    return statement.execution_options(**{SCANS: True}) if may_scan(parts_of(read)) else statement
