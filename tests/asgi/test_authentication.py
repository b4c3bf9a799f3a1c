"""Authentication: key lookups are cached for less than a second, and a key never works after it expires."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.requests import HTTPConnection

from asgi import authentication
from asgi.authentication import Authentication
from db import clock
from db.engine import Database
from db.events import command
from resolvers import keys
from resolvers.errors import Unauthenticated
from resolvers.keys import revoke_key
from resolvers.viewer import Policy
from tests.factories import make_account, make_key
from tests.statements import Statements


def request(token: str) -> HTTPConnection:
    return HTTPConnection({"type": "http", "headers": [(b"authorization", f"Bearer {token}".encode())]})


class Monotonic:
    """A clock that only the test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    made = Monotonic()
    # Replace only the clock of `asgi.authentication`, because the event loop needs the real one.
    monkeypatch.setattr(authentication, "time", SimpleNamespace(monotonic=made))
    return made


async def test_a_key_is_looked_up_once_in_a_second(
    database: Database, statements: Statements, monotonic: Monotonic
) -> None:
    token = await make_key(database, await make_account(database))
    authenticated = Authentication(database, Policy())

    with statements.recorded(database) as sent:
        viewers = [await authenticated.viewer_of(request(token)) for _ in range(3)]
        monotonic.now += authentication.CACHED_SECONDS
        await authenticated.viewer_of(request(token))

    assert viewers[0] == viewers[1] == viewers[2]
    assert len(sent.authentications) == 2


async def test_a_revoked_key_stops_within_a_second(database: Database, monotonic: Monotonic) -> None:
    token = await make_key(database, await make_account(database))
    authenticated = Authentication(database, Policy())
    await authenticated.viewer_of(request(token))

    async with database.write() as session:
        await revoke_key(session, command("keys revoke"), Policy(), token)
    monotonic.now += 1

    with pytest.raises(Unauthenticated):
        await authenticated.viewer_of(request(token))


async def test_a_cached_key_expires_from_the_start_of_its_lookup(
    database: Database, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow lookup must not extend the time for which a revoked key is accepted."""
    token = await make_key(database, await make_account(database))
    authenticated = Authentication(database, Policy())
    ask = keys.admit

    async def slowly(*arguments: Any) -> object:
        admitted = await ask(*arguments)
        monotonic.now += 5
        return admitted

    monkeypatch.setattr(keys, "admit", slowly)
    await authenticated.viewer_of(request(token))
    async with database.write() as session:
        await revoke_key(session, command("keys revoke"), Policy(), token)

    with pytest.raises(Unauthenticated):
        await authenticated.viewer_of(request(token))


async def test_an_expiring_key_stops_in_the_right_second(
    database: Database, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires_at = clock.now() + timedelta(seconds=60)
    token = await make_key(database, await make_account(database), expires_at=expires_at)
    authenticated = Authentication(database, Policy())
    await authenticated.viewer_of(request(token))

    monkeypatch.setattr(clock, "now", lambda: expires_at)

    with pytest.raises(Unauthenticated):
        await authenticated.viewer_of(request(token))


async def test_refusals_are_not_cached(database: Database, monotonic: Monotonic) -> None:
    authenticated = Authentication(database, Policy())
    owner = await make_account(database)
    token = await make_key(database, owner)
    with pytest.raises(Unauthenticated):
        await authenticated.viewer_of(request("sk_live_" + "0" * 32))

    assert (await authenticated.viewer_of(request(token))).account_id == owner.id


async def test_the_number_of_cached_keys_is_bounded(
    database: Database, statements: Statements, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "CACHED_KEYS", 2)
    owner = await make_account(database)
    tokens = [await make_key(database, owner) for _ in range(3)]
    authenticated = Authentication(database, Policy())

    with statements.recorded(database) as sent:
        for token in [*tokens, tokens[0]]:
            await authenticated.viewer_of(request(token))

    assert len(sent.authentications) == 4
