"""The life of a license: changing, renewing and transferring it, and trials.

Every test runs on both APIs and on both databases. All tests of a database share one server, whose log of
events is checked at the end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest

from db import clock
from db.engine import Database
from tests.apis.both import CREATE_TIER, Values, as_input
from tests.apis.selling import (
    UNLIMITED,
    GraphSeller,
    RestSeller,
    Seller,
    Shop,
    expected_claims,
    graph,
    in_days,
    later,
    moment,
    near,
    open_shop,
    text_of,
)
from tests.databases import runner
from tests.factories import App, Customer, make_license
from tests.keyrings import MASTER_KEY
from tests.log import check_log
from tests.outside import node
from tests.processes import serving, until

SELLERS = {"rest": RestSeller, "graph": GraphSeller}
EXPIRED_LICENSES = 26
"""How many the tests use in one database."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, module_url: str) -> Iterator[Shop]:
    variables = {"DATABASE_URL": module_url, "LICENSEGRAPH_MASTER_KEY": MASTER_KEY, **UNLIMITED}
    with serving(tmp_path_factory.mktemp("server"), **variables) as server:
        with open_shop([server]) as shop:
            yield shop
        with runner() as loop:
            loop.run(check_log(module_url))


@pytest.fixture(scope="module")
def expired_licenses(shop: Shop) -> list[Values]:
    """Expired licenses, issued together, because each test would have to wait for its own."""
    return shop.expired(EXPIRED_LICENSES)


@pytest.fixture(params=SELLERS)
def seller(request: pytest.FixtureRequest, shop: Shop) -> Seller:
    return SELLERS[request.param](shop)


@pytest.fixture
def expired(expired_licenses: list[Values]) -> Values:
    """An expired license that no other test uses."""
    return expired_licenses.pop()


@pytest.fixture
def revoked(seller: Seller) -> Values:
    """A revoked license that has not expired."""
    return seller.revoked()


@contextmanager
def unchanged(seller: Seller, id: str) -> Iterator[None]:
    """Check that the block changes nothing about a license: neither token nor version nor events."""
    before = seller.state(id)
    yield
    assert seller.state(id) == before


def refused(seller: Seller, id: str, verb: str, values: Values, /, **codes: str) -> None:
    """Check that a call is refused with these codes by field."""
    assert seller.call(verb, id, **values).wrong == seller.wrong(**codes), values


# An active license


def test_each_change_of_an_active_license_signs_a_token_with_the_new_facts(seller: Seller) -> None:
    license = seller.license()
    id, elsewhere, end = license["id"], str(uuid4()), in_days(400)
    changes: list[tuple[Values, Values]] = [
        ({"tier_id": seller.shop.pro["id"]}, {"tier": "pro", "features": ["export"]}),
        ({"features": ["sso", "beta"]}, {"features": ["export", "beta", "sso"]}),
        ({"tier_id": None}, {"tier": None, "features": ["beta", "sso"]}),
        ({"features": []}, {"features": []}),
        ({"installation_id": elsewhere}, {"installation_id": elsewhere}),
        ({"expires_at": end}, {"expires_at": end}),
        ({"forever": True}, {"expires_at": None}),
    ]
    for change, expected in changes:
        before = seller.state(id)
        changed = seller.update(id, **change).done
        after = seller.state(id)

        assert changed["token"] == after["token"]
        assert after["jti"] != before["jti"]
        assert {name: after[name] for name in expected} == expected
        kept = {*before} - {
            *expected,
            "tier_id",
            "token",
            "jti",
            "version",
            "updated_at",
            "events",
            "changes",
        }
        assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
        assert after["version"] == before["version"] + 1
        assert after["events"] == ["LICENSE_UPDATED", *before["events"]]
        claims = seller.claims(after["token"])
        issued_at = claims.pop("iat")
        assert claims == expected_claims(after)
        assert issued_at >= seller.claims(before["token"])["iat"]
        # An earlier token keeps its content.
        assert seller.claims(before["token"]) | expected_claims(before) == seller.claims(before["token"])


