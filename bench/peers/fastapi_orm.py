"""The REST list in idiomatic FastAPI over SQLAlchemy's ORM: a response model and dependencies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Query
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import async_sessionmaker

from bench.peers.listening import serve
from bench.peers.orm import AppRow, CustomerRow, account_of, open_engine


class Customer(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: str
    email: str
    name: str | None
    external_id: str | None
    metadata: dict[str, Any] = Field(validation_alias="details")
    created_at: str


class Meta(BaseModel):
    total: int
    page: int
    per_page: int


class CustomerPage(BaseModel):
    data: list[Customer]
    meta: Meta


def create_app(url: str) -> FastAPI:
    """Create the application for a database URL."""
    engine = open_engine(url)
    sessions = async_sessionmaker(engine, expire_on_commit=False)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await engine.dispose()

    async def account(authorization: Annotated[str, Header()] = "") -> str:
        account_id = await account_of(sessions, authorization)
        if account_id is None:
            raise HTTPException(401, "No such key")
        return account_id

    app = FastAPI(lifespan=lifespan)

    @app.get("/api/v1/apps/{slug}/customers")
    async def customers(
        slug: str,
        account_id: Annotated[str, Depends(account)],
        page: Annotated[int, Query(ge=1)] = 1,
        per_page: Annotated[int, Query(ge=1, le=100)] = 20,
    ) -> CustomerPage:
        async with sessions() as session:
            app_id = await session.scalar(
                select(AppRow.id).where(AppRow.slug == slug, AppRow.account_id == account_id)
            )
            if app_id is None:
                raise HTTPException(404, "No such app")
            rows = await session.scalars(
                select(CustomerRow)
                .where(CustomerRow.app_id == app_id)
                .order_by(CustomerRow.id.desc())
                .offset((page - 1) * per_page)
                .limit(per_page)
            )
            total = await session.scalar(
                select(func.count()).select_from(CustomerRow).where(CustomerRow.app_id == app_id)
            )
        return CustomerPage(
            data=[Customer.model_validate(row) for row in rows],
            meta=Meta(total=total or 0, page=page, per_page=per_page),
        )

    return app


if __name__ == "__main__":
    serve(create_app)
