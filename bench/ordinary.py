"""The same graph as one would ordinarily write it: the contestant that Licensegraph is measured against.

Strawberry types over SQLAlchemy ORM rows, resolvers that await dataloaders, relay-style connections and
Strawberry's own view under uvicorn, on the tables that Licensegraph keeps. It is meant to be good of its
kind: everything is batched, so that the number of statements does not grow with the pages; reads run without
transactions; cursors, edges and totals are made only where they are selected; and where two ways are as
ordinary as each other, the cheaper one is taken. What the measured documents never touch (filters, orders,
backward pages, mutations, limits, a request log) is left out, which can only help it.
"""

import argparse
import base64
import hashlib
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, NewType, TypeVar

import asyncpg
import orjson
import strawberry
import uvicorn
from cross_web import HTTPException
from sqlalchemy import ColumnElement, event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import aliased, registry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.relay import PageInfo
from strawberry.schema.config import StrawberryConfig

from db.apps import apps
from db.customers import customers
from db.keys import keys
from db.licenses import LicenseStatus as StoredStatus
from db.licenses import licenses

T = TypeVar("T")
Sessions = async_sessionmaker[AsyncSession]

DEFAULT_SIZE, MAX_SIZE = 20, 100
POOL_SIZE = 10  # what Licensegraph has


# What is stored


class AppRow:
    pass


class CustomerRow:
    pass


class LicenseRow:
    revoked_at: datetime | None
    expires_at: datetime | None

    @property
    def status(self) -> StoredStatus:
        if self.revoked_at is not None:
            return StoredStatus.REVOKED
        if self.expires_at is not None and self.expires_at <= datetime.now(UTC):
            return StoredStatus.EXPIRED
        return StoredStatus.ACTIVE


# Imperatively, for a declarative class cannot have a column called metadata. What Licensegraph keeps beside
# the fields for its own use is not loaded.
_mapper = registry()
_mapper.map_imperatively(AppRow, apps, exclude_properties=["name_folded"])
_mapper.map_imperatively(CustomerRow, customers, exclude_properties=["email_folded", "name_folded"])
_mapper.map_imperatively(LicenseRow, licenses, exclude_properties=["is_current", "revoked_reason"])


def open_engine(url: str) -> AsyncEngine:
    """An engine on what `DATABASE_URL` takes, set up as Licensegraph's is.

    In autocommit, and nothing rolled back when a connection goes home: every read is one statement, around
    which a transaction would be two more trips.
    """
    options: dict[str, Any] = {
        "pool_size": POOL_SIZE,
        "max_overflow": 0,
        "pool_reset_on_return": None,
        "isolation_level": "AUTOCOMMIT",
    }
    if url.startswith("sqlite:"):
        engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:", 1), **options)

        @event.listens_for(engine.sync_engine, "connect")
        def configure(connection: Any, _record: object) -> None:
            cursor = connection.cursor()
            for pragma in ("journal_mode=WAL", "temp_store=MEMORY", "cache_size=-16000"):
                cursor.execute(f"PRAGMA {pragma}")
            cursor.close()

        return engine

    async def connect() -> Any:
        return await asyncpg.connect(url, server_settings={"jit": "off"})

    # Metadata is parsed by its column's type; the driver would hand it over parsed already.
    return create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, json_deserializer=lambda text: text, **options
    )


# Loaders


@dataclass(frozen=True, slots=True)
class PageKey:
    """A page of what one row owns."""

    owner_id: str
    first: int
    after: str | None


class Loaders:
    """The dataloaders of one request."""

    def __init__(self, sessions: Sessions) -> None:
        self.customers = _Owned(sessions, CustomerRow, "app_id")
        self.licenses = _Owned(sessions, LicenseRow, "customer_id")


