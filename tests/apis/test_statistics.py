"""Statistics and the standing of an app, as the callers of both APIs see them."""

from collections.abc import Mapping
from datetime import timedelta

import pytest
from starlette.applications import Starlette

from db import clock, projector
from db.engine import Database
from tests.apis.market import As, Caller, Market
from tests.factories import make_key
from tests.statements import Statements

FIELDS = (
    *("from", "active", "issued", "renewed", "reinstated", "expired", "revoked", "deleted"),
    *("customersAdded", "customersDeleted", "customers"),
)
STATISTICS = f"""query($from: Date!, $to: Date!, $every: StatisticsInterval! = DAY, $tier: String) {{
  app(slug: "atlas") {{
    statistics(from: $from, to: $to, every: $every, tierSlug: $tier) {{ {" ".join(FIELDS)} }} }} }}"""
ADDED = 5
"""How many events of added customers the app has: 4 are in the market's log, and one is of `sold`."""

ISSUE = """mutation($input: CreateLicenseInput!) {
  createLicense(input: $input) { userErrors { code } } }"""
STANDING = """{ app(slug: "atlas") { standing {
  active expired revoked expiringIn7Days expiringIn30Days neverVerified
  byTier { tier { slug } active } } } }"""


def today() -> str:
    return clock.as_text(clock.now())[:10]


async def project(database: Database) -> None:
    async with database.write() as session:
        await projector.project(session)


@pytest.fixture
async def sold(secret: Caller, database: Database, market: Market) -> None:
    """A customer who bought a license of the app `atlas` for 5 days, and one for 20 days."""
    customer = await secret.rest("POST", "/apps/atlas/customers", {"email": "new@x.example"})
    owner = {"customerId": customer.json()["data"]["id"]}
    for terms in ({"durationDays": 5, "tierId": market.atlas.tier.id}, {"durationDays": 20}):
        made = await secret.data(ISSUE, input=owner | terms)
        assert made["createLicense"]["userErrors"] == []
    await project(database)


@pytest.mark.usefixtures("sold")
async def test_both_apis_return_the_same_statistics(secret: Caller) -> None:
    for every in ("day", "week", "month"):
        asked = {"from": today(), "to": today(), "every": every.upper()}
        (by_graph,) = (await secret.data(STATISTICS, **asked))["app"]["statistics"]
        response = await secret.rest(
            "GET", f"/apps/atlas/statistics?from={today()}&to={today()}&every={every}"
        )

        assert response.status_code == 200
        (by_rest,) = response.json()["data"]
        assert list(by_rest.values()) == [by_graph[name] for name in FIELDS]
        assert list(by_rest) == [
            *("from", "active", "issued", "renewed", "reinstated", "expired", "revoked", "deleted"),
            *("customers_added", "customers_deleted", "customers"),
        ]
        assert (by_rest["issued"], by_rest["customers_added"]) == (2, ADDED)


@pytest.mark.usefixtures("sold")
async def test_a_tier_has_statistics_of_its_own(secret: Caller, market: Market) -> None:
    for tier, issued in ((market.atlas.tier.slug, 1), ("", 2), ("nowhere", 0)):
        (day,) = (await secret.data(STATISTICS, **{"from": today(), "to": today(), "tier": tier}))["app"][
            "statistics"
        ]
        response = await secret.rest("GET", f"/apps/atlas/statistics?from={today()}&to={today()}&tier={tier}")

        assert (day["issued"], day["active"], day["customersAdded"]) == (issued, issued, ADDED)
        assert response.json()["data"][0]["issued"] == issued


@pytest.mark.usefixtures("sold")
async def test_future_days_show_how_many_licenses_will_be_left(secret: Caller) -> None:
    begin = clock.now().date()
    asked = {"from": begin.isoformat(), "to": (begin + timedelta(days=30)).isoformat()}

    days = (await secret.data(STATISTICS, **asked))["app"]["statistics"]

    assert [day["active"] for day in days] == [2] * 5 + [1] * 15 + [0] * 11
    assert [day["from"] for day in days[:2]] == [begin.isoformat(), (begin + timedelta(days=1)).isoformat()]


async def test_weeks_begin_on_monday_and_intervals_are_whole(secret: Caller) -> None:
    async def starts(**asked: str) -> list[str]:
        found = (await secret.data(STATISTICS, **asked))["app"]["statistics"]
        return [each["from"] for each in found]

    assert await starts(**{"from": "2026-01-01", "to": "2026-01-12", "every": "WEEK"}) == [
        *("2025-12-29", "2026-01-05", "2026-01-12")
    ]
    assert await starts(**{"from": "2025-12-31", "to": "2026-02-01", "every": "MONTH"}) == [
        *("2025-12-01", "2026-01-01", "2026-02-01")
    ]
    assert await starts(**{"from": "2024-02-28", "to": "2024-03-01"}) == [
        "2024-02-28",
        "2024-02-29",
        "2024-03-01",
    ]
    assert await starts(**{"from": "0001-01-01", "to": "0001-01-01", "every": "WEEK"}) == ["0001-01-01"]
    assert await starts(**{"from": "9999-12-31", "to": "9999-12-31", "every": "WEEK"}) == ["9999-12-27"]


