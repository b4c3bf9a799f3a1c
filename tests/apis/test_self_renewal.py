"""Software exchanges its token for a new one by itself, in both APIs, even if the token has expired.

Neither API gets a key. `tests.outside` shows the same with PyJWT and jose.
"""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest

from db import clock
from db.engine import Database
from db.events import events
from db.licenses import licenses
from db.tokens import tokens
from tests.apis.both import REVOKE, ROTATE, BothApis
from tests.factories import Account, make_app, make_customer
from tests.keyrings import SETTINGS
from tests.log import check_log
from tests.resolvers.calling import rows
from tests.resolvers.conftest import Clock, stopped
from tests.rest.expecting import UNAUTHORIZED, error

SLUG = "gallery"
MOMENT = Clock.now
TERM = timedelta(days=30)
DAY = timedelta(days=1)
GRACE = 60 * DAY  # the default
SECOND = timedelta(seconds=1)
CREATE = """mutation($input: CreateLicenseInput!) { outcome: createLicense(input: $input) {
  license { id installationId jti token } userErrors { code field } } }"""
RENEW = """mutation($input: RenewLicenseInput!) { outcome: renewLicense(input: $input) {
  license { id expiresAt } userErrors { code field } } }"""
EXCHANGE = """mutation($input: RegenerateLicenseInput!) { outcome: regenerateLicense(input: $input) {
  license { id token expiresAt } userErrors { code field } } }"""
REFUSED: Any = ("UNAUTHENTICATED", UNAUTHORIZED)


@pytest.fixture(autouse=True)
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The time of the server, which stands still until a test moves it."""
    return stopped(monkeypatch)


class Software:
    """An installation with the token that it was given first, and no key."""

    def __init__(self, apis: BothApis, anyone: httpx.AsyncClient, license: dict[str, str]) -> None:
        self.apis = apis
        self.anyone = anyone
        self.id = license["id"]
        self.token = license["token"]

    async def in_graph(self, token: str | None = None) -> Any:
        variables = {"input": {"currentToken": token or self.token}}
        body = {"query": EXCHANGE, "variables": variables}
        return (await self.anyone.post("/graphql", json=body)).json()

    async def in_rest(self, token: str | None = None) -> httpx.Response:
        path = f"/api/v1/apps/{SLUG}/licenses/{self.id}/regenerate"
        return await self.anyone.post(path, json={"current_token": token or self.token})

    async def exchanges(self) -> list[str]:
        """Exchange the first token in both APIs. Returns the new tokens."""
        by_graph = (await self.in_graph())["data"]["outcome"]
        assert by_graph["userErrors"] == []
        by_rest = await self.in_rest()
        assert by_rest.status_code == 200
        return [by_graph["license"]["token"], by_rest.json()["data"]["token"]]

    async def refusals(self) -> tuple[str, object]:
        """Try to exchange the first token in both APIs. Returns the errors."""
        by_graph = (await self.in_graph())["errors"][0]["extensions"]["code"]
        return by_graph, error(await self.in_rest())

    async def renewed(self, days: int = 365) -> datetime:
        """Renew the license, and return its new expiry."""
        outcome = await self.apis.mutate(RENEW, id=self.id, durationDays=days)
        assert outcome["userErrors"] == []
        return clock.from_text(outcome["license"]["expiresAt"])

    async def published(self) -> list[str]:
        """Return the ids of the keys in the key set of the app."""
        answer = await self.anyone.get(f"/api/v1/apps/{SLUG}/jwks.json")
        return [key["kid"] for key in answer.json()["keys"]]


def claims_of(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def kid_of(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    """Settings in which one address may exchange any number of tokens."""
    given: Mapping[str, Any] = getattr(request, "param", {})
    return {**SETTINGS, "renewal_limit_per_minute": 0, **given}


@pytest.fixture
async def software(
    apis: BothApis, client: httpx.AsyncClient, database: Database, account: Account, time: Clock
) -> AsyncIterator[Software]:
    """The software's license was issued for 30 days."""
    customer = await make_customer(database, await make_app(database, account, slug=SLUG))
    outcome = await apis.mutate(CREATE, customerId=customer.id, durationDays=TERM.days)
    async with httpx.AsyncClient(transport=client._transport, base_url=client.base_url) as anyone:
        yield Software(apis, anyone, outcome["license"])


