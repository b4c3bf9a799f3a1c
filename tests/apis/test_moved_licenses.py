"""A license moves to another installation: what both installations and all its tokens get, in both APIs."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest
from sqlalchemy import delete

from db import clock
from db.engine import Database
from db.tokens import tokens
from resolvers import licenses
from resolvers.errors import Unauthenticated
from resolvers.verification import prove
from resolvers.viewer import Policy, anonymous
from tests.apis.both import REINSTATE, REVOKE, ROTATE, BothApis
from tests.factories import Account, make_app, make_customer, make_feature, make_tier
from tests.keyrings import KEYRING
from tests.log import check_log
from tests.resolvers.conftest import Clock, stopped
from tests.rest.expecting import UNAUTHORIZED, VERIFICATION_KEYS, error
from tests.statements import Statements

SLUG = "gallery"
LICENSES = f"/apps/{SLUG}/licenses"
OLD = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
NEW = "3c9e1b52-0d5f-4d0c-9a53-6f2f1f0a7b10"
MOMENT = Clock.now
VERIFY = f"""query($by: LicenseProof!) {{ outcome: verifyLicense(appSlug: "{SLUG}", by: $by) {{
  valid reason since status installationId tier features expiresAt }} }}"""
VERIFY_MANY = f"""query($by: LicenseProofs!) {{ outcome: verifyLicenses(appSlug: "{SLUG}", by: $by) {{
  valid reason since }} }}"""
CREATE = """mutation($input: CreateLicenseInput!) { outcome: createLicense(input: $input) {
  license { id jti token } userErrors { code field } } }"""
MOVE = """mutation($input: UpdateLicenseInput!) { outcome: updateLicense(input: $input) {
  license { id jti token } userErrors { code field } } }"""
REGENERATE = """mutation($input: RegenerateLicenseInput!) { outcome: regenerateLicense(input: $input) {
  license { id jti token } userErrors { code field } } }"""


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the server, which stands still until a test moves it."""
    return stopped(monkeypatch)


class Holder:
    """A license that was issued to the installation OLD, for the tier "team" and 30 days."""

    def __init__(self, apis: BothApis, anyone: httpx.AsyncClient, license: dict[str, str]) -> None:
        self.apis = apis
        self.anyone = anyone
        self.id = license["id"]
        self.first = license

    async def moves(self, installation_id: str) -> dict[str, str]:
        """Move the license, and return its new token."""
        return await self.changed(MOVE, installationId=installation_id)

    async def changed(self, mutation: str, **input: Any) -> dict[str, str]:
        outcome = await self.apis.mutate(mutation, id=self.id, **input)
        assert outcome["userErrors"] == []
        return dict(outcome["license"])

    async def verified(self, **by: str) -> dict[str, Any]:
        """Verify the license in the graph, without a key."""
        body = {"query": VERIFY, "variables": {"by": by}}
        answer = (await self.anyone.post("/graphql", json=body)).json()
        return dict(answer["data"]["outcome"])

    async def reason(self, **by: str) -> str:
        return str((await self.verified(**by))["reason"])

    async def in_rest(self, **by: str) -> httpx.Response:
        """Verify the license in REST, without a key."""
        return await self.anyone.get(f"/api/v1{LICENSES}/verify", params=by)

    async def batch(self, **lists: list[str]) -> list[dict[str, Any]]:
        """Verify many in REST, without a key, and return the results in the order of the list."""
        response = await self.anyone.post(f"/api/v1{LICENSES}/verify/batch", json=lists)
        (asked,) = lists.values()
        return [response.json()["data"]["results"][each] for each in asked]

    async def exchanged(self, token: str) -> list[object]:
        """Exchange a token in both APIs, without a key. Returns the error of each, or None."""
        body = {"query": REGENERATE, "variables": {"input": {"currentToken": token}}}
        by_graph = (await self.anyone.post("/graphql", json=body)).json()
        path = f"/api/v1{LICENSES}/{self.id}/regenerate"
        by_rest = await self.anyone.post(path, json={"current_token": token})
        return [
            by_graph["errors"][0]["extensions"]["code"] if "errors" in by_graph else None,
            error(by_rest) if by_rest.is_error else None,
        ]


@pytest.fixture
async def license(
    apis: BothApis, client: httpx.AsyncClient, database: Database, account: Account, time: Clock
) -> Any:
    app = await make_app(database, account, slug=SLUG)
    export = await make_feature(database, app, slug="export")
    tier = await make_tier(database, app, slug="team", features=[export])
    customer = await make_customer(database, app)
    values = {"customerId": customer.id, "tierId": tier.id, "installationId": OLD, "durationDays": 30}
    outcome = await apis.mutate(CREATE, **values)
    anyone = httpx.AsyncClient(transport=client._transport, base_url=client.base_url)
    async with anyone:
        yield Holder(apis, anyone, outcome["license"])


