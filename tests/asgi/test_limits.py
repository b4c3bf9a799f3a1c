"""The counters of limits, when requests come from more addresses than a process keeps counters for."""

from collections.abc import Callable

import pytest

from asgi.limits import MAX_SUBJECTS, UNLIMITED, Quota, RateLimits, Rates
from db.engine import Database
from resolvers.errors import RateLimited
from resolvers.usage import Ledger

VICTIM = "192.0.2.1"


def limits_of(number: int, ledger: Ledger | None = None) -> RateLimits:
    """Return limits that allow each address this number of verifications per minute."""
    rates = Rates({**UNLIMITED.per_minute, Quota.VERIFICATION: number}, 0, 0)
    return RateLimits(rates, ledger)


def verify_from(limits: RateLimits, addresses: range, times: int = 1) -> None:
    """Count `times` verifications from each address. The numbers stand for addresses in 10.0.0.0/8."""
    for number in addresses:
        address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
        for _ in range(times):
            limits.count(Quota.VERIFICATION, address)


def assert_refused(limits: RateLimits, address: str) -> None:
    with pytest.raises(RateLimited):
        limits.count(Quota.VERIFICATION, address)


def test_counters_take_no_more_memory_after_the_maximum(traced: Callable[[], int]) -> None:
    limits = limits_of(100)
    verify_from(limits, range(MAX_SUBJECTS))
    full = traced()

    verify_from(limits, range(MAX_SUBJECTS, 3 * MAX_SUBJECTS))

    assert traced() < 1.1 * full


def test_requests_from_many_addresses_free_no_address_that_has_reached_its_limit() -> None:
    limits = limits_of(100)
    for _ in range(100):
        limits.count(Quota.VERIFICATION, VICTIM)

    verify_from(limits, range(3 * MAX_SUBJECTS))

    assert_refused(limits, VICTIM)


async def test_a_forgotten_address_is_limited_again_by_the_ledger(database: Database) -> None:
    """All counters have used at least half of their limit, so eight are kept, and the ninth is forgotten."""
    ledger = Ledger(database)
    limits = limits_of(2, ledger)
    victims = [f"192.0.2.{number}" for number in range(1, 10)]
    for victim in victims * 2:
        limits.count(Quota.VERIFICATION, victim)
    await ledger.exchange()
    verify_from(limits, range(MAX_SUBJECTS))
    await ledger.exchange()

    for victim in victims[:8]:
        assert_refused(limits, victim)
    limits.count(Quota.VERIFICATION, victims[8])
    await ledger.exchange()

    for victim in victims:
        assert_refused(limits, victim)
