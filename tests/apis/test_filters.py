"""Filters of lists find the same rows in both APIs, and both APIs refuse the same values."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from db.engine import Database
from tests.apis.both import BothApis, Values, camel_case
from tests.factories import (
    Account,
    App,
    make_app,
    make_customer,
    make_feature,
    make_license,
    make_tier,
    make_token,
    note_verified,
)
from tests.rest.expecting import error, invalid

HERE, THERE = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11", "00000000-0000-4000-8000-000000000001"
NOON = datetime(2099, 3, 2, 12, tzinfo=UTC)
PAST = datetime(2020, 1, 1, tzinfo=UTC)
VERIFIED = datetime(2026, 1, 23, 10, tzinfo=UTC)
LONG = "is too long (maximum is 255 characters)"
UNSTORABLE = "must not contain NUL or lone surrogates"
MOMENT_FORM = "must be an RFC 3339 timestamp with an offset, such as 2026-01-23T10:00:00Z"
NO_MOMENT = "must be an existing date and time between the years 1 and 9999"
UUID_FORM = "must be a UUID such as 8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"


class Lists:
    """Reads a list through both APIs. `names` maps the id of each row to a short name."""

    def __init__(self, apis: BothApis, noun: str, names: dict[str, str]) -> None:
        self._apis = apis
        self._noun = noun
        self._names = names

    async def found(self, **filter: str) -> list[str]:
        """Return the names of the rows that the filter finds.

        Checks that REST's numbered pages, REST's cursors and GraphQL find the same rows.
        """
        path = f"/apps/atlas/{self._noun}"
        numbered = (await self._apis.rest("GET", path, per_page="100", **filter)).json()
        by_cursor = await self._apis.rest_data(path, per_page="100", cursor="", **filter)
        connection = (
            await self._apis.graph(
                f"""query($filter: {self._noun.capitalize().removesuffix("s")}Filter) {{
                  app(slug: "atlas") {{ {self._noun}(first: 100, filter: $filter) {{
                    totalCount nodes {{ id }} }} }} }}""",
                filter=_as_graph(filter),
            )
        )["app"][self._noun]
        ids = [each["id"] for each in numbered["data"]]
        assert [each["id"] for each in by_cursor] == ids
        assert [each["id"] for each in connection["nodes"]] == ids
        assert numbered["meta"]["total"] == connection["totalCount"] == len(ids)
        return [self._names[id] for id in ids]

    async def rest_error(self, **filter: str) -> tuple[int, str, dict[str, list[str]] | None]:
        answer = error(await self._apis.rest("GET", f"/apps/atlas/{self._noun}", **filter))
        by_cursor = await self._apis.rest("GET", f"/apps/atlas/{self._noun}", cursor="", **filter)
        assert error(by_cursor) == answer
        return answer

    async def graph_refusal(self, **filter: str) -> str:
        return await self._apis.graph_refusal(
            f"""query($filter: {self._noun.capitalize().removesuffix("s")}Filter) {{
              app(slug: "atlas") {{ {self._noun}(filter: $filter) {{ nodes {{ id }} }} }} }}""",
            filter=_as_graph(filter),
        )


_GRAPH_VALUES = {"true": True, "false": False}


def _as_graph(filter: dict[str, str]) -> Values:
    """Return a REST filter in GraphQL's format."""
    names = {"tier": "tierSlug"}
    return {
        names.get(name, camel_case(name)): _GRAPH_VALUES.get(
            value, value.upper() if name == "status" else value
        )
        for name, value in filter.items()
        # REST ignores every empty parameter. GraphQL refuses an empty text as a UUID, time or status.
        if value
    }