@pytest.mark.parametrize(
    ("asked", "argument", "message"),
    [
        ({"from": "2026-01-02", "to": "2026-01-01"}, "from", "must not be after to"),
        ({"from": "2026-01-01", "to": "2027-02-05"}, "to", "selects more than 400 intervals"),
        (
            {"from": "1990-01-01", "to": "2026-01-01", "every": "month"},
            "to",
            "selects more than 400 intervals",
        ),
    ],
)
async def test_intervals_that_cannot_be_read(
    secret: Caller, asked: Mapping[str, str], argument: str, message: str
) -> None:
    variables = {**asked, "every": asked.get("every", "day").upper()}
    by_graph = (await secret.post(STATISTICS, **variables)).json()["errors"]
    by_rest = await secret.rest(
        "GET", f"/apps/atlas/statistics?{'&'.join(f'{k}={v}' for k, v in asked.items())}"
    )

    assert [(each["extensions"]["code"], each["extensions"]["argument"]) for each in by_graph] == [
        ("BAD_USER_INPUT", argument)
    ]
    assert by_graph[0]["message"] == f"statistics: {argument} {message}"
    assert by_rest.status_code == 422
    assert by_rest.json()["error"]["details"] == {argument: [message]}


async def test_all_invalid_values_are_reported_together(secret: Caller) -> None:
    response = await secret.rest("GET", "/apps/atlas/statistics?from=0000-01-01&to=2026-1-1&every=year")
    by_graph = (await secret.post(STATISTICS, **{"from": "0000-01-01", "to": "2026-02-30"})).json()["errors"]

    assert response.status_code == 422
    assert response.json()["error"]["details"] == {
        "from": ["must be an existing day between the years 1 and 9999"],
        "to": ["must be a day such as 2026-01-23"],
        "every": ["must be one of: day, week, month"],
    }
    assert [each["extensions"]["code"] for each in by_graph] == ["BAD_USER_INPUT"] * 2
    assert ["$from" in by_graph[0]["message"], "$to" in by_graph[1]["message"]] == [True, True]
    assert (await secret.rest("GET", "/apps/nowhere/statistics?from=x")).status_code == 404


async def test_an_interval_without_numbers(secret: Caller) -> None:
    data = await secret.data(
        '{ app(slug: "atlas") { statistics(from: "2026-01-01", to: "2026-01-02") { __typename } } }'
    )

    assert data["app"]["statistics"] == [{"__typename": "Statistic"}] * 2


async def test_400_days_are_returned(secret: Caller) -> None:
    asked = {"from": "2026-01-01", "to": "2027-02-04"}

    assert len((await secret.data(STATISTICS, **asked))["app"]["statistics"]) == 400


async def test_numbers_of_customers_need_the_scope_to_read_customers(
    by: As, database: Database, market: Market
) -> None:
    reader = by(await make_key(database, market.account, kind="restricted", scopes=["read"]))
    licenses = '{ app(slug: "atlas") { statistics(from: "2026-01-01", to: "2026-01-01") { active issued } } }'

    assert "errors" not in (await reader.post(licenses)).json()
    for name in ("customersAdded", "customersDeleted", "customers"):
        (error,) = (await reader.post(licenses.replace("active", name))).json()["errors"]
        assert error["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.usefixtures("sold")
async def test_the_standing_counts_licenses_by_status_and_tier(secret: Caller, market: Market) -> None:
    # The app had an active license with the tier, and a revoked one without, for each of two customers.
    assert (await secret.data(STANDING))["app"]["standing"] == {
        "active": 4,
        "expired": 0,
        "revoked": 2,
        "expiringIn7Days": 1,
        "expiringIn30Days": 2,
        "neverVerified": 4,
        "byTier": [
            {"tier": {"slug": market.atlas.spare_tier.slug}, "active": 0},
            {"tier": {"slug": market.atlas.tier.slug}, "active": 3},
            {"tier": None, "active": 1},
        ],
    }


async def test_an_overview_is_one_statement(
    secret: Caller, app: Starlette, statements: Statements, market: Market
) -> None:
    overview = """{ app(slug: "atlas") {
      name customers { totalCount }
      statistics(from: "2026-01-01", to: "2026-12-31", every: MONTH) { from active issued customers }
      standing {
        active neverVerified byTier { active tier { name features { slug } licenses { totalCount } } } }
      licenses(first: 2, filter: {status: ACTIVE}) { nodes { id tier { slug } } } } }"""

    await secret.data(overview)  # warm-up, because SQLite may run a new statement twice
    with statements.recorded(app.state.database) as sent:
        data = await secret.data(overview)

    assert len(sent) == 1
    assert len(data["app"]["statistics"]) == 12
    _, sold = data["app"]["standing"]["byTier"]
    assert sold["tier"]["features"] == [{"slug": market.atlas.feature.slug}]


@pytest.mark.parametrize(
    ("asked", "cost"),
    [
        ('statistics(from: "2026-01-01", to: "2026-01-31") { active }', 1 + 31),
        ('statistics(from: "2026-01-01", to: "2026-01-31", every: MONTH) { active }', 1 + 1),
        ("standing { active }", 1 + 10),
        ("standing { active byTier { active } }", 1 + 10 + 10 + 5),
        ("standing { byTier { tier { slug } } }", 1 + 10 + 10 + 5 * 2),
    ],
)
async def test_the_cost_follows_what_is_asked(secret: Caller, asked: str, cost: int) -> None:
    response = await secret.post(f'{{ app(slug: "atlas") {{ {asked} }} }}')

    assert response.json()["extensions"]["cost"]["requested"] == cost
