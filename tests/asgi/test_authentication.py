"""Who is calling: a key is looked up once in a short while, and never serves longer than it should."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from starlette.requests import HTTPConnection

from asgi import authentication
from asgi.authentication import Authentication
from db import clock
from db.engine import Database
from resolvers.errors import Unauthenticated
from resolvers.keys import revoke_key
from resolvers.viewer import Policy
from tests.factories import make_account, make_key
from tests.statements import Statements


def request(token: str) -> HTTPConnection:
    return HTTPConnection({"type": "http", "headers": [(b"authorization", f"Bearer {token}".encode())]})


class Monotonic:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def monotonic(monkeypatch: pytest.MonkeyPatch) -> Monotonic:
    made = Monotonic()
    # Its own, and not everybody's: the event loop goes by that clock too.
    monkeypatch.setattr(authentication, "time", SimpleNamespace(monotonic=made))
    return made


async def test_a_key_is_looked_up_once_in_a_short_while(
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
        await revoke_key(session, token)
    monotonic.now += 1

    with pytest.raises(Unauthenticated):
        await authenticated.viewer_of(request(token))


async def test_what_is_remembered_counts_from_when_the_database_was_asked(
    database: Database, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that takes its time to answer must not lengthen the life of a revoked key."""
    token = await make_key(database, await make_account(database))
    authenticated = Authentication(database, Policy())
    ask = authentication.keys.admit

    async def slowly(*arguments: object) -> object:
        admitted = await ask(*arguments)
        monotonic.now += 5
        return admitted

    monkeypatch.setattr(authentication.keys, "admit", slowly)
    await authenticated.viewer_of(request(token))
    async with database.write() as session:
        await revoke_key(session, token)

    with pytest.raises(Unauthenticated):
        await authenticated.viewer_of(request(token))


async def test_an_expiring_key_stops_to_the_second(
    database: Database, monotonic: Monotonic, monkeypatch: pytest.MonkeyPatch
) -> None:
    expires_at = clock.now() + timedelta(seconds=60)
    token = await make_key(database, await make_account(database), expires_at=expires_at)
    authenticated = Authentication(database, Policy())
    await authenticated.viewer_of(request(token))

    monkeypatch.setattr(clock, "now", lambda: expires_at)

    with pytest.raises(Unauthenticated):
        await authenticated.viewer_of(request(token))


async def test_refusals_are_not_remembered(database: Database, monotonic: Monotonic) -> None:
    authenticated = Authentication(database, Policy())
    owner = await make_account(database)
    token = await make_key(database, owner)
    with pytest.raises(Unauthenticated):
        await authenticated.viewer_of(request("sk_live_" + "0" * 32))

    assert (await authenticated.viewer_of(request(token))).account_id == owner.id


async def test_no_more_keys_are_remembered_than_the_bound(
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