def test_a_duration_counts_from_now(seller: Seller) -> None:
    license = seller.license(duration_days=300)

    now = in_days(0)
    changed = seller.update(license["id"], duration_days=40).done

    assert near(changed["expires_at"], later(now, 40))
    assert seller.claims(changed["token"])["exp"] == int(moment(changed["expires_at"]).timestamp())


def test_several_changes_in_one_call_are_one_token_and_one_event(seller: Seller) -> None:
    license = seller.license()
    change = {
        "tier_id": seller.shop.pro["id"],
        "features": ["beta"],
        "installation_id": str(uuid4()),
        "expires_at": in_days(90),
        "metadata": {"order": "A-1018"},
    }

    seller.update(license["id"], **change)

    state = seller.state(license["id"])
    assert {name: state[name] for name in change if name != "features"} == {
        name: value for name, value in change.items() if name != "features"
    }
    assert state["features"] == ["export", "beta"]
    assert state["events"] == ["LICENSE_UPDATED", "LICENSE_CREATED"]
    assert state["version"] == 2
    names = {"tier", "tier_id", "features", "installation_id", "expires_at", "metadata", "jti"}
    assert {*state["changes"][0]} <= names
    assert {*state["changes"][0]} >= names - {"tier", "jti"}
    assert expected_claims(state).items() <= seller.claims(state["token"]).items()


@pytest.mark.skipif(node.missing() is not None, reason=str(node.missing()))
def test_jose_verifies_the_token_of_each_change(seller: Seller, expired: Values) -> None:
    license = seller.license()
    id = license["id"]
    made = [
        license,
        seller.update(id, tier_id=seller.shop.pro["id"]).done,
        seller.update(id, features=["beta"]).done,
        seller.update(id, installation_id=str(uuid4())).done,
        seller.update(id, duration_days=60).done,
        seller.renew(id, duration_days=365).done,
        seller.renew(id, forever=True).done,
        seller.renew(expired["id"], duration_days=30).done,
    ]
    url = f"{seller.client.base_url}/api/v1/apps/atlas/jwks.json"

    claims = node.answer(node.FOLDER, "claims.mjs", url, "atlas", "EdDSA", *(each["token"] for each in made))

    assert [each | {"iat": 0} for each in claims] == [expected_claims(each) | {"iat": 0} for each in made]
    assert claims == [seller.claims(each["token"]) for each in made]


@pytest.mark.parametrize("start", ["expiry", "expiry_or_now", None])
def test_renewing_adds_the_term_to_the_expiry(seller: Seller, start: str | None) -> None:
    license = seller.license()
    before = seller.state(license["id"])

    outcome = seller.renew(license["id"], duration_days=365, **({} if start is None else {"from": start}))

    after = seller.state(license["id"])
    assert after["expires_at"] == outcome.done["expires_at"] == later(license["expires_at"], 365)
    assert after["token"] == outcome.done["token"]
    assert after["jti"] != before["jti"]
    assert after["version"] == before["version"] + 1
    assert after["events"] == ["LICENSE_RENEWED", *before["events"]]
    assert expected_claims(after).items() <= seller.claims(after["token"]).items()
    assert seller.claims(before["token"])["exp"] == int(moment(license["expires_at"]).timestamp())
    if isinstance(seller, GraphSeller):
        assert outcome.previous_expires_at == license["expires_at"]


def test_renewing_from_now_may_shorten_the_term(seller: Seller) -> None:
    license, now = seller.license(duration_days=300), in_days(0)

    renewed = seller.renew(license["id"], duration_days=40, **{"from": "now"}).done

    assert near(renewed["expires_at"], later(now, 40))


def test_renewing_until_a_time_or_forever(seller: Seller) -> None:
    license, end = seller.license(), in_days(700)

    assert seller.renew(license["id"], until=end).done["expires_at"] == end
    forever = seller.renew(license["id"], forever=True)
    assert forever.done["expires_at"] is None
    assert "exp" not in seller.claims(forever.done["token"])
    if isinstance(seller, GraphSeller):
        assert forever.previous_expires_at == end


def test_a_license_that_never_expires_cannot_be_renewed(seller: Seller) -> None:
    license = seller.license(forever=True)

    with unchanged(seller, license["id"]):
        for term in ({"duration_days": 30}, {"until": in_days(30)}):
            refused(seller, license["id"], "renew", term, id="WRONG_STATE")


