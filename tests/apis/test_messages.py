"""Errors in both APIs: messages use plain words, and a conflict names the object that is in the way."""

import re
from typing import Any

import httpx
import pytest

from db.engine import Database
from tests.apis.both import (
    BY_GRAPH,
    BY_REST,
    CREATE,
    CREATE_LICENSE,
    DELETE_FEATURE,
    DELETE_TIER,
    GET_OR_CREATE,
    UPDATE,
    BothApis,
    Values,
    as_input,
)
from tests.factories import make_account, make_app, make_customer, make_key

PYTHON = re.compile(r"None|Undefined|True|False|Error|Input should|\bstr\b|\bdict\b|\bint\b|\bbool\b|[{}<>]")
INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"


def with_existing_id(mutation: str) -> str:
    return mutation.replace("userErrors { code message field }", "userErrors { code field existingId }")


async def customer_of(apis: BothApis, slug: str, **values: Any) -> str:
    response = await apis.rest("POST", f"/apps/{slug}/customers", values)
    assert response.status_code in {200, 201}, response.text
    return str(response.json()["data"]["id"])


async def terms_of(apis: BothApis, slug: str) -> Values:
    """Return the fields of a new license, except for those that say when it expires.

    Creates the customer and the tier.
    """
    tier = (await apis.rest("POST", f"/apps/{slug}/tiers", {"slug": "t", "name": "T"})).json()["data"]["id"]
    customer = await customer_of(apis, slug, email="a@example.com")
    return {"customer_id": customer, "tier_id": tier, "installation_id": INSTALLATION}


async def test_a_taken_customer_is_named(apis: BothApis) -> None:
    ids: dict[str, list[str]] = {}
    for slug in (BY_REST, BY_GRAPH):
        ids[slug] = [
            await customer_of(apis, slug, email="a@example.com", external_id="A"),
            await customer_of(apis, slug, email="b@example.com", external_id="B"),
            await customer_of(apis, slug, email="c@example.com"),
        ]
    taken_email = {"email": "A@example.com"}
    both = {"email": "a@example.com", "external_id": "B"}

    for values, ways, fields in ((taken_email, [0], ["email"]), (both, [0, 1], ["email", "external_id"])):
        expected = [ids[BY_REST][way] for way in ways]
        refused = await apis.rest("POST", f"/apps/{BY_REST}/customers", values)
        assert refused.status_code == 409
        assert refused.json()["error"]["details"] == {
            **{field: ["has already been taken"] for field in fields},
            "existing_id": expected,
        }
        update = await apis.rest("PUT", f"/apps/{BY_REST}/customers/{ids[BY_REST][2]}", values)
        assert update.json()["error"]["details"]["existing_id"] == expected

        expected = [ids[BY_GRAPH][way] for way in ways]
        for mutation, given in ((CREATE, {"appSlug": BY_GRAPH}), (UPDATE, {"id": ids[BY_GRAPH][2]})):
            made = await apis.mutate(with_existing_id(mutation), **given, **as_input(values))
            assert [error["existingId"] for error in made["userErrors"]] == expected
    found = await apis.mutate(
        with_existing_id(GET_OR_CREATE), appSlug=BY_GRAPH, email="new@example.com", externalId="A"
    )
    assert found["userErrors"] == [{"code": "TAKEN", "field": ["externalId"], "existingId": ids[BY_GRAPH][0]}]


async def test_a_customer_of_another_account_is_not_named(apis: BothApis, database: Database) -> None:
    stranger = await make_app(database, await make_account(database, name="stranger"), slug="strange")
    await make_customer(database, stranger, email="a@example.com")

    for slug in (BY_REST, BY_GRAPH):
        await customer_of(apis, slug, email="a@example.com")
    made = await apis.mutate(with_existing_id(CREATE), appSlug="strange", email="a@example.com")
    assert made["userErrors"] == [{"code": "NOT_FOUND", "field": ["appSlug"], "existingId": None}]