async def contents(database: Database) -> object:
    """Return everything that an exchange would change."""
    return [await rows(database, table) for table in (licenses, tokens, events)]


async def test_a_license_that_expired_and_was_renewed_reaches_its_installation_by_itself(
    software: Software, database_url: str, time: Clock
) -> None:
    time.now += TERM + 10 * DAY
    assert await software.refusals() == REFUSED
    expires_at = await software.renewed()

    for new in await software.exchanges():
        before, after = claims_of(software.token), claims_of(new)
        assert after == {
            **before,
            "exp": int(expires_at.timestamp()),
            "iat": int(time.now.timestamp()),
            "jti": after["jti"],
        }
        assert after["jti"] != before["jti"]
    await check_log(database_url)


@pytest.mark.parametrize(
    ("settings", "days"),
    [({"renewal_grace_days": 3}, 3), ({"renewal_grace_days": 0}, 0)],
    indirect=["settings"],
    ids=["3 days", "no grace"],
)
async def test_a_token_is_exchanged_until_the_grace_is_over(
    software: Software, database: Database, time: Clock, days: int
) -> None:
    end = MOMENT + TERM + days * DAY
    await software.renewed()

    time.now = end - SECOND
    await software.exchanges()
    before = await contents(database)
    for late in (end, end + SECOND, end + 30 * DAY):
        time.now = late
        assert await software.refusals() == REFUSED
    assert await contents(database) == before


async def test_the_license_itself_must_be_active(software: Software, database: Database, time: Clock) -> None:
    await software.renewed(days=30)

    time.now = MOMENT + TERM + DAY
    await software.exchanges()
    await software.apis.mutate(REVOKE, id=software.id)
    before = await contents(database)
    by_graph = (await software.in_graph())["data"]["outcome"]
    assert by_graph == {
        "license": None,
        "userErrors": [{"code": "WRONG_STATE", "field": ["currentToken"]}],
    }
    conflict = (409, "conflict", {"current_token": ["is of a revoked license"]})
    assert error(await software.in_rest()) == conflict

    # The license expires at the end of its second term, when its first token has expired 30 days ago.
    time.now = MOMENT + 2 * TERM
    assert await software.refusals() == REFUSED
    assert await contents(database) == before


async def test_a_token_that_never_expires_is_exchanged_while_its_license_is_active(
    apis: BothApis, software: Software, database: Database, account: Account, time: Clock
) -> None:
    customer = await make_customer(database, await make_app(database, account, slug="other"))
    issued = (await apis.mutate(CREATE, customerId=customer.id, forever=True))["license"]
    assert "exp" not in claims_of(issued["token"])
    time.now += 400 * DAY

    answer = await software.in_graph(issued["token"])
    assert answer["data"]["outcome"]["license"]["expiresAt"] is None


async def test_an_expired_token_of_a_retired_key_is_exchanged_until_the_grace_is_over(
    software: Software, time: Clock
) -> None:
    await software.apis.mutate(ROTATE, appSlug=SLUG)
    time.now = MOMENT + TERM + 10 * DAY
    await software.renewed()
    old = kid_of(software.token)

    time.now = MOMENT + TERM + GRACE - SECOND
    assert old in await software.published()
    assert {kid_of(token) for token in await software.exchanges()} != {old}
    time.now += SECOND
    assert old not in await software.published()
    assert await software.refusals() == REFUSED


async def test_a_token_of_a_dropped_key_is_never_exchanged(software: Software, time: Clock) -> None:
    await software.apis.mutate(ROTATE, appSlug=SLUG, retire="IMMEDIATELY")
    assert await software.refusals() == REFUSED

    time.now = MOMENT + TERM + DAY
    await software.renewed()
    assert await software.refusals() == REFUSED


async def test_a_license_that_was_expired_during_a_rotation_reaches_its_installation_too(
    software: Software, time: Clock
) -> None:
    """A rotation signs only for active licenses. The license gets its first token of the new key later."""
    time.now = MOMENT + TERM + DAY
    await software.apis.mutate(ROTATE, appSlug=SLUG)
    await software.renewed()

    current = (await software.published())[0]
    assert {kid_of(token) for token in await software.exchanges()} == {current}
    assert current != kid_of(software.token)