def test_a_repeated_call_with_its_idempotency_key_signs_one_token(seller: Seller) -> None:
    license = seller.license()
    calls: list[tuple[str, Values]] = [
        ("update", {"features": ["beta"]}),
        ("renew", {"duration_days": 30}),
        ("transfer", {"customer_id": seller.customer()}),
    ]
    for number, (verb, values) in enumerate(calls, 1):
        key = str(uuid4())
        first, again = [seller.call(verb, license["id"], key=key, **values) for _ in range(2)]

        assert first.done == again.done
        assert seller.state(license["id"])["version"] == 1 + number


# An expired license


def test_what_a_token_states_of_an_expired_license_cannot_change(seller: Seller, expired: Values) -> None:
    facts = {"tier_id": seller.shop.pro["id"], "features": ["beta"], "installation_id": str(uuid4())}

    with unchanged(seller, expired["id"]):
        for name, value in facts.items():
            refused(seller, expired["id"], "update", {name: value}, **{name: "WRONG_STATE"})
        refused(seller, expired["id"], "update", facts, **dict.fromkeys(facts, "WRONG_STATE"))


@pytest.mark.parametrize("term", ["expires_at", "duration_days", "forever"])
def test_an_expiry_in_the_future_makes_an_expired_license_active(
    seller: Seller, expired: Values, term: str
) -> None:
    before, end = seller.state(expired["id"]), in_days(50)
    values = {"expires_at": end, "duration_days": 50, "forever": True}

    seller.update(expired["id"], **{term: values[term]})

    after = seller.state(expired["id"])
    assert (before["status"], after["status"]) == ("expired", "active")
    assert after["expires_at"] is None if term == "forever" else near(after["expires_at"], end)
    assert after["jti"] != before["jti"]
    assert after["events"] == ["LICENSE_UPDATED", *before["events"]]
    assert expected_claims(after).items() <= seller.claims(after["token"]).items()
    assert seller.reason(installation_id=after["installation_id"]) == "VALID"


@pytest.mark.parametrize("start", ["now", "expiry_or_now", "expiry"])
def test_renewing_makes_an_expired_license_active(seller: Seller, expired: Values, start: str) -> None:
    before, now = seller.state(expired["id"]), in_days(0)

    outcome = seller.renew(expired["id"], duration_days=30, **{"from": start})

    after = seller.state(expired["id"])
    if start == "expiry":
        assert after["expires_at"] == later(before["expires_at"], 30)
    else:
        assert near(after["expires_at"], later(now, 30))
    assert after["status"] == "active"
    assert after["jti"] != before["jti"]
    assert after["events"] == ["LICENSE_RENEWED", "LICENSE_EXPIRED", "LICENSE_CREATED"]
    assert expected_claims(after).items() <= seller.claims(outcome.done["token"]).items()
    if isinstance(seller, GraphSeller):
        assert outcome.previous_expires_at == before["expires_at"]


def test_renewing_from_an_expiry_long_ago_must_end_in_the_future(seller: Seller, module_url: str) -> None:
    """The license expired ten days ago."""
    id, expires_at = long_expired(seller, module_url)

    with unchanged(seller, id):
        refused(seller, id, "renew", {"duration_days": 10, "from": "expiry"}, duration_days="INVALID")
    renewed = seller.renew(id, duration_days=11, **{"from": "expiry"}).done
    assert renewed["expires_at"] == later(expires_at, 11)


def long_expired(seller: Seller, url: str) -> tuple[str, str]:
    """Create the row of a license that expired ten days ago. Return the license's id and expiry."""
    beside = seller.license()
    app_id = graph(seller.client, '{ app(slug: "atlas") { id } }')["app"]["id"]
    now = clock.now()

    async def make() -> str:
        database = Database(url)
        app = App(app_id, "", "atlas", now)
        owner = Customer(beside["customer_id"], app.id, "", now)
        past = now - timedelta(days=10)
        license = await make_license(database, owner, expires_at=past, created_at=past - timedelta(days=20))
        await database.close()
        return license.id

    with runner() as loop:
        return loop.run(make()), text_of(now - timedelta(days=10))