def moved(since: str, installation_id: str = OLD) -> dict[str, Any]:
    """Return the result in the graph for a token of an installation that the license has left."""
    return {
        "valid": False,
        "reason": "MOVED",
        "since": since,
        "status": None,
        "installationId": installation_id,
        "tier": None,
        "features": [],
        "expiresAt": None,
    }


async def test_after_a_move_each_installation_and_each_token_gets_its_own_answer(
    license: Holder, time: Clock
) -> None:
    time.passes(days=3)
    at = clock.as_text(time.now)
    new = await license.moves(NEW)
    old = license.first

    time.passes(days=1)
    assert await license.verified(jti=old["jti"]) == moved(at)
    assert await license.verified(token=old["token"]) == moved(at)
    assert await license.reason(installationId=OLD) == "NOT_FOUND"
    valid = {
        "valid": True,
        "reason": "VALID",
        "since": None,
        "status": "ACTIVE",
        "installationId": NEW,
        "tier": "team",
        "features": ["export"],
        "expiresAt": clock.as_text(MOMENT + timedelta(days=30)),
    }
    for by in ({"jti": new["jti"]}, {"token": new["token"]}, {"installationId": NEW}):
        assert await license.verified(**by) == valid


async def test_rest_says_the_same(license: Holder, time: Clock) -> None:
    time.passes(days=3)
    at = clock.as_text(time.now)
    new = await license.moves(NEW)

    left = await license.in_rest(jti=license.first["jti"])
    assert (left.status_code, left.headers["cache-control"]) == (200, "no-store")
    assert list(left.json()["data"]) == [*VERIFICATION_KEYS, "since"]
    assert left.json()["data"] == {
        "valid": False,
        "status": "moved",
        "tier": None,
        "features": [],
        "expires_at": None,
        "installation_id": OLD,
        "since": at,
    }
    assert error(await license.in_rest(installation_id=OLD))[0] == 404
    for query in ({"jti": new["jti"]}, {"installation_id": NEW}):
        found = (await license.in_rest(**query)).json()["data"]
        assert list(found) == VERIFICATION_KEYS
        assert (found["valid"], found["status"], found["installation_id"]) == (True, "active", NEW)


async def test_in_lists_too_with_one_statement(
    license: Holder, time: Clock, app: Any, statements: Statements
) -> None:
    time.passes(days=3)
    at = clock.as_text(time.now)
    new = await license.moves(NEW)
    jtis, places = [license.first["jti"], new["jti"], "none"], [OLD, NEW]
    expected = [
        {"valid": False, "reason": "MOVED", "since": at},
        {"valid": True, "reason": "VALID", "since": None},
        {"valid": False, "reason": "NOT_FOUND", "since": None},
    ]

    async def in_graph(**by: list[str]) -> Any:
        return (await license.apis.graph(VERIFY_MANY, by=by))["outcome"]

    assert await in_graph(jtis=jtis) == expected
    assert await in_graph(installationIds=places) == [expected[2], expected[1]]
    unknown = {"valid": False, "status": "not_found", "tier": None}
    active = {"valid": True, "status": "active", "tier": "team"}
    left = {"valid": False, "status": "moved", "tier": None, "since": at}
    assert await license.batch(jtis=jtis) == [left, active, unknown]
    assert await license.batch(installation_ids=places) == [unknown, active]

    requests: list[Callable[[], Any]] = [
        lambda: license.in_rest(jti=jtis[0]),
        lambda: license.verified(jti=jtis[0]),
        lambda: license.verified(token=license.first["token"]),
        lambda: license.batch(jtis=jtis),
    ]
    for request in requests:
        await request()
        with statements.recorded(app.state.database) as sent:
            await request()
        assert len(sent) == 1


async def test_moved_comes_after_faults_of_the_token_and_before_the_state_of_the_license(
    license: Holder, time: Clock
) -> None:
    old = license.first
    time.passes(days=3)
    at = clock.as_text(time.now)
    new = await license.moves(NEW)

    time.passes(days=1)
    await license.changed(REVOKE)
    assert await license.verified(jti=old["jti"]) == await license.verified(token=old["token"]) == moved(at)
    assert [await license.reason(token=new["token"]), await license.reason(jti=new["jti"])] == ["REVOKED"] * 2
    await license.changed(REINSTATE)
    time.passes(days=30)
    assert await license.verified(jti=old["jti"]) == await license.verified(token=old["token"]) == moved(at)
    assert await license.reason(token=new["token"]) == "EXPIRED"

    altered = old["token"][:-8] + ("AAAAAAAA" if old["token"][-8:] != "AAAAAAAA" else "BBBBBBBB")
    assert await license.reason(token=altered) == "BAD_SIGNATURE"
    await license.apis.mutate(ROTATE, appSlug=SLUG, retire="IMMEDIATELY")
    assert await license.reason(token=old["token"]) == "RETIRED_KEY"


