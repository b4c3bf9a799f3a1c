"""The benchmark's data: ten apps with customers and licenses, and a key that can read them.

The rows are written directly into the tables of the first migration, so that peers do not pay for columns and
triggers that later migrations add for Licensegraph. `take_over` turns a copy into Licensegraph's own
database.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import asyncpg

from bench.workloads import SLUG, DataSet
from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, PAST, Believable
from db import clock, ids, migrations
from db.apps import apps
from db.engine import Database
from db.types import fold
from resolvers.keyring import Algorithm, Keyring
from resolvers.keys import new_token
from resolvers.master_key import KEY_BYTES
from resolvers.signing_keys import make_missing
from resolvers.viewer import KeyKind

FIRST_REVISION = "0001"
# The columns that the first migration creates. `email_key`, the last column, is newer.
_CUSTOMER_COLUMNS = CUSTOMER_COLUMNS[: CUSTOMER_COLUMNS.index("email_key")]
ROWS_AT_A_TIME = 20_000

OTHER_APPS = 9
JANES = 100
SAMPLES = 1_000
SKIPPED = 10_000

Rows = tuple[str, Sequence[str], Sequence[Sequence[object]]]
"""A table, its columns, and its rows."""


@dataclass(frozen=True, slots=True)
class Size:
    """The numbers of customers in the main app and in each other app, and of licenses per customer."""

    customers: int
    customers_elsewhere: int
    licenses: int
    licenses_elsewhere: int


async def load(url: str, size: Size) -> DataSet:
    """Create the tables of an empty database, and fill them."""
    await migrations.upgrade(url, FIRST_REVISION)
    made = _Made(size)
    if url.startswith("sqlite:"):
        _write_sqlite(url.removeprefix("sqlite:///"), made.rows())
    else:
        await _write_postgresql(url, made.rows())
    return made.described()


async def take_over(url: str) -> None:
    """Turn a loaded database into Licensegraph's own: run migrations, and add a signing key to every app.

    After this, requests can select every field of the graph. However, licenses have no token text, and
    nothing can be signed, because the master key is discarded.
    """
    await migrations.upgrade(url)
    database, keyring = Database(url), Keyring()
    try:
        keyring.unlock(secrets.token_bytes(KEY_BYTES))
        async with database.write() as session:
            await session.execute(apps.update().values(signing_algorithm=Algorithm.EDDSA.value))
        await make_missing(database, keyring)
    finally:
        keyring.close()
        await database.close()


class _Made:
    """Generates all rows, and remembers the values that the requests need."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self._now = clock.now()
        self._token = new_token(KeyKind.SECRET)
        self._account_id = ids.new_id(ids.ACCOUNT).id
        self._skipped = min(SKIPPED, size.customers // 2)
        self._last_skipped = ""
        self._customer_ids: list[str] = []
        self._emails: list[str] = []

    def rows(self) -> Iterator[Rows]:
        created = clock.as_text(self._now - PAST)
        yield "accounts", ("id", "name", "created_at"), [(self._account_id, "default", created)]
        digest = hashlib.sha256(self._token.encode()).hexdigest()
        key = (ids.new_id(ids.KEY).id, self._account_id, "secret", digest, self._token[-4:], created)
        yield "keys", ("id", "account_id", "kind", "digest", "last4", "created_at"), [key]
        size = self._size
        for number in range(OTHER_APPS):
            name = f"Bench {number + 1}"
            yield from self._app(
                f"{SLUG}-{number + 1}", name, size.customers_elsewhere, size.licenses_elsewhere
            )
        yield from self._app(SLUG, "Bench", size.customers, size.licenses)

    def described(self) -> DataSet:
        return DataSet(
            self._token,
            self._skipped,
            self._last_skipped,
            self._customer_ids,
            self._emails,
        )

    def _app(self, slug: str, name: str, customers: int, licenses: int) -> Iterator[Rows]:
        new = ids.new_id(ids.APP, self._now - PAST)
        created = clock.as_text(new.created_at)
        columns = ("id", "account_id", "slug", "name", "name_folded", "created_at", "updated_at")
        yield "apps", columns, [(new.id, self._account_id, slug, name, fold(name), created, created)]
        number = 0
        for batch in Believable(new.id, customers, licenses, self._now).batches(ROWS_AT_A_TIME):
            rows = [row[: len(_CUSTOMER_COLUMNS)] for row in batch.customers]
            if slug == SLUG:
                rows = [self._noted(number + place, row) for place, row in enumerate(rows)]
            number += len(rows)
            yield "customers", _CUSTOMER_COLUMNS, rows
            yield "licenses", LICENSE_COLUMNS, batch.licenses

    def _noted(self, number: int, row: Sequence[object]) -> tuple[object, ...]:
        """Return the row of a customer of the main app, and remember the values that the requests need.

        `number` 0 is the oldest customer. JANES customers, evenly spread, get "jane" in the email.
        """
        customers = self._size.customers
        values = dict(zip(_CUSTOMER_COLUMNS, row, strict=True))
        if _is_sampled(number, customers, JANES):
            values["email"] = f"jane.{values['email']}"
            values["email_folded"] = fold(str(values["email"]))
        if _is_sampled(number, customers, SAMPLES):
            self._customer_ids.append(str(values["id"]))
            self._emails.append(str(values["email"]))
        if number == customers - self._skipped:
            self._last_skipped = str(values["id"])
        return tuple(values.values())


def _is_sampled(number: int, total: int, samples: int) -> bool:
    """Return whether `number` is one of `samples` numbers spread evenly over `range(total)`."""
    return number * samples // total != (number + 1) * samples // total


def _write_sqlite(file: str, tables: Iterator[Rows]) -> None:
    with closing(sqlite3.connect(file)) as connection:
        for table, columns, rows in tables:
            marks = ", ".join("?" * len(columns))
            with connection:
                connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)


async def _write_postgresql(url: str, tables: Iterator[Rows]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for table, columns, rows in tables:
            await connection.copy_records_to_table(table, columns=columns, records=rows)
    finally:
        await connection.close()