async def test_a_license_in_the_way_is_named(apis: BothApis) -> None:
    for slug in (BY_REST, BY_GRAPH):
        values = {**await terms_of(apis, slug), "forever": True}
        made = await apis.rest("POST", f"/apps/{slug}/licenses", values)
        existing = made.json()["data"]["id"]

        refused = await apis.rest("POST", f"/apps/{slug}/licenses", values)
        by_graph = await apis.mutate(with_existing_id(CREATE_LICENSE), **as_input(values))

        assert refused.status_code == 409
        assert refused.json()["error"]["details"] == {
            "installation_id": ["already has an active license"],
            "existing_id": [existing],
        }
        assert by_graph["userErrors"] == [
            {"code": "TAKEN", "field": ["installationId"], "existingId": existing}
        ]

        # The first license is revoked, and a second one is issued for the same installation. Now the second
        # one prevents the first one from being reinstated.
        await apis.rest("POST", f"/apps/{slug}/licenses/{existing}/revoke", {})
        other = (await apis.rest("POST", f"/apps/{slug}/licenses", values)).json()["data"]["id"]
        reinstated = await apis.mutate(
            """mutation ($input: ReinstateLicenseInput!) {
              outcome: reinstateLicense(input: $input) { userErrors { code field existingId } } }""",
            id=existing,
        )
        assert reinstated["userErrors"] == [
            {"code": "TAKEN", "field": ["installationId"], "existingId": other}
        ]


async def test_a_license_that_uses_a_tier_or_a_feature_is_named(apis: BothApis) -> None:
    made = await apis.rest("POST", f"/apps/{BY_REST}/features", {"slug": "f", "name": "F"})
    feature = made.json()["data"]["id"]
    values = {**await terms_of(apis, BY_REST), "features": ["f"], "forever": True}
    made = await apis.rest("POST", f"/apps/{BY_REST}/licenses", values)
    existing = made.json()["data"]["id"]

    for kind, used, mutation in (
        ("tiers", values["tier_id"], DELETE_TIER),
        ("features", feature, DELETE_FEATURE),
    ):
        refused = await apis.rest("DELETE", f"/apps/{BY_REST}/{kind}/{used}")
        by_graph = await apis.mutate(with_existing_id(mutation), id=used)

        assert refused.status_code == 409
        assert refused.json()["error"]["details"]["existing_id"] == [existing]
        assert by_graph["userErrors"] == [{"code": "IN_USE", "field": ["id"], "existingId": existing}]


async def test_a_license_without_a_term_is_told_the_fields(apis: BothApis) -> None:
    terms = await terms_of(apis, BY_REST)

    for term in ({}, {"forever": True, "duration_days": 1}):
        values = {**terms, **term}
        refused = await apis.rest("POST", f"/apps/{BY_REST}/licenses", values)
        by_graph = await apis.mutate(CREATE_LICENSE, **as_input(values))

        message = "needs exactly one of: expires_at, duration_days, forever"
        assert refused.json()["error"]["message"] == message
        assert refused.json()["error"]["details"] == {"base": [message]}
        message = "needs exactly one of: expiresAt, durationDays, forever"
        assert by_graph["userErrors"] == [{"code": "INVALID", "message": message, "field": None}]


@pytest.mark.parametrize(("key", "shown"), [("", '""'), ("k" * 65, "k" * 64), ("a", None)])
async def test_a_metadata_key_that_is_refused_is_named(apis: BothApis, key: str, shown: str | None) -> None:
    values = {"email": "a@example.com", "metadata": {key: "\x00" if shown is None else 1}}

    refused = (await apis.rest("POST", f"/apps/{BY_REST}/customers", values)).json()["error"]
    by_graph = await apis.mutate(CREATE, appSlug=BY_GRAPH, **as_input(values))

    said = (
        "must not contain NUL or lone surrogates"
        if shown is None
        else "has a key that is empty or longer than 64 characters"
    )
    assert refused["message"] == f"metadata.{key if shown is None else shown} {said}"
    assert by_graph["userErrors"] == [{"code": "INVALID", "message": said, "field": ["metadata", key[:64]]}]


