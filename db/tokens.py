"""Tokens: the signed proofs of licenses.

A license's tokens are numbered. A license shows its newest token that is signed with the app's current
signing key or an earlier one (`shown`). A token of a later generation was signed in advance, for a rotation
in progress. When a token is superseded, its text is deleted, but its `jti` still finds the
license. Only the last `KEPT_SUPERSEDED` superseded tokens are kept, so that repeated regeneration of tokens
does not fill the database. Older tokens stay valid, but their `jti` no longer finds the license.

A token is for one installation. If its license moves to another installation, the token remembers the one
that it is for. It counts again if the license moves back.
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
    Column("generation", Integer, nullable=False),  # the generation of the key that signed the token
    Column("token", PlainText),  # null if the token is superseded or not signed yet
    # The installation that the token is for. Null if the license has not moved since the token was signed.
    Column("installation_id", PlainText),
    UniqueConstraint("license_id", "number"),
)

KEPT_SUPERSEDED = 100

_CLEAR = (
    tokens.update()
    .where(tokens.c.license_id == bindparam("of_license"), tokens.c.token.is_not(None))
    .values(token=None)
)
_LEAVE = (
    tokens.update()
    .where(tokens.c.license_id == bindparam("of_license"), tokens.c.installation_id.is_(None))
    .values(installation_id=bindparam("left"))
)
_GENERATIONS = select(tokens.c.generation).where(
    tokens.c.license_id == bindparam("of_license"), tokens.c.token.is_not(None)
)


def next_number(license_id: ColumnElement[str]) -> ScalarSelect[int]:
    """Return SQL for the number that a license's next token gets."""
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
    """A token that was just signed."""

    jti: str
    generation: int
    token: str


def shown(column: str, license_id: ColumnElement[str], generation: ColumnElement[int]) -> ScalarSelect[Any]:
    """Return SQL for a column of the token that a license shows.

    `generation` is the current generation of the app's signing keys.
    """
    return (
        select(tokens.c[column])
        .where(tokens.c.license_id == license_id, tokens.c.generation <= generation)
        .order_by(tokens.c.number.desc())
        .limit(1)
        .correlate_except(tokens)
        .scalar_subquery()
    )


async def clear(session: WriteSession, license_id: str) -> None:
    """Delete the texts of a license's tokens. The caller has locked the license."""
    await session.execute(_CLEAR, {"of_license": license_id})


async def leave_installation(session: WriteSession, license_id: str, installation_id: str) -> None:
    """Record which installation a license's tokens are for, because the license is moving away from it.

    The caller has locked the license, and adds tokens for the new installation afterwards.
    """
    await session.execute(_LEAVE, {"of_license": license_id, "left": installation_id})


async def generations(session: WriteSession, license_id: str) -> frozenset[int]:
    """Return the generations of the keys that signed a license's tokens. Superseded tokens do not count."""
    return frozenset((await session.execute(_GENERATIONS, {"of_license": license_id})).scalars())


async def add(session: WriteSession, license_id: str, new: NewToken) -> None:
    """Add a token, and delete the superseded tokens beyond the last `KEPT_SUPERSEDED`.

    The caller has locked or just inserted the license.
    """
    values = {"jti": new.jti, "generation": new.generation, "token": new.token}
    number: int = (await session.execute(_ADD, {**values, "license_id": license_id})).scalar_one()
    if number > KEPT_SUPERSEDED + 1:
        await session.execute(_DROP, {"of_license": license_id, "first_kept": number - KEPT_SUPERSEDED})
