"""Statistics and the standing of an app, compared with a recount from the events of two simulated years."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import bindparam, update

from db import clock as stored_clock
from db import expiry, projector
from db.customers import customers
from db.engine import Database
from db.events import events as events_table
from db.events import watermarks
from db.expiry import Mark
from db.license_seen import license_seen
from db.licenses import licenses
from db.log import log as log_table
from db.retention import forget_oldest
from db.shaping.selection import BreakdownList, EntryList, FiguresObject, Object, Scalar, Selected, Values
from db.standing import app_expiries
from db.statistics import STATISTICS, add_rows, app_days
from db.tiers import tiers as tiers_table
from resolvers import apps as app_resolvers
from resolvers.apps import delete_app
from resolvers.counters import CountersOff, check, repair
from resolvers.customers import create_customer, delete_customer
from resolvers.errors import Faults
from resolvers.license_changes import renew_license, transfer_license, update_license
from resolvers.licenses import (
    create_license,
    delete_license,
    regenerate_license,
    reinstate_license,
    revoke_license,
)
from resolvers.purge import purge as purge_apps
from resolvers.statistics import Interval, intervals
from resolvers.viewer import Viewer
from tests.factories import App, Tier, make_customer, make_license, make_tier, number_events
from tests.resolvers.calling import rows, write
from tests.resolvers.conftest import Clock

BEGIN = datetime(2025, 1, 1, 9, tzinfo=UTC)
DAY = timedelta(days=1)
NAMES = tuple(STATISTICS.attributes)
COUNTED = {
    "license.created": "issued",
    "license.renewed": "renewed",
    "license.reinstated": "reinstated",
    "license.expired": "expired",
    "license.revoked": "revoked",
    "license.deleted": "deleted",
    "customer.created": "customers_added",
    "customer.deleted": "customers_deleted",
}
_VERIFY = (
    license_seen.update()
    .where(license_seen.c.license_id == bindparam("id"))
    .values(at=bindparam("verified_at", type_=license_seen.c.at.type))
)
FIGURES = ("active", "expired", "revoked", "expiring_in7_days", "expiring_in30_days", "never_verified")


@pytest.fixture(autouse=True)
async def begun(database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log begins at `BEGIN`. Licenses expire by the clock of the test, on PostgreSQL, too."""
    clock.now = BEGIN
    async with database.write() as session:
        await session.execute(update(watermarks).values(until=BEGIN))
        await session.execute(update(log_table).values(since=BEGIN))
    monkeypatch.setattr(expiry, "end_of", lambda _mark, _now, _days: clock.now)


@pytest.fixture
async def tiers(database: Database, app: App) -> list[Tier]:
    return [await make_tier(database, app, slug=slug) for slug in ("basic", "pro")]


async def project(database: Database) -> None:
    """Do what a server does by itself: licenses expire, and events are numbered and counted."""
    while True:
        async with database.write() as session:
            if not await expiry.advance(session, Mark.EXPIRED, 0):
                break
    while True:
        async with database.write() as session:
            if not await projector.project(session):
                break


async def statistics(
    database: Database,
    viewer: Viewer,
    app: App,
    first: date,
    last: date,
    every: Interval = Interval.DAY,
    tier: str | None = None,
) -> list[dict[str, Any]]:
    values = Values()
    slots = intervals(first, last, every, tier, values)
    field = EntryList("found", "statistics", tuple(Scalar(name, name) for name in NAMES), slots)
    async with database.read() as session:
        found = await app_resolvers.app(viewer, session, app.slug, Selected((field,), tuple(values.items)))
    assert found is not None
    return list(json.loads(found)["found"])