class _Owned:
    """Pages of the rows that `column` ties to an owner, newest first, and how many each owner has."""

    def __init__(self, sessions: Sessions, model: type[Any], column: str) -> None:
        self._sessions = sessions
        self._model = model
        self._column = column
        self._owner: ColumnElement[str] = getattr(model, column)
        self.pages: DataLoader[PageKey, list[Any]] = DataLoader(self._load_pages)
        self.totals: DataLoader[str, int] = DataLoader(self._load_totals)

    async def _load_pages(self, wanted: Sequence[PageKey]) -> list[list[Any]]:
        """For each key its page, and one row more when there is one."""
        owners: dict[tuple[int, str | None], list[str]] = defaultdict(list)
        for key in wanted:
            owners[key.first, key.after].append(key.owner_id)
        found: dict[PageKey, list[Any]] = {key: [] for key in wanted}
        async with self._sessions() as session:
            for (first, after), ids in owners.items():
                for row in await session.scalars(self._page(ids, first + 1, after)):
                    found[PageKey(getattr(row, self._column), first, after)].append(row)
        return list(found.values())

    def _page(self, owner_ids: Sequence[str], limit: int, after: str | None) -> Any:
        model, owner = self._model, self._owner
        beyond = [] if after is None else [model.id < after]
        if len(owner_ids) == 1:
            # A window would number all that the owner has before it cuts the page.
            return select(model).where(owner == owner_ids[0], *beyond).order_by(model.id.desc()).limit(limit)
        number = func.row_number().over(partition_by=owner, order_by=model.id.desc()).label("number")
        numbered = select(model, number).where(owner.in_(owner_ids), *beyond).subquery()
        row = aliased(model, numbered)
        return select(row).where(numbered.c.number <= limit).order_by(numbered.c.number)

    async def _load_totals(self, owner_ids: Sequence[str]) -> list[int]:
        counts = select(self._owner, func.count()).where(self._owner.in_(owner_ids)).group_by(self._owner)
        async with self._sessions() as session:
            total_by_owner = {owner_id: total for owner_id, total in await session.execute(counts)}  # noqa: C416
        return [total_by_owner.get(id, 0) for id in owner_ids]


# Types: of each only the fields, for a row of the ORM stands for its object as it is

JSONObject = NewType("JSONObject", dict)  # type: ignore[type-arg]
UUID = NewType("UUID", str)

_SCALARS: Mapping[object, Any] = {
    # What is stored is UTC already.
    datetime: strawberry.scalar(
        name="DateTime",
        serialize=lambda moment: moment.replace(tzinfo=None).isoformat() + "Z",
        parse_value=datetime.fromisoformat,
    ),
    JSONObject: strawberry.scalar(name="JSONObject", serialize=lambda value: value, parse_value=dict),
    UUID: strawberry.scalar(name="UUID", serialize=lambda value: value, parse_value=str),
}

LicenseStatus = strawberry.enum(StoredStatus, name="LicenseStatus")


@dataclass(slots=True)
class Context:
    """One request: who asks, and its loaders."""

    account_id: str
    sessions: Sessions
    loaders: Loaders


Info = strawberry.Info[Context, None]


@strawberry.type
class Edge(Generic[T]):
    node: T

    @strawberry.field
    def cursor(self) -> str:
        return _cursor(self.node)


@strawberry.type
class Connection(Generic[T]):
    nodes: list[T]
    page_info: PageInfo
    owner_id: strawberry.Private[str]
    totals: strawberry.Private[DataLoader[str, int]]

    @strawberry.field
    def edges(self) -> list[Edge[T]]:
        return [Edge(node=node) for node in self.nodes]

    @strawberry.field
    async def total_count(self) -> int:
        return await self.totals.load(self.owner_id)


@strawberry.type
class License:
    id: strawberry.ID
    installation_id: UUID
    status: LicenseStatus
    expires_at: datetime | None
    revoked_at: datetime | None
    metadata: JSONObject
    created_at: datetime
    updated_at: datetime


