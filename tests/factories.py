"""Creates rows for tests to start from: one function per noun.

Values that matter to a test are keyword arguments; all others get believable defaults. The functions write
directly to the tables, so that a test can start from a state that the APIs would not allow.
"""

import hashlib
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any
from uuid import uuid4

from sqlalchemy import Insert, Table, bindparam, func, insert, select

from db import clock, ids, license_seen
from db.accounts import accounts
from db.apps import apps
from db.customers import customers
from db.documents import document_ids
from db.documents import documents as documents_table
from db.emails import email_key
from db.engine import Database
from db.events import SERVER, Actor, EventType, events
from db.features import features
from db.idempotency import idempotency
from db.keys import keys
from db.licenses import licenses
from db.log import log
from db.signing_keys import signing_keys
from db.statements import parameters_of
from db.tiers import rank, tier_features, tiers
from db.tokens import tokens
from db.types import fold, fold_optional, json_text
from db.usage import usage
from resolvers.keyring import Algorithm
from resolvers.signing_keys import row_of
from tests.keyrings import KEYRING

_BASE62 = string.digits + string.ascii_letters
_PREFIXES = {"secret": "sk_live_", "public": "pk_live_", "restricted": "rk_live_", "session": "cs_live_"}
_numbers = count(1)
_KEY_ID = select(keys.c.id).where(keys.c.digest == bindparam("digest"))
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
    scopes: Sequence[str] | None = None,
    apps: Sequence[App] | None = None,
    origins: Sequence[str] | None = None,
    documents: str = "any",
    document_sets: Sequence[str] | None = None,
    customer: Customer | None = None,
    created_by: str | None = None,
    created_at: datetime | None = None,
) -> str:
    """Create a key and return its token, which is stored nowhere else. `key_id` finds its id.

    A session key of a customer can only use the customer's app. By default, its scope is `read`, and the key
    that created it (`created_by`) is a new secret key.
    """
    app_ids = None if apps is None else [app.id for app in apps]
    if kind == "session" and customer is not None:
        scopes, app_ids = scopes or ["read"], [customer.app_id]
        created_by = created_by or await key_id(database, await make_key(database, account))
    new = ids.new_id(ids.KEY, created_at)
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
        scopes=scopes,
        app_ids=app_ids,
        origins=origins,
        documents=documents,
        document_sets=document_sets,
        customer_id=None if customer is None else customer.id,
        created_by=created_by,
    )
    return token