async def standing(database: Database, viewer: Viewer, app: App) -> dict[str, Any]:
    """Return the standing of an app. `by_tier` has the slug of each tier."""
    tier = Object("tier", "tier", "Tier", (Scalar("slug", "slug"),))
    entry = BreakdownList("by_tier", "by_tier", "Tier", (tier, Scalar("active", "active")), 5)
    numbers = tuple(Scalar(name, name) for name in FIGURES)
    field = FiguresObject("found", "standing", (*numbers, entry), 10)
    async with database.read() as session:
        found = await app_resolvers.app(viewer, session, app.slug, Selected((field,)))
    assert found is not None
    shown = json.loads(found)["found"]
    of_tiers = {each["tier"] and each["tier"]["slug"]: each["active"] for each in shown["by_tier"]}
    return {**shown, "by_tier": of_tiers}


@dataclass
class Term:
    """What a license is from a time on. `until` is its expiry. None means that it is not active."""

    at: str
    tier: str | None
    until: str | None


@dataclass
class Recount:
    """The numbers of each day, counted again from all events."""

    terms: dict[str, list[Term]] = field(default_factory=dict)
    happened: list[tuple[str, str, str | None]] = field(default_factory=list)

    @classmethod
    async def of(cls, database: Database) -> "Recount":
        found = cls()
        numbered = [each for each in await rows(database, events_table) if each["position"] is not None]
        for event in sorted(numbered, key=lambda each: each["position"]):
            data, at = json.loads(event["data"]), stored_clock.as_text(event["created_at"])
            if event["type"] in COUNTED:
                found.happened.append((at[:10], COUNTED[event["type"]], data.get("tier_id")))
            if event["subject_type"] == "license":
                is_over = event["type"] == "license.deleted" or data["revoked_at"] is not None
                until = None if is_over else data["expires_at"] or "9999"
                found.terms.setdefault(event["subject_id"], []).append(Term(at, data["tier_id"], until))
        return found

    def days(self, first: date, last: date, tier: str | None = None) -> list[dict[str, Any]]:
        """Return what the statistics of each day must be. `tier` is the id of a tier."""
        found = []
        for number in range((last - first).days + 1):
            day = (first + number * DAY).isoformat()
            that_day = [(name, of) for at, name, of in self.happened if at == day]
            until_then = [name for at, name, _ in self.happened if at <= day]
            counted: dict[str, Any] = dict.fromkeys(NAMES, 0) | {
                "from": day,
                "active": self._active(day, tier),
            }
            for name, of in that_day:
                counted[name] += 1 if name.startswith("customers") or tier in {None, of} else 0
            counted["customers"] = until_then.count("customers_added") - until_then.count("customers_deleted")
            found.append(counted)
        return found

    def _active(self, day: str, tier: str | None) -> int:
        end = f"{day}T23:59:59Z"
        last = (
            max((term for term in terms if term.at <= end), key=lambda term: term.at, default=None)
            for terms in (list(reversed(each)) for each in self.terms.values())
        )
        return sum(
            term is not None and term.until is not None and term.until > end and tier in {None, term.tier}
            for term in last
        )


