"""Statistics of apps at /api/v1."""

from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, create_model
from starlette.responses import Response

from db.shaping.cost import cost_of_object
from db.shaping.selection import EntryList, Scalar, Selected, Values
from db.statistics import MOST_INTERVALS
from resolvers import apps, statistics
from resolvers.inputs import Day, Input, invalid
from resolvers.licenses import OfTier
from resolvers.statistics import Interval
from resolvers.viewer import Scope
from rest import envelopes
from rest.apps import APP, found_in_app, require_app
from rest.envelopes import Answer
from rest.operations import Call, operation


def _interval(word: str) -> Interval:
    try:
        return Interval(word or Interval.DAY)
    except ValueError:
        raise invalid(f"must be one of: {', '.join(Interval)}") from None


# "from" is a keyword of Python, so a class statement cannot declare a field with this name.
_ASKED: dict[str, Any] = {"from": (Day, Field(description="Day in the first interval, in UTC."))}
_SHOWN: dict[str, Any] = {"from": (date, Field(description="First day of the interval, in UTC."))}
_Asked: Any = create_model("_Asked", __base__=Input, **_ASKED)
_Shown: Any = create_model("_Shown", __base__=Answer, **_SHOWN)


class StatisticsQuery(_Asked):
    """Selects the intervals to return, and what to count."""

    to: Day = Field(description="Day in the last interval, in UTC. It can be in the future.")
    every: Annotated[
        Interval,
        BeforeValidator(_interval),
        WithJsonSchema({"type": "string", "enum": list(Interval), "default": Interval.DAY}),
    ] = Field(
        Interval.DAY,
        description=f"Length of each interval. Weeks begin on Monday. There can be at most {MOST_INTERVALS} "
        "intervals.",
    )
    tier: OfTier = Field(
        "",
        description="Slug of a tier. Only its licenses are counted. Customers are still those of the whole "
        "app.",
    )


class Statistic(_Shown):
    """What happened in an app in one interval, and what it has at the end. Past days never change."""

    active: int = Field(
        description="Licenses that are active at the end. For today and future days, this is how many will "
        "be active if nothing changes until then."
    )
    issued: int = Field(description="Licenses that were issued.")
    renewed: int = Field(description="Renewals of licenses.")
    reinstated: int = Field(description="Licenses that were reinstated.")
    expired: int = Field(description="Licenses that expired.")
    revoked: int = Field(description="Licenses that were revoked.")
    deleted: int = Field(description="Licenses that were deleted.")
    customers_added: int = Field(description="Customers who were added.")
    customers_deleted: int = Field(description="Customers who were deleted.")
    customers: int = Field(description="Customers at the end of the interval.")


class StatisticsAnswer(Answer):
    """The intervals of an app's statistics."""

    data: list[Statistic] = Field(description="Intervals, oldest first.")


_FIELDS = tuple(Scalar(name, name) for name in Statistic.model_fields)


@operation(
    "GET",
    f"{APP}/statistics",
    scope=Scope.READ,
    reads=Scope.READ_CUSTOMERS,
    query=StatisticsQuery,
    check_first=require_app,
    cost=None,
    answers={200: StatisticsAnswer},
)
async def get_statistics(call: Call) -> Response:
    """Get the statistics of an app. Returns what happened in each day, week or month.

    Each call costs the number of intervals. Changes appear within a second or so. Days before this server
    began to record events are reconstructed from the customers and licenses that existed then, without
    renewals, reinstatements and deletions.
    """
    asked = call.checked(StatisticsQuery, call.query).model_dump()
    values = Values()
    slots = statistics.intervals(asked["from"], asked["to"], asked["every"], asked["tier"], values)
    fields = (EntryList("data", "statistics", _FIELDS, slots, "Customer"),)
    call.spend(cost_of_object(fields).of(values.items))
    async with call.database.read() as session:
        selected = Selected(fields, tuple(values.items))
        found = await apps.app(call.viewer, session, call.path["slug"], selected)
    return envelopes.page(found_in_app("app", has_app=False, found=found))
