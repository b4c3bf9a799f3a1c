"""Search: it finds every email and name that contains the search text.

Case is ignored, and no character is special.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from starlette.applications import Starlette

from commands.believable import CUSTOMER_COLUMNS, Believable
from db import clock
from db.customers import customers
from db.engine import Database
from db.types import fold
from tests.factories import Account, App, make_app, make_customer, make_license
from tests.schema.conftest import UNLIMITED_COST, Graph
from tests.schema.plans import analyze, described, faults
from tests.statements import Statements

NAMES = (
    "Zoë",
    "zoe\u0308 decomposed",
    "STRASSE",
    "Straße",
    "İstanbul",
    "ısparta",
    "ΟΔΟΣ",
    "100%",
    "a_b",
    'it\'s "quoted" \\ and /',
    "AND",
    "OR NOT NEAR(*)",
    "^col:umn -x +y",
    "👩‍👩‍👧 family",
    "👾",
    "שלום עולם",
    "مرحبا",
    "漢字かな",
    "tab\there\nand there",
    "\x1f\x1f",
    "\ufffe\uffff",
    "\U0010ffff\U0010ffff end",
    " ",
    "x",
)
NEEDLES = (
    *("z", "ZO", "zoë", "zoe\u0308", "ss", "ß", "i", "İ", "ı", "σ", "ς", "%", "_", "a_", "'", '"', "\\", "/"),
    *("it's", '"q', "AND", "or", "NOT NEAR(", "*", ":", "-x", "^c", "👩", "👩\u200d", "👧 f", "👾", "👾👾"),
    *("של", "עולם", "م", "حبا", "漢", "字か", "漢字か", "\t", "\n", "\x1f", "\x1f\x1f", "\ufffe", "\uffff"),
    *("\ufffd", "\U0010ffff", "\U0010ffff\U0010ffff", " ", "  ", "x", "@", ".de", "a@b", "nobody at all"),
    'it\'s "quoted" \\ and / and much more than any of the texts that are there has to offer',
)
SEARCH = """query($text: String) { app(slug: "atlas") {
  byWalk: customers(first: 100, filter: {search: $text}) { nodes { id } pageInfo { hasNextPage } }
  byName: customers(first: 3, filter: {search: $text}, orderBy: {field: NAME}) { nodes { id } }
  gathered: customers(first: 100, filter: {search: $text}) { nodes { id } totalCount }
  emails: customers(first: 100, filter: {email: $text}) { nodes { id } totalCount(atMost: 2) }
} }"""


@pytest.fixture
def settings() -> Mapping[str, Any]:
    """Settings without a limit on cost, because searches have a high cost."""
    return UNLIMITED_COST


@pytest.fixture
async def atlas(database: Database, account: Account) -> App:
    return await make_app(database, account, slug="atlas")


async def stock(database: Database, account: Account, atlas: App) -> dict[str, tuple[str, str | None]]:
    """Create customers with all kinds of names in two apps.

    Returns the email and name of each customer of the app `atlas`, by id.
    """
    other = await make_app(database, account)
    made = {}
    for number, name in enumerate((*NAMES, None)):
        for app in (other, atlas):
            customer = await make_customer(database, app, email=f"A{number}@b.de", name=name)
        made[customer.id] = (customer.email, name)
    return made


async def check(graph: Graph, made: dict[str, tuple[str, str | None]], needle: str) -> None:
    """Compare the results of every way to search for a text with those of a search in Python."""
    part = fold(needle)
    emails = {id for id, (email, _) in made.items() if part.strip() in fold(email)}
    names = {id for id, (_, name) in made.items() if name is not None and part in fold(name)}
    both = names | {id for id, (email, _) in made.items() if part in fold(email)}
    by_name = sorted(both, key=lambda each: (made[each][1] is None, fold(made[each][1] or ""), each))

    found = (await graph.data(SEARCH, text=needle))["app"]

    newest_first = [{"id": id} for id in sorted(both, reverse=True)]
    assert found == {
        "byWalk": {"nodes": newest_first, "pageInfo": {"hasNextPage": False}},
        "byName": {"nodes": [{"id": id} for id in by_name[:3]]},
        "gathered": {"nodes": newest_first, "totalCount": len(both)},
        "emails": {
            "nodes": [{"id": id} for id in sorted(emails, reverse=True)],
            "totalCount": min(len(emails), 2),
        },
    }, needle


@pytest.mark.usefixtures("walked")
async def test_everything_that_contains_the_text_is_found(
    graph: Graph, database: Database, account: Account, atlas: App
) -> None:
    made = await stock(database, account, atlas)

    for needle in NEEDLES:
        await check(graph, made, needle)


@pytest.mark.usefixtures("walked")
async def test_any_text_in_any_text(graph: Graph, database: Database, account: Account, atlas: App) -> None:
    made = await stock(database, account, atlas)
    chance = random.Random(1)
    for number in range(40):
        name = "".join(chance.choice("aAbBßşİ 漢👾\u0301\x1f'\"\\%_") for _ in range(chance.randrange(1, 12)))
        customer = await make_customer(database, atlas, email=f"r{number}@b.de", name=name)
        made[customer.id] = (customer.email, name)
    texts = [each for pair in made.values() for each in pair if each]
    parts = st.sampled_from(texts).flatmap(
        lambda whole: st.tuples(st.integers(0, len(whole) - 1), st.integers(1, 6)).map(
            lambda cut: whole[cut[0] : cut[0] + cut[1]]
        )
    )
    strange = st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=8
    )
    loop = asyncio.get_running_loop()

    @given(parts | parts.map(str.swapcase) | strange)
    def is_found(needle: str) -> None:
        asyncio.run_coroutine_threadsafe(check(graph, made, needle), loop).result()

    await asyncio.to_thread(is_found)


@pytest.mark.usefixtures("walked")
async def test_the_index_follows_every_change(
    graph: Graph, database: Database, account: Account, atlas: App
) -> None:
    made = await stock(database, account, atlas)
    first, second, third, *_ = made
    change = """mutation($input: UpdateCustomerInput!) {
      updateCustomer(input: $input) { userErrors { message } } }"""

    for id, changes in (
        (first, {"email": "Renamed@b.de"}),
        (first, {"name": "Nobody"}),
        (second, {"name": None}),
        (third, {"metadata": {"name": "unseen"}}),
    ):
        assert (await graph.data(change, input={"id": id, **changes}))["updateCustomer"]["userErrors"] == []
    await graph.data(
        "mutation($id: ID!) { deleteCustomer(input: {id: $id}) { deletedCustomerId } }", id=third
    )
    made |= {first: ("Renamed@b.de", "Nobody"), second: (made[second][0], None)}
    del made[third]

    for needle in ("renamed", "nobody", "decomposed", "zoe", "strasse", "a0@", "A2@", "unseen", "e", "de"):
        await check(graph, made, needle)
    await check_index(database)

    await graph.data('mutation { deleteApp(input: {slug: "atlas"}) { deletedAppId } }')
    await check_index(database)


async def check_index(database: Database) -> None:
    """Check that the search index matches the customers, with the integrity check of SQLite's FTS5.

    PostgreSQL keeps its index consistent by itself, so nothing is checked there.
    """
    if database.is_sqlite:
        async with database.write() as session:
            await session.execute(
                text("INSERT INTO customer_grams (customer_grams, rank) VALUES ('integrity-check', 1)")
            )
            counts = "SELECT (SELECT count(*) FROM customer_numbers), (SELECT count(*) FROM customers)"
            numbers, rows = tuple((await session.execute(text(counts))).one())
            assert numbers == rows


@pytest.mark.parametrize("parts", ["nodes { id }", "nodes { id } totalCount", "totalCount(atMost: 10)"])
async def test_no_search_reads_all_customers(
    graph: Graph, app: Starlette, statements: Statements, account: Account, parts: str
) -> None:
    database = app.state.database
    for slug in ("atlas", "other"):
        made = await make_app(database, account, slug=slug)
        (batch,) = Believable(made.id, 3_000, 0, clock.now()).batches(3_000)
        async with database.write() as session:
            await session.load(customers, CUSTOMER_COLUMNS, batch.customers)
    await analyze(database)

    for order in ("CREATED_AT", "EMAIL", "NAME"):
        with statements.recorded(database) as sent:
            await graph.data(
                f'query($text: String) {{ app(slug: "atlas") {{ customers('
                f"filter: {{search: $text}}, orderBy: {{field: {order}}}) {{ {parts} }} }} }}",
                text="jane",
            )
        plan = await described(database, sent[-1])

        reads_all = ("SCAN customers", "Seq Scan on customers")
        assert not any(fault.startswith(reads_all) for fault in await faults(database, sent[-1]))
        assert ("customer_grams VIRTUAL TABLE" if database.is_sqlite else "ix_customers_grams") in plan


async def test_a_total_is_counted_up_to_its_bound(
    graph: Graph, client: httpx.AsyncClient, database: Database, account: Account, atlas: App
) -> None:
    for number in range(5):
        await make_customer(database, atlas, email=f"{number}@b.de")
    totals = (
        "a: totalCount(atMost: 4) b: totalCount(atMost: 5) c: totalCount(atMost: 2147483647) d: totalCount"
    )
    filtered = 'customers(filter: {email: "B.DE"})'

    found = await graph.data(
        f'{{ app(slug: "atlas") {{ customers {{ {totals} }} filtered: {filtered} {{ {totals} }} }} '
        "apps { totalCount(atMost: 1) } }"
    )

    counted = {"a": 4, "b": 5, "c": 5, "d": 5}
    assert found == {"app": {"customers": counted, "filtered": counted}, "apps": {"totalCount": 1}}


@pytest.mark.parametrize("at_most", [0, -1])
async def test_a_bound_below_one_is_refused(graph: Graph, at_most: int) -> None:
    code, message = await graph.refusal(f"{{ apps {{ totalCount(atMost: {at_most}) }} }}")

    assert (code, message) == ("BAD_USER_INPUT", "totalCount: atMost must be at least 1")


async def test_a_search_may_be_nested_as_deep_as_any_page(
    graph: Graph, database: Database, account: Account
) -> None:
    app = await make_app(database, account, slug="deep")
    await make_license(database, await make_customer(database, app, email="ann@example.com"))
    document = """{ app(slug: "deep") { customer(by: {email: "ann@example.com"}) {
      licenses(first: 3) { nodes { app { customers(first: 7) { nodes { app {
        customers(filter: {email: "ANN", search: "nn@"}) { totalCount(atMost: 1) nodes { email } }
      } } } } } } } } }"""

    found = await graph.data(document)

    ((license,),) = found["app"]["customer"]["licenses"].values()
    ((customer,),) = license["app"]["customers"].values()
    assert customer["app"]["customers"] == {"totalCount": 1, "nodes": [{"email": "ann@example.com"}]}
