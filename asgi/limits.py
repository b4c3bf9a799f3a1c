"""Limits, for both APIs: requests per minute, and points, which pay for what requests cost.

A `Meter` belongs to one request. Before anything runs, it takes what the request needs from every limit, or
from none of them. Afterwards, it returns the points that the response did not need.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from math import ceil
from typing import Generic, Protocol, TypeVar

from asgi.clients import UNKNOWN
from resolvers.errors import RateLimited
from resolvers.usage import Ledger, Use, of_limit
from resolvers.viewer import Viewer

MINUTE_S = 60.0
RESOLUTION_S = 0.06
"""Requests within this time are counted together. A minute therefore has about 1,000 entries at most."""

MAX_SUBJECTS = 20_000
"""The maximum number of keys whose points a process keeps, and of counters that it keeps for each quota."""

_SECOND_CHANCES = 8
_POINT_BYTES = 128
_NOTHING: Mapping["Quota", int] = {}


class Quota(StrEnum):
    """What is limited per minute. REQUESTS are counted by key, all others by the client's network."""

    REQUESTS = "requests"
    VERIFICATION = "verification"
    BATCH = "batch"
    EXCHANGE = "exchange"
    REFUSED = "refused"


_COUNTED = {
    Quota.REQUESTS: "requests with this key",
    Quota.VERIFICATION: "verifications from one address",
    Quota.BATCH: "batch verifications from one address",
    Quota.EXCHANGE: "exchanges of tokens from one address",
    Quota.REFUSED: "refused keys from one address",
}


@dataclass(frozen=True, slots=True)
class Rates:
    """The limits: how many per minute, and the points of each key. 0 means no limit."""

    per_minute: Mapping[Quota, int]
    budget_burst: int
    budget_per_second: int

    @property
    def has_budget(self) -> bool:
        """Whether points are limited."""
        return self.budget_burst > 0 and self.budget_per_second > 0


UNLIMITED = Rates(dict.fromkeys(Quota, 0), 0, 0)


class Window(Use):
    """How often something happened in the last minute."""

    __slots__ = ("_entries", "count", "limit")

    def __init__(self, subject: str, limit: int) -> None:
        super().__init__(subject)
        self.limit = limit
        self.count = 0
        # In the order of time. Each entry has the times of its first and last request, and their count.
        self._entries: list[tuple[float, float, int]] = []

    def wait(self, number: int, now: float) -> int:
        """Return after how many seconds this number of requests fits the limit. 0 means now."""
        if self._entries and self._entries[0][1] + MINUTE_S <= now:
            self._forget(now)
        excess = self.count + number - self.limit
        if excess <= 0:
            return 0
        for _, last, counted in self._entries:
            excess -= counted
            if excess <= 0:
                return max(ceil(last + MINUTE_S - now), 1)
        return int(MINUTE_S)  # more than the limit, which never fits

    def take(self, number: int, now: float) -> None:
        """Count requests that fit."""
        self.requests += number
        self._add(number, now)

    def give_back(self, number: int) -> None:
        """Remove the newest requests from the count."""
        self.requests -= number
        self.count -= number
        while number and self._entries:
            first, last, counted = self._entries.pop()
            if counted > number:
                self._entries.append((first, last, counted - number))
            number -= min(counted, number)

    def hear(self, requests: int, points: int, seconds_ago: float) -> None:
        """Count requests of other processes."""
        del points
        if requests and seconds_ago < MINUTE_S:
            self._add(requests, time.monotonic() - seconds_ago)

    def is_cheap_to_forget(self, now: float) -> bool:
        """Return whether less than half of the limit would be forgotten with this counter."""
        self._forget(now)
        return self.count * 2 < self.limit

    def reset_in(self, now: float) -> float:
        """Return after how many seconds the number of remaining requests rises. 0 if none are counted."""
        return self._entries[0][1] + MINUTE_S - now if self._entries else 0

    def _add(self, number: int, now: float) -> None:
        self.count += number
        entries = self._entries
        if entries and now < entries[-1][1]:
            index = next(index for index, entry in enumerate(entries) if now < entry[1])
            entries.insert(index, (now, now, number))
        elif entries and now - entries[-1][0] < RESOLUTION_S:
            first, _, counted = entries[-1]
            entries[-1] = (first, now, counted + number)
        else:
            entries.append((now, now, number))

    def _forget(self, now: float) -> None:
        old = 0
        for _, last, counted in self._entries:
            if last + MINUTE_S > now:
                break
            self.count -= counted
            old += 1
        if old:
            del self._entries[:old]


