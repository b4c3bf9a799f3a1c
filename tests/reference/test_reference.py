"""Compares the reference executor with results that were worked out by hand."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from db.clock import from_text
from db.engine import Database
from db.shaping import cursors
from tests.factories import make_account, make_app, make_customer, make_feature, make_license, make_tier
from tests.reference.executor import Reference
from tests.reference.rows import Row, Rows, load

NOW = datetime(2026, 1, 23, 10, tzinfo=UTC)


def app(id: str, *, name: str = "Editor", account: str = "acc_1") -> Row:
    return {
        "id": id,
        "account_id": account,
        "slug": id.replace("_", "-"),
        "name": name,
        "description": None,
        "webhook_url": None,
        "signing_algorithm": "EDDSA",
        "signing_generation": 2,
        "created_at": NOW,
        "updated_at": NOW,
    }


def customer(
    id: str,
    *,
    app: str = "app_1",
    email: str | None = None,
    name: str | None = None,
    external_id: str | None = None,
    created_at: str = "2026-01-01T00:00:00Z",
) -> Row:
    return {
        "id": id,
        "app_id": app,
        "email": email or f"{id}@example.com",
        "name": name,
        "external_id": external_id,
        "metadata": {"plan": ["pro", 1.5, None]},
        "created_at": from_text(created_at),
        "updated_at": NOW,
    }


def license(
    id: str,
    *,
    customer: str = "cus_1",
    app: str = "app_1",
    expires_at: str | None = None,
    revoked_at: str | None = None,
    tier: str | None = None,
    features: tuple[str, ...] = (),
) -> Row:
    return {
        "id": id,
        "app_id": app,
        "customer_id": customer,
        "installation_id": "0b1f0a4e-6f2b-4d6e-9a39-6a3ad2a0c0de",
        "expires_at": None if expires_at is None else from_text(expires_at),
        "revoked_at": None if revoked_at is None else from_text(revoked_at),
        "revoked_reason": None,
        "tier_id": tier,
        "features": list(features),
        "metadata": {},
        "created_at": NOW,
        "updated_at": NOW,
        "last_verified_at": None,
    }


def tier(id: str, *, position: int = 1, app: str = "app_1") -> Row:
    return {
        "id": id,
        "app_id": app,
        "slug": id.removeprefix("tier_"),
        "name": "Team",
        "position": position,
        "duration_days": None,
        "trial": False,
        "created_at": NOW,
    }


def feature(id: str, *, app: str = "app_1") -> Row:
    return {
        "id": id,
        "app_id": app,
        "slug": id.removeprefix("feat_"),
        "name": "Export",
        "description": None,
        "created_at": NOW,
    }


def token(license: str, number: int, generation: int, text: str | None) -> Row:
    jti = f"jti_{license}_{number}"
    return {"jti": jti, "license_id": license, "number": number, "generation": generation, "token": text}


@pytest.fixture
def ask(sdl: str) -> Any:
    """A function that runs a query on rows that the test passes."""

    def ask(
        document: str,
        *,
        apps: tuple[Row, ...] = (app("app_1"),),
        customers: tuple[Row, ...] = (),
        licenses: tuple[Row, ...] = (),
        account: str = "acc_1",
        reads_tokens: bool = True,
        others: Mapping[str, tuple[Row, ...]] = MappingProxyType({}),
        **variables: object,
    ) -> dict[str, Any]:
        reference = Reference(sdl, Rows(apps, customers, licenses, **others))
        return reference.answer(document, variables, account_id=account, now=NOW, reads_tokens=reads_tokens)

    return ask


def emails(answer: dict[str, Any]) -> list[str]:
    return [node["email"].partition("@")[0] for node in answer["app"]["customers"]["nodes"]]


def customers_query(arguments: str) -> str:
    page_info = "pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
    customers = f"customers({arguments}) {{ nodes {{ id email }} {page_info} totalCount }}"
    return f'{{ app(slug: "app-1") {{ {customers} }} }}'


def test_objects_lead_to_each_other(ask: Any) -> None:
    answer = ask(
        """{
          license(id: "lic_1") {
            __typename status metadata
            customer { name metadata app { slug licenses { totalCount } } licenses { nodes { id } } }
            app {
              customer(by: {email: "ANN@example.com"}) { id }
              none: customer(by: {externalId: "x"}) { id }
            }
          }
        }""",
        customers=(customer("cus_1", email="Ann@example.com"),),
        licenses=(license("lic_1"), license("lic_2")),
    )

    assert answer == {
        "license": {
            "__typename": "License",
            "status": "ACTIVE",
            "metadata": {},
            "customer": {
                "name": None,
                "metadata": {"plan": ["pro", 1.5, None]},
                "app": {"slug": "app-1", "licenses": {"totalCount": 2}},
                "licenses": {"nodes": [{"id": "lic_2"}, {"id": "lic_1"}]},
            },
            "app": {"customer": {"id": "cus_1"}, "none": None},
        }
    }


def test_nodes_are_in_the_order_of_their_ids_with_null_for_unknown_ones(ask: Any) -> None:
    answer = ask(
        """{
          nodes(ids: ["lic_1", "cus_9", "app_1", "lic_1"]) { __typename id ... on App { slug } }
          node(id: "cus_1") { ... on Customer { email } }
        }""",
        customers=(customer("cus_1"),),
        licenses=(license("lic_1"),),
    )

    a_license = {"__typename": "License", "id": "lic_1"}
    an_app = {"__typename": "App", "id": "app_1", "slug": "app-1"}
    assert answer == {
        "nodes": [a_license, None, an_app, a_license],
        "node": {"email": "cus_1@example.com"},
    }


def test_another_account_sees_nothing(ask: Any) -> None:
    answer = ask(
        """{
          app(slug: "app-1") { id }
          customer(id: "cus_1") { id }
          license(id: "lic_1") { id }
          nodes(ids: ["app_1", "cus_1", "lic_1"]) { id }
          apps { totalCount }
        }""",
        customers=(customer("cus_1"),),
        licenses=(license("lic_1"),),
        account="acc_2",
    )

    assert answer == {
        "app": None,
        "customer": None,
        "license": None,
        "nodes": [None, None, None],
        "apps": {"totalCount": 0},
    }


@pytest.mark.parametrize(
    ("expires_at", "revoked_at", "status"),
    [
        (None, None, "ACTIVE"),
        ("2026-01-23T10:00:01Z", None, "ACTIVE"),
        ("2026-01-23T10:00:00Z", None, "EXPIRED"),
        ("2026-01-23T09:59:59Z", None, "EXPIRED"),
        ("2026-01-23T09:59:59Z", "2026-01-01T00:00:00Z", "REVOKED"),
        (None, "2026-01-01T00:00:00Z", "REVOKED"),
    ],
)
def test_status(ask: Any, expires_at: str | None, revoked_at: str | None, status: str) -> None:
    answer = ask(
        'query ($status: LicenseStatus) { license(id: "lic_1") { status expiresAt }'
        ' app(slug: "app-1") { licenses(filter: {status: $status}) { totalCount } } }',
        customers=(customer("cus_1"),),
        licenses=(license("lic_1", expires_at=expires_at, revoked_at=revoked_at),),
        status=status,
    )

    assert answer == {
        "license": {"status": status, "expiresAt": expires_at},
        "app": {"licenses": {"totalCount": 1}},
    }


NAMED = (
    customer("cus_1", email="b@x", name="straße"),
    customer("cus_2", email="a@x", name="STRASSE"),
    customer("cus_3", email="C@x", name=None),
    customer("cus_4", email="d@x", name="Zoë", external_id="x-1"),
    customer("cus_5", email="e@x", name=None, created_at="2026-01-02T00:00:00Z"),
)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("null", "edCab"),
        ("{field: CREATED_AT}", "baCde"),
        ("{field: CREATED_AT, direction: DESC}", "edCab"),
        ("{field: EMAIL}", "abCde"),
        ("{field: EMAIL, direction: DESC}", "edCba"),
        ("{field: NAME}", "badCe"),
        ("{field: NAME, direction: DESC}", "dabeC"),
    ],
)
def test_order(ask: Any, order: str, expected: str) -> None:
    answer = ask(customers_query(f"orderBy: {order}"), customers=NAMED)

    assert "".join(emails(answer)) == expected


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ("", "edCab"),
        ('email: ""', "edCab"),
        ('email: "A@X"', "a"),
        ('email: "%"', ""),
        ('search: "rasse"', "ab"),
        ('search: "ZOË"', "d"),
        ('search: "_"', ""),
        ('search: ""', "edCab"),
        ("search: null, email: null, externalId: null, createdAfter: null", "edCab"),
        ('externalId: "x-1"', "d"),
        ('externalId: "X-1"', ""),
        ('externalId: ""', "edCab"),
        ('createdAfter: "2026-01-01T00:00:00Z"', "e"),
        ('createdAfter: "2025-12-31T23:59:59Z"', "edCab"),
        ('createdBefore: "2026-01-01T00:00:00Z"', ""),
        ('createdBefore: "2026-01-01T01:00:01+01:00"', "dCab"),
    ],
)
def test_customer_filter(ask: Any, filter: str, expected: str) -> None:
    answer = ask(customers_query(f"filter: {{{filter}}}"), customers=NAMED)

    assert "".join(emails(answer)) == expected
    assert answer["app"]["customers"]["totalCount"] == len(expected)


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ('expiresAfter: "2026-01-01T00:00:00Z"', ["lic_3"]),
        ('expiresBefore: "2026-01-02T00:00:00Z"', ["lic_2"]),
        ('expiresBefore: "2027-01-01T00:00:00Z"', ["lic_3", "lic_2"]),
    ],
)
def test_a_license_without_expiry_passes_no_expiry_filter(ask: Any, filter: str, expected: list[str]) -> None:
    answer = ask(
        f'{{ app(slug: "app-1") {{ licenses(filter: {{{filter}}}) {{ nodes {{ id }} }} }} }}',
        licenses=(
            license("lic_1"),
            license("lic_2", expires_at="2026-01-01T00:00:00Z"),
            license("lic_3", expires_at="2026-01-02T00:00:00Z"),
        ),
    )

    assert [node["id"] for node in answer["app"]["licenses"]["nodes"]] == expected


BY_NAME = "Customer.name.asc"


@pytest.mark.parametrize(
    ("arguments", "place", "expected", "has_previous", "has_next"),
    [
        ("first: 2", None, "ba", False, True),
        ("first: 5", None, "badCe", False, False),
        ("last: 2", None, "Ce", True, False),
        ("last: 5", None, "badCe", False, False),
        ("first: 2, after: $place", ("cus_2", "strasse"), "dC", True, True),
        ("first: 3, after: $place", ("cus_2", "strasse"), "dCe", True, False),
        ("after: $place", ("cus_5", None), "", True, False),
        # This cursor is before all rows, and its own row no longer exists.
        ("first: 1, after: $place", ("cus_0", "strasse"), "b", False, True),
        ("after: $place", ("cus_3", None), "e", True, False),
        ("before: $place", ("cus_3", None), "bad", False, True),
        ("last: 2, before: $place", ("cus_3", None), "ad", True, True),
        ("last: 2, before: $place", ("cus_9", None), "Ce", True, False),
        ("last: 2, before: $place", ("cus_1", "strasse"), "", False, True),
    ],
)
def test_page(
    ask: Any,
    arguments: str,
    place: tuple[str, str | None] | None,
    expected: str,
    has_previous: bool,
    has_next: bool,
) -> None:
    if place is not None:
        arguments = arguments.replace("$place", f'"{cursors.encode(BY_NAME, *place)}"')
    answer = ask(customers_query(f"orderBy: {{field: NAME}}, {arguments}"), customers=NAMED)

    assert "".join(emails(answer)) == expected
    assert answer["app"]["customers"]["totalCount"] == 5
    page_info = answer["app"]["customers"]["pageInfo"]
    assert page_info["hasPreviousPage"] is has_previous
    assert page_info["hasNextPage"] is has_next
    assert (page_info["startCursor"] is None) is (expected == "")


def test_cursors_name_the_order_and_the_place(ask: Any) -> None:
    answer = ask(
        """{
          app(slug: "app-1") {
            customers(orderBy: {field: NAME}, last: 3) { edges { cursor } pageInfo { startCursor endCursor } }
            newest: customers(first: 1) { edges { cursor node { id } } }
          }
        }""",
        customers=NAMED,
    )

    zoe, null, last = (
        cursors.encode(BY_NAME, id, value)
        for id, value in [("cus_4", "zoë"), ("cus_3", None), ("cus_5", None)]
    )
    assert answer["app"] == {
        "customers": {
            "edges": [{"cursor": zoe}, {"cursor": null}, {"cursor": last}],
            "pageInfo": {"startCursor": zoe, "endCursor": last},
        },
        "newest": {
            "edges": [
                {"cursor": cursors.encode("Customer.created_at.desc", "cus_5", None), "node": {"id": "cus_5"}}
            ]
        },
    }


def test_the_default_page_size_is_twenty(ask: Any) -> None:
    rows = tuple(customer(f"cus_{number:02}") for number in range(23))
    before = cursors.encode("Customer.created_at.desc", "cus_00", None)

    forward = ask(customers_query("first: null"), customers=rows)
    backward = ask(customers_query(f'before: "{before}"'), customers=rows)

    assert emails(forward) == [f"cus_{number:02}" for number in range(22, 2, -1)]
    assert emails(backward) == [f"cus_{number:02}" for number in range(20, 0, -1)]


def test_apps_are_ordered_by_folded_name_or_by_slug(ask: Any) -> None:
    apps = (app("app_1", name="beta"), app("app_2", name="Alpha"), app("app_3", name="BETA"))

    answer = ask(
        "{ name: apps(orderBy: {field: NAME, direction: DESC}) { nodes { id } }"
        " slug: apps(orderBy: {field: SLUG}, first: 2) { nodes { slug } totalCount } }",
        apps=(*apps, app("app_4", account="acc_2")),
    )

    assert answer == {
        "name": {"nodes": [{"id": "app_3"}, {"id": "app_1"}, {"id": "app_2"}]},
        "slug": {"nodes": [{"slug": "app-1"}, {"slug": "app-2"}], "totalCount": 3},
    }


TIERS = (tier("tier_b", position=2), tier("tier_a", position=2), tier("tier_c", position=-1))
FEATURES = (feature("feat_sso"), feature("feat_export"), feature("feat_other", app="app_2"))
LINKS = tuple({"tier_id": "tier_a", "feature_id": id} for id in ("feat_sso", "feat_export"))


def test_tiers_are_ordered_by_position_and_features_by_slug(ask: Any) -> None:
    answer = ask(
        """{ app(slug: "app-1") {
          tiers { nodes { slug features { slug app { id } } } edges { cursor } }
          features { nodes { slug } edges { cursor } totalCount }
          tier(slug: "a") { id licenses { totalCount } }
          feature(slug: "other") { id }
        } nodes(ids: ["tier_c", "feat_sso"]) { __typename } }""",
        licenses=(license("lic_1", tier="tier_a"), license("lic_2", tier="tier_b")),
        others={"tiers": TIERS, "features": FEATURES, "tier_features": LINKS},
    )

    of_app_1 = {"app": {"id": "app_1"}}
    places = (("tier_c", "2147483647.c"), ("tier_a", "2147483650.a"), ("tier_b", "2147483650.b"))
    assert answer == {
        "app": {
            "tiers": {
                "nodes": [
                    {"slug": "c", "features": []},
                    {"slug": "a", "features": [{"slug": "export", **of_app_1}, {"slug": "sso", **of_app_1}]},
                    {"slug": "b", "features": []},
                ],
                "edges": [{"cursor": cursors.encode("Tier.position.asc", *place)} for place in places],
            },
            "features": {
                "nodes": [{"slug": "export"}, {"slug": "sso"}],
                "edges": [
                    {"cursor": cursors.encode("Feature.slug.asc", f"feat_{slug}", slug)}
                    for slug in ("export", "sso")
                ],
                "totalCount": 2,
            },
            "tier": {"id": "tier_a", "licenses": {"totalCount": 1}},
            "feature": None,
        },
        "nodes": [{"__typename": "Tier"}, {"__typename": "Feature"}],
    }


@pytest.mark.parametrize("reads_tokens", [True, False])
def test_the_token_is_the_last_one_that_no_later_key_has_signed(ask: Any, reads_tokens: bool) -> None:
    answer = ask(
        '{ license(id: "lic_1") { jti token app { publicKeyPem signingAlgorithm } } }',
        customers=(customer("cus_1"),),
        licenses=(license("lic_1"),),
        reads_tokens=reads_tokens,
        others={
            "tokens": (
                token("lic_1", 3, 3, "ahead"),
                token("lic_1", 2, 2, "current"),
                token("lic_1", 1, 1, "superseded"),
                token("lic_2", 4, 2, "another's"),
            ),
            "signing_keys": tuple(
                {"app_id": "app_1", "generation": number, "public_key_pem": f"PEM {number}"}
                for number in (1, 2, 3)
            ),
        },
    )

    assert answer["license"] == {
        "jti": "jti_lic_1_2",
        "token": "current" if reads_tokens else None,
        "app": {"publicKeyPem": "PEM 2", "signingAlgorithm": "EDDSA"},
    }


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ((license("lic_1"), license("lic_2", revoked_at="2026-01-01T00:00:00Z")), "lic_1"),
        ((license("lic_1"), license("lic_2", expires_at="2026-01-23T10:00:00Z")), "lic_1"),
        (
            (
                license("lic_1", revoked_at="2026-01-01T00:00:00Z"),
                license("lic_2", expires_at="2026-01-23T10:00:00Z"),
            ),
            "lic_2",
        ),
        ((license("lic_1", app="app_2"),), None),
    ],
)
def test_the_active_license_of_an_installation_is_found_or_else_the_newest(
    ask: Any, rows: tuple[Row, ...], expected: str | None
) -> None:
    installation = "0B1F0A4E-6F2B-4D6E-9A39-6A3AD2A0C0DE"

    answer = ask(
        f'{{ app(slug: "app-1") {{ license(by: {{installationId: "{installation}"}}) {{ id }} }} }}',
        apps=(app("app_1"), app("app_2")),
        licenses=rows,
    )

    assert answer["app"]["license"] == (expected and {"id": expected})


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ('tierSlug: "a"', ["lic_2", "lic_1"]),
        ('tierSlug: "A"', []),
        ('tierSlug: "", feature: null', ["lic_3", "lic_2", "lic_1"]),
        ('feature: "sso"', ["lic_3", "lic_1"]),
        ('feature: "ss"', []),
        ('feature: "sso", tierSlug: "a"', ["lic_1"]),
    ],
)
def test_license_filter(ask: Any, filter: str, expected: list[str]) -> None:
    answer = ask(
        f'{{ app(slug: "app-1") {{ licenses(filter: {{{filter}}}) {{ nodes {{ id }} }} }} }}',
        licenses=(
            license("lic_1", tier="tier_a", features=("export", "sso")),
            license("lic_2", tier="tier_a"),
            license("lic_3", features=("sso",)),
        ),
        others={"tiers": TIERS},
    )

    assert [node["id"] for node in answer["app"]["licenses"]["nodes"]] == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ('text: "ANA"', "EMAIL ana@b, EMAIL anat@b, NAME c@b, EMAIL bo.ana@b"),
        ('text: "ana", first: 2', "EMAIL ana@b, EMAIL anat@b"),
        ('text: "bo ana"', "EMAIL bo.ana@b, EMAIL ana@b, EMAIL anat@b, NAME c@b"),
        ('text: "Ana <c@b>"', "EMAIL c@b, EMAIL ana@b, EMAIL anat@b, EMAIL bo.ana@b"),
        ('text: "order 7"', "EXTERNAL_ID c@b"),
        ('text: "Order 7"', ""),
        (
            'text: "0B1F0A4E6F2B4D6E9A396A3AD2A0C0DE"',
            "INSTALLATION_ID c@b lic_2, INSTALLATION_ID ana@b lic_1",
        ),
        ('text: "ana", appSlug: "app-2"', ""),
        ('text: " "', ""),
    ],
)
def test_search(ask: Any, arguments: str, expected: str) -> None:
    answer = ask(
        f"{{ search({arguments}) {{ field customer {{ email }} license {{ id }} }} }}",
        customers=(
            customer("cus_1", email="ana@b"),
            customer("cus_2", email="bo.ana@b"),
            customer("cus_3", email="anat@b"),
            customer("cus_4", email="c@b", name="Ana", external_id="order 7"),
            customer("cus_5", email="ana@other.account", app="app_9"),
        ),
        licenses=(license("lic_1"), license("lic_2", customer="cus_4")),
        others={"tokens": (token("lic_1", 1, 1, None), token("lic_2", 1, 1, None))},
    )

    found = (
        [each["field"], each["customer"]["email"], (each["license"] or {}).get("id", "")]
        for each in answer["search"]
    )
    assert ", ".join(" ".join(each).strip() for each in found) == expected


async def test_the_same_rows_are_loaded_from_both_databases(database: Database) -> None:
    account = await make_account(database)
    app = await make_app(database, account, created_at=NOW)
    customer = await make_customer(database, app, name='İ\n"', metadata={"ü": [1.5, 2**70, {"a": None}]})
    tier = await make_tier(database, app, features=[await make_feature(database, app, slug="sso")])
    license = await make_license(
        database, customer, expires_at=NOW, tier=tier, own_features=["b"], token="a.b.c"
    )

    rows = await load(database)

    assert [row["id"] for row in rows.apps] == [app.id]
    assert rows.apps[0]["created_at"] == NOW
    assert rows.customers[0]["metadata"] == {"ü": [1.5, 2**70, {"a": None}]}
    assert rows.customers[0]["name"] == 'İ\n"'
    assert rows.licenses[0]["id"] == license.id
    assert rows.licenses[0]["expires_at"] == NOW
    assert rows.licenses[0]["revoked_at"] is None
    assert rows.licenses[0]["features"] == ["sso", "b"]
    assert rows.licenses[0]["own_features"] == ["b"]
    assert [(row["jti"], row["token"]) for row in rows.tokens] == [(license.jti, "a.b.c")]
    assert [row["generation"] for row in rows.signing_keys] == [1]
    assert [row["tier_id"] for row in rows.tier_features] == [tier.id]
    assert [row["id"] for row in rows.tiers] == [tier.id]
    assert [row["slug"] for row in rows.features] == ["sso"]