@pytest.fixture
async def licenses(apis: BothApis, database: Database, atlas: App, account: Account) -> Lists:
    """The list of an app's licenses. Any two of them differ in at least one field that has a filter."""
    sso = await make_feature(database, atlas, slug="sso")
    team = await make_tier(database, atlas, slug="team", features=[sso])
    solo = await make_tier(database, atlas, slug="solo")
    ada = await make_customer(database, atlas)
    rows: dict[str, dict[str, Any]] = {
        "old": {"installation_id": HERE, "is_current": False, "revoked_at": PAST, "tier": team},
        "current": {"installation_id": HERE, "tier": solo, "expires_at": NOON},
        "later": {"installation_id": THERE, "expires_at": NOON + timedelta(seconds=1), "tier": team},
        "forever": {"own_features": ["beta"]},
        "expired": {"expires_at": PAST},
    }
    issued = {name: await make_license(database, ada, **fields) for name, fields in rows.items()}
    await note_verified(database, issued["old"], VERIFIED)
    await note_verified(database, issued["later"], VERIFIED + timedelta(seconds=1))
    # A license of another app, which no filter finds. It has the same installation id as some of these, and
    # a tier with the same slug.
    other = await make_app(database, account)
    other_team = await make_tier(database, other, slug="team")
    await make_license(
        database, await make_customer(database, other), installation_id=HERE, tier=other_team, expires_at=NOON
    )
    return Lists(apis, "licenses", {license.id: name for name, license in issued.items()})


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        ({}, ["expired", "forever", "later", "current", "old"]),
        ({"installation_id": HERE}, ["current", "old"]),
        ({"installation_id": HERE.upper()}, ["current", "old"]),
        ({"installation_id": HERE.replace("-", "")}, ["current", "old"]),
        ({"installation_id": f"{{{HERE}}}"}, ["current", "old"]),
        ({"installation_id": "00000000-0000-4000-8000-000000000000"}, []),
        ({"installation_id": HERE, "status": "active"}, ["current"]),
        ({"installation_id": HERE, "tier": "team"}, ["old"]),
        ({"installation_id": HERE, "expires_after": "2099-01-01T00:00:00Z"}, ["current"]),
        ({"installation_id": THERE, "feature": "sso"}, ["later"]),
        ({"tier": "team"}, ["later", "old"]),
        ({"tier": "TEAM"}, []),
        ({"tier": "%"}, []),
        ({"feature": "sso"}, ["later", "old"]),
        ({"feature": "beta"}, ["forever"]),
        ({"feature": "bet"}, []),
        ({"feature": "sso", "tier": "team", "status": "active"}, ["later"]),
        # Both bounds are exclusive. Licenses that never expire are left out.
        ({"expires_before": "2099-03-02T12:00:00Z"}, ["expired"]),
        ({"expires_before": "2099-03-02T12:00:00.5Z"}, ["expired", "current"]),
        ({"expires_before": "2099-03-02T12:00:01Z"}, ["expired", "current"]),
        ({"expires_after": "2099-03-02T12:00:00Z"}, ["later"]),
        ({"expires_after": "2099-03-02T14:00:00+02:00"}, ["later"]),
        ({"expires_after": "2099-03-02T11:59:59Z"}, ["later", "current"]),
        ({"expires_after": "2020-01-01T00:00:00Z", "expires_before": "2099-03-02T12:00:01Z"}, ["current"]),
        ({"expires_after": "0001-01-01T00:00:00Z"}, ["expired", "later", "current"]),
        ({"expires_before": "9999-12-31T23:59:59Z"}, ["expired", "later", "current"]),
        # Both bounds are exclusive. Licenses that were never verified are left out.
        ({"verified_before": "2026-01-23T10:00:00Z"}, []),
        ({"verified_before": "2026-01-23T10:00:01Z"}, ["old"]),
        ({"verified_before": "9999-12-31T23:59:59Z"}, ["later", "old"]),
        ({"verified_after": "2026-01-23T10:00:00Z"}, ["later"]),
        ({"verified_after": "2026-01-23T12:00:00+02:00"}, ["later"]),
        ({"verified_after": "2026-01-23T09:59:59Z", "status": "revoked"}, ["old"]),
        ({"verified": "true"}, ["later", "old"]),
        ({"verified": "false"}, ["expired", "forever", "current"]),
        # The start of an installation id, however it is written, but no other part of it.
        ({"search": "8f14e45f"}, ["current", "old"]),
        ({"search": "8F14E45F-CE"}, ["current", "old"]),
        ({"search": HERE.replace("-", "")}, ["current", "old"]),
        ({"search": f" {{{HERE}}} "}, ["current", "old"]),
        ({"search": f"urn:uuid:{HERE}"}, ["current", "old"]),
        ({"search": f"{HERE}0"}, []),
        ({"search": "14e45f-ceea"}, []),
        ({"search": "8f14e45%"}, []),
        ({"search": "8f14e45_"}, []),
        ({"search": "8f14e45f", "verified_after": "2020-01-01T00:00:00Z"}, ["old"]),
        ({"search": "lic_"}, ["expired", "forever", "later", "current", "old"]),
        ({"search": "-"}, []),
        ({"search": " "}, ["expired", "forever", "later", "current", "old"]),
        (
            dict.fromkeys(
                (
                    *("status", "installation_id", "tier", "feature", "expires_before", "expires_after"),
                    *("verified_before", "verified_after", "verified", "search"),
                ),
                "",
            ),
            ["expired", "forever", "later", "current", "old"],
        ),
    ],
)
async def test_licenses(licenses: Lists, filter: dict[str, str], names: list[str]) -> None:
    assert await licenses.found(**filter) == names


