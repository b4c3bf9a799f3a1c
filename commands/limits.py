"""What the settings allow: the limits on requests, and the policy for viewers."""

from asgi.limits import Quota, Rates
from resolvers.viewer import Policy
from schema.pipeline.limits import Limits
from settings import Settings


def limits_of(settings: Settings) -> Limits:
    """Return the limits on one GraphQL request."""
    rates = rates_of(settings)
    # A key can never have more points than `budget_burst`. A request that costs more is refused like one
    # that costs more than `max_cost`.
    maximums = [settings.max_cost, rates.budget_burst if rates.has_budget else 0]
    return Limits(
        max_tokens=settings.max_tokens,
        max_depth=settings.max_depth,
        max_aliases=settings.max_aliases,
        max_root_fields=settings.max_root_fields,
        max_cost=min((each for each in maximums if each), default=0),
        max_body_bytes=settings.max_body_bytes,
    )


def policy_of(settings: Settings) -> Policy:
    """Return what viewers may do."""
    return Policy(
        public_keys_read_customers=settings.public_keys_read_customers,
        http_webhooks=settings.http_webhooks,
        rotation_limit=settings.rotation_limit,
        event_days=settings.event_days,
        renewal_grace_days=settings.renewal_grace_days,
    )


def rates_of(settings: Settings) -> Rates:
    """Return the limits on requests per minute and on points."""
    per_minute = {
        Quota.REQUESTS: settings.rate_limit_per_minute,
        Quota.VERIFICATION: settings.verify_limit_per_minute,
        Quota.BATCH: settings.batch_limit_per_minute,
        Quota.EXCHANGE: settings.renewal_limit_per_minute,
        Quota.REFUSED: settings.refused_limit_per_minute,
    }
    return Rates(per_minute, settings.budget_burst, settings.budget_per_second)
