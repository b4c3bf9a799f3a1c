"""Tokens: the signed proofs of licenses.

The tokens of a license are numbered. Shown is the last one up to the current generation of the app's signing
keys (`shown`); one beyond it has been signed ahead, for a rotation that is under way. Of a token that another
has superseded the text goes, and what stays is that its `jti` was the license's: of the last
`KEPT_SUPERSEDED`, so that who renews a license over and over does not fill the store. An earlier token is as
good as ever; only by its `jti` alone its license is not found any more.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    ForeignKey,
    Integer,
    ScalarSelect,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    func,
    select,
)

from db.engine import WriteSession
from db.metadata import metadata
from db.types import PlainText

tokens = Table(
    "tokens",
    metadata,
    Column("jti", PlainText, primary_key=True),
    Column("license_id", PlainText, ForeignKey("licenses.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("generation", Integer, nullable=False),  # of the key that signed it
    Column("token", PlainText),  # null: superseded, or never signed
    UniqueConstraint("license_id", "number"),
)

KEPT_SUPERSEDED = 100

_CLEAR = (
    tokens.update()
    .where(tokens.c.license_id == bindparam("of_license"), tokens.c.token.is_not(None))
    .values(token=None)
)
_GENERATIONS = select(tokens.c.generation).where(
    tokens.c.license_id == bindparam("of_license"), tokens.c.token.is_not(None)
)


def next_number(license_id: ColumnElement[str]) -> ScalarSelect[int]:
    """The number of a license's next token."""
    earlier = tokens.alias()
    return (
        select(func.coalesce(func.max(earlier.c.number), 0) + 1)
        .where(earlier.c.license_id == license_id)
        .correlate_except(earlier)
        .scalar_subquery()
    )


_ADD = (
    tokens.insert()
    .values(
        jti=bindparam("jti"),
        license_id=bindparam("license_id"),
        generation=bindparam("generation"),
        token=bindparam("token"),
        number=next_number(bindparam("license_id", type_=Text())),
    )
    .returning(tokens.c.number)
)
_DROP = tokens.delete().where(
    tokens.c.license_id == bindparam("of_license"),
    tokens.c.number < bindparam("first_kept", type_=Integer()),
    tokens.c.token.is_(None),
)


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that has been signed."""

    jti: str
    generation: int
    token: str


def shown(column: str, license_id: ColumnElement[str], generation: ColumnElement[int]) -> ScalarSelect[Any]:
    """A column of the token that a license shows while a generation of keys is current."""
    return (
        select(tokens.c[column])
        .where(tokens.c.license_id == license_id, tokens.c.generation <= generation)
        .order_by(tokens.c.number.desc())
        .limit(1)
        .correlate_except(tokens)
        .scalar_subquery()
    )


async def clear(session: WriteSession, license_id: str) -> None:
    """Remove the texts of the tokens that a license has. The license is locked."""
    await session.execute(_CLEAR, {"of_license": license_id})


async def generations(session: WriteSession, license_id: str) -> frozenset[int]:
    """The generations of keys under which a license has a token."""
    return frozenset((await session.execute(_GENERATIONS, {"of_license": license_id})).scalars())


async def add(session: WriteSession, license_id: str, new: NewToken) -> None:
    """Add a token to a license, which is locked or has just been made, and drop what is too old by then."""
    values = {"jti": new.jti, "generation": new.generation, "token": new.token}
    number: int = (await session.execute(_ADD, {**values, "license_id": license_id})).scalar_one()
    if number > KEPT_SUPERSEDED + 1:
        await session.execute(_DROP, {"of_license": license_id, "first_kept": number - KEPT_SUPERSEDED})