async def test_a_license_that_moves_back_takes_its_tokens_back(license: Holder, time: Clock) -> None:
    first = license.first
    time.passes(days=1)
    second = await license.moves(NEW)
    time.passes(days=1)
    at = clock.as_text(time.now)
    third = await license.moves(OLD)

    for token in (first, third):
        assert await license.reason(jti=token["jti"]) == await license.reason(token=token["token"]) == "VALID"
    assert await license.verified(jti=second["jti"]) == moved(at, NEW)
    assert await license.verified(token=second["token"]) == moved(at, NEW)
    assert await license.reason(installationId=NEW) == "NOT_FOUND"
    assert await license.exchanged(second["token"]) == ["UNAUTHENTICATED", UNAUTHORIZED]
    assert await license.exchanged(first["token"]) == [None, None]

    time.passes(days=1)
    again = clock.as_text(time.now)
    await license.moves(NEW)
    for token in (first, third):
        assert await license.verified(jti=token["jti"]) == moved(again)
    assert await license.reason(jti=second["jti"]) == "VALID"


async def test_a_token_says_so_itself_if_its_jti_is_no_longer_kept(
    license: Holder, database: Database, time: Clock
) -> None:
    old = license.first
    time.passes(days=1)
    at = clock.as_text(time.now)
    await license.moves(NEW)
    async with database.write() as session:
        await session.execute(delete(tokens).where(tokens.c.jti == old["jti"]))

    assert await license.reason(jti=old["jti"]) == "NOT_FOUND"
    assert await license.verified(token=old["token"]) == moved(at)


async def test_only_the_own_installation_exchanges_a_token(license: Holder, time: Clock) -> None:
    time.passes(days=1)
    new = await license.moves(NEW)

    assert await license.exchanged(license.first["token"]) == ["UNAUTHENTICATED", UNAUTHORIZED]
    assert await license.exchanged(new["token"]) == [None, None]


async def test_a_license_that_moves_while_its_token_is_exchanged(
    license: Holder, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The license moves after the token was found to be valid, and before the license is locked."""

    async def prove_and_move(*arguments: Any) -> Any:
        proven = await prove(*arguments)
        await license.moves(NEW)
        return proven

    monkeypatch.setattr(licenses, "prove", prove_and_move)
    with pytest.raises(Unauthenticated):
        await licenses.exchange_token(anonymous(Policy()), database, KEYRING, license.first["token"])

    assert await license.reason(installationId=NEW) == "VALID"


async def test_moves_and_exchanges_at_once_leave_a_token_for_the_installation_of_the_license(
    license: Holder, database_url: str
) -> None:
    token = license.first["token"]

    outcomes = await asyncio.gather(
        *(license.moves(NEW if turn % 2 else OLD) for turn in range(10)),
        *(license.exchanged(token) for _ in range(8)),
    )

    assert all(each in (None, "UNAUTHENTICATED", UNAUTHORIZED) for both in outcomes[10:] for each in both)
    query = "query($id: ID!) { license(id: $id) { installationId token } }"
    shown = (await license.apis.graph(query, id=license.id))["license"]
    claims = jwt.decode(shown["token"], options={"verify_signature": False})
    assert claims["sub"] == shown["installationId"]
    assert await license.reason(token=shown["token"]) == "VALID"
    await check_log(database_url)


@pytest.mark.parametrize("before", [True, False], ids=["before a rotation", "after a rotation"])
async def test_a_rotation_signs_for_the_installation_that_the_license_is_for(
    license: Holder, time: Clock, before: bool
) -> None:
    time.passes(days=1)
    at = clock.as_text(time.now)
    if before:
        await license.moves(NEW)
    await license.apis.mutate(ROTATE, appSlug=SLUG)
    if not before:
        await license.moves(NEW)

    shown = (await license.apis.graph("query($id: ID!) { license(id: $id) { jti token } }", id=license.id))[
        "license"
    ]
    claims = jwt.decode(shown["token"], options={"verify_signature": False})
    assert (claims["sub"], claims["jti"]) == (NEW, shown["jti"])
    assert await license.reason(token=shown["token"]) == await license.reason(jti=shown["jti"]) == "VALID"
    assert await license.verified(token=license.first["token"]) == moved(at)
    assert await license.verified(jti=license.first["jti"]) == moved(at)
