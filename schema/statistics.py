"""Statistics of apps in the graph: what happened in each interval, and the standing of all licenses."""

from enum import Enum
from typing import Annotated

import strawberry

from resolvers.statistics import Interval
from schema.base.scalars import Date
from schema.tiers import Tier


@strawberry.enum(description="Length of the intervals of statistics, in UTC.")
class StatisticsInterval(Enum):
    DAY = strawberry.enum_value(Interval.DAY.value, description="One day.")
    WEEK = strawberry.enum_value(Interval.WEEK.value, description="A week from Monday to Sunday.")
    MONTH = strawberry.enum_value(Interval.MONTH.value, description="A month of the calendar.")


StatisticsFrom = Annotated[
    Date, strawberry.argument(name="from", description="Day in the first interval, in UTC.")
]
StatisticsTo = Annotated[
    Date,
    strawberry.argument(description="Day in the last interval, in UTC. It can be in the future."),
]
StatisticsEvery = Annotated[StatisticsInterval, strawberry.argument(description="Length of each interval.")]
StatisticsTier = Annotated[
    str | None,
    strawberry.argument(
        description="Slug of a tier. Only its licenses are counted. Customers are still those of the whole "
        "app. By default, the licenses of all tiers and those without a tier are counted."
    ),
]


@strawberry.type(
    description="What happened in an app in one interval, and how many licenses and customers it has at the "
    "end. The numbers of past days never change. A license counts for the tier that it had on that day."
)
class Statistic:
    from_: Date = strawberry.field(name="from", description="First day of the interval, in UTC.")
    active: int = strawberry.field(
        description="Licenses that are active at the end of the interval. For today and future days, this "
        "is how many will be active if nothing changes until then."
    )
    issued: int = strawberry.field(description="Licenses that were issued.")
    renewed: int = strawberry.field(description="Renewals of licenses.")
    reinstated: int = strawberry.field(description="Licenses that were reinstated.")
    expired: int = strawberry.field(description="Licenses that expired.")
    revoked: int = strawberry.field(description="Licenses that were revoked.")
    deleted: int = strawberry.field(description="Licenses that were deleted.")
    customers_added: int = strawberry.field(
        description="Customers who were added. Requires the scope READ_CUSTOMERS."
    )
    customers_deleted: int = strawberry.field(
        description="Customers who were deleted. Requires the scope READ_CUSTOMERS."
    )
    customers: int = strawberry.field(
        description="Customers at the end of the interval. Requires the scope READ_CUSTOMERS."
    )


@strawberry.type(description="How many licenses of a tier are active.")
class TierStanding:
    tier: Tier | None = strawberry.field(description="The tier. Null for all licenses without a tier.")
    active: int = strawberry.field(description="Active licenses of the tier.")


@strawberry.type(description="How many licenses of an app are active, expired and revoked now.")
class Standing:
    active: int = strawberry.field(description="Active licenses.")
    expired: int = strawberry.field(description="Expired licenses that are not revoked.")
    revoked: int = strawberry.field(description="Revoked licenses.")
    expiring_in7_days: int = strawberry.field(
        name="expiringIn7Days", description="Active licenses that expire within 7 days."
    )
    expiring_in30_days: int = strawberry.field(
        name="expiringIn30Days", description="Active licenses that expire within 30 days."
    )
    never_verified: int = strawberry.field(
        description="Active licenses that were never verified online, as far as the server noted it."
    )
    by_tier: list[TierStanding] = strawberry.field(
        description="Active licenses of each tier, sorted by the position of the tier. Licenses without a "
        "tier come last, if there are any. Costs 10, and the cost of 5 tiers."
    )