def test_an_expired_license_whose_installation_is_taken_stays_expired(
    seller: Seller, expired: Values
) -> None:
    other = seller.license(installation_id=expired["installation_id"])

    with unchanged(seller, expired["id"]):
        for verb, values in (
            ("update", {"duration_days": 30}),
            ("update", {"forever": True}),
            ("renew", {"duration_days": 30}),
            ("renew", {"until": in_days(30)}),
        ):
            refused(seller, expired["id"], verb, values, installation_id="TAKEN")
    assert seller.state(other["id"])["status"] == "active"
    seller.revoke(other["id"])
    assert seller.renew(expired["id"], duration_days=30).done["status"] == "active"


# A revoked license


def test_only_the_metadata_and_the_customer_of_a_revoked_license_can_change(
    seller: Seller, revoked: Values
) -> None:
    with unchanged(seller, revoked["id"]):
        for change in (
            {"tier_id": seller.shop.pro["id"]},
            {"features": ["beta"]},
            {"installation_id": str(uuid4())},
            {"expires_at": in_days(90)},
            {"duration_days": 90},
            {"forever": True},
        ):
            ((name, _),) = change.items()
            refused(seller, revoked["id"], "update", change, **{name: "WRONG_STATE"})
        for term in ({"duration_days": 30}, {"until": in_days(90)}, {"forever": True}):
            refused(seller, revoked["id"], "renew", term, id="WRONG_STATE")


# Whatever the state


@pytest.mark.parametrize("state", ["active", "expired", "revoked"])
def test_metadata_alone_changes_without_a_token(
    seller: Seller, request: pytest.FixtureRequest, state: str
) -> None:
    license = seller.license() if state == "active" else request.getfixturevalue(state)
    for given, stored in (
        ({"order": {"number": 1}}, {"order": {"number": 1}}),
        ({"a": 1}, {"a": 1}),
        (None, {}),
    ):
        before = seller.state(license["id"])

        assert seller.update(license["id"], metadata=given).done["metadata"] == stored

        after = seller.state(license["id"])
        assert after["metadata"] == stored
        assert (after["token"], after["jti"]) == (before["token"], before["jti"])
        assert (after["status"], after["version"]) == (state, before["version"] + 1)
        assert after["events"] == ["LICENSE_UPDATED", *before["events"]]
        assert after["changes"][0] == {"metadata": {"from": before["metadata"], "to": stored}}


@pytest.mark.parametrize("state", ["active", "expired", "revoked"])
def test_a_transfer_keeps_the_token_and_is_in_the_history_of_both_customers(
    seller: Seller, request: pytest.FixtureRequest, state: str
) -> None:
    license = seller.license() if state == "active" else request.getfixturevalue(state)
    id, giver, taker = license["id"], license["customer_id"], seller.customer()
    before = seller.state(id)

    moved = seller.transfer(id, taker).done

    after = seller.state(id)
    assert (moved["customer_id"], after["customer_id"]) == (taker, taker)
    assert (after["token"], after["jti"]) == (before["token"], before["jti"])
    assert (after["status"], after["version"]) == (state, before["version"] + 1)
    assert after["events"] == ["LICENSE_TRANSFERRED", *before["events"]]
    assert after["changes"][0] == {"customer_id": {"from": giver, "to": taker}}
    assert (seller.licenses_of(giver), seller.licenses_of(taker)) == (0, 1)
    transferred = ("LICENSE_TRANSFERRED", id)
    until(lambda: transferred in seller.history_of(giver) and transferred in seller.history_of(taker))
    seller.update(id, metadata={"is": "with the taker"})
    until(lambda: ("LICENSE_UPDATED", id) in seller.history_of(taker))
    assert ("LICENSE_UPDATED", id) not in seller.history_of(giver)


