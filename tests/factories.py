"""Rows to begin with: one function a noun, everything that matters by keyword, the rest believable.

They write to the tables directly, so that a test can start from what no door would let it make.
"""

import hashlib
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import count
from typing import Any
from uuid import uuid4

from sqlalchemy import Insert, Table, bindparam, func, insert, select

from db import ids
from db.accounts import accounts
from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.features import features
from db.keys import keys
from db.licenses import licenses
from db.signing_keys import signing_keys
from db.statements import parameters_of
from db.tiers import rank, tier_features, tiers
from db.tokens import tokens
from db.types import fold, fold_optional
from resolvers.keyring import Algorithm
from resolvers.signing_keys import row_of
from tests.keyrings import unlocked

_BASE62 = string.digits + string.ascii_letters
_PREFIXES = {"secret": "sk_live_", "public": "pk_live_"}
_numbers = count(1)
_keyring = unlocked()
_TOKENS_OF_LICENSE = select(func.count()).where(tokens.c.license_id == bindparam("license_id"))


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class App:
    id: str
    account_id: str
    slug: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Customer:
    id: str
    app_id: str
    email: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class License:
    id: str
    app_id: str
    customer_id: str
    installation_id: str
    created_at: datetime
    jti: str


@dataclass(frozen=True, slots=True)
class Tier:
    id: str
    app_id: str
    slug: str
    features: Sequence[str]


@dataclass(frozen=True, slots=True)
class Feature:
    id: str
    app_id: str
    slug: str


async def make_account(database: Database, *, name: str | None = None) -> Account:
    new = ids.new_id(ids.ACCOUNT)
    account = Account(new.id, name or f"Vendor {next(_numbers)}")
    await _insert(database, accounts, id=new.id, name=account.name, created_at=new.created_at)
    return account


async def make_key(
    database: Database,
    account: Account,
    *,
    kind: str = "secret",
    name: str | None = None,
    expires_at: datetime | None = None,
    revoked_at: datetime | None = None,
) -> str:
    """Make a key and answer its token, which is written nowhere else."""
    new = ids.new_id(ids.KEY)
    token = _PREFIXES[kind] + "".join(secrets.choice(_BASE62) for _ in range(32))
    await _insert(
        database,
        keys,
        id=new.id,
        account_id=account.id,
        kind=kind,
        name=name,
        digest=hashlib.sha256(token.encode()).hexdigest(),
        last4=token[-4:],
        created_at=new.created_at,
        expires_at=expires_at,
        revoked_at=revoked_at,
    )
    return token


async def make_app(
    database: Database,
    account: Account,
    *,
    slug: str | None = None,
    name: str = "Acme Editor",
    description: str | None = None,
    webhook_url: str | None = None,
    algorithm: Algorithm = Algorithm.EDDSA,
    signing_generation: int = 1,
    created_at: datetime | None = None,
    updated_at: datetime | None = None,
) -> App:
    """Make an app with its first signing key, of the kind that takes no time to make unless said otherwise.

    Keys of other generations are made by `make_signing_key`.
    """
    new = ids.new_id(ids.APP, created_at)
    app = App(new.id, account.id, slug or f"app-{next(_numbers)}", new.created_at)
    await _insert(
        database,
        apps,
        id=new.id,
        account_id=account.id,
        slug=app.slug,
        name=name,
        name_folded=fold(name),
        description=description,
        webhook_url=webhook_url,
        signing_algorithm=algorithm.value,
        signing_generation=signing_generation,
        created_at=new.created_at,
        updated_at=updated_at or new.created_at,
    )
    await make_signing_key(database, app, 1, algorithm=algorithm)
    return app


async def make_signing_key(
    database: Database,
    app: App,
    generation: int,
    *,
    algorithm: Algorithm = Algorithm.EDDSA,
    retired_at: datetime | None = None,
    last_expiry: datetime | None = None,
    dropped_at: datetime | None = None,
) -> str:
    """Make a key of an app and answer its id. Which generation is current, the app says."""
    key = await _keyring.make(algorithm)
    values = {**row_of(key, app.id, generation), "retired_at": retired_at, "last_expiry": last_expiry}
    await _insert(database, signing_keys, **values, dropped_at=dropped_at)
    return key.id


