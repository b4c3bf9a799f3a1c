"""The history: events as they are read. `db.events` writes them.

Lists over several subjects are sorted by position. Events without a position are not in these lists yet.
Lists of a single subject are sorted by version, and have every event.
"""

from sqlalchemy import ColumnElement, ScalarSelect, Text, bindparam, func, or_, select

from db import clock, ids
from db.engine import ReadSession
from db.events import events
from db.keys import keys
from db.shaping.json import ids_in, parsed
from db.shaping.nouns import (
    CUSTOMERS,
    ROW_SCAN,
    Attribute,
    Condition,
    Embedded,
    Kind,
    Noun,
    Ordering,
    Row,
    ToOne,
    Unique,
    column,
)
from db.tenancy import ACCOUNT, is_no_customer, within_apps
from db.types import json_text


def _enum(name: str) -> Attribute:
    """Return an attribute with the name of the enum value in the graph, such as LICENSE_REVOKED."""
    return Attribute(Kind.PLAIN, (name,), lambda row: func.upper(func.replace(row[name], ".", "_")))


def _json(name: str) -> Attribute:
    return Attribute(Kind.JSON, (name,), lambda row: parsed(row[name]))


def _of_actor(name: str, kind: Kind) -> Attribute:
    """Return a column of the actor's key, which is null if the actor is no key or if the key is gone."""

    def expression(row: Row) -> ScalarSelect[str]:
        found = select(keys.c[name]).where(keys.c.id == row["actor_id"])
        return found.correlate_except(keys).scalar_subquery()

    return Attribute(kind, ("actor_id",), expression, nullable=True, is_subquery=True)


def _is_reached(row: Row) -> ColumnElement[bool]:
    # The app's own row is not read, because the log outlives it.
    return within_apps({"account_id": row["account_id"], "id": row["app_id"]}) & is_no_customer()


EVENT = Noun(
    name="Event",
    table=events,
    prefix=ids.EVENT,
    owned=lambda row: row["account_id"] == ACCOUNT,
    reached=_is_reached,
    visible=lambda row: or_(CUSTOMERS, row["subject_type"] != "customer"),
    numerous=True,
    attributes={
        "id": column("id"),
        "type": _enum("type"),
        "type_word": column("type"),
        "created_at": column("created_at"),
        "app_slug": column("app_slug", nullable=True),
        "subject_type": _enum("subject_type"),
        "subject_id": column("subject_id"),
        "version": column("version", Kind.INTEGER),
        "request_id": column("request_id", Kind.TEXT, nullable=True),
        "caused_by_id": column("caused_by", nullable=True),
        "data": _json("data"),
        "changes": _json("changes"),
        "erased": column("erased", Kind.BOOLEAN),
    },
    embedded={
        "actor": Embedded(
            {
                "kind": _enum("actor_kind"),
                "kind_word": column("actor_kind"),
                "id": column("actor_id", Kind.TEXT, nullable=True),
                "name": _of_actor("name", Kind.TEXT),
                "last4": _of_actor("last4", Kind.PLAIN),
            }
        ),
        "subject": Embedded({"type": column("subject_type"), "id": column("subject_id")}),
    },
    objects={
        "app": ToOne("App", "app_id", nullable=True, only_reached=True),
        "caused_by": ToOne("Event", "caused_by", nullable=True, only_reached=True),
    },
    lookups={"id": Unique("id")},
    filters={
        "types": Condition(
            lambda row, value: ids_in(row["type"], value), json_text, columns=("type",), scan=ROW_SCAN
        ),
        "subject_id": Condition(
            lambda row, value: row["subject_id"] == value, columns=("subject_id",), selective=True
        ),
        "actor_id": Condition(
            lambda row, value: row["actor_id"] == value, columns=("actor_id",), scan=ROW_SCAN
        ),
        "happened_after": Condition(
            lambda row, value: row["created_at"] > value,
            clock.as_text,
            columns=("created_at",),
            scan=ROW_SCAN,
        ),
        "happened_before": Condition(
            lambda row, value: row["created_at"] < value,
            clock.as_end,
            columns=("created_at",),
            scan=ROW_SCAN,
        ),
    },
    orders={"position": Ordering("position", numbers=True), "version": Ordering("version", numbers=True)},
    default_order=("position", True),
)

_POSITION = select(events.c.position).where(
    events.c.id == bindparam("id", type_=Text()), events.c.account_id == ACCOUNT
)


async def position_of(session: ReadSession, account_id: str, id: str) -> tuple[bool, int | None]:
    """Return whether the account has an event with this id, and its position, if it has one already."""
    row = await session.row(_POSITION, {"id": id, "account": account_id})
    return (False, None) if row is None else (True, row[0])
