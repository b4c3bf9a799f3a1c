"""History: how far back events go."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from db import clock, log
from db.engine import ReadSession
from db.shaping.selection import At, Value
from resolvers.errors import BadUserInput
from resolvers.viewer import Policy, Viewer


async def since(viewer: Viewer, session: ReadSession) -> datetime:
    """Return how far back events go: to the beginning of the log, or to the oldest that are kept."""
    return kept_since(await log.began(session), viewer.policy)


def kept_since(began: datetime, policy: Policy) -> datetime:
    """Return how far back events go if the log began at a time."""
    days = policy.event_days
    return max(began, clock.now() - timedelta(days=days)) if days else began


async def moment(viewer: Viewer, session: ReadSession, at: datetime, argument: str = "at") -> datetime:
    """Return the time of a snapshot. A time in the future becomes the present.

    Raises BadUserInput for a time before `since`. `argument` is the name of the argument with the time.
    """
    first = await since(viewer, session)
    if at < first:
        raise BadUserInput(argument, f"must not be before {clock.as_text(first)}, where the history begins")
    return min(at, clock.now())


async def bound(viewer: Viewer, session: ReadSession, values: Sequence[Value]) -> Sequence[Value]:
    """Return the values of a read, with the times of its snapshots checked by `moment`."""
    if At not in map(type, values):  # most reads have no snapshots
        return values
    return [
        clock.as_text(await moment(viewer, session, clock.from_text(value)))
        if isinstance(value, At)
        else value
        for value in values
    ]
