"""Two accounts with their apps, customers and licenses: a small and realistic data set.

Some of its values are chosen because databases might treat them differently.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import Any

from sqlalchemy import Table, delete, select, update

from db import events, ids, statistics
from db.apps import APP
from db.customers import CUSTOMER, customers
from db.documents import documents
from db.engine import Database
from db.events import SERVER, Actor, ActorKind, EventType, command
from db.features import features
from db.licenses import LICENSE, licenses
from db.log import log
from db.tiers import tiers
from db.types import fold
from tests.factories import (
    Account,
    App,
    Customer,
    Feature,
    Tier,
    event_row,
    key_id,
    make_account,
    make_app,
    make_customer,
    make_document,
    make_events,
    make_feature,
    make_key,
    make_license,
    make_signing_key,
    make_tier,
    make_token,
    make_usage,
    note_verified,
    number_events,
)
from tests.reference.rows import Row, Rows, load

NOW = datetime(2026, 1, 23, 10, tzinfo=UTC)
"""The current time for all queries. Some licenses expire in exactly this second."""

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
# Names that become equal when their case is folded, final sigmas, a dotted capital I, a combining mark,
# wildcards, and characters that JSON escapes.
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
_FEATURES: Sequence[str] = ("sso", "export", "a", "a_b", "_", "0", "export_2", "z" * 63)
# Each tier with its position and its features. Two tiers have the same position.
_TIERS: Sequence[tuple[str, int, Sequence[str]]] = (
    ("team", 0, ("sso", "export")),
    ("solo", 0, ()),
    ("first", -(2**31), ("z" * 63,)),
    ("last", 2**31 - 1, _FEATURES),
    ("_", -5, ("a_b", "a", "_")),
    ("9", 5, ("export_2",)),
)
_INSTALLATIONS: Sequence[str] = tuple(f"8f14e45f-ceea-467f-a3b5-2d1b6f0c9e1{number}" for number in range(4))
_TEXTS: Sequence[str] = (
    "query A { viewer { accountName } }",
    'query A {\n  app(slug: "ß\\u00df 👩‍👩‍👧 \\" \\\\") { name }\n}\r\n',
    "{ apps { totalCount } }\n",
    'query A { __typename } query _B1 { a: __typename } # </script> \x7f\u2028\t"',
)
_OPERATIONS: Sequence[Sequence[str]] = (("A",), ("A",), (), ("A", "_B1"))
_SETS: Sequence[str] = ("portal@1.4.2", "a/b", "PORTAL@1.4.2", "gone", "_")
_DOCUMENT_IDS: Sequence[str] = ("", "x-relay:a'b\"c\\d/e ß", "~._-", "9e107d9d372bb6826bd81d3542a419d6")
# The generations of an app's current signing key and of its newest one. The apps use these pairs in turn.
_GENERATIONS: Sequence[tuple[int, int]] = ((2, 3), (1, 2), (3, 3))


@dataclass(frozen=True, slots=True)
class Vendor:
    """An account with a key that can read.

    `reads_tokens` says whether the key can read the tokens of licenses, and `manages_keys` whether it can
    read keys, registered documents and events.
    """

    account_id: str
    token: str
    reads_tokens: bool
    manages_keys: bool


@dataclass(frozen=True, slots=True)
class Dataset:
    """Two accounts, each with two keys that send queries, and all rows that queries may find.

    `vendors` has one entry for each of these keys. The rows in `deleted` no longer exist, but queries may
    still send their cursors and ids.
    """

    vendors: Sequence[Vendor]
    rows: Rows
    deleted: Rows


async def make_dataset(database: Database) -> Dataset:
    """Fill an empty database, and return its vendors and rows."""
    vendors = [*await _make_vendor(database, _APPS, 21), *await _make_vendor(database, _OTHER_APPS, 5)]
    await _make_events(database)
    everything = await load(database)
    doomed = [row for row in everything.tiers if row["slug"] == "gone"]
    gone = Rows(
        (),
        everything.customers[3:6],
        everything.licenses[7:10],
        doomed,
        [row for row in everything.features if row["slug"] == "gone"],
        documents=[row for row in everything.documents if row["set"] == "gone"],
        events=everything.events[3:6],
    )
    await _make_history(database, everything, gone)
    await _delete(database, gone)
    async with database.write() as session:
        for app in everything.apps:
            await statistics.add_rows(session, app["id"])
    rows = await load(database)
    lost = {row["id"] for row in everything.licenses} - {row["id"] for row in rows.licenses}
    return Dataset(
        vendors,
        rows,
        replace(gone, licenses=[row for row in everything.licenses if row["id"] in lost]),
    )


async def _make_vendor(
    database: Database, apps: Sequence[Mapping[str, Any]], customer_count: int
) -> list[Vendor]:
    account = await make_account(database)
    generations = cycle(_GENERATIONS)
    made = [
        await _make_app(database, account, number, values, *next(generations))
        for number, values in enumerate(apps)
    ]
    for number in range(customer_count):
        # The first app gets most of the customers. If there are several apps, the last one gets none.
        sold = made[0] if number % 3 else made[number % max(len(made) - 1, 1)]
        await _make_licenses(database, sold, await _make_customer(database, sold.app, number), number)
    await _make_keys(database, account, [each.app for each in made])
    await _make_documents(database, account, customer_count // 2)
    return [
        Vendor(
            account.id,
            await make_key(database, account, kind=kind, created_at=_day(90)),
            reads_tokens=kind == "secret",
            manages_keys=kind == "secret",
        )
        for kind in ("secret", "public")
    ]


async def _make_keys(database: Database, account: Account, apps: Sequence[App]) -> None:
    """Create keys with and without limits, and usage of some of them."""
    gone = App(ids.new_id(ids.APP).id, account.id, "gone", NOW)
    created_by = None
    for number, kind in enumerate(("restricted", "session", "secret", "public", "restricted", "session")):
        token = await make_key(
            database,
            account,
            kind=kind,
            name=_NAMES[number],
            scopes=None if kind == "secret" else ("read", "read_tokens", "manage_keys")[: 1 + number % 3],
            apps=(None, (gone,), apps, (*apps[:1], gone))[number % 4],
            origins=["https://a.example", "http://localhost:5000"] if number % 2 else None,
            documents="registered" if number % 3 else "any",
            document_sets=["portal@1.4.2", "a/b"] if number % 4 == 1 else None,
            expires_at=NOW + timedelta(days=number - 2) if number % 2 else None,
            revoked_at=_day(60) if number % 3 == 2 else None,
            created_by=created_by,
            created_at=_day(50 + number // 2),
        )
        created_by = await key_id(database, token)
        for days in range(number):
            for minute in (NOW - timedelta(days=days * days), NOW - timedelta(days=days * days, minutes=1)):
                await make_usage(
                    database, created_by, minute=minute, requests=number, points=10**9, refused=days
                )


async def _make_documents(database: Database, account: Account, count: int) -> None:
    for number in range(count):
        text = number % len(_TEXTS)
        await make_document(
            database,
            account,
            text=f"{_TEXTS[text]}#{number}",
            document_id=None if number % 3 else f"{_DOCUMENT_IDS[text]}{number}",
            set=_SETS[number % len(_SETS)],
            operations=_OPERATIONS[text],
            max_cost=(1, 20_000, 2**31 - 1)[number % 3],
            registered_at=_day(70 + number // 2),
            last_used_at=_day(80) if number % 2 else None,
        )


@dataclass(slots=True)
class _Sold:
    """An app, with the tiers and features that its licenses can have.

    `generation` is that of the app's current signing key, and `last_generation` that of its newest one.
    `taken` has the installations that already have a current license.
    """

    app: App
    tiers: Sequence[Tier]
    features: Sequence[Feature]
    generation: int
    last_generation: int
    taken: set[str] = field(default_factory=set)


async def _make_app(
    database: Database,
    account: Account,
    number: int,
    values: Mapping[str, Any],
    generation: int,
    last_generation: int,
) -> _Sold:
    app = await make_app(
        database,
        account,
        **values,
        created_at=_day(number // 2),
        updated_at=_day(number),
        signing_generation=generation,
    )
    for later in range(2, last_generation + 1):
        await make_signing_key(database, app, later)
    by_slug = {
        slug: await make_feature(
            database,
            app,
            slug=slug,
            name=_NAMES[nth] or "Unnamed",
            description=_NAMES[-nth],
            created_at=_day(nth // 2),
        )
        for nth, slug in enumerate(("gone", *_FEATURES))
    }
    offered = [
        await make_tier(
            database,
            app,
            slug=slug,
            name=_NAMES[-nth] or "Unnamed",
            position=position,
            features=[by_slug[each] for each in comprised],
            duration_days=None if nth % 2 else 10 * nth + 1,
            trial=slug in {"solo", "9"},
            created_at=_day(nth // 2),
        )
        for nth, (slug, position, comprised) in enumerate((("gone", 3, ()), *_TIERS))
    ]
    return _Sold(app, offered[1:], list(by_slug.values())[1:], generation, last_generation)


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


async def _make_licenses(database: Database, sold: _Sold, customer: Customer, number: int) -> None:
    for place in range((0, 1, 3, 6)[number % 4]):
        nth = number + 7 * place
        lifetime = _LIFETIMES[nth % len(_LIFETIMES)]
        is_revoked = nth % 5 == 0
        is_active = not is_revoked and (lifetime is None or lifetime > timedelta())
        # Some installations have many licenses, of which at most one is active.
        installation_id: str | None = _INSTALLATIONS[nth % 4] if nth % 3 else None
        if is_active and installation_id in sold.taken:
            installation_id = None
        is_current = installation_id not in sold.taken
        if installation_id is not None:
            sold.taken.add(installation_id)
        own = [sold.features[each % len(_FEATURES)].slug for each in range(nth, nth + nth % 4)]
        license = await make_license(
            database,
            customer,
            installation_id=installation_id,
            is_current=is_current,
            expires_at=None if lifetime is None else NOW + lifetime,
            revoked_at=_day(40) if is_revoked else None,
            revoked_reason=_NAMES[nth % len(_NAMES)] if is_revoked else None,
            tier=None if nth % 4 == 3 else sold.tiers[nth % len(_TIERS)],
            own_features=sorted(own),
            token=f"signed.by-1.{number}_{place}" if nth % 3 else None,
            metadata=_METADATA[nth % len(_METADATA)],
            created_at=_day(20 + nth // 4),
        )
        if nth % 3 != 1:
            await note_verified(database, license, _day(80 + nth // 6))
        if nth % 7 == 0:
            continue  # This license was not active when the keys were rotated, so it gets no new token.
        again = nth % 2 == 1
        for generation in range(2, sold.last_generation + 1):
            superseded = again or generation < sold.generation
            text = None if superseded else f"signed.by-{generation}.{number}_{place}"
            await make_token(database, license, generation, text)
        for generation in range(sold.generation, sold.last_generation + 1) if again else ():
            await make_token(database, license, generation, f"again.by-{generation}.{number}_{place}")


def _nth(customers: Sequence[str], number: int) -> str | None:
    """Return one of two customers, or None for every other number and if there are fewer."""
    return customers[number // 2 % 2] if number % 2 and len(customers) == 2 else None


async def _make_events(database: Database) -> None:
    """Add some events of tiers, features, keys and a deleted app, and number all but the last ones."""
    rows = await load(database)
    causes: list[str | None] = [None]
    apps = {row["id"]: App(row["id"], row["account_id"], row["slug"], NOW) for row in rows.apps}
    gone = App(ids.new_id(ids.APP).id, rows.apps[0]["account_id"], "gone", NOW)
    actors = (
        *(Actor(ActorKind.KEY, row["id"], f"request-{row['last4']}") for row in rows.keys),
        *(Actor(ActorKind.KEY, ids.new_id(ids.KEY).id), command("keys revoke"), SERVER),
        Actor(ActorKind.TOKEN, ids.new_id(ids.LICENSE).id, "a.b-c_d"),
    )
    subjects = [
        *(("tier", row, apps[row["app_id"]]) for row in rows.tiers),
        *(("feature", row, apps[row["app_id"]]) for row in rows.features),
        *(("api_key", row, None) for row in rows.keys),
        ("app", {"id": gone.id}, gone),
    ]
    types = tuple(EventType)
    customers = {
        app: [row["id"] for row in rows.customers if row["app_id"] == app][:2]
        for app in (None, gone.id, *apps)
    }
    for version in range(1, 6):
        made = [
            event_row(
                row["account_id"] if app is None else app.account_id,
                type=types[(number + version) % len(types)],
                subject_type=subject,
                subject_id=row["id"],
                version=version,
                app=app,
                customer_id=_nth(customers[app and app.id], number),
                other_customer_id=_nth(customers[app and app.id], number + 2) if number % 4 == 1 else None,
                actor=actors[number % len(actors)],
                caused_by=causes[number * 7 % len(causes)],
                data=_METADATA[number % len(_METADATA)],
                changes={"name": {"from": _NAMES[number % len(_NAMES)], "to": None}} if version > 1 else {},
                erased=number % 5 == 0,
                created_at=_day(number % 90),
            )
            for number, (subject, row, app) in enumerate(subjects[:: version * version])
        ]
        await make_events(database, made)
        causes += [str(each["id"]) for each in made]
        if version < 4:
            await number_events(database)


async def _make_history(database: Database, rows: Rows, gone: Rows) -> None:
    """Change every second app, customer and license, some of them twice, and record two deletions."""
    async with database.write() as session:
        for noun, each in ((APP, rows.apps), (CUSTOMER, rows.customers), (LICENSE, rows.licenses)):
            for number, row in enumerate(each[::2]):
                for turn in range(1 + number % 2):
                    before = await events.image_of(session, noun, row["id"])
                    value = _METADATA[(number + turn) % len(_METADATA)]
                    changes: dict[str, object] = {"metadata": value}
                    if noun is not LICENSE:
                        name = _NAMES[number % len(_NAMES)] or "Ada"
                        changes = {"name": f"{name} {turn}", "name_folded": fold(f"{name} {turn}")}
                    type = EventType(f"{noun.subject}.updated")
                    await events.change(session, SERVER, noun, row["id"], before, changes, type)
        for row in gone.customers[:2]:
            await events.record(session, SERVER, CUSTOMER, row["id"], EventType.CUSTOMER_DELETED)
        table = events.events
        found = list((await session.execute(select(table.c.id).order_by(table.c.id))).scalars())
        for number, id in enumerate(found):
            moved = update(table).where(table.c.id == id)
            await session.execute(moved.values(created_at=_day(90 + number * 9 // len(found))))
        await session.execute(update(log).values(since=_day(-50)))


async def _delete(database: Database, gone: Rows) -> None:
    doomed: Sequence[tuple[Table, Sequence[Row]]] = (
        (customers, gone.customers),
        (licenses, gone.licenses),
        (tiers, gone.tiers),
        (features, gone.features),
        (documents, gone.documents),
        (events.events, gone.events),
    )
    async with database.write() as session:
        for table, rows in doomed:
            for row in rows:
                await session.execute(delete(table).where(table.c.id == row["id"]))


def _day(number: int) -> datetime:
    return NOW - timedelta(days=100 - number)
