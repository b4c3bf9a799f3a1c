"""Two vendors and all that they sell: small, believable, and nasty wherever two databases might disagree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete

from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from tests.factories import (
    App,
    Customer,
    make_account,
    make_app,
    make_customer,
    make_key,
    make_license,
)
from tests.reference.rows import Rows, load

NOW = datetime(2026, 1, 23, 10, tzinfo=UTC)
"""The moment at which the data set is looked at: one license expires in this very second."""

_APPS: Sequence[Mapping[str, Any]] = (
    {"slug": "editor", "name": "Editor", "description": 'Edits "things"\n\\ and 100 % more'},
    {"slug": "editor-2", "name": "EDITOR", "webhook_url": "https://example.com/hook?a=1&b=%20"},
    {"slug": "a", "name": "straße 👩‍👩‍👧"},
    {"slug": "0" * 63, "name": "Strasse 👩‍👩‍👧", "description": ""},
    {"slug": "empty", "name": "Nobody bought this"},
)
_OTHER_APPS: Sequence[Mapping[str, Any]] = (
    {"slug": "foreign", "name": "Editor"},
    {"slug": "foreign-2", "name": "Zażółć"},
)
# Ties once folded, final sigmas, a dotted capital I, a combining mark, wildcards, all that JSON escapes.
_NAMES: Sequence[str | None] = (
    "Zoë",
    "ZOË",
    "zoe\u0308",
    None,
    "straße",
    "STRASSE",
    "Straẞe",
    "İstanbul",
    "istanbul",
    "i\u0307stanbul",
    None,
    "ΣΊΣΥΦΟΣ",
    "σίσυφος",
    'quo"te \\ sla/sh',
    "100% _sure_",
    None,
    "100x Xsure",
    "tab\tnew\nline\r\x01\x1f\x7f",
    "\u2028\u2029\ufeff",
    "👩‍👩‍👧 𝒜",
    "</script>'; DROP TABLE customers; --",
    "",
    "Ann",
    "ann",
    "\U0010ffff",
    "\ue000",
)
_EMAILS: Sequence[str] = (
    "Ann@example.com",
    "bob@Example.com",
    "100%_sure@example.com",
    "STRASSE@example.com",
    "ünï.cødé@example.com",
    '"quo\\"ted"@example.com',
    "İ@example.com",
    "ΟΔΟΣ@example.com",
    "zed+tag@mail.example.com",
)
_EXTERNAL_IDS: Sequence[str | None] = (None, "x-1", "X-1", None, "ß", "100%", "a'b\"c\\d/e", "crm:42", "👾")
_METADATA: Sequence[Mapping[str, Any]] = (
    {},
    {"plan": "pro", "seats": 5, "trial": False, "discount": None},
    {"floats": [0.1, -0.0, 1e-7, 1.5e300, 100.0, 1e22, 3.141592653589793]},
    {"ints": [0, -1, 2**53 + 1, 2**63, -(2**64), 10**40]},
    {"ü": {"emoji 👾": ['"', "\\", "/", "\n", "\x01", "\x7f", "\u2028", "</script>", ""]}},
    {"deep": {"er": {"est": [[], {}]}}, "": 1, "a b": {"$ref": "#/x"}, "__typename": "App", "z": 1, "a": 2},
)
_LIFETIMES: Sequence[timedelta | None] = (
    None,
    timedelta(),
    timedelta(seconds=1),
    timedelta(seconds=-1),
    timedelta(days=30),
    timedelta(days=30),
    None,
    timedelta(days=-30),
    timedelta(days=-30),
    timedelta(days=365),
)


@dataclass(frozen=True, slots=True)
class Vendor:
    """An account, with a key that is allowed to read."""

    account_id: str
    token: str


@dataclass(frozen=True, slots=True)
class Dataset:
    """What there is to ask about. `deleted`: rows that are gone, whose cursors and ids live on."""

    vendors: Sequence[Vendor]
    rows: Rows
    deleted: Rows


async def make_dataset(database: Database) -> Dataset:
    """Fill an empty database."""
    vendors = [await _make_vendor(database, _APPS, 21), await _make_vendor(database, _OTHER_APPS, 5)]
    everything = await load(database)
    gone = Rows((), everything.customers[3:6], everything.licenses[7:10])
    await _delete(database, gone)
    rows = await load(database)
    lost = {row["id"] for row in everything.licenses} - {row["id"] for row in rows.licenses}
    return Dataset(
        vendors,
        rows,
        Rows((), gone.customers, [row for row in everything.licenses if row["id"] in lost]),
    )


async def _make_vendor(database: Database, apps: Sequence[Mapping[str, Any]], customer_count: int) -> Vendor:
    account = await make_account(database)
    made = [
        await make_app(database, account, **values, created_at=_day(number // 2), updated_at=_day(number))
        for number, values in enumerate(apps)
    ]
    for number in range(customer_count):
        # The last app stays empty, if there is one to spare, and the first has more than a page holds.
        app = made[0] if number % 3 else made[number % max(len(made) - 1, 1)]
        await _make_licenses(database, await _make_customer(database, app, number), number)
    kind = "public" if customer_count % 2 else "secret"
    return Vendor(account.id, await make_key(database, account, kind=kind))


async def _make_customer(database: Database, app: App, number: int) -> Customer:
    prefix, email = "" if number < len(_EMAILS) else f"{number}.", _EMAILS[number % len(_EMAILS)]
    external_id = _EXTERNAL_IDS[number % len(_EXTERNAL_IDS)]
    return await make_customer(
        database,
        app,
        email=prefix + email,
        name=_NAMES[number % len(_NAMES)],
        external_id=external_id and prefix + external_id,
        metadata=_METADATA[number % len(_METADATA)],
        created_at=_day(number // 3),
        updated_at=_day(number),
    )


async def _make_licenses(database: Database, customer: Customer, number: int) -> None:
    for place in range((0, 1, 3, 6)[number % 4]):
        nth = number + 7 * place
        lifetime = _LIFETIMES[nth % len(_LIFETIMES)]
        await make_license(
            database,
            customer,
            expires_at=None if lifetime is None else NOW + lifetime,
            revoked_at=_day(40) if nth % 5 == 0 else None,
            metadata=_METADATA[nth % len(_METADATA)],
            created_at=_day(20 + nth // 4),
        )


async def _delete(database: Database, gone: Rows) -> None:
    async with database.write() as session:
        for table, rows in ((customers, gone.customers), (licenses, gone.licenses)):
            for row in rows:
                await session.execute(delete(table).where(table.c.id == row["id"]))


def _day(number: int) -> datetime:
    return NOW - timedelta(days=100 - number)