class Budget(Use):
    """The points of a key: a bucket that refills at a constant rate."""

    __slots__ = ("_at", "_available", "capacity", "per_second")

    def __init__(self, subject: str, rates: Rates) -> None:
        super().__init__(subject)
        self.capacity = rates.budget_burst if rates.has_budget else 0
        self.per_second = rates.budget_per_second if rates.has_budget else 0
        self._available = float(self.capacity)
        self._at = time.monotonic()

    def available(self, now: float) -> int:
        """Return how many whole points are available at the time `now`."""
        self._refill(now)
        available = int(self._available)
        return available if available > 0 else 0

    def available_now(self) -> int:
        """Return how many whole points are available at this moment."""
        return self.available(time.monotonic())

    def wait(self, cost: int, now: float) -> int:
        """Return after how many seconds this cost is available. 0 means now.

        A cost above the capacity needs a full bucket.
        """
        if not self.capacity:
            return 0
        self._refill(now)
        missing = min(cost, self.capacity) - self._available
        return ceil(missing / self.per_second) if missing > 0 else 0

    def take(self, points: int) -> None:
        """Take points, or return them if the number is negative."""
        self.points += points
        self._available = min(self._available - points, self.capacity)

    def state(self, now: float) -> tuple[int, int]:
        """Return the points that are available now, and after how many seconds the bucket is full."""
        available = self.available(now)
        return available, ceil((self.capacity - self._available) / self.per_second)

    def hear(self, requests: int, points: int, seconds_ago: float) -> None:
        """Take the points that other processes took, except those that have been refilled since."""
        del requests
        if points > 0:
            points = max(points - int(self.per_second * seconds_ago), 0)
        self._available = min(self._available - points, self.capacity)

    def is_cheap_to_forget(self, now: float) -> bool:
        """Return whether at most half of the points are missing."""
        self._refill(now)
        return not self.capacity or self._available * 2 >= self.capacity

    def _refill(self, now: float) -> None:
        available = self._available + (now - self._at) * self.per_second
        self._available = available if available < self.capacity else self.capacity
        self._at = now


class _Forgettable(Protocol):
    def is_cheap_to_forget(self, now: float) -> bool: ...


F = TypeVar("F", bound=_Forgettable)


class _Subjects(Generic[F]):
    """The most recently used keys or networks (subjects), at most `MAX_SUBJECTS`.

    If there are more, the least recently used one is forgotten. One that has used half of its limit is kept
    instead, and the next one is tried, up to `_SECOND_CHANCES` times. Therefore a few requests from each of
    very many networks do not make the process forget a subject that has reached its limit. A forgotten
    subject does not start from zero: its first request adds it to the ledger, which returns what the subject
    has used.
    """

    def __init__(self, make: Callable[[str], F]) -> None:
        self._make = make
        self._by_name: OrderedDict[str, F] = OrderedDict()

    def of(self, name: str) -> F:
        found = self._by_name.get(name)
        if found is None:
            found = self._by_name[name] = self._make(name)
            if len(self._by_name) > MAX_SUBJECTS:
                self._forget_one()
        else:
            self._by_name.move_to_end(name)
        return found

    def all(self) -> Iterable[F]:
        return self._by_name.values()

    def _forget_one(self) -> None:
        now = time.monotonic()
        for _ in range(_SECOND_CHANCES):
            oldest = next(iter(self._by_name))
            if self._by_name[oldest].is_cheap_to_forget(now):
                break
            self._by_name.move_to_end(oldest)
        self._by_name.popitem(last=False)


def _window(quota: Quota, limit: int, counted: str) -> Window:
    return Window(of_limit(quota, counted), limit)


def _no_ledger(use: Use) -> None:
    """Do nothing, because there is no ledger."""