def test_a_transfer_works_within_the_app_only(seller: Seller) -> None:
    license = seller.license()

    with unchanged(seller, license["id"]):
        for customer, code in (
            (seller.shop.foreign_customer, "NOT_FOUND"),
            ("cus_00000000000000000000000000", "NOT_FOUND"),
            (license["id"], "NOT_FOUND"),
            ("", "BLANK"),
        ):
            refused(seller, license["id"], "transfer", {"customer_id": customer}, customer_id=code)
        assert seller.transfer(license["id"], license["customer_id"]).wrong is None


@pytest.mark.parametrize("state", ["active", "expired", "revoked"])
def test_equal_values_change_nothing(seller: Seller, request: pytest.FixtureRequest, state: str) -> None:
    license = seller.license() if state == "active" else request.getfixturevalue(state)
    equal = {name: license[name] for name in ("tier_id", "installation_id", "expires_at", "metadata")}

    with unchanged(seller, license["id"]):
        for name, value in equal.items():
            assert seller.update(license["id"], **{name: value}).wrong is None
        assert seller.update(license["id"], features=[], **equal).wrong is None
        assert seller.update(license["id"]).wrong is None


def test_forever_changes_nothing_on_a_license_that_never_expires(seller: Seller) -> None:
    license = seller.license(forever=True)

    with unchanged(seller, license["id"]):
        assert seller.update(license["id"], forever=True).done["expires_at"] is None


# Terms


def test_terms_that_are_refused(seller: Seller) -> None:
    license, term = seller.license(), {"duration_days": 30}
    id = license["id"]
    cases: list[tuple[str, Values, Values]] = [
        ("update", {**term, "forever": True}, {"base": "INVALID"}),
        ("update", {**term, "expires_at": in_days(90)}, {"base": "INVALID"}),
        ("update", {"forever": True, "expires_at": in_days(90)}, {"base": "INVALID"}),
        ("update", {"forever": False}, {"base": "INVALID"}),
        ("update", {"duration_days": 0}, {"duration_days": "INVALID"}),
        ("update", {"duration_days": 36_501}, {"duration_days": "INVALID"}),
        ("update", {"expires_at": in_days(-1)}, {"expires_at": "INVALID"}),
        ("update", {"expires_at": in_days(36_501)}, {"expires_at": "INVALID"}),
        ("renew", {**term, "forever": True}, {"base": "INVALID"}),
        ("renew", {**term, "until": in_days(90)}, {"base": "INVALID"}),
        ("renew", {"forever": True, "until": in_days(90)}, {"base": "INVALID"}),
        ("renew", {"forever": False}, {"base": "INVALID"}),
        ("renew", {"duration_days": 0}, {"duration_days": "INVALID"}),
        ("renew", {"duration_days": 36_501}, {"duration_days": "INVALID"}),
        ("renew", {"until": in_days(-1)}, {"until": "INVALID"}),
        ("renew", {"until": in_days(36_501)}, {"until": "INVALID"}),
        # 30 days are left.
        ("renew", {"duration_days": 36_480}, {"duration_days": "INVALID"}),
    ]

    with unchanged(seller, id):
        for verb, values, codes in cases:
            refused(seller, id, verb, values, **codes)
    renewed = seller.renew(id, duration_days=36_460).done
    assert renewed["expires_at"] == later(license["expires_at"], 36_460)


def test_a_term_that_is_left_out_is_that_of_the_tier(seller: Seller) -> None:
    tier = seller.tier(duration_days=45)
    now = in_days(0)

    license = seller.issue(tier_id=tier["id"]).done
    assert near(license["expires_at"], later(now, 45))
    assert seller.renew(license["id"]).done["expires_at"] == later(license["expires_at"], 45)
    seller.change_tier(tier["id"], duration_days=10)
    assert seller.renew(license["id"]).done["expires_at"] == later(license["expires_at"], 55)
    assert near(seller.issue(tier_id=tier["id"], duration_days=7).done["expires_at"], later(now, 7))

    seller.change_tier(tier["id"], duration_days=None)
    refused(seller, license["id"], "renew", {}, base="INVALID")
    assert seller.issue(tier_id=tier["id"]).wrong == seller.wrong(base="INVALID")
    # A change never takes the tier's term.
    seller.change_tier(tier["id"], duration_days=10)
    before = seller.state(license["id"])
    seller.update(license["id"], features=["beta"])
    assert seller.state(license["id"])["expires_at"] == before["expires_at"]


