"""Trials: which customers and installations have used their trial of an app.

A license of a tier with `tiers.trial` is a trial. Each customer and each installation can have one trial of
an app. A row records that one of them has used its trial, and with which license. The row stays when the
license is deleted, transferred or moved, so nobody gets a second trial. If two requests use a trial at the
same time, the primary key lets one of them succeed.
"""

from collections.abc import Collection

from sqlalchemy import Column, ForeignKey, Table, Text, bindparam, cast, select, true
from sqlalchemy.dialects.postgresql import insert

from db.engine import WriteSession
from db.metadata import metadata
from db.shaping.json import ids_in, texts_in
from db.types import PlainText, json_text

trials = Table(
    "trials",
    metadata,
    Column("app_id", PlainText, ForeignKey("apps.id", ondelete="CASCADE"), primary_key=True),
    Column("used_by", PlainText, primary_key=True),  # the id of a customer or of an installation
    Column("license_id", PlainText, nullable=False),  # no foreign key: the row outlives the license
)

_LICENSE = bindparam("of_license", type_=Text())
_APP = bindparam("of_app", type_=Text())
_USERS = bindparam("users", type_=Text())
_user = texts_in(_USERS).table_valued("value", name="listed")
# The users are sorted, so that transactions that note the same users do not wait for each other in a circle.
_NOTE = (
    insert(trials)
    .from_select(
        ["app_id", "used_by", "license_id"],
        # Without WHERE, SQLite would read ON CONFLICT as a part of the SELECT.
        select(cast(_APP, Text), _user.c.value, cast(_LICENSE, Text)).where(true()),
    )
    .on_conflict_do_nothing()
    .returning(trials.c.used_by)
)
_OF_LICENSE = select(trials.c.used_by).where(
    trials.c.app_id == _APP, ids_in(trials.c.used_by, _USERS), trials.c.license_id == _LICENSE
)


async def note(session: WriteSession, app_id: str, license_id: str, users: Collection[str]) -> set[str]:
    """Note that these customers and installations have a trial, and return those that had one before.

    If another transaction is noting one of them, this waits for its end.
    """
    values = {"of_app": app_id, "of_license": license_id, "users": json_text(sorted(users))}
    return {*users} - {*(await session.execute(_NOTE, values)).scalars()}


async def of_license(session: WriteSession, app_id: str, license_id: str, users: Collection[str]) -> set[str]:
    """Return which of these customers and installations had their trial with this license."""
    values = {"of_app": app_id, "of_license": license_id, "users": json_text(sorted(users))}
    return {*(await session.execute(_OF_LICENSE, values)).scalars()}
