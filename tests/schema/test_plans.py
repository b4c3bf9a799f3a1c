"""Every page is read along an index: no table is read completely, and no sort is larger than a page."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from sqlalchemy import Table, func, literal, select
from starlette.applications import Starlette

from commands.believable import CUSTOMER_COLUMNS, LICENSE_COLUMNS, Believable
from db import clock, ids, license_seen
from db.accounts import accounts
from db.apps import apps
from db.customers import customers
from db.engine import Database, WriteSession
from db.events import events
from db.features import features
from db.keys import keys
from db.license_seen import MOST_NOTES
from db.licenses import licenses
from db.shaping import cursors
from db.tiers import rank, tier_features, tiers
from db.tokens import tokens
from tests.databases import PostgresTemplate, SqliteTemplate
from tests.factories import Account, App, make_account, make_app, make_key
from tests.schema.conftest import Graph
from tests.schema.plans import analyze, described, faults
from tests.statements import Statements

ROWS = 3_000
NOW = "2026-01-23T10:00:00Z"
FIRST_VERIFIED = datetime(2026, 1, 1, tzinfo=UTC)
EVENT_COLUMNS = (
    *("id", "position", "account_id", "app_id", "customer_id", "subject_type", "subject_id", "version"),
    *("type", "created_at", "actor_kind", "actor_id", "data", "changes"),
)
ORDERS = {
    "apps": {"CREATED_AT": None, "NAME": "app 7", "SLUG": "app-7"},
    "customers": {"CREATED_AT": None, "EMAIL": "mabel", "NAME": "mabel"},
    "licenses": {
        "CREATED_AT": None,
        "EXPIRES_AT": "2026-01-01T00:00:00Z",
        "LAST_VERIFIED_AT": "2026-01-01T00:00:00Z",
    },
}
NOWHERE = "00000000-0000-4000-8000-000000000000"
NULLABLE = {("customers", "NAME"), ("licenses", "EXPIRES_AT"), ("licenses", "LAST_VERIFIED_AT")}


async def fill(url: str) -> None:
    """Create an account with many apps, two of which have many rows."""
    database = Database(url)
    account = await make_account(database)
    for number in range(300):
        await make_app(database, account, slug=f"app-{number}", name=f"App {number % 50}")
    for slug in ("atlas", "other"):
        app = await make_app(database, account, slug=slug)
        (batch,) = Believable(app.id, ROWS, 1, clock.now()).batches(2 * ROWS)
        async with database.write() as session:
            await session.load(customers, CUSTOMER_COLUMNS, batch.customers)
            await session.load(licenses, LICENSE_COLUMNS, batch.licenses)
    await _sell_at_tiers(database)
    await _verify(database)
    await _record(database)
    await analyze(database)
    await database.close()


@pytest.fixture
def database_url(template: SqliteTemplate | PostgresTemplate) -> Iterator[str]:
    with template.copied(fill) as url:
        yield url


@pytest.fixture
async def account(database: Database) -> Account:
    async with database.read() as session:
        ((id, name),) = await session.rows(
            select(accounts.c.id, accounts.c.name).join(apps, apps.c.account_id == accounts.c.id).distinct(),
            {},
        )
    return Account(id, name)


@pytest.fixture
async def customer_id(database: Database) -> str:
    """The id of a customer of the app "other", which has many."""
    found = select(func.max(customers.c.id)).join(apps, apps.c.id == customers.c.app_id)
    async with database.read() as session:
        (id,) = await session.row(found.where(apps.c.slug == "other"), {}) or ()
    return str(id)


async def _record(database: Database) -> None:
    """Write two events of each customer and each license, many of one tier, and some of many other owners."""
    async with database.write() as session:
        account_id = (await session.execute(select(accounts.c.id))).scalar_one()
        others = [(f"acc_{number}", f"Other {number}", NOW) for number in range(100)]
        await session.load(accounts, ("id", "name", "created_at"), others)
        of_others = [(f"key_{id}", id, "public", id, "0000", NOW) for id, _, _ in others]
        await session.load(keys, ("id", "account_id", "kind", "digest", "last4", "created_at"), of_others)
        subjects = [
            *((id, app_id, id, "customer") for id, app_id in await _ids(session, customers)),
            *((id, app_id, of, "license") for id, app_id, of in await _ids(session, licenses, "customer_id")),
        ]
        ((tier_id, app_id), *_) = await _ids(session, tiers)
        written = [(*subject, version, account_id) for version in (1, 2) for subject in subjects]
        written += [(tier_id, app_id, None, "tier", version, account_id) for version in range(1, 100)]
        written += [
            (key_id, None, None, "api_key", version, id) for key_id, id, *_ in of_others for version in (1, 2)
        ]
        app_ids = (await session.execute(select(apps.c.id))).scalars()
        written += [(id, id, None, "app", version, account_id) for id in app_ids for version in (1, 2)]
        rows = [
            (
                ids.new_id(ids.EVENT).id,
                position,
                account_id,
                app_id,
                customer_id,
                kind,
                subject_id,
                version,
                f"{kind}.updated",
                NOW,
                "key",
                "key_01m82q4h06ep9b09e7rw1d5xyz",
                "{}",
                "{}",
            )
            for position, (subject_id, app_id, customer_id, kind, version, account_id) in enumerate(
                written, 1
            )
        ]
        await session.load(events, EVENT_COLUMNS, rows)


async def _ids(session: WriteSession, table: Table, *more: str) -> list[Any]:
    return list(await session.execute(select(table.c.id, table.c.app_id, *(table.c[name] for name in more))))


async def _sell_at_tiers(database: Database) -> None:
    """Give each app tiers and features, each license a token, and about a third of the licenses a tier."""
    async with database.write() as session:
        for (app_id,) in list(await session.execute(select(apps.c.id))):
            made = [(ids.new_id(ids.TIER), f"tier_{number}") for number in range(5)]
            rows = [
                (new.id, app_id, slug, "Tier", 1, rank(1, slug), clock.as_text(new.created_at))
                for new, slug in made
            ]
            await session.load(
                tiers, ("id", "app_id", "slug", "name", "position", "rank", "created_at"), rows
            )
            new_features = [(ids.new_id(ids.FEATURE), f"feature_{number}") for number in range(5)]
            await session.load(
                features,
                ("id", "app_id", "slug", "name", "created_at"),
                [
                    (new.id, app_id, slug, "Feature", clock.as_text(new.created_at))
                    for new, slug in new_features
                ],
            )
            of_tiers = [(tier.id, feature.id) for tier, _ in made for feature, _ in new_features]
            await session.load(tier_features, ("tier_id", "feature_id"), of_tiers)
        for number in range(5):
            named = select(tiers.c.id).where(
                tiers.c.app_id == licenses.c.app_id, tiers.c.slug == f"tier_{number}"
            )
            of_this = licenses.c.installation_id.like(f"%{number}")
            await session.execute(licenses.update().where(of_this).values(tier_id=named.scalar_subquery()))
        issued = select(licenses.c.id, licenses.c.id, literal(1), literal(1))
        await session.execute(
            tokens.insert().from_select(["jti", "license_id", "number", "generation"], issued)
        )


async def _verify(database: Database) -> None:
    """Verify two thirds of the licenses, a minute apart."""
    async with database.write() as session:
        found = [id for id, _ in await _ids(session, licenses)]
    for start in range(0, len(found), MOST_NOTES):
        noted = {
            id: clock.as_text(FIRST_VERIFIED + timedelta(minutes=nth))
            for nth, id in enumerate(found[start : start + MOST_NOTES], start)
            if nth % 3
        }
        await license_seen.add(database, noted)


def pages(connection: str, order: str, direction: str) -> list[str]:
    """Return the arguments of several pages: the first, the last, and those before and after a cursor."""
    kind = connection.removesuffix("s").capitalize()
    value = ORDERS[connection][order]
    places = [value, None] if (connection, order) in NULLABLE else [value]
    tag = f"{kind}.{order.lower()}.{direction.lower()}"
    found = [cursors.encode(tag, "cus_01m82q4h06ep9b09e7rw1d5xyz", place) for place in places]
    return [
        "first: 20",
        "last: 20",
        *(f'first: 20, after: "{cursor}"' for cursor in found),
        *(f'last: 20, before: "{cursor}"' for cursor in found),
    ]


@pytest.mark.parametrize(
    ("around", "connection"),
    [
        ("{ %s }", "apps"),
        ('{ app(slug: "atlas") { %s } }', "customers"),
        ('{ app(slug: "atlas") { %s } }', "licenses"),
        ("query($id: ID!) { customer(id: $id) { %s } }", "licenses"),
    ],
    ids=["apps", "customers of an app", "licenses of an app", "licenses of a customer"],
)
async def test_every_order_in_both_directions_from_every_place(
    graph: Graph, app: Starlette, statements: Statements, customer_id: str, around: str, connection: str
) -> None:
    database = app.state.database
    for order in ORDERS[connection]:
        for direction in ("ASC", "DESC"):
            for page in pages(connection, order, direction):
                selected = (
                    f"{connection}({page}, orderBy: {{field: {order}, direction: {direction}}}) {{"
                    " nodes { id createdAt }"
                    " pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"
                )
                with statements.recorded(database) as sent:
                    await graph.data(around % selected, id=customer_id)

                assert await faults(database, sent[-1]) == [], selected


def is_sort(fault: str) -> bool:
    return fault.startswith(("Sort by", "USE TEMP B-TREE FOR"))


@pytest.mark.parametrize("direction", ["ASC", "DESC"])
@pytest.mark.parametrize("order", ORDERS["licenses"])
async def test_licenses_of_a_tier(
    graph: Graph, app: Starlette, statements: Statements, order: str, direction: str
) -> None:
    database = app.state.database
    for page in pages("licenses", order, direction):
        query = f"""{{ app(slug: "atlas") {{ tier(slug: "tier_1") {{
          licenses({page}, orderBy: {{field: {order}, direction: {direction}}}) {{
            nodes {{ id token jti tier {{ slug }} }}
            pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }} }}"""
        with statements.recorded(database) as sent:
            data = await graph.data(query)

        assert data["app"]["tier"]["licenses"]["pageInfo"]
        assert await faults(database, sent[-1]) == [], page


@pytest.mark.parametrize(
    ("connection", "tag", "value"),
    [("tiers", "Tier.position.asc", rank(1, "tier_2")), ("features", "Feature.slug.asc", "feature_2")],
)
async def test_tiers_and_features_in_their_only_order(
    graph: Graph,
    app: Starlette,
    statements: Statements,
    connection: str,
    tag: str,
    value: str,
) -> None:
    database = app.state.database
    place = cursors.encode(tag, f"{connection[:4]}_01m82q4h06ep9b09e7rw1d5xyz", value)
    for page in ("first: 2", "last: 2", f'first: 2, after: "{place}"', f'last: 2, before: "{place}"'):
        query = f"""{{ app(slug: "atlas") {{ {connection}({page}) {{
          nodes {{ id slug }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} }} }} }}"""
        with statements.recorded(database) as sent:
            data = await graph.data(query)

        assert len(data["app"][connection]["nodes"]) == 2
        assert await faults(database, sent[-1]) == [], page


@pytest.mark.parametrize(
    "found",
    [
        f'license(by: {{installationId: "{NOWHERE}"}}) {{ id status tier {{ slug }} }}',
        'tier(slug: "tier_1") { id features { id slug } }',
        'feature(slug: "feature_1") { id }',
        "publicKeyPem signingAlgorithm",
    ],
)
async def test_lookups_in_an_app(graph: Graph, app: Starlette, statements: Statements, found: str) -> None:
    database = app.state.database

    with statements.recorded(database) as sent:
        await graph.data(f'{{ app(slug: "atlas") {{ {found} }} }}')

    # Sorts are allowed here, because they are small: the licenses of one installation, or the features of a
    # tier.
    assert [each for each in await faults(database, sent[-1]) if not is_sort(each)] == []


@pytest.mark.parametrize(
    "asked",
    [
        f'verifyLicense(appSlug: "atlas", by: {{installationId: "{NOWHERE}"}}) {{ valid }}',
        'verifyLicense(appSlug: "atlas", by: {jti: "lic_01m82q4h06ep9b09e7rw1d5xyz"}) { valid }',
        'verifyLicense(appSlug: "atlas", by: {token: "a.b.c"}) { valid }',
        f'verifyLicenses(appSlug: "atlas", by: {{installationIds: ["{NOWHERE}"]}}) {{ valid }}',
        'verifyLicenses(appSlug: "atlas", by: {jtis: ["lic_01m82q4h06ep9b09e7rw1d5xyz"]}) { valid }',
    ],
)
async def test_verification_uses_lookups(
    graph: Graph, app: Starlette, statements: Statements, asked: str
) -> None:
    database = app.state.database

    with statements.recorded(database) as sent:
        await graph.data(f"{{ {asked} }}")

    assert [each for each in await faults(database, sent[-1]) if not is_sort(each)] == []


@pytest.mark.parametrize("noun", ["apps", "customers", "licenses", "tiers", "features"])
async def test_pages_of_rest_by_cursor(
    graph: Graph, app: Starlette, statements: Statements, noun: str
) -> None:
    database = app.state.database
    path = "/api/v1/apps" if noun == "apps" else f"/api/v1/apps/atlas/{noun}"
    cursor = ""
    for _ in range(3):
        headers = {"Authorization": f"Bearer {graph.token}"}
        query = {"cursor": cursor, "per_page": "2"}
        with statements.recorded(database) as sent:
            answer = (await graph.client.get(path, params=query, headers=headers)).json()
        cursor = answer["meta"]["next_cursor"]

        # Sorts are allowed here, because they are small: the features of a tier.
        assert [each for each in await faults(database, sent[-1]) if not is_sort(each)] == []
        assert noun == "tiers" or await faults(database, sent[-1]) == []


@pytest.mark.parametrize(
    "around",
    [
        '{ app(slug: "atlas") { %s } }',
        '{ app(slug: "atlas") { tier(slug: "tier_1") { %s } } }',
        "query($id: ID!) { customer(id: $id) { %s } }",
    ],
    ids=["of an app", "of a tier", "of a customer"],
)
async def test_licenses_of_an_installation(
    graph: Graph, app: Starlette, statements: Statements, customer_id: str, around: str
) -> None:
    database = app.state.database
    orders = (
        "",
        ", orderBy: {field: EXPIRES_AT}",
        ", orderBy: {field: EXPIRES_AT, direction: DESC}",
        ", orderBy: {field: LAST_VERIFIED_AT, direction: DESC}",
    )
    filters = ("", ', expiresAfter: "2026-01-01T00:00:00Z"', ', tierSlug: "tier_1"', ", status: ACTIVE")
    for order in orders:
        for filter in filters:
            arguments = f'filter: {{installationId: "{NOWHERE}"{filter}}}{order}'
            found = f"licenses({arguments}) {{ nodes {{ id }} pageInfo {{ endCursor }} totalCount }}"
            with statements.recorded(database) as sent:
                await graph.data(around % found, id=customer_id)

            # Sorts are allowed here, because they are small: the licenses of one installation.
            assert [each for each in await faults(database, sent[-1]) if not is_sort(each)] == [], arguments
            plan = await described(database, sent[-1])
            assert not re.search("ix_license(s|_seen)_(app|tier)_id", plan), plan


@pytest.mark.parametrize("order", ["CREATED_AT", "LAST_VERIFIED_AT"])
async def test_licenses_are_found_by_the_start_of_an_installation_id_or_a_jti(
    graph: Graph, app: Starlette, statements: Statements, order: str
) -> None:
    database = app.state.database
    query = f"""{{ app(slug: "atlas") {{
      licenses(filter: {{search: "{NOWHERE}"}}, orderBy: {{field: {order}}}) {{
        nodes {{ id }} pageInfo {{ endCursor }} }} }} }}"""

    with statements.recorded(database) as sent:
        await graph.data(query)

    plan = await described(database, sent[-1])
    found = [each for each in await faults(database, sent[-1]) if not is_sort(each)]
    # Sorts are allowed here, because they are small: the licenses that the two indexes find. In a table as
    # small as this one, PostgreSQL is right to read all ids for the thousandth row in the order of another.
    allowed = set() if order == "CREATED_AT" else {"walk over the ids of all licenses"}
    assert set(found) <= allowed, plan
    if database.is_sqlite:
        assert "ix_licenses_installation_id_app_id_id (installation_id>? AND installation_id<?)" in plan
        assert "(jti>? AND jti<?)" in plan
    else:
        for column in ("installation_id", "jti"):
            assert re.search(rf"Index Cond: \(\({column} >= .* AND \({column} < ", plan), plan


@pytest.mark.parametrize(
    ("around", "order"),
    [
        ("{ %s }", "position"),
        ('{ app(slug: "atlas") { %s } }', "position"),
        ("query($id: ID!) { customer(id: $id) { %s } }", "position"),
        ('{ app(slug: "atlas") { tier(slug: "tier_1") { %s } } }', "version"),
        ('{ app(slug: "atlas") { customers(first: 2) { nodes { %s } } } }', "position"),
        ('{ app(slug: "atlas") { licenses(first: 2) { nodes { %s } } } }', "version"),
    ],
    ids=["all", "of an app", "of a customer", "of a tier", "of customers on a page", "of licenses on a page"],
)
async def test_events_in_both_directions_from_every_place(
    graph: Graph, app: Starlette, statements: Statements, customer_id: str, around: str, order: str
) -> None:
    database = app.state.database
    cursor = cursors.encode(f"Event.{order}.both", "1000", None)
    places = ("first: 20", "last: 20", f'first: 20, after: "{cursor}"', f'last: 20, before: "{cursor}"')
    for direction in ("ASC", "DESC"):
        for place in places:
            query = f"""events({place}, orderBy: {{field: POSITION, direction: {direction}}}) {{
              nodes {{ type data actor {{ name }} causedBy {{ id }} app {{ slug }} }}
              pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} totalCount(atMost: 100) }}"""
            with statements.recorded(database) as sent:
                await graph.data(around % query, id=customer_id)

            assert await faults(database, sent[-1]) == [], place


@pytest.mark.parametrize("around", ["{ %s }", '{ app(slug: "other") { %s } }'], ids=["all", "of an app"])
async def test_events_of_a_subject_are_found_by_its_id(
    graph: Graph, app: Starlette, statements: Statements, customer_id: str, around: str
) -> None:
    database = app.state.database
    query = 'events(filter: {subjectId: "%s", types: [CUSTOMER_UPDATED]}) { nodes { version } totalCount }'

    with statements.recorded(database) as sent:
        data = await graph.data(around % (query % customer_id))

    assert "'version': 2" in str(data)
    # Sorts are allowed here, because they are small: the events of one subject.
    assert [each for each in await faults(database, sent[-1]) if not is_sort(each)] == []
    plan = await described(database, sent[-1])
    assert re.search(r"uq_events_subject_id_version|\(subject_id=\?", plan), plan


@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/apps/atlas/events"])
async def test_the_feed_of_events(graph: Graph, app: Starlette, statements: Statements, path: str) -> None:
    database = app.state.database
    headers = {"Authorization": f"Bearer {graph.token}"}
    after = cursors.encode("Event.position.both", "1000", None)
    for query in ({}, {"after": "start"}, {"after": after}):
        with statements.recorded(database) as sent:
            answer = (await graph.client.get(path, params=query, headers=headers)).json()

        assert len(answer["data"]) == 20
        assert await faults(database, sent[-1]) == [], query


@pytest.mark.parametrize("arguments", ["", ', appSlug: "other"'], ids=["in all apps", "in one app"])
@pytest.mark.parametrize("limited", [False, True], ids=["whole account", "limited to an app"])
async def test_every_part_of_a_search(
    graph: Graph,
    app: Starlette,
    statements: Statements,
    account: Account,
    customer_id: str,
    arguments: str,
    limited: bool,
) -> None:
    database = app.state.database
    if limited:
        async with database.read() as session:
            found = await session.row(select(apps.c.id, apps.c.created_at).where(apps.c.slug == "other"), {})
        assert found is not None
        other = App(found[0], account.id, "other", found[1])
        graph = graph.with_token(await make_key(database, account, apps=[other]))
    license_id, token = ids.new_id(ids.LICENSE).id, jwt.encode({"lic_id": "lic_1", "jti": "lic_2"}, "x" * 32)
    text = f"Mabel Nobody <mabel@nobody.example>, {customer_id} {license_id} {NOWHERE} {token}"
    query = f"""query($text: String!) {{ search(text: $text{arguments}) {{
      field customer {{ id email licenses(first: 2) {{ nodes {{ id }} }} }} license {{ id token }} }} }}"""

    with statements.recorded(database) as sent:
        data = await graph.data(query, text=text)

    assert data["search"][0] == {
        "field": "CUSTOMER_ID",
        "customer": data["search"][0]["customer"] | {"id": customer_id},
        "license": None,
    }
    # Sorts are allowed here, because they are small: 20 hits of each part in each app.
    assert [each for each in await faults(database, sent[-1]) if not is_sort(each)] == []
    plan = await described(database, sent[-1])
    indexes = (
        *("uq_customers_app_id_email_key", "ix_customers_app_id_email_folded_id"),
        *("ix_customers_app_id_name_folded_id", "ix_licenses_installation_id_app_id_id"),
        *(
            ("sqlite_autoindex_customers_2", "sqlite_autoindex_tokens_1", "customer_grams")
            if database.is_sqlite
            else ("uq_customers_app_id_external_id", "pk_tokens", "ix_customers_grams")
        ),
    )
    assert [index for index in indexes if index not in plan] == [], plan


async def test_the_viewer_is_found_by_its_key(
    graph: Graph, app: Starlette, database: Database, account: Account, statements: Statements
) -> None:
    for _ in range(300):
        await make_key(database, await make_account(database))
    await analyze(database)

    with statements.recorded(app.state.database) as sent:
        await graph.data("{ viewer { accountName scopes } }")

    assert await faults(database, sent[-1]) == []


async def test_creation_times_are_a_range_of_ids(
    graph: Graph, app: Starlette, statements: Statements
) -> None:
    database = app.state.database
    query = """{ app(slug: "atlas") { customers(
      filter: {createdAfter: "2026-01-01T00:00:00Z", createdBefore: "2026-02-01T00:00:00Z"}
    ) { nodes { id } totalCount } } }"""

    with statements.recorded(database) as sent:
        await graph.data(query)

    assert "created_at" not in sent[-1]
    assert await faults(database, sent[-1]) == []


async def test_a_rest_page_skips_rows_in_an_index_of_ids(
    graph: Graph, app: Starlette, statements: Statements
) -> None:
    database = app.state.database

    with statements.recorded(database) as sent:
        response = await graph.client.get(
            "/api/v1/apps/atlas/customers?page=140", headers={"Authorization": f"Bearer {graph.token}"}
        )

    assert len(response.json()["data"]) == 20
    assert await faults(database, sent[-1]) == []
    how = "USING COVERING INDEX" if database.is_sqlite else "Index Only Scan Backward using"
    assert f"{how} ix_customers_app_id_id" in await described(database, sent[-1])


async def test_bad_plans_are_recognized(database: Database) -> None:
    statement = "SELECT id FROM customers ORDER BY created_at"

    assert await faults(database, statement) == (
        ["SCAN customers", "USE TEMP B-TREE FOR ORDER BY"]
        if database.is_sqlite
        else ["Seq Scan on customers", "Sort by ['created_at COLLATE \"C\"'] of customers"]
    )
