"""Query.search: finds the customer, and the license, by anything that a customer may send."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import jwt
import pytest
from starlette.applications import Starlette

from db import clock, ids
from db.engine import Database
from db.shaping.nouns import INDEX_SCAN, SEARCH_SCAN
from tests.factories import (
    Account,
    App,
    Customer,
    make_account,
    make_app,
    make_customer,
    make_key,
    make_license,
    make_token,
)
from tests.schema.conftest import UNLIMITED_COST, Graph
from tests.statements import Statements, assert_one

SEARCH = """query($text: String!, $app: String, $first: Int! = 10) {
  search(text: $text, appSlug: $app, first: $first) { field customer { email } license { id } }
}"""
PLACE = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
LENA = "lena@orbit.example"


@pytest.fixture
def settings() -> Mapping[str, Any]:
    return UNLIMITED_COST


@dataclass(frozen=True)
class Shop:
    """The app `atlas`, and its customer Lena, who has one license."""

    account: Account
    atlas: App
    lena: Customer
    license: str
    jti: str
    token: str


@pytest.fixture
async def shop(graph: Graph, database: Database, account: Account) -> Shop:
    atlas = await make_app(database, account, slug="atlas")
    lena = await make_customer(database, atlas, email=LENA, name="Lena Ortiz", external_id="crm-8841")
    await make_customer(database, atlas, email="ivo@zenith.example", name="Ivo Brandt")
    made = await graph.data(
        """mutation($customer: ID!, $place: UUID!) {
          createLicense(input: {customerId: $customer, installationId: $place, durationDays: 30}) {
            license { id jti token }
          }
        }""",
        customer=lena.id,
        place=PLACE,
    )
    license = made["createLicense"]["license"]
    return Shop(account, atlas, lena, license["id"], license["jti"], license["token"])


async def found(graph: Graph, text: str, **arguments: Any) -> list[tuple[str, str, str | None]]:
    """Return the hits of a search, each as its field, the customer's email, and the license's id or None."""
    hits = (await graph.data(SEARCH, text=text, **arguments))["search"]
    return [
        (each["field"], each["customer"]["email"], each["license"] and each["license"]["id"]) for each in hits
    ]


async def test_each_field_in_all_its_forms(graph: Graph, shop: Shop) -> None:
    token = shop.token
    wrapped = "\n".join(token[start : start + 76] for start in range(0, len(token), 76))
    forms = {
        "EMAIL": (
            LENA,
            LENA.upper(),
            f"  {LENA}\n",
            f"<{LENA}>",
            f"mailto:{LENA}",
            f"({LENA}).",
            "lena@",
            "ORB",
        ),
        "NAME": ("Lena Ortiz", "lena ortiz", "ortiz", " Lena\u00a0Or", "Ortiz Lena", "na tiz"),
        "EXTERNAL_ID": ("crm-8841", " crm-8841\r\n", "#crm-8841", "Order crm-8841!"),
        "CUSTOMER_ID": (
            *(shop.lena.id, shop.lena.id.upper(), f"'{shop.lena.id}',"),
            *(f"https://shop.example/apps/atlas/customers/{shop.lena.id}?tab=licenses", f"id={shop.lena.id}"),
        ),
        "LICENSE_ID": (shop.license, f"\ufeff{shop.license}\u200b", f"License: {shop.license}"),
        "INSTALLATION_ID": (
            *(PLACE, PLACE.upper(), PLACE.replace("-", ""), f"{{{PLACE}}}", f"urn:uuid:{PLACE}"),
            *(f"{{{PLACE.replace('-', '').upper()}}}", f"installation={PLACE}"),
        ),
        "JTI": (shop.jti, f'"jti": "{shop.jti}"'),
        "TOKEN": (
            *(token, f" {token}\n", wrapped, f"Bearer {token}", f"bearer\n{wrapped}"),
            *(f"My token: {token} please check", "\u200b".join((token[:9], token[9:]))),
        ),
    }
    for field, texts in forms.items():
        license = None if field in {"EMAIL", "NAME", "EXTERNAL_ID", "CUSTOMER_ID"} else shop.license
        for text in texts:
            assert await found(graph, text) == [(field, LENA, license)], (field, text)


async def test_a_superseded_and_an_expired_token_and_one_of_a_retired_key(
    graph: Graph, database: Database, shop: Shop
) -> None:
    await graph.data(
        f'mutation {{ regenerateLicense(input: {{id: "{shop.license}"}}) {{ license {{ id }} }} }}'
    )
    retire = 'mutation { rotateAppKeys(input: {appSlug: "atlas", retire: IMMEDIATELY}) { licensesResigned } }'
    assert (await graph.data(retire))["rotateAppKeys"] == {"licensesResigned": 1}
    claims = jwt.decode(shop.token, options={"verify_signature": False})
    expired = jwt.encode({**claims, "exp": 1}, "another secret" * 3)
    only_jti = jwt.encode({"jti": shop.jti}, "another secret" * 3)
    foreign = jwt.encode({"sub": "nobody"}, "another secret" * 3)

    for text in (shop.token, expired, only_jti):
        assert await found(graph, text) == [("TOKEN", LENA, shop.license)]
    assert await found(graph, shop.jti) == [("JTI", LENA, shop.license)]
    assert await found(graph, foreign) == []


async def test_a_token_that_is_not_issued_yet_is_not_found(
    graph: Graph, database: Database, shop: Shop
) -> None:
    license = await make_license(database, shop.lena)
    jti = await make_token(database, license, 2)

    assert await found(graph, jti) == []
    assert await found(graph, license.jti) == [("JTI", LENA, license.id)]


async def test_pasted_text_is_split(graph: Graph, database: Database, shop: Shop) -> None:
    ivo = "ivo@zenith.example"

    assert await found(graph, f"Lena Ortiz <{LENA}>") == [("EMAIL", LENA, None)]
    assert await found(graph, f'"Ortiz, Lena" <{LENA}>; Ivo Brandt <{ivo}>') == [
        ("EMAIL", LENA, None),
        ("EMAIL", ivo, None),
    ]
    assert await found(graph, f"{ivo}\n{shop.license}\t{PLACE} crm-8841") == [
        ("LICENSE_ID", LENA, shop.license),
        ("EXTERNAL_ID", LENA, None),
        ("EMAIL", ivo, None),
    ]
    assert await found(graph, "brandt ortiz") == [("NAME", ivo, None), ("NAME", LENA, None)]


async def test_an_external_id_may_contain_anything(graph: Graph, database: Database, shop: Shop) -> None:
    strange = ("Order #17, 2nd <copy>", "#17", PLACE, ids.new_id(ids.LICENSE).id, "A.B.C", "a\u00a0b")
    for number, external_id in enumerate(strange):
        await make_customer(database, shop.atlas, email=f"c{number}@b.example", external_id=external_id)

    for number, external_id in enumerate(strange):
        assert ("EXTERNAL_ID", f"c{number}@b.example", None) in await found(graph, external_id)
    assert await found(graph, "a.b.c") == []


@pytest.mark.usefixtures("walked")
async def test_the_order_of_hits(graph: Graph, database: Database, shop: Shop) -> None:
    other = await make_app(database, shop.account, slug="borealis")
    people = (
        (other, "ana@a.example", "Ana"),
        (shop.atlas, "zoe@a.example", "Ana Zoe"),
        (other, "mia@a.example", "Ana Ana"),
        (shop.atlas, "bo.ana@a.example", None),
        (other, "an@ana.example", "Bo"),
        (other, "ana.b@a.example", "Zoe Ana"),
        (shop.atlas, "c@a.example", "Diana"),
    )
    for app, email, name in people:
        await make_customer(database, app, email=email, name=name)
    begins = [
        ("EMAIL", "ana.b@a.example", None),
        ("EMAIL", "ana@a.example", None),
        ("NAME", "mia@a.example", None),
        ("NAME", "zoe@a.example", None),
    ]
    contains = [
        ("EMAIL", "an@ana.example", None),
        ("EMAIL", "bo.ana@a.example", None),
        ("NAME", "c@a.example", None),
    ]

    assert await found(graph, "ANA") == begins + contains
    for first in range(1, 8):
        assert await found(graph, "ana", first=first) == (begins + contains)[:first]
    assert await found(graph, "ana@a.example, ana", first=3) == [begins[1], begins[0], begins[2]]
    both = [("NAME", "ana.b@a.example", None), ("NAME", "zoe@a.example", None)]
    assert (await found(graph, "zo ana"))[:2] == both
    assert [email for _, email, _ in await found(graph, "zo ana")][2:] == [
        *("an@ana.example", "ana@a.example", "bo.ana@a.example", "c@a.example", "mia@a.example"),
    ]
    assert await found(graph, "ana", app="borealis") == [
        hit for hit in begins + contains if hit[1] in {email for app, email, _ in people if app is other}
    ]


async def test_licenses_of_an_installation_come_newest_first(
    graph: Graph, database: Database, shop: Shop
) -> None:
    made = [
        await make_license(
            database,
            shop.lena,
            installation_id=PLACE,
            revoked_at=clock.now(),
            created_at=clock.now() - timedelta(days=days),
        )
        for days in range(1, 22)
    ]

    hits = await found(graph, PLACE, first=20)

    assert hits == [("INSTALLATION_ID", LENA, id) for id in (shop.license, *(each.id for each in made[:19]))]


async def test_a_license_and_its_customer_are_hits_of_their_own(graph: Graph, shop: Shop) -> None:
    text = f"{shop.token} {shop.jti} {shop.license} {PLACE} {shop.lena.id} crm-8841 {LENA} Lena"

    assert await found(graph, text) == [("TOKEN", LENA, shop.license), ("CUSTOMER_ID", LENA, None)]


async def test_other_tenants_do_not_exist(graph: Graph, database: Database, shop: Shop) -> None:
    texts = (LENA, "lena", "tiz", "crm-8841", shop.lena.id, shop.license, PLACE, shop.jti, shop.token)
    borealis = await make_app(database, shop.account, slug="borealis")
    jona = await make_customer(database, borealis, email="jona@b.example", name="Jona Lena")
    ivo_too = await make_customer(database, shop.atlas, email="lena@b.example", name="Lena Ortiz")
    other = await make_key(database, await make_account(database))
    limited = await make_key(database, shop.account, apps=[borealis])
    of_lena = await make_key(database, shop.account, kind="session", customer=shop.lena)
    of_other = await make_key(database, shop.account, kind="session", customer=ivo_too)
    of_jona = await make_key(database, shop.account, kind="session", customer=jona)

    for text in texts:
        nothing = [("NAME", "jona@b.example", None)] if text == "lena" else []
        assert await found(graph.with_token(other), text) == []
        assert await found(graph.with_token(limited), text) == nothing
        assert await found(graph.with_token(of_jona), text) == nothing
        assert [email for _, email, _ in await found(graph.with_token(of_lena), text)] == [LENA]
        assert [email for _, email, _ in await found(graph.with_token(of_other), text)] == (
            ["lena@b.example"] if text in {"lena", "tiz"} else []
        )
        assert await found(graph, text, app="borealis") == nothing
        assert await found(graph, text, app="atlas")
        for unknown in ("nobody", "", "Atlas", "\u0000"):
            assert await found(graph, text, app=unknown) == []


async def test_who_may_search(graph: Graph, database: Database, shop: Shop) -> None:
    blind = await make_key(database, shop.account, kind="restricted", scopes=["read", "write"])
    text = "{ search(text: %s) { field } }"

    for asked in ('"lena"', '""'):
        code, message = await graph.with_token(blind).refusal(text % asked)
        assert (code, message) == ("FORBIDDEN", "This key does not have the scope READ_CUSTOMERS.")
        assert (await graph.with_token(None).refusal(text % asked))[0] == "UNAUTHENTICATED"
    of_lena = graph.with_token(await make_key(database, shop.account, kind="session", customer=shop.lena))
    code, _ = await of_lena.refusal('{ search(text: "lena") { customer { events { totalCount } } } }')
    assert code == "FORBIDDEN"


async def test_bad_texts(graph: Graph, shop: Shop) -> None:
    for text in ("", " \n\t", "\u200b\ufeff", "<>", ",;", "nobody"):
        assert await found(graph, text) == []
    assert await found(graph, "x" * 1_000) == []
    assert await found(graph, f"{shop.token}{' ' * 5_000}") == [("TOKEN", LENA, shop.license)]
    assert await found(graph, " ".join(str(ids.new_id(ids.LICENSE).id) for _ in range(30))) == []
    for arguments, problem in (
        ({"text": "x" * 1_001}, "text is too long (maximum is 1,000 characters, or 32,768 for a token)"),
        (
            {"text": f"{shop.token[:-9]} {'x' * 1_001}"},
            "text is too long (maximum is 1,000 characters, or 32,768 for a token)",
        ),
        (
            {"text": "a b c d e f g h i j k"},
            "text has too many words (maximum is 10, besides ids and tokens)",
        ),
        ({"text": "a\u0000b"}, "text must not contain NUL or lone surrogates"),
        ({"text": "", "first": 0}, "first must be between 1 and 20"),
        ({"text": "lena", "first": 21}, "first must be between 1 and 20"),
    ):
        assert await graph.refusal(SEARCH, **arguments) == ("BAD_USER_INPUT", f"search: {problem}")


async def test_one_statement_returns_everything_that_is_selected(
    graph: Graph, app: Starlette, shop: Shop, statements: Statements
) -> None:
    await graph.data("{ viewer { keyKind } }")
    with statements.recorded(app.state.database) as recording:
        data = await graph.data(
            """query($text: String!) { search(text: $text) {
              __typename kind: field
              customer {
                name externalId app { slug tier(slug: "none") { id } customers { totalCount } }
                licenses(first: 1) { totalCount nodes { status tier { slug } customer { name } } }
              }
              license { installationId features token app { slug } events(first: 1) { nodes { type } } }
            } }""",
            text=f"{shop.license} {LENA}",
        )
    assert_one(recording)
    customer = {
        "name": "Lena Ortiz",
        "externalId": "crm-8841",
        "app": {"slug": "atlas", "tier": None, "customers": {"totalCount": 2}},
        "licenses": {
            "totalCount": 1,
            "nodes": [{"status": "ACTIVE", "tier": None, "customer": {"name": "Lena Ortiz"}}],
        },
    }
    of_license = {
        "installationId": PLACE,
        "features": [],
        "token": shop.token,
        "app": {"slug": "atlas"},
        "events": {"nodes": [{"type": "LICENSE_CREATED"}]},
    }
    assert data["search"] == [
        {"__typename": "SearchHit", "kind": "LICENSE_ID", "customer": customer, "license": of_license},
        {"__typename": "SearchHit", "kind": "EMAIL", "customer": customer, "license": None},
    ]


async def test_the_cost_counts_hits_and_words(graph: Graph, shop: Shop) -> None:
    async def cost(text: str, first: int, selected: str) -> int:
        query = f"query($t: String!) {{ search(text: $t, first: {first}) {{ {selected} }} }}"
        answer = (await graph.post(query, {"t": text})).json()
        return int(answer["extensions"]["cost"]["requested"])

    assert await cost("", 20, "field") == 0
    assert await cost(shop.license, 20, "field") == 20
    assert await cost(shop.token, 5, "customer { id } license { id token }") == 5 * (1 + 1 + 2)
    assert await cost("lena", 10, "field") == 10 + SEARCH_SCAN
    assert await cost("lena ortiz x", 1, "field") == 1 + SEARCH_SCAN + 2 * INDEX_SCAN
    assert await cost("lena", 2, "customer { licenses(first: 3) { nodes { id } } }") == (
        SEARCH_SCAN + 2 * (1 + 1 + 3)
    )