async def test_licenses_are_found_by_the_start_of_any_of_their_jtis(
    apis: BothApis, database: Database, atlas: App
) -> None:
    license, _ = [await make_license(database, await make_customer(database, atlas)) for _ in range(2)]
    newest = await make_token(database, license, 1)
    unissued = await make_token(database, license, 2)  # signed in advance, for a rotation
    found = Lists(apis, "licenses", {license.id: "found"}).found

    for jti in (license.jti, newest):
        assert await found(search=jti) == ["found"]
        assert await found(search=jti[:-1]) == ["found"]
        assert await found(search=jti.upper()) == []
        assert await found(search=f"{jti}0") == []
    assert await found(search=unissued) == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("installation_id", "laptop", UUID_FORM),
        ("installation_id", f"{HERE}\x00", UUID_FORM),
        ("tier", "x" * 256, LONG),
        ("tier", "\x00", UNSTORABLE),
        ("feature", "x" * 256, LONG),
        ("feature", "\x00", UNSTORABLE),
        ("expires_before", "2026-01-23", MOMENT_FORM),
        ("expires_before", "2026-01-23T10:00:00", MOMENT_FORM),
        ("expires_before", "2026-02-30T10:00:00Z", NO_MOMENT),
        ("expires_after", "tomorrow", MOMENT_FORM),
        ("expires_after", "0001-01-01T00:00:00+01:00", NO_MOMENT),
        ("expires_after", "1700000000", MOMENT_FORM),
    ],
)
async def test_filters_of_licenses_that_are_refused(
    licenses: Lists, name: str, value: str, message: str
) -> None:
    assert await licenses.rest_error(**{name: value}) == invalid(**{name: message})
    assert await licenses.graph_refusal(**{name: value}) == "BAD_USER_INPUT"


@pytest.fixture
async def customers(apis: BothApis, database: Database, atlas: App) -> Lists:
    rows: dict[str, dict[str, Any]] = {
        "ada": {"email": "ada@example.com", "name": "Ada", "created_at": NOON},
        "bob": {"email": "bob@ada.example", "name": None, "created_at": NOON + timedelta(seconds=1)},
        "cleo": {"email": "cleo@example.com", "name": "Cleo 100%", "created_at": NOON + timedelta(days=1)},
    }
    made = {(await make_customer(database, atlas, **fields)).id: name for name, fields in rows.items()}
    return Lists(apis, "customers", made)