# Tier, features, installation


def test_what_is_unknown_is_not_found(seller: Seller) -> None:
    id = seller.license()["id"]

    with unchanged(seller, id):
        refused(seller, id, "update", {"features": ["export", "nothing"]}, features="NOT_FOUND")
        refused(seller, id, "update", {"tier_id": seller.shop.foreign_tier}, tier_id="NOT_FOUND")
        refused(seller, id, "update", {"tier_id": "tier_unknown"}, tier_id="NOT_FOUND")
    nothing = "lic_00000000000000000000000000"
    for verb, values in (
        ("update", {"metadata": {}}),
        ("renew", {"duration_days": 30}),
        ("transfer", {"customer_id": seller.customer()}),
    ):
        assert seller.call(verb, nothing, **values).wrong == seller.wrong(id="NOT_FOUND")


def test_all_errors_are_reported_together(seller: Seller) -> None:
    id, other = seller.license()["id"], seller.license()
    values = {
        "tier_id": seller.shop.foreign_tier,
        "features": ["nothing"],
        "installation_id": other["installation_id"],
    }

    found = {"tier_id": "NOT_FOUND", "features": "NOT_FOUND"}
    with unchanged(seller, id):
        refused(seller, id, "update", values, **found, installation_id="TAKEN")
        values |= {"duration_days": 0, "metadata": {"": 1}}
        refused(
            seller,
            id,
            "update",
            values,
            **found,
            installation_id="TAKEN",
            duration_days="INVALID",
            metadata="INVALID",
        )
        values |= {"duration_days": 30, "forever": True, "metadata": {}}
        refused(seller, id, "update", values, **found, installation_id="TAKEN", base="INVALID")


def test_features_are_read_again_only_with_a_tier_or_features(seller: Seller) -> None:
    tier = seller.tier(features=["export"])
    license = seller.license(tier_id=tier["id"], features=["beta"])
    id = license["id"]
    seller.change_tier(tier["id"], features=["sso"])

    for verb, values in (
        ("renew", {"duration_days": 30}),
        ("update", {"duration_days": 90}),
        ("update", {"installation_id": str(uuid4())}),
        ("update", {"metadata": {"a": 1}}),
        ("transfer", {"customer_id": seller.customer()}),
    ):
        assert seller.call(verb, id, **values).done["features"] == ["export", "beta"]
        state = seller.state(id)
        assert seller.claims(state["token"])["features"] == state["features"] == ["export", "beta"]
    assert seller.update(id, features=[]).done["features"] == ["sso"]
    seller.change_tier(tier["id"], features=["export", "sso"])
    assert seller.update(id, tier_id=seller.shop.pro["id"]).done["features"] == ["export"]
    assert seller.update(id, tier_id=tier["id"]).done["features"] == ["export", "sso"]


def test_moving_leaves_the_old_installation_and_needs_a_free_one(seller: Seller, expired: Values) -> None:
    license, other = seller.license(), seller.license()
    left = license["installation_id"]

    with unchanged(seller, license["id"]):
        refused(
            seller,
            license["id"],
            "update",
            {"installation_id": other["installation_id"]},
            installation_id="TAKEN",
        )
    moved = seller.update(license["id"], installation_id=expired["installation_id"]).done

    assert seller.reason(installation_id=left) == "NOT_FOUND"
    assert seller.reason(token=license["token"]) == seller.reason(jti=license["jti"]) == "MOVED"
    assert seller.reason(installation_id=moved["installation_id"]) == "VALID"
    assert seller.reason(token=moved["token"]) == seller.reason(jti=moved["jti"]) == "VALID"
    assert seller.license(installation_id=left)["status"] == "active"
    refused(seller, license["id"], "update", {"installation_id": left}, installation_id="TAKEN")


def test_put_is_patch(shop: Shop) -> None:
    """Fields that are left out stay unchanged with both methods."""
    license = RestSeller(shop).license(metadata={"a": 1})

    response = shop.clients[0].put(
        f"/api/v1/apps/atlas/licenses/{license['id']}", json={"features": ["beta"]}
    )

    assert response.status_code == 200
    changed = response.json()["data"]
    assert list(changed) == list(license)
    assert changed | {"token": 0, "jti": 0} == license | {
        "features": ["export", "sso", "beta"],
        "token": 0,
        "jti": 0,
    }