async def key_id(database: Database, token: str) -> str:
    """Return the id of the key with this token."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    async with database.write() as session:
        return str((await session.execute(_KEY_ID, {"digest": digest})).scalar_one())


async def make_event(
    database: Database,
    account: Account,
    *,
    type: EventType = EventType.CUSTOMER_CREATED,
    subject_id: str,
    version: int = 1,
    position: int | None = None,
) -> str:
    """Add an event of a customer to the log, and return its id. By default, it is not numbered yet."""
    row = event_row(account.id, type=type, subject_id=subject_id, version=version, position=position)
    await make_events(database, [row])
    return str(row["id"])


def event_row(
    account_id: str,
    *,
    type: EventType = EventType.CUSTOMER_CREATED,
    subject_type: str = "customer",
    subject_id: str,
    version: int = 1,
    position: int | None = None,
    app: App | None = None,
    customer_id: str | None = None,
    other_customer_id: str | None = None,
    actor: Actor = SERVER,
    caused_by: str | None = None,
    data: Mapping[str, Any] | None = None,
    changes: Mapping[str, Any] | None = None,
    erased: bool = False,
    created_at: datetime | None = None,
) -> dict[str, object]:
    """Return the row of an event with a new id."""
    return {
        "id": ids.new_id(ids.EVENT).id,
        "position": position,
        "account_id": account_id,
        "app_id": app and app.id,
        "app_slug": app and app.slug,
        "customer_id": customer_id,
        "other_customer_id": other_customer_id,
        "subject_type": subject_type,
        "subject_id": subject_id,
        "version": version,
        "type": type.value,
        "created_at": created_at or clock.now(),
        "actor_kind": actor.kind.value,
        "actor_id": actor.id,
        "request_id": actor.request_id,
        "caused_by": caused_by,
        "data": json_text(data or {}),
        "changes": json_text(changes or {}),
        "erased": erased,
    }


async def make_events(database: Database, rows: Sequence[Mapping[str, object]]) -> None:
    """Add events to the log, in one transaction."""
    async with database.write() as session:
        for row in rows:
            await session.execute(_insertion(events, tuple(row)), row)


async def number_events(database: Database) -> None:
    """Give a position to each event that has none yet, in the order of their ids. SQLite does so itself."""
    has_none = events.c.position.is_(None)
    async with database.write() as session:
        found = list(await session.execute(select(events.c.id).where(has_none).order_by(events.c.id)))
        head = (await session.execute(select(log.c.head))).scalar_one()
        for position, (id,) in enumerate(found, head + 1):
            await session.execute(events.update().where(events.c.id == id).values(position=position))
        if found:
            await session.execute(log.update().values(head=head + len(found)))


async def make_outcome(
    database: Database, key_id: str, *, key: str = "order-1", created_at: datetime | None = None
) -> None:
    """Store the outcome of a request that was sent with an idempotency key."""
    await _insert(
        database,
        idempotency,
        key_id=key_id,
        scope="POST /api/v1/apps",
        key=key,
        fingerprint="0" * 64,
        outcome=b"sealed",
        created_at=created_at or clock.now(),
    )


async def make_document(
    database: Database,
    account: Account,
    *,
    text: str = "query Viewer { viewer { accountName } }",
    document_id: str | None = None,
    set: str = "portal@1.0.0",
    operations: Sequence[str] = ("Viewer",),
    max_cost: int = 1,
    registered_at: datetime | None = None,
    last_used_at: datetime | None = None,
) -> str:
    """Register a document, and return its id, which starts with doc_."""
    new = ids.new_id(ids.DOCUMENT, registered_at)
    digest = hashlib.sha256(text.encode()).hexdigest()
    if document_id is not None:
        await _insert(database, document_ids, account_id=account.id, document_id=document_id, digest=digest)
    await _insert(
        database,
        documents_table,
        id=new.id,
        account_id=account.id,
        document_id=document_id or f"sha256:{digest}",
        set=set,
        digest=digest,
        operations=list(operations),
        text=text,
        max_cost=max_cost,
        registered_at=new.created_at,
        last_used_at=last_used_at,
    )
    return new.id


async def make_usage(
    database: Database,
    subject: str,
    *,
    minute: datetime = datetime(2026, 1, 23, 10, tzinfo=UTC),
    requests: int = 1,
    points: int = 1,
    refused: int = 0,
) -> None:
    await _insert(
        database,
        usage,
        subject=subject,
        minute=minute,
        requests=requests,
        points=points,
        refused=refused,
        last_at=minute,
    )


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
    """Create an app with its first signing key.

    By default, the key is an Ed25519 key, because these are fast to create. `make_signing_key` creates keys
    of other generations.
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
    activated_at: datetime | None = None,
) -> str:
    """Create a signing key for an app, and return its id.

    The new key is the app's current key if `generation` is the app's `signing_generation`.
    """
    key = await KEYRING.make(algorithm)
    values = {**row_of(key, app.id, generation), "retired_at": retired_at, "last_expiry": last_expiry}
    await _insert(database, signing_keys, **values, dropped_at=dropped_at, activated_at=activated_at)
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
    duration_days: int | None = None,
    trial: bool = False,
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
        duration_days=duration_days,
        trial=trial,
    )
    for feature in features:
        await _insert(database, tier_features, tier_id=new.id, feature_id=feature.id)
    return tier


async def make_customer(
    database: Database,
    app: App,
    *,
    id: str | None = None,
    email: str | None = None,
    key: str | None = None,
    name: str | None = None,
    external_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    created_at: datetime | None = None,
    updated_at: datetime | None = None,
) -> Customer:
    new = ids.new_id(ids.CUSTOMER, created_at)
    customer = Customer(
        id or new.id, app.id, email or f"customer{next(_numbers)}@example.com", new.created_at
    )
    await _insert(
        database,
        customers,
        id=customer.id,
        app_id=app.id,
        email=customer.email,
        email_folded=fold(customer.email),
        email_key=key or email_key(customer.email),
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
    moved_at: datetime | None = None,
) -> License:
    """Create a license. By default, it never expires.

    Unless it is revoked, it becomes the current license of its installation. `is_current` overrides this.
    `token` may be any text, because it is stored without any checks.
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
        moved_at=moved_at,
    )
    await _insert(database, tokens, jti=license.jti, license_id=new.id, number=1, generation=1, token=token)
    return license


async def note_verified(database: Database, license: License, at: datetime) -> None:
    """Note that a license was verified."""
    await license_seen.add(database, {license.id: clock.as_text(at)})


async def make_token(
    database: Database,
    license: License,
    generation: int,
    token: str | None = None,
    installation_id: str | None = None,
) -> str:
    """Add a token to a license as its newest one, and return the token's jti.

    `installation_id` is an installation that the license has left.
    """
    jti = ids.new_id(ids.LICENSE).id
    async with database.write() as session:
        held = (await session.execute(_TOKENS_OF_LICENSE, {"license_id": license.id})).scalar_one()
    await _insert(
        database,
        tokens,
        jti=jti,
        license_id=license.id,
        number=held + 1,
        generation=generation,
        token=token,
        installation_id=installation_id,
    )
    return jti


async def _insert(database: Database, table: Table, **values: object) -> None:
    async with database.write() as session:
        await session.execute(_insertion(table, tuple(values)), values)


@cache
def _insertion(table: Table, columns: tuple[str, ...]) -> Insert:
    return insert(table).values(parameters_of(table, columns))