@pytest.mark.parametrize(
    ("filter", "names"),
    [
        ({"search": "ADA"}, ["bob", "ada"]),
        ({"search": "cleo 1"}, ["cleo"]),
        ({"search": "%"}, ["cleo"]),
        ({"search": "nobody"}, []),
        ({"search": "ada", "email": "example.com"}, ["ada"]),
        # Both bounds are exclusive.
        ({"created_after": "2099-03-02T12:00:00Z"}, ["cleo", "bob"]),
        ({"created_after": "2099-03-02T14:00:00.5+02:00"}, ["cleo", "bob"]),
        ({"created_after": "2099-03-02T11:59:59.999Z"}, ["cleo", "bob", "ada"]),
        ({"created_before": "2099-03-02T12:00:00Z"}, []),
        ({"created_before": "2099-03-02T12:00:00.001Z"}, ["ada"]),
        ({"created_before": "2099-03-02T12:00:01Z"}, ["ada"]),
        ({"created_after": "2099-03-02T12:00:00Z", "created_before": "2099-03-03T12:00:00Z"}, ["bob"]),
        ({"created_after": "0001-01-01T00:00:00Z"}, ["cleo", "bob", "ada"]),
        ({"created_after": "9999-12-31T23:59:59Z"}, []),
        ({"created_before": "0001-01-01T00:00:00Z"}, []),
        ({"created_before": "9999-12-31T23:59:59Z"}, ["cleo", "bob", "ada"]),
        (dict.fromkeys(("search", "created_after", "created_before"), ""), ["cleo", "bob", "ada"]),
    ],
)
async def test_customers(customers: Lists, filter: dict[str, str], names: list[str]) -> None:
    assert await customers.found(**filter) == names


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("search", "x" * 256, LONG),
        ("search", "\x00", UNSTORABLE),
        ("created_after", "2026-01-23 10:00:00", MOMENT_FORM),
        ("created_before", "2026-13-01T00:00:00Z", NO_MOMENT),
    ],
)
async def test_filters_of_customers_that_are_refused(
    customers: Lists, name: str, value: str, message: str
) -> None:
    assert await customers.rest_error(**{name: value}) == invalid(**{name: message})
    assert await customers.graph_refusal(**{name: value}) == "BAD_USER_INPUT"


async def test_the_plus_sign_of_an_offset_need_not_be_encoded(
    apis: BothApis, licenses: Lists, customers: Lists
) -> None:
    for path, shown in (
        ("licenses?expires_after=2099-03-02T14:00:00+02:00", 1),
        ("licenses?expires_before=2099-03-02T14:00:01+02:00", 2),
        ("customers?created_after=2099-03-02T14:00:00+02:00&email=example", 2),
        ("customers?created_before=2099-03-02T14:00:01+02:00", 2),
    ):
        response = await apis.client.get(f"/api/v1/apps/atlas/{path}")
        assert response.status_code == 200, response.text
        assert response.json()["meta"]["total"] == shown, path


async def test_faults_of_all_filters_are_reported_at_once(licenses: Lists) -> None:
    filter = {
        "status": "old",
        "installation_id": "x",
        "customer_id": "\x00",
        "tier_id": "x" * 256,
        "tier": "\x00",
        "feature": "x" * 256,
        "expires_before": "x",
        "expires_after": "2026-02-30T10:00:00Z",
    }
    assert await licenses.rest_error(**filter, per_page="0") == invalid(
        per_page="must be an integer of at least 1",
        status="must be one of: active, expired, revoked",
        installation_id=UUID_FORM,
        customer_id=UNSTORABLE,
        tier_id=LONG,
        tier=UNSTORABLE,
        feature=LONG,
        expires_before=MOMENT_FORM,
        expires_after=NO_MOMENT,
    )
