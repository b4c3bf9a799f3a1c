"""Rows to begin with: one function a noun, everything that matters by keyword, the rest believable.

They write to the tables directly, so that a test can start from what no door would let it make.
"""

import hashlib
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
from uuid import uuid4

from sqlalchemy import Table, insert

from db import ids
from db.accounts import accounts
from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.keys import keys
from db.licenses import licenses
from db.types import fold, fold_optional

_BASE62 = string.digits + string.ascii_letters
_PREFIXES = {"secret": "sk_live_", "public": "pk_live_"}
_numbers = count(1)


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
    created_at: datetime | None = None,
    updated_at: datetime | None = None,
) -> App:
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
        created_at=new.created_at,
        updated_at=updated_at or new.created_at,
    )
    return app


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
    metadata: Mapping[str, Any] | None = None,
    created_at: datetime | None = None,
    updated_at: datetime | None = None,
) -> License:
    """Make a license, active forever unless said otherwise, and current unless it is revoked."""
    new = ids.new_id(ids.LICENSE, created_at)
    license = License(new.id, customer.app_id, customer.id, installation_id or str(uuid4()), new.created_at)
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
        metadata=metadata or {},
        created_at=new.created_at,
        updated_at=updated_at or new.created_at,
    )
    return license


async def _insert(database: Database, table: Table, **values: object) -> None:
    async with database.write() as session:
        await session.execute(insert(table).values(values))