@strawberry.type
class Customer:
    id: strawberry.ID
    email: str
    name: str | None
    external_id: str | None
    metadata: JSONObject
    created_at: datetime
    updated_at: datetime

    @strawberry.field
    async def licenses(
        self, info: Info, first: int = DEFAULT_SIZE, after: str | None = None
    ) -> Connection[License]:
        return await _connection(info.context.loaders.licenses, self.id, first, after)


@strawberry.type
class App:
    id: strawberry.ID
    slug: str
    name: str
    description: str | None
    webhook_url: str | None
    created_at: datetime
    updated_at: datetime

    @strawberry.field
    async def customers(
        self, info: Info, first: int = DEFAULT_SIZE, after: str | None = None
    ) -> Connection[Customer]:
        return await _connection(info.context.loaders.customers, self.id, first, after)


@strawberry.type
class Query:
    @strawberry.field
    async def app(self, info: Info, slug: str) -> App | None:
        statement = select(AppRow).where(apps.c.slug == slug, apps.c.account_id == info.context.account_id)
        async with info.context.sessions() as session:
            return await session.scalar(statement)


async def _connection(owned: _Owned, owner_id: str, first: int, after: str | None) -> Any:
    if not 1 <= first <= MAX_SIZE:
        raise ValueError(f"first must be between 1 and {MAX_SIZE}")
    rows = await owned.pages.load(PageKey(owner_id, first, None if after is None else _id(after)))
    nodes = rows[:first]
    page_info = PageInfo(
        has_next_page=len(rows) > first,
        has_previous_page=after is not None,
        start_cursor=_cursor(nodes[0]) if nodes else None,
        end_cursor=_cursor(nodes[-1]) if nodes else None,
    )
    return Connection(nodes=nodes, page_info=page_info, owner_id=owner_id, totals=owned.totals)


def _cursor(node: Any) -> str:
    return base64.b64encode(node.id.encode()).decode()


def _id(cursor: str) -> str:
    return base64.b64decode(cursor, validate=True).decode()


schema = strawberry.Schema(
    query=Query,
    config=StrawberryConfig(scalar_map=_SCALARS),
    extensions=[lambda: ParserCache(maxsize=128), lambda: ValidationCache(maxsize=128)],
)


# The server


class View(GraphQL[Context, None]):
    """Strawberry's view, with the key's account in the context, and written by orjson."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__(schema)
        self._sessions = sessions

    async def get_context(self, request: Any, response: Any) -> Context:
        account_id = await self._account(request)
        return Context(account_id, self._sessions, Loaders(self._sessions))

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)

    async def _account(self, request: Request) -> str:
        """The account of the request's key. Raises HTTPException."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        found = None
        if scheme.lower() == "bearer":
            digest = hashlib.sha256(token.encode()).hexdigest()
            now = datetime.now(UTC)
            statement = select(keys.c.account_id).where(
                keys.c.digest == digest,
                keys.c.revoked_at.is_(None),
                keys.c.expires_at.is_(None) | (keys.c.expires_at > now),
            )
            async with self._sessions() as session:
                found = await session.scalar(statement)
        if found is None:
            raise HTTPException(401, "No such key")
        return found


def create_app(url: str) -> Starlette:
    """Make the application. Its engine is `app.state.engine`."""
    engine = open_engine(url)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    view = View(async_sessionmaker(engine, expire_on_commit=False))
    app = Starlette(routes=[Route("/graphql", view)], lifespan=lifespan)
    app.state.engine = engine
    return app


def main() -> None:
    """Serve until SIGTERM, on a free port that is printed."""
    parser = argparse.ArgumentParser(prog="python -m bench.ordinary", description=main.__doc__)
    parser.add_argument("url", help="what DATABASE_URL takes")
    app = create_app(parser.parse_args().url)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"The ordinary server answers at http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        config = uvicorn.Config(app, loop="uvloop", http="httptools", ws="none", access_log=False)
        uvicorn.Server(config).run([listener])


if __name__ == "__main__":
    main()
