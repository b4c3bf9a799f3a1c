"""Erasure of the personal data of customers that were deleted earlier. Only a command uses this module."""

from db import erasure
from db.engine import Database
from resolvers.errors import FaultCode, fault
from resolvers.inputs import is_storable


async def erase_deleted(database: Database, customer_id: str) -> int:
    """Erase the data of a deleted customer in its events, and return the number of events. Raises Faults."""
    async with database.write() as session:
        exists = has_events = False
        if is_storable(customer_id):
            exists, has_events = await erasure.is_known(session, customer_id)
        if exists:
            message = "is a customer that is not deleted: delete it with erase (README.md says how)"
            raise fault(FaultCode.WRONG_STATE, message, "customer_id")
        if not has_events:
            raise fault(FaultCode.NOT_FOUND, "has no events", "customer_id")
        return await erasure.erase(session, customer_id)