class RateLimits:
    """All limits of a process."""

    def __init__(self, rates: Rates = UNLIMITED, ledger: Ledger | None = None) -> None:
        self.rates = rates
        self.ledger = ledger
        self.note: Callable[[Use], None] = _no_ledger if ledger is None else ledger.note
        """Note for the ledger that a subject used something."""
        self._budgets = _Subjects(lambda key_id: Budget(key_id, rates))
        self._windows = {
            quota: _Subjects(partial(_window, quota, limit))
            for quota, limit in rates.per_minute.items()
            if limit
        }
        seconds = ceil(rates.budget_burst / rates.budget_per_second) if rates.has_budget else 0
        self._policy = (
            b"ratelimit-policy",
            b'"points";q=%d;w=%d;qu="points"' % (rates.budget_burst, seconds),
        )

    def budget_of(self, key_id: str) -> Budget:
        """Return the points of a key."""
        return self._budgets.of(key_id)

    def budgets(self) -> Iterable[Budget]:
        """Return the points of all known keys, the least recently used first."""
        return self._budgets.all()

    def window_of(self, quota: Quota, counted: str) -> Window | None:
        """Return the counter of a limit for a key or a network, or None if there is no limit."""
        windows = self._windows.get(quota)
        return None if windows is None else windows.of(counted)

    def meter(self, viewer: Viewer, network: str) -> "Meter":
        """Return the meter of a request from this network. Count the request for its key, if it has one."""
        if viewer.key_id is None:
            return Meter(self, network)
        budget = self._budgets.of(viewer.key_id)
        budget.requests += 1
        self.note(budget)
        return Meter(self, network, budget)

    def count(self, quota: Quota, network: str) -> Window | None:
        """Count a request from this network toward a limit. Raises RateLimited.

        Returns the counter, or None if there is no limit.
        """
        window = self.window_of(quota, network)
        if window is None:
            return None
        now = time.monotonic()
        self.require(quota, window, 1, now, window)
        window.take(1, now)
        self.note(window)
        return window

    def require(self, quota: Quota, window: Window, number: int, now: float, use: Use) -> None:
        """Raise RateLimited if a limit has no place for this number of requests. `use` counts the refusal."""
        wait = window.wait(number, now)
        if wait:
            counts = f"The request counts as {number}. " if number > 1 else ""
            allowed = f"At most {window.limit} {_COUNTED[quota]} are allowed per minute."
            raise self.refused(use, f"{counts}{allowed}", wait)

    def refused(self, use: Use, message: str, wait: int) -> RateLimited:
        """Count a refusal, and return it for the caller to raise."""
        use.refused += 1
        self.note(use)
        return RateLimited(message, wait)

    def headers_of(self, budget: Budget) -> Sequence[tuple[bytes, bytes]]:
        """Return the headers that report the points of a key."""
        state = b'"points";r=%d;t=%d' % budget.state(time.monotonic())
        return (self._policy, (b"ratelimit", state))


class Meter:
    """What one request takes from its limits. `budget` is None without a key."""

    __slots__ = ("_limits", "_network", "_taken", "_window", "budget", "requested")

    def __init__(self, limits: RateLimits, network: str, budget: Budget | None = None) -> None:
        self.budget = budget
        self.requested = 0
        self._limits = limits
        self._network = network
        self._taken = 0
        self._window: Window | None = None

    def take(self, cost: int, quotas: Mapping[Quota, int] = _NOTHING) -> None:
        """Take points, and count toward limits per minute. Raises RateLimited, and then takes nothing.

        A request without a key takes no points.
        """
        now = time.monotonic()
        self.requested += cost
        windows = []
        for quota, number in quotas.items():
            window = self._limits.window_of(quota, self._counted_by(quota))
            if window is not None:
                self._window = window
                self._limits.require(quota, window, number, now, self.budget or window)
                windows.append((window, number))
        budget = self.budget
        if budget is not None and cost:
            wait = budget.wait(cost, now)
            if wait:
                available = budget.available(now)
                raise self._limits.refused(
                    budget, f"The request costs {cost} points, and {available} are available.", wait
                )
            self._taken += cost
            budget.take(cost)
            self._limits.note(budget)
        for window, number in windows:
            window.take(number, now)
            self._limits.note(window)

    def settle(self, length: int) -> int:
        """Return the points that a response of this length in bytes needs, and give back the others.

        If the client is gone before there is a response, this is not called, and the points stay taken.
        """
        actual = min(1 + -(-length // _POINT_BYTES), self.requested)
        if self.budget is not None and actual < self._taken:
            self.budget.take(actual - self._taken)
            self._limits.note(self.budget)
        self._taken = actual
        return actual

    def budget_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Return the headers that report the points of the request's key."""
        if self.budget is None or not self.budget.capacity:
            return ()
        return self._limits.headers_of(self.budget)

    def window_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Return the headers that report the limit per minute that the request counted toward."""
        window = self._window
        if window is None:
            return ()
        remaining = window.limit - window.count
        reset = time.time() + window.reset_in(time.monotonic())
        return (
            (b"x-ratelimit-limit", b"%d" % window.limit),
            (b"x-ratelimit-remaining", b"%d" % remaining if remaining > 0 else b"0"),
            (b"x-ratelimit-reset", b"%d" % ceil(reset)),
        )

    def _counted_by(self, quota: Quota) -> str:
        if quota is Quota.REQUESTS and self.budget is not None:
            return self.budget.subject
        return self._network


def unmetered() -> Meter:
    """Return the meter of a request that no limit applies to."""
    return Meter(_NO_LIMITS, UNKNOWN.network)


_NO_LIMITS = RateLimits()
