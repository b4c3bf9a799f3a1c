"""The bind parameters that stand for a selection's slots."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, Text, bindparam

from db.shaping.selection import Slot, Value


def slot_parameter(slot: Slot, type_: Any = Text) -> BindParameter[Any]:
    """Return the bind parameter for a slot."""
    return bindparam(f"v{slot}", type_=type_())


def slot_values(values: Sequence[Value]) -> dict[str, Any]:
    """Return the values of a selection's slots, by the names that `slot_parameter` gives the slots."""
    return {f"v{slot}": value for slot, value in enumerate(values)}