async def make_feature(
    database: Database,
    app: App,
    *,
    slug: str | None = None,
    name: str = "Export",
    description: str | None = None,
    created_at: datetime | None = None,
) -> Feature:
    new = ids.new_id(ids.FEATURE, created_at)
    feature = Feature(new.id, app.id, slug or f"feature_{next(_numbers)}")
    await _insert(
        database,
        features,
        id=new.id,
        app_id=app.id,
        slug=feature.slug,
        name=name,
        description=description,
        created_at=new.created_at,
    )
    return feature


async def make_tier(
    database: Database,
    app: App,
    *,
    slug: str | None = None,
    name: str = "Team",
    position: int = 1,
    features: Sequence[Feature] = (),
    created_at: datetime | None = None,
) -> Tier:
    new = ids.new_id(ids.TIER, created_at)
    slugs = sorted(feature.slug for feature in features)
    tier = Tier(new.id, app.id, slug or f"tier_{next(_numbers)}", slugs)
    await _insert(
        database,
        tiers,
        id=new.id,
        app_id=app.id,
        slug=tier.slug,
        name=name,
        position=position,
        rank=rank(position, tier.slug),
        created_at=new.created_at,
    )
    for feature in features:
        await _insert(database, tier_features, tier_id=new.id, feature_id=feature.id)
    return tier


async def make_customer(
    database: Database,
    app: App,
    *,
    email: str | None = None,
    name: str | None = None,
    external_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    created_at: datetime | None = None,
    updated_at: datetime | None = None,
) -> Customer:
    new = ids.new_id(ids.CUSTOMER, created_at)
    customer = Customer(new.id, app.id, email or f"customer{next(_numbers)}@example.com", new.created_at)
    await _insert(
        database,
        customers,
        id=new.id,
        app_id=app.id,
        email=customer.email,
        email_folded=fold(customer.email),
        name=name,
        name_folded=fold_optional(name),
        external_id=external_id,
        metadata=metadata or {},
        created_at=new.created_at,
        updated_at=updated_at or new.created_at,
    )
    return customer


async def make_license(
    database: Database,
    customer: Customer,
    *,
    installation_id: str | None = None,
    is_current: bool | None = None,
    expires_at: datetime | None = None,
    revoked_at: datetime | None = None,
    revoked_reason: str | None = None,
    tier: Tier | None = None,
    own_features: Sequence[str] = (),
    token: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    created_at: datetime | None = None,
    updated_at: datetime | None = None,
) -> License:
    """Make a license, active forever unless said otherwise, and current unless it is revoked.

    `token` is whatever text: a signed one is what the doors make.
    """
    new = ids.new_id(ids.LICENSE, created_at)
    of_tier = [] if tier is None else tier.features
    license = License(
        new.id,
        customer.app_id,
        customer.id,
        installation_id or str(uuid4()),
        new.created_at,
        ids.new_id(ids.LICENSE, created_at).id,
    )
    await _insert(
        database,
        licenses,
        id=new.id,
        app_id=customer.app_id,
        customer_id=customer.id,
        installation_id=license.installation_id,
        is_current=revoked_at is None if is_current is None else is_current,
        expires_at=expires_at,
        revoked_at=revoked_at,
        revoked_reason=revoked_reason,
        tier_id=None if tier is None else tier.id,
        features=[*of_tier, *(slug for slug in own_features if slug not in of_tier)],
        own_features=list(own_features),
        metadata=metadata or {},
        created_at=new.created_at,
        updated_at=updated_at or new.created_at,
    )
    await _insert(database, tokens, jti=license.jti, license_id=new.id, number=1, generation=1, token=token)
    return license


async def make_token(database: Database, license: License, generation: int, token: str | None = None) -> str:
    """Add a token to a license, behind those it has, and answer its jti."""
    jti = ids.new_id(ids.LICENSE).id
    async with database.write() as session:
        held = (await session.execute(_TOKENS_OF_LICENSE, {"license_id": license.id})).scalar_one()
    values = {"license_id": license.id, "number": held + 1, "generation": generation, "token": token}
    await _insert(database, tokens, jti=jti, **values)
    return jti


async def _insert(database: Database, table: Table, **values: object) -> None:
    async with database.write() as session:
        await session.execute(_insertion(table, tuple(values)), values)


@cache
def _insertion(table: Table, columns: tuple[str, ...]) -> Insert:
    return insert(table).values(parameters_of(table, columns))
