"""The same graph in idiomatic Strawberry: Relay connections, dataloaders, SQLAlchemy's ORM.

This peer is meant to be a good implementation. All reads are batched, so the number of statements does not
grow with the page sizes. The parser and validation caches are on. Totals are only computed if selected. If
two solutions are equally common, the peer uses the cheaper one. Features that no workload uses are left out
(most filters, orders, backward pages, most mutations, limits, a request log), which can only make the peer
faster.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, NewType

import orjson
import strawberry
import uuid_utils
from cross_web import HTTPException
from sqlalchemy import ColumnElement, func, select, union_all
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import aliased
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry import relay
from strawberry.asgi import GraphQL
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.relay.types import NodeType
from strawberry.relay.utils import from_base64, to_base64
from strawberry.schema.config import StrawberryConfig

from bench.peers.listening import serve
from bench.peers.orm import (
    AppRow,
    CustomerRow,
    LicenseRow,
    Sessions,
    account_of,
    now_text,
    open_engine,
)

DEFAULT_SIZE, MAX_SIZE = 20, 100


# Loaders


@dataclass(frozen=True, slots=True)
class PageKey:
    """A page of the rows of one owner.

    If `text` is given, only rows whose email contains it are on the page.
    """

    owner_id: str
    first: int
    after: str | None
    text: str | None


class Owned:
    """Loads rows by their owners: pages with the newest rows first, and totals.

    `column` is the column that has the owner's id. `are_many` means that owners have many more rows than fit
    in a page.
    """

    def __init__(self, sessions: Sessions, model: type[Any], column: str, *, are_many: bool) -> None:
        self._sessions = sessions
        self._model = model
        self._column = column
        self._are_many = are_many
        self._owner: ColumnElement[str] = getattr(model, column)
        self.pages: DataLoader[PageKey, list[Any]] = DataLoader(self._load_pages)
        self.totals: DataLoader[tuple[str, str | None], int] = DataLoader(self._load_totals)

    async def _load_pages(self, wanted: Sequence[PageKey]) -> list[list[Any]]:
        """Return the page for each key, with one extra row if there is a next page."""
        owners: dict[tuple[int, str | None, str | None], list[str]] = defaultdict(list)
        for key in wanted:
            owners[key.first, key.after, key.text].append(key.owner_id)
        found: dict[PageKey, list[Any]] = {key: [] for key in wanted}
        async with self._sessions() as session:
            for (first, after, text), ids in owners.items():
                for row in await session.scalars(self._page(ids, first + 1, after, text)):
                    found[PageKey(getattr(row, self._column), first, after, text)].append(row)
        return list(found.values())

    def _page(self, owner_ids: Sequence[str], limit: int, after: str | None, text: str | None) -> Any:
        model, owner = self._model, self._owner
        conditions = [*self._containing(text), *([] if after is None else [model.id < after])]
        if len(owner_ids) > 1 and not self._are_many:
            number = func.row_number().over(partition_by=owner, order_by=model.id.desc()).label("number")
            numbered = select(model, number).where(owner.in_(owner_ids), *conditions).subquery()
            row = aliased(model, numbered)
            return select(row).where(numbered.c.number <= limit).order_by(numbered.c.number)
        # One SELECT per owner, because a window function would number all rows of the owner before taking the
        # first ones.
        pages = [
            select(model).where(owner == id, *conditions).order_by(model.id.desc()).limit(limit)
            for id in owner_ids
        ]
        if len(pages) == 1:
            return pages[0]
        row = aliased(model, union_all(*(select(page.subquery()) for page in pages)).subquery())
        return select(row).order_by(row.id.desc())

    async def _load_totals(self, wanted: Sequence[tuple[str, str | None]]) -> list[int]:
        owners: dict[str | None, list[str]] = defaultdict(list)
        for owner_id, text in wanted:
            owners[text].append(owner_id)
        found: dict[tuple[str, str | None], int] = {}
        async with self._sessions() as session:
            for text, ids in owners.items():
                counts = select(self._owner, func.count()).where(
                    self._owner.in_(ids), *self._containing(text)
                )
                for owner_id, total in await session.execute(counts.group_by(self._owner)):
                    found[owner_id, text] = total
        return [found.get(key, 0) for key in wanted]

    def _containing(self, text: str | None) -> list[Any]:
        return [self._model.email_folded.contains(text.casefold(), autoescape=True)] if text else []


class Loaders:
    """The dataloaders of one request."""

    def __init__(self, sessions: Sessions) -> None:
        self.customers = Owned(sessions, CustomerRow, "app_id", are_many=True)
        self.licenses = Owned(sessions, LicenseRow, "customer_id", are_many=False)
        self.apps = Owned(sessions, AppRow, "account_id", are_many=False)


# Types. They only declare fields, because the ORM's rows serve as the objects.

DateTime = NewType("DateTime", str)
JSONObject = NewType("JSONObject", dict)  # type: ignore[type-arg]
UUID = NewType("UUID", str)

_SCALARS: Mapping[object, Any] = {
    made: strawberry.scalar(name=name, serialize=lambda value: value, parse_value=parse)
    for made, name, parse in (
        (DateTime, "DateTime", str),
        (JSONObject, "JSONObject", dict),
        (UUID, "UUID", str),
    )
}


@strawberry.enum
class LicenseStatus(Enum):
    ACTIVE = "ACTIVE"
    EXPIRED = "EXPIRED"
    REVOKED = "REVOKED"


@dataclass(slots=True)
class Context:
    """The context of one request: its account, its loaders, and the current time."""

    account_id: str
    sessions: Sessions
    loaders: Loaders
    now: str


Info = strawberry.Info[Context, None]


@strawberry.type
class Connection(relay.Connection[NodeType], Generic[NodeType]):
    """A Relay connection with `nodes` and `totalCount`."""

    key: strawberry.Private[PageKey]
    totals: strawberry.Private[DataLoader[tuple[str, str | None], int]]

    @strawberry.field
    def nodes(self) -> list[NodeType]:
        return [edge.node for edge in self.edges]

    @strawberry.field
    async def total_count(self) -> int:
        return await self.totals.load((self.key.owner_id, self.key.text))


def _details(root: Any) -> JSONObject:
    return root.details


@strawberry.type
class License:
    id: strawberry.ID
    installation_id: UUID
    expires_at: DateTime | None
    revoked_at: DateTime | None
    metadata: JSONObject = strawberry.field(resolver=_details)
    created_at: DateTime
    updated_at: DateTime

    @strawberry.field
    def status(self, info: Info) -> LicenseStatus:
        if self.revoked_at is not None:
            return LicenseStatus.REVOKED
        if self.expires_at is not None and self.expires_at <= info.context.now:
            return LicenseStatus.EXPIRED
        return LicenseStatus.ACTIVE


@strawberry.input
class CustomerFilter:
    email: str | None = None


@strawberry.type
class Customer:
    id: strawberry.ID
    email: str
    name: str | None
    external_id: str | None
    metadata: JSONObject = strawberry.field(resolver=_details)
    created_at: DateTime
    updated_at: DateTime

    @strawberry.field
    async def licenses(
        self, info: Info, first: int = DEFAULT_SIZE, after: str | None = None
    ) -> Connection[License]:  # type: ignore[type-var]
        return await _connection(info.context.loaders.licenses, self.id, first, after)


@strawberry.type
class App:
    id: strawberry.ID
    slug: str
    name: str
    description: str | None
    webhook_url: str | None
    created_at: DateTime
    updated_at: DateTime

    @strawberry.field
    async def customers(
        self,
        info: Info,
        first: int = DEFAULT_SIZE,
        after: str | None = None,
        filter: CustomerFilter | None = None,
    ) -> Connection[Customer]:  # type: ignore[type-var]
        text = filter.email if filter is not None else None
        return await _connection(info.context.loaders.customers, self.id, first, after, text)


@strawberry.type
class Query:
    @strawberry.field
    async def app(self, info: Info, slug: str) -> App | None:
        statement = select(AppRow).where(AppRow.slug == slug, AppRow.account_id == info.context.account_id)
        async with info.context.sessions() as session:
            return await session.scalar(statement)

    @strawberry.field
    async def apps(self, info: Info, first: int = DEFAULT_SIZE, after: str | None = None) -> Connection[App]:  # type: ignore[type-var]
        return await _connection(info.context.loaders.apps, info.context.account_id, first, after)

    @strawberry.field
    async def customer(self, info: Info, id: strawberry.ID) -> Customer | None:
        statement = (
            select(CustomerRow)
            .join(AppRow, AppRow.id == CustomerRow.app_id)
            .where(CustomerRow.id == id, AppRow.account_id == info.context.account_id)
        )
        async with info.context.sessions() as session:
            return await session.scalar(statement)


@strawberry.input
class CreateCustomerInput:
    app_slug: str
    email: str
    name: str | None = None


@strawberry.type
class GetOrCreateCustomerPayload:
    customer: Customer
    created: bool


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def get_or_create_customer(
        self, info: Info, input: CreateCustomerInput
    ) -> GetOrCreateCustomerPayload:
        app = select(AppRow.id).where(
            AppRow.slug == input.app_slug, AppRow.account_id == info.context.account_id
        )
        folded = input.email.casefold()
        async with info.context.sessions() as session:
            app_id = await session.scalar(app)
            if app_id is None:
                raise ValueError("no such app")
            existing = select(CustomerRow).where(
                CustomerRow.app_id == app_id, CustomerRow.email_folded == folded
            )
            customer: Any = await session.scalar(existing)
            if customer is not None:
                return GetOrCreateCustomerPayload(customer=customer, created=False)
            # INSERT … ON CONFLICT, so that two concurrent requests do not both create the customer.
            insert = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
            now = info.context.now
            made = await session.scalar(
                insert(CustomerRow)
                .values(
                    id=f"cus_{uuid_utils.uuid7()}",
                    app_id=app_id,
                    email=input.email,
                    email_folded=folded,
                    name=input.name,
                    details={},
                    created_at=now,
                    updated_at=now,
                )
                .on_conflict_do_nothing()
                .returning(CustomerRow)
            )
            customer = made or await session.scalar(existing)
            return GetOrCreateCustomerPayload(customer=customer, created=made is not None)


async def _connection(
    owned: Owned, owner_id: str, first: int, after: str | None, text: str | None = None
) -> Any:
    if not 1 <= first <= MAX_SIZE:
        raise ValueError(f"first must be between 1 and {MAX_SIZE}")
    key = PageKey(owner_id, first, None if after is None else from_base64(after)[1], text)
    rows = await owned.pages.load(key)
    edges: list[Any] = [relay.Edge(cursor=to_base64("id", row.id), node=row) for row in rows[:first]]
    page_info = relay.PageInfo(
        has_next_page=len(rows) > first,
        has_previous_page=after is not None,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return Connection(page_info=page_info, edges=edges, key=key, totals=owned.totals)


schema = strawberry.Schema(
    query=Query,
    mutation=Mutation,
    config=StrawberryConfig(scalar_map=_SCALARS),
    extensions=[lambda: ParserCache(maxsize=128), lambda: ValidationCache(maxsize=128)],
)


# The server


class View(GraphQL[Context, None]):
    """Strawberry's view, with the key's account in the context. Responses are serialized by orjson."""

    def __init__(self, sessions: Sessions) -> None:
        super().__init__(schema)
        self._sessions = sessions

    async def get_context(self, request: Any, response: Any) -> Context:
        account_id = await account_of(self._sessions, request.headers.get("authorization", ""))
        if account_id is None:
            raise HTTPException(401, "No such key")
        return Context(account_id, self._sessions, Loaders(self._sessions), now_text())

    def encode_json(self, data: object) -> bytes:
        return orjson.dumps(data)


def create_app(url: str) -> Starlette:
    """Create the application for a database URL. Its engine is `app.state.engine`."""
    engine = open_engine(url)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    view = View(async_sessionmaker(engine, expire_on_commit=False))
    app = Starlette(routes=[Route("/graphql", view)], lifespan=lifespan)
    app.state.engine = engine
    return app


if __name__ == "__main__":
    serve(create_app)
