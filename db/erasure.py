"""Erasure: the personal data of a deleted customer is removed from the log and from stored outcomes.

Events keep what happened, when, and by whom. They lose the values of `ERASED` in their data and changes.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import Integer, Text, bindparam, exists, or_, select

from db import idempotency
from db.customers import customers
from db.engine import WriteSession
from db.events import events
from db.log import pause_numbering
from db.shaping.json import arrays_in, item
from db.types import json_text

ERASED: Mapping[str, object] = MappingProxyType(
    {"email": None, "name": None, "external_id": None, "metadata": {}}
)
"""The fields of customers and licenses that are erased, each with the value that stays."""

EVENTS_PER_STATEMENT = 500

_customer = bindparam("customer", type_=Text())
_OF_CUSTOMER = or_(events.c.customer_id == _customer, events.c.other_customer_id == _customer)
_IS_THERE = select(
    exists().where(customers.c.id == _customer).label("customer"), exists().where(_OF_CUSTOMER).label("event")
)
_NEXT = (
    select(events.c.id, events.c.data, events.c.changes)
    .where(_OF_CUSTOMER, events.c.id > bindparam("after", type_=Text()))
    .order_by(events.c.id)
    .limit(bindparam("limit", type_=Integer()))
    .with_for_update()
)
_rows = arrays_in(bindparam("rows", type_=Text())).table_valued("value", name="erased")
_ERASE = (
    events.update()
    .where(events.c.id == item(_rows.c.value, 0))
    .values(data=item(_rows.c.value, 1), changes=item(_rows.c.value, 2), erased=True)
)


async def is_known(session: WriteSession, customer_id: str) -> tuple[bool, bool]:
    """Return whether a customer exists, and whether the log has events of the customer."""
    found = (await session.execute(_IS_THERE, {"customer": customer_id})).mappings().one()
    return bool(found["customer"]), bool(found["event"])


async def erase(session: WriteSession, customer_id: str) -> int:
    """Erase a customer's data in all events of the customer and its licenses, and in stored outcomes.

    The customer is deleted, so no more events of it are written. Returns the number of events.
    """
    # The projector changes several events, too. Two orders of the same events could cause deadlocks.
    await pause_numbering(session)
    erased, after = 0, ""
    while rows := (
        await session.execute(_NEXT, {"customer": customer_id, "after": after, "limit": EVENTS_PER_STATEMENT})
    ).all():
        erased, after = erased + len(rows), rows[-1].id
        without = [[row.id, _data(row.data), _changes(row.changes)] for row in rows]
        await session.execute(_ERASE, {"rows": json_text(without)})
    await idempotency.delete_of_customer(session, customer_id)
    return erased


def _data(text: str) -> str:
    values: dict[str, Any] = json.loads(text)
    return json_text({name: ERASED.get(name, value) for name, value in values.items()})


def _changes(text: str) -> str:
    values: dict[str, Any] = json.loads(text)
    return json_text(
        {
            name: {"from": ERASED[name], "to": ERASED[name]} if name in ERASED else change
            for name, change in values.items()
        }
    )