# Trials


@pytest.fixture
def trial_tier(seller: Seller) -> str:
    return str(seller.tier(trial=True, duration_days=14, features=["export"])["id"])


def test_a_license_of_a_trial_tier_is_a_trial_until_it_gets_another_tier(
    seller: Seller, trial_tier: str
) -> None:
    license = seller.issue(tier_id=trial_tier).done

    state = seller.state(license["id"])
    assert state["trial"] is True
    assert seller.claims(license["token"]) == {
        **expected_claims(license),
        "iat": seller.claims(license["token"])["iat"],
        "trial": True,
    }
    renewed = seller.renew(license["id"]).done
    assert seller.claims(renewed["token"])["trial"] is True
    bought = seller.update(license["id"], tier_id=seller.shop.pro["id"]).done
    assert seller.state(license["id"])["trial"] is False
    assert "trial" not in seller.claims(bought["token"])


@pytest.mark.parametrize("end", ["active", "revoke", "delete", "buy"])
def test_one_trial_for_each_customer_and_installation(seller: Seller, trial_tier: str, end: str) -> None:
    """Whatever happens to the first trial, there is no second one."""
    first = seller.issue(tier_id=trial_tier).done
    match end:
        case "revoke":
            seller.revoke(first["id"])
        case "delete":
            url = f"/api/v1/apps/atlas/licenses/{first['id']}"
            assert seller.client.delete(url).status_code == 204
        case "buy":
            seller.update(first["id"], tier_id=seller.shop.team["id"])

    again = seller.issue(tier_id=trial_tier, customer_id=first["customer_id"])
    assert again.wrong == seller.wrong(customer_id="TRIAL_USED")
    if end in {"revoke", "delete"}:
        again = seller.issue(tier_id=trial_tier, installation_id=first["installation_id"])
        assert again.wrong == seller.wrong(installation_id="TRIAL_USED")
    ordinary = seller.license(customer_id=first["customer_id"])
    with unchanged(seller, ordinary["id"]):
        refused(seller, ordinary["id"], "update", {"tier_id": trial_tier}, customer_id="TRIAL_USED")


def test_a_trial_is_not_transferred_or_moved_to_who_had_one(seller: Seller, trial_tier: str) -> None:
    first, second = [seller.issue(tier_id=trial_tier).done for _ in range(2)]
    seller.revoke(first["id"])

    with unchanged(seller, second["id"]):
        to_customer = {"customer_id": first["customer_id"]}
        refused(seller, second["id"], "transfer", to_customer, customer_id="TRIAL_USED")
        to_installation = {"installation_id": first["installation_id"]}
        refused(seller, second["id"], "update", to_installation, installation_id="TRIAL_USED")


def test_a_trial_that_was_ended_by_a_purchase_frees_the_installation_for_licenses_only(
    seller: Seller, trial_tier: str
) -> None:
    first = seller.issue(tier_id=trial_tier).done
    seller.update(first["id"], tier_id=seller.shop.team["id"])
    seller.revoke(first["id"])

    again = seller.issue(tier_id=trial_tier, installation_id=first["installation_id"])
    assert again.wrong == seller.wrong(installation_id="TRIAL_USED")
    assert seller.license(installation_id=first["installation_id"])["status"] == "active"


def test_terms_of_tiers_that_are_refused(shop: Shop) -> None:
    for days in (0, 36_501):
        body = {"slug": "long", "name": "Long", "duration_days": days}
        response = shop.clients[0].post("/api/v1/apps/atlas/tiers", json=body)
        outcome = graph(shop.clients[0], CREATE_TIER, input={"appSlug": "atlas", **as_input(body)})["outcome"]

        assert response.status_code == 422
        assert {*response.json()["error"]["details"]} == {"duration_days"}
        errors = [(each["field"], each["code"]) for each in outcome["userErrors"]]
        assert errors == [(["durationDays"], "INVALID")]