WRONG: list[Any] = [3, -1, 1.5, True, "x", "", [], [None], {}, {"a": None}, 10**30, None, [[{}]]]
BODIES: dict[str, dict[str, Any]] = {
    "/apps": {"name": "N", "slug": "n", "description": "", "webhook_url": None, "signing_algorithm": "EdDSA"},
    "/apps/by-rest/customers": {"email": "a@b.de", "name": "N", "external_id": "x", "metadata": {}},
    "/apps/by-rest/tiers": {"slug": "t", "name": "T", "position": 1, "features": []},
    "/apps/by-rest/features": {"slug": "f", "name": "F", "description": None},
    "/apps/by-rest/licenses": {
        "customer_id": "x",
        "tier_id": None,
        "features": [],
        "installation_id": INSTALLATION,
        "expires_at": "2099-01-01T00:00:00Z",
        "duration_days": 1,
        "forever": True,
        "metadata": {},
    },
    "/apps/by-rest/licenses/verify": {"installation_ids": [], "jtis": []},
    "/apps/by-rest/licenses/x/revoke": {"reason": "R"},
    "/apps/by-rest/licenses/x/regenerate": {"current_token": "t"},
}


@pytest.mark.parametrize("path", BODIES)
async def test_no_message_about_a_body_has_python_in_it(apis: BothApis, path: str) -> None:
    for name in BODIES[path]:
        for wrong in WRONG:
            response = await apis.rest("POST", path, {**BODIES[path], name: wrong})

            assert response.status_code != 500, (name, wrong)
            if response.status_code >= 400:
                error = response.json()["error"]
                said = [
                    error["message"],
                    *(each for told in error.get("details", {}).values() for each in told),
                ]
                assert not any(map(PYTHON.search, said)), (name, wrong, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2099-01-01T00:00:00+05:60", "must be an RFC 3339 timestamp"),
        ("2099-01-01T00:00:00+05:99", "must be an RFC 3339 timestamp"),
        ("2099-01-01T00:00:00-24:00", "must be an RFC 3339 timestamp"),
        ("2099-01-01T00:00:00+99:00", "must be an RFC 3339 timestamp"),
        ("2099-06-30T23:59:60Z", "must be an existing date and time"),
        ("2016-12-30T23:59:60Z", "must be an existing date and time"),
        ("2016-12-31T23:58:60Z", "must be an existing date and time"),
        ("2016-12-31T22:59:60Z", "must be an existing date and time"),
        ("2016-12-31T23:59:60+01:00", "must be an existing date and time"),
        ("2099-01-01T00:00:61Z", "must be an existing date and time"),
        # These leap seconds really occurred, so the times are valid. They are in the past.
        ("2016-12-31T23:59:60Z", "must be in the future"),
        ("2017-01-01T01:59:60.5+02:00", "must be in the future"),
        ("1972-06-30t23:59:60z", "must be in the future"),
        ("2015-06-30T16:59:60-07:00", "must be in the future"),
        ("2015-07-01T05:29:60+05:30", "must be in the future"),
    ],
)
async def test_offsets_and_leap_seconds(apis: BothApis, text: str, said: str) -> None:
    values = {**await terms_of(apis, BY_REST), "expires_at": text}

    (message,) = (await apis.rest("POST", f"/apps/{BY_REST}/licenses", values)).json()["error"]["details"][
        "expires_at"
    ]
    body = {"query": CREATE_LICENSE, "variables": {"input": as_input(values)}}
    by_graph = (await apis.client.post("/graphql", json=body)).json()

    assert message.startswith(said)
    assert said in str(by_graph)


async def test_a_leap_second_is_the_first_second_of_the_next_day(
    client: httpx.AsyncClient, database: Database
) -> None:
    account = await make_account(database)
    await make_app(database, account, slug="f")
    headers = {"Authorization": f"Bearer {await make_key(database, account)}"}
    query = """query($moment: DateTime!) {
      app(slug: "f") { customers(filter: {createdAfter: $moment}) { totalCount } } }"""
    body = {"query": query, "variables": {"moment": "2016-12-31T23:59:60Z"}}

    answer = (await client.post("/graphql", json=body, headers=headers)).json()

    assert answer["data"] == {"app": {"customers": {"totalCount": 0}}}
