"""`demo`: create an app with realistic demo data."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Annotated, Any

from cyclopts import Parameter

from commands.believable import (
    CUSTOMER_COLUMNS,
    FEATURES,
    GRANTS,
    LICENSE_COLUMNS,
    PAST,
    TIERS,
    Batch,
    Believable,
)
from commands.database import open_database_and_keyring, settings_of_command
from commands.misuse import whole_number
from commands.progress import progress_bar
from db import apps, clock, events, features, ids, signing_keys, statistics, tiers
from db.customers import customers as customers_table
from db.engine import Database, ResultRow, WriteSession
from db.events import EventType
from db.licenses import licenses as licenses_table
from db.tokens import tokens as tokens_table
from db.types import fold, json_text
from resolvers.accounts import default_account
from resolvers.keyring import Algorithm, Keyring, NewSigningKey
from resolvers.signing_keys import FIRST_GENERATION, row_of
from resolvers.tokens import Terms

APP_NAME, APP_SLUG = "Lumen Notes", "demo"
APP_DESCRIPTION = "A made-up app for notes and notebooks, with demo data to explore."
ROWS_PER_TRANSACTION = 20_000

_GRANT_COLUMNS = ("tier_id", "features", "own_features")
_TOKEN_COLUMNS = ("jti", "license_id", "number", "generation", "token")


async def demo(
    *,
    customers: Annotated[
        int, Parameter(converter=whole_number(1, 100_000_000), help="The number of customers.")
    ] = 1_000,
    licenses_per_customer: Annotated[
        int, Parameter(converter=whole_number(0, 1_000), help="The number of licenses of each customer.")
    ] = 3,
) -> str:
    """Create a new app in the oldest account, with realistic customers and licenses.

    The creation dates of customers and licenses are spread over the past two years, and so are the
    statistics. The app has three tiers, and every license has a token. On a terminal, a progress bar is
    shown.
    """
    started = time.perf_counter()
    async with open_database_and_keyring(settings_of_command()) as (database, keyring):
        now = clock.now()
        app = await _make_app(database, keyring, now)
        data = Believable(app.id, customers, licenses_per_customer, now)
        with progress_bar() as bar:
            task = bar.add_task("Customers", total=customers)
            issued: _Issued | None = None
            # Sign the tokens of the next batch while the rows of the current batch are written.
            for batch in data.batches(ROWS_PER_TRANSACTION):
                _, issued = await asyncio.gather(_load(database, issued), _issue(batch, app, keyring))
                bar.advance(task, len(batch.customers))
            await _load(database, issued)
        async with database.write() as session:
            await statistics.add_rows(session, app.id)
    total = customers * licenses_per_customer
    seconds = time.perf_counter() - started
    return (
        f"Loaded {customers:,} customers and {total:,} licenses into the app {app.slug} in {seconds:.1f} s."
    )


@dataclass(frozen=True, slots=True)
class _Grant:
    """What a license grants: the slug of its tier, or None, and the slugs of all its features.

    `stored` has the values of `_GRANT_COLUMNS`.
    """

    tier: str | None
    features: Sequence[str]
    stored: ResultRow


@dataclass(frozen=True, slots=True)
class _DemoApp:
    """The new app, its signing key, and the possible grants of its licenses."""

    id: str
    slug: str
    key: NewSigningKey
    grants: Sequence[_Grant]


@dataclass(frozen=True, slots=True)
class _Issued:
    """The rows of one batch, ready to be stored."""

    customers: Sequence[ResultRow]
    licenses: Sequence[ResultRow]
    tokens: Sequence[ResultRow]


async def _issue(batch: Batch, app: _DemoApp, keyring: Keyring) -> _Issued:
    """Give each license of a batch a grant and a token."""
    weights = [weight for *_, weight in GRANTS]
    grants = random.choices(app.grants, weights, k=len(batch.licenses))  # noqa: S311  (no secret)
    claims = [
        _claims(dict(zip(LICENSE_COLUMNS, license, strict=True)), grant, app.slug, keyring.issuer)
        for license, grant in zip(batch.licenses, grants, strict=True)
    ]
    signed = await keyring.sign(app.key.id, app.key.sealed, claims)
    return _Issued(
        batch.customers,
        [(*license, *grant.stored) for license, grant in zip(batch.licenses, grants, strict=True)],
        [
            (each["jti"], each["lic_id"], 1, FIRST_GENERATION, token)
            for each, token in zip(claims, signed, strict=True)
        ],
    )


async def _load(database: Database, issued: _Issued | None) -> None:
    if issued is not None:
        async with database.write() as session:
            await session.load(customers_table, CUSTOMER_COLUMNS, issued.customers)
            await session.load(licenses_table, (*LICENSE_COLUMNS, *_GRANT_COLUMNS), issued.licenses)
            await session.load(tokens_table, _TOKEN_COLUMNS, issued.tokens)


def _claims(license: dict[str, Any], grant: _Grant, app_slug: str, issuer: str) -> dict[str, Any]:
    expires_at = None if license["expires_at"] is None else clock.from_text(license["expires_at"])
    terms = Terms(
        license["id"],
        license["installation_id"],
        app_slug,
        grant.tier,
        grant.features,
        expires_at,
        trial=False,
    )
    return terms.claims(issuer, clock.from_text(license["created_at"]))


async def _make_app(database: Database, keyring: Keyring, now: datetime) -> _DemoApp:
    """Create the app with its key, features and tiers. The app is as old as its first customers."""
    new = ids.new_id(ids.APP, now - PAST)
    # Ed25519 signs fast, and there may be millions of licenses.
    key = await keyring.make(Algorithm.EDDSA)
    row = {
        "id": new.id,
        "description": APP_DESCRIPTION,
        "signing_algorithm": Algorithm.EDDSA.value,
        "created_at": new.created_at,
        "updated_at": new.created_at,
    }
    async with database.write() as session:
        account_id = await default_account(session)
        for number in count(1):
            suffix = "" if number == 1 else str(number)
            name, slug = f"{APP_NAME} {suffix}".rstrip(), f"{APP_SLUG}-{suffix}".rstrip("-")
            named = {"account_id": account_id, "slug": slug, "name": name, "name_folded": fold(name)}
            if await apps.add(session, row | named):
                break
        await signing_keys.insert(session, row_of(key, new.id, FIRST_GENERATION))
        await events.record(session, events.command("demo"), apps.APP, new.id, EventType.APP_CREATED)
        grants = await _make_grants(session, new.id, new.created_at)
    return _DemoApp(new.id, slug, key, grants)


async def _make_grants(session: WriteSession, app_id: str, at: datetime) -> list[_Grant]:
    """Create the app's features and tiers. Return the possible grants of a license."""
    feature_ids = {}
    for slug, name, description in FEATURES:
        feature_ids[slug] = ids.new_id(ids.FEATURE, at).id
        row: dict[str, object] = {"id": feature_ids[slug], "app_id": app_id, "slug": slug, "name": name}
        await features.insert(session, row | {"description": description, "created_at": at})
    tier_ids: dict[str | None, str] = {}
    of_tier: dict[str | None, Sequence[str]] = {}
    for position, (slug, name, included) in enumerate(TIERS, start=1):
        tier_ids[slug], of_tier[slug] = ids.new_id(ids.TIER, at).id, included
        row = {"id": tier_ids[slug], "app_id": app_id, "slug": slug, "name": name, "created_at": at}
        await tiers.insert(session, row | {"position": position, "rank": tiers.rank(position, slug)})
        await tiers.set_features(session, tier_ids[slug], [feature_ids[each] for each in included])
    grants = []
    for tier, own, _ in GRANTS:
        granted = [*of_tier.get(tier, ()), *own]
        stored = (tier_ids.get(tier), json_text(granted), json_text(list(own)))
        grants.append(_Grant(tier, granted, stored))
    return grants
