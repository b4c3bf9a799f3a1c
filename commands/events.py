"""`events`: print events, check the log against the tables, and erase the data of deleted customers."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from cyclopts import App, Parameter, Token

from commands.database import open_database, settings_of_command
from resolvers import erasure, log_check, log_tail
from resolvers.errors import Refused
from resolvers.inputs import parse_moment

events = App(
    name="events",
    help="Print events, check the log against the tables, and erase the data of deleted customers.",
)


def _moment(_type: Any, tokens: Sequence[Token]) -> datetime:
    return parse_moment(tokens[0].value)


@events.command
async def tail(
    *,
    app: Annotated[str | None, Parameter(help="Print only events of the app with this slug.")] = None,
    after: Annotated[
        str | None,
        Parameter(
            help="Print the events after this one: the id of an event, a cursor of the APIs, or start for "
            "the whole log. By default, only new events are printed."
        ),
    ] = None,
) -> None:
    """Print events as they happen, as one JSON object per line, until the command is interrupted.

    Each object is like those of /api/v1/events. New events are looked for once a second.
    """
    async with open_database(settings_of_command()) as database:
        async for event in log_tail.follow(database, app, after):
            _print(json.dumps(event, ensure_ascii=False))


@events.command
async def check(
    *,
    since: Annotated[
        datetime | None,
        Parameter(
            help="Check only what has events since this time, for example 2027-01-31T10:00:00Z (RFC 3339).",
            converter=_moment,
        ),
    ] = None,
) -> str:
    """Rebuild everything from the log, and list what differs from the tables.

    Also lists gaps in the log: in the versions of a subject, and in the positions. Exits with status 1 if it
    lists anything. Servers can keep running.
    """
    found = 0
    async with open_database(settings_of_command()) as database:
        async for line in log_check.mismatches(database, since):
            _print(line)
            found += 1
    if found:
        raise Refused(f"the log and the tables differ in {found:,} place{'' if found == 1 else 's'}")
    return "The log and the tables agree."


@events.command
async def erase(
    customer_id: Annotated[str, Parameter(help="The id of a customer that is deleted.")],
    /,
) -> str:
    """Remove the personal data of a deleted customer from the log. This cannot be undone.

    The email, name, external id and metadata are removed from all events of the customer and its licenses.
    What happened, when and by whom stays. To delete and erase a customer at once, use the API.
    """
    async with open_database(settings_of_command()) as database:
        erased = await erasure.erase_deleted(database, customer_id)
    return f"Erased the personal data in {erased:,} event{'' if erased == 1 else 's'} of {customer_id}."


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  (lines are printed as they are found)