class Life:
    """A vendor whose customers come and go."""

    def __init__(
        self, database: Database, viewer: Viewer, app: App, tiers: Sequence[Tier], clock: Clock, seed: int
    ) -> None:
        self._database = database
        self._viewer = viewer
        self._app = app
        self._tiers: list[str | None] = [None, *(tier.id for tier in tiers)]
        self._clock = clock
        self._chance = random.Random(seed)
        self._customers: list[str] = []
        self._licenses: list[str] = []

    async def lives(self, days: int, changes: int) -> None:
        """Let days pass, with about this number of changes. Servers are not always running."""
        for _ in range(days):
            self._clock.now = self._clock.now.replace(hour=0, minute=0, second=0) + DAY
            for _ in range(changes // days + (self._chance.random() < changes % days / days)):
                self._clock.passes(seconds=self._chance.randrange(80_000 // (changes // days + 1)))
                await self._change()
            if self._chance.random() < 0.3:
                await project(self._database)

    async def _change(self) -> None:
        chance = self._chance
        if len(self._customers) < 3:
            return await self._adds()
        weights = {
            self._adds: 2,
            self._issues: 8,
            self._revokes: 2,
            self._reinstates: 3,
            self._renews: 4,
            self._changes: 4,
            self._transfers: 1,
            self._regenerates: 1,
            self._deletes: 1,
            self._deletes_customer: 1,
        }
        await chance.choices(list(weights), list(weights.values()))[0]()
        return None

    async def _adds(self) -> None:
        email = f"{len(self._customers)}-{self._chance.random()}@example.com"
        saved = await self._write(create_customer, self._app.slug, {"email": email})
        self._customers.append(saved)

    async def _issues(self) -> None:
        days = self._chance.choice((1, 7, 30, 90, 365, None))
        term = {"forever": True} if days is None else {"duration_days": days}
        owner = {"customer_id": self._chance.choice(self._customers)}
        tier = {"tier_id": self._chance.choice(self._tiers)}
        self._licenses.append(await self._write(create_license, owner | tier | term))

    async def _revokes(self) -> None:
        if id := await self._any():
            await self._write(revoke_license, id, {})

    async def _reinstates(self) -> None:
        found = [each for each in await rows(self._database, licenses) if each["revoked_at"] is not None]
        if found:
            await self._write(reinstate_license, self._chance.choice(found)["id"])

    async def _renews(self) -> None:
        if id := await self._any():
            days = self._chance.choice((1, 20, 200))
            await self._tries(renew_license, id, {"duration_days": days})

    async def _changes(self) -> None:
        """Give a license another tier, another expiry, or both. It may have expired by now."""
        tier = {"tier_id": self._chance.choice(self._tiers)}
        until = {"expires_at": self._clock.now + self._chance.choice((1, 20, 200)) * DAY}
        changes = self._chance.choice((tier, until, tier | until, {"forever": True}, {"metadata": {"a": 1}}))
        if id := await self._any():
            await self._tries(update_license, id, changes)

    async def _transfers(self) -> None:
        if id := await self._any():
            await self._tries(transfer_license, id, {"customer_id": self._chance.choice(self._customers)})

    async def _regenerates(self) -> None:
        found = [
            each["id"]
            for each in await rows(self._database, licenses)
            if each["revoked_at"] is None and (each["expires_at"] or self._clock.now + DAY) > self._clock.now
        ]
        if found:
            await self._write(regenerate_license, self._chance.choice(found))

    async def _deletes(self) -> None:
        if id := await self._any():
            self._licenses.remove(id)
            await self._write(delete_license, id)

    async def _deletes_customer(self) -> None:
        id = self._customers.pop(self._chance.randrange(len(self._customers)))
        await self._write(delete_customer, id, erase=self._chance.random() < 0.5)

    async def _any(self) -> str | None:
        there = {each["id"] for each in await rows(self._database, licenses)}
        self._licenses = [id for id in self._licenses if id in there]
        return self._chance.choice(self._licenses) if self._licenses else None

    async def _tries(self, resolver: Callable[..., Any], *arguments: object) -> None:
        """Write, unless the state of the license does not allow it."""
        with suppress(Faults):
            await self._write(resolver, *arguments)

    async def _write(self, resolver: Callable[..., Any], *arguments: object, **options: object) -> Any:
        saved = await write(self._database, resolver, self._viewer, *arguments, **options)
        return getattr(saved, "id", saved)


def in_weeks(days: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Add up days that begin on a Monday."""
    for number in range(0, len(days), 7):
        yield added_up(days[number : number + 7])


def in_months(days: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for month in sorted({day["from"][:7] for day in days}):
        yield added_up([day for day in days if day["from"][:7] == month])


def added_up(days: Sequence[dict[str, Any]]) -> dict[str, Any]:
    ends = {name: days[-1][name] for name in ("active", "customers")}
    sums = {name: sum(day[name] for day in days) for name in NAMES if name != "from"}
    return {"from": days[0]["from"], **sums, **ends}


async def compare_with_recount(
    database: Database, viewer: Viewer, app: App, tiers: Sequence[Tier], first: date, last: date
) -> None:
    """Compare the statistics of each day with a recount, also by tier."""
    recount = await Recount.of(database)
    for id, slug in ((None, None), *((tier.id, tier.slug) for tier in tiers)):
        expected = recount.days(first, last, id)
        found: list[dict[str, Any]] = []
        for number in range(0, (last - first).days + 1, 400):
            end = min(first + (number + 399) * DAY, last)
            begin = first + number * DAY
            found += await statistics(database, viewer, app, begin, end, tier=slug)
        assert found == expected
    monday = first + (7 - first.weekday()) * DAY
    sunday = last - last.isoweekday() % 7 * DAY
    weeks = await statistics(database, viewer, app, monday, sunday, Interval.WEEK)
    assert weeks == list(in_weeks(recount.days(monday, sunday)))
    begin, end = first.replace(day=1), last.replace(day=1) - DAY
    months = await statistics(database, viewer, app, begin, end, Interval.MONTH)
    assert months == list(in_months(recount.days(begin, end)))


async def live_and_compare(
    database: Database,
    viewer: Viewer,
    app: App,
    tiers: Sequence[Tier],
    clock: Clock,
    *,
    changes: int,
    seed: int,
) -> None:
    """Live for two years. Then let everything expire, and compare it with what was foreseen."""
    life = Life(database, viewer, app, tiers, clock, seed)
    await life.lives(730, changes)
    await project(database)
    today = clock.now.date()
    await compare_with_recount(database, viewer, app, tiers, BEGIN.date() - 3 * DAY, today)
    await check(database)
    assert {name for _, name, _ in (await Recount.of(database)).happened} == set(COUNTED.values())

    tomorrow, last = today + DAY, today + 399 * DAY
    foreseen = [await statistics(database, viewer, app, tomorrow, last, tier=each) for each in (None, "pro")]
    for _ in range(40):
        clock.passes(days=10, hours=1)
        if random.Random(seed).random() < 0.7:
            await project(database)
    await project(database)
    actual = [await statistics(database, viewer, app, tomorrow, last, tier=each) for each in (None, "pro")]
    assert [[day["active"] for day in each] for each in foreseen] == [
        [day["active"] for day in each] for each in actual
    ]
    await compare_with_recount(database, viewer, app, tiers, BEGIN.date(), clock.now.date())
    await check(database)


async def test_every_day_of_two_years_is_as_a_recount_of_the_events_says(
    database: Database, viewer: Viewer, app: App, tiers: list[Tier], clock: Clock
) -> None:
    await live_and_compare(database, viewer, app, tiers, clock, changes=130, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_every_day_of_two_busy_years_is_as_a_recount_of_the_events_says(
    database: Database, viewer: Viewer, app: App, tiers: list[Tier], clock: Clock, seed: int
) -> None:
    await live_and_compare(database, viewer, app, tiers, clock, changes=2_500, seed=seed)


async def recounted_standing(database: Database, app: App, clock: Clock) -> dict[str, Any]:
    """Count the licenses of an app one by one."""
    found = [each for each in await rows(database, licenses) if each["app_id"] == app.id]
    seen = {each["license_id"]: each["at"] for each in await rows(database, license_seen)}
    slugs = {each["id"]: each["slug"] for each in await rows(database, tiers_table)}
    revoked = [each for each in found if each["revoked_at"] is not None]
    valid = [each for each in found if each["revoked_at"] is None]
    active = [each for each in valid if each["expires_at"] is None or each["expires_at"] > clock.now]

    def expiring(days: int) -> int:
        end = clock.now + timedelta(days=days)
        return sum(each["expires_at"] is not None and each["expires_at"] <= end for each in active)

    by_tier = Counter(slugs.get(each["tier_id"]) for each in active)
    return {
        "active": len(active),
        "expired": len(valid) - len(active),
        "revoked": len(revoked),
        "expiring_in7_days": expiring(7),
        "expiring_in30_days": expiring(30),
        "never_verified": sum(seen[each["id"]] is None for each in active),
        "by_tier": {**dict.fromkeys(slugs.values(), 0), **by_tier},
    }


async def test_the_standing_is_exact_at_every_moment(
    database: Database, viewer: Viewer, app: App, tiers: list[Tier], clock: Clock
) -> None:
    """Also while no projector runs, at the second of an expiry, and for licenses that were verified."""
    life, chance = Life(database, viewer, app, tiers, clock, 5), random.Random(5)
    for _ in range(30):
        await life.lives(2, 8)
        async with database.write() as session:
            for each in await rows(database, licenses):
                if chance.random() < 0.1:
                    await session.execute(_VERIFY, {"id": each["id"], "verified_at": clock.now})
        assert await standing(database, viewer, app) == await recounted_standing(database, app, clock)
    expiries = [each["expires_at"] for each in await rows(database, licenses)]
    for at in sorted({at for at in expiries if at is not None and at > clock.now}):
        for days in (0, 7, 30):
            for clock.now in (at - timedelta(days=days, seconds=1), at - timedelta(days=days)):
                found = await standing(database, viewer, app)
                assert found == await recounted_standing(database, app, clock)
    await check(database)


async def test_the_past_stays_when_its_events_and_rows_go(
    database: Database, viewer: Viewer, app: App, tiers: list[Tier], clock: Clock
) -> None:
    """Retention removes events, and an erased customer takes its licenses along."""
    await Life(database, viewer, app, tiers, clock, 6).lives(60, 60)
    await project(database)
    first, last = BEGIN.date(), clock.now.date()
    before = await statistics(database, viewer, app, first, last)

    clock.passes(days=1)
    for each in await rows(database, customers):
        await write(database, delete_customer, viewer, each["id"], erase=True)
    async with database.write() as session:
        assert await forget_oldest(session, clock.now + DAY, 10_000) > 0
    await project(database)

    assert await statistics(database, viewer, app, first, last) == before
    (today,) = await statistics(database, viewer, app, clock.now.date(), clock.now.date())
    assert (today["active"], today["customers"], today["deleted"] > 0) == (0, 0, True)
    await check(database)


async def test_an_event_is_never_forgotten_before_it_is_counted(
    database: Database, viewer: Viewer, app: App, clock: Clock
) -> None:
    await write(database, create_customer, viewer, app.slug, {"email": "a@example.com"})
    await number_events(database)
    async with database.write() as session:
        assert await forget_oldest(session, clock.now + DAY, 10) == 0
    await project(database)
    async with database.write() as session:
        assert await forget_oldest(session, clock.now + DAY, 10) == 1
    (today,) = await statistics(database, viewer, app, clock.now.date(), clock.now.date())
    assert today["customers_added"] == 1


async def test_each_event_is_counted_once_by_two_projectors(
    database: Database, database_url: str, viewer: Viewer, app: App, clock: Clock
) -> None:
    for number in range(40):
        await write(database, create_customer, viewer, app.slug, {"email": f"{number}@example.com"})
    other = Database(database_url)

    async def again_and_again(one: Database) -> None:
        for _ in range(10):
            with suppress(ZeroDivisionError):
                async with one.write() as session:
                    counted = await projector.project(session)
                    if counted and random.random() < 0.5:
                        raise ZeroDivisionError  # the process dies before the commit

    await asyncio.gather(again_and_again(database), again_and_again(other))
    await other.close()
    await project(database)

    (today,) = await statistics(database, viewer, app, clock.now.date(), clock.now.date())
    assert (today["customers_added"], today["customers"]) == (40, 40)


async def test_a_deleted_app_leaves_nothing_behind(
    database: Database, viewer: Viewer, app: App, tiers: list[Tier], clock: Clock
) -> None:
    await Life(database, viewer, app, tiers, clock, 7).lives(10, 20)
    await write(database, delete_app, viewer, app.slug)
    await project(database)
    assert await purge_apps(database) == 1
    await project(database)

    assert await rows(database, app_days) == []
    assert await rows(database, app_expiries) == []


async def test_rows_without_events_are_counted_as_far_as_they_show_what_happened(
    database: Database, viewer: Viewer, app: App, tiers: list[Tier], clock: Clock
) -> None:
    customer = await make_customer(database, app, created_at=BEGIN)
    for days, tier, revoked in ((10, tiers[0], None), (None, None, 5), (20, tiers[1], 3), (400, None, None)):
        until = None if days is None else BEGIN + days * DAY
        await make_license(
            database,
            customer,
            tier=tier,
            created_at=BEGIN,
            expires_at=until,
            revoked_at=None if revoked is None else BEGIN + revoked * DAY,
        )
    clock.passes(days=15)
    async with database.write() as session:
        await session.execute(update(watermarks).values(until=clock.now))
        await add_rows(session, app.id)

    found = await statistics(database, viewer, app, BEGIN.date(), clock.now.date())
    assert [day["active"] for day in found] == [4, 4, 4, 3, 3, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1]
    assert (found[0]["issued"], found[0]["customers_added"], found[0]["customers"]) == (4, 1, 1)
    assert [(day["expired"], day["revoked"]) for day in found if day["expired"] or day["revoked"]] == [
        *((0, 1), (0, 1), (1, 0))
    ]
    assert [
        day["active"]
        for day in await statistics(database, viewer, app, BEGIN.date(), BEGIN.date(), tier="pro")
    ] == [1]
    await check(database)


async def test_wrong_statistics_and_totals_are_found_and_repaired_from_today_on(
    database: Database, viewer: Viewer, app: App, tiers: list[Tier], clock: Clock
) -> None:
    await Life(database, viewer, app, tiers, clock, 8).lives(40, 60)
    await project(database)
    yesterday = clock.now.date() - DAY
    before = await statistics(database, viewer, app, BEGIN.date(), yesterday)
    await make_license(
        database, await make_customer(database, app), tier=tiers[0], expires_at=clock.now + 9 * DAY
    )
    async with database.write() as session:
        await session.execute(app_expiries.update().values(unseen=app_expiries.c.unseen + 1))
        await session.execute(app_days.update().where(app_days.c.span == "month").values(renewed=7))

    with pytest.raises(CountersOff) as off:
        await check(database)
    today, later, basic = clock.now.date(), clock.now.date() + 9 * DAY, tiers[0].id
    assert str(off.value).splitlines() == [
        f"{app.id} has wrong totals of the licenses that expire on each day",
        f"{app.id} lacks 1 active licenses and 1 customers on {today} in the statistics",
        f"{app.id} lacks -1 active licenses and 0 customers on {later} in the statistics",
        f"{app.id} lacks 1 active licenses of {basic} and 0 customers on {today} in the statistics",
        f"{app.id} lacks -1 active licenses of {basic} and 0 customers on {later} in the statistics",
        f"{app.id} has months in the statistics that are not the sums of their days",
    ]
    assert await repair(database) == [app.id]
    await check(database)
    assert await statistics(database, viewer, app, BEGIN.date(), yesterday) == before
    assert await standing(database, viewer, app) == await recounted_standing(database, app, clock)


async def test_lost_statistics_are_made_from_rows(
    database: Database, viewer: Viewer, app: App, tiers: list[Tier], clock: Clock
) -> None:
    await Life(database, viewer, app, tiers, clock, 9).lives(20, 60)
    await project(database)
    await Life(database, viewer, app, tiers, clock, 10).lives(1, 5)  # these events are not counted yet
    async with database.write() as session:
        await session.execute(app_days.delete())
        await session.execute(app_expiries.delete())

    assert await repair(database) == [app.id]
    await check(database)
    await project(database)
    await check(database)
    (today,) = await statistics(database, viewer, app, clock.now.date(), clock.now.date())
    there = [each for each in await rows(database, licenses) if each["revoked_at"] is None]
    end = clock.now.replace(hour=23, minute=59, second=59)
    assert today["active"] == sum((each["expires_at"] or end + DAY) > end for each in there) > 0
