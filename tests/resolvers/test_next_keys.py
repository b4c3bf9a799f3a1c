"""An app's next signing key is created in advance, and is published before a rotation first signs with it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from sqlalchemy import select

from db import signing_keys
from db.apps import for_signing
from db.engine import Database
from db.events import SERVER
from db.tokens import tokens
from resolvers import signing_keys as module
from resolvers.apps import create_app, delete_app
from resolvers.keyring import Algorithm, Keyring
from resolvers.licenses import create_license, regenerate_license, reinstate_license, revoke_license
from resolvers.rotation import rotate, rotate_any_app, rotate_app_keys
from resolvers.signing_keys import (
    KeySet,
    key_set,
    make_next_key,
    make_next_keys,
    making_next_keys,
)
from resolvers.viewer import Policy, Viewer, anonymous
from tests.factories import Account, App, make_app, make_customer
from tests.keyrings import KEYRING, unlocked
from tests.resolvers.calling import rows, write
from tests.resolvers.conftest import Clock


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPREAD_SECONDS", 0)


async def generations(database: Database, app: App) -> list[int]:
    """Return the generations of an app's keys, in ascending order."""
    return sorted(
        key["generation"]
        for key in await rows(database, signing_keys.signing_keys)
        if key["app_id"] == app.id
    )


async def published(database: Database, slug: str = "editor") -> KeySet:
    async with database.read() as session:
        found = await key_set(anonymous(Policy()), session, slug)
    assert found is not None
    return found


async def kids(database: Database, slug: str = "editor") -> list[str]:
    return [key["kid"] for key in (await published(database, slug)).keys]


async def kids_of_tokens(database: Database, license_id: str) -> list[str]:
    """Return the id of the key that signed each stored token of a license, oldest token first."""
    statement = select(tokens.c.token).where(tokens.c.license_id == license_id).order_by(tokens.c.number)
    async with database.write() as session:
        found = (await session.execute(statement)).scalars()
        return [jwt.get_unverified_header(token)["kid"] for token in found if token is not None]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("algorithm", list(Algorithm))
async def test_every_app_gets_one_next_key_of_its_algorithm(
    database: Database, account: Account, algorithm: Algorithm
) -> None:
    apps = [await make_app(database, account, algorithm=algorithm) for _ in range(3)]

    for _ in range(2):
        await make_next_keys(database, KEYRING)

    for app in apps:
        assert await generations(database, app) == [1, 2]
        assert {key["alg"] for key in (await published(database, app.slug)).keys} == {algorithm.jwa}


async def test_a_next_key_is_published_behind_the_current_one(database: Database, app: App) -> None:
    (current,) = await kids(database)
    assert not (await published(database)).has_next

    await make_next_keys(database, KEYRING)

    found = await published(database)
    assert (len(found.keys), found.keys[0]["kid"], found.has_next) == (2, current, True)


async def test_a_next_key_does_not_sign_until_a_rotation(
    database: Database, viewer: Viewer, app: App
) -> None:
    await make_next_keys(database, KEYRING)
    current, _ = await kids(database)
    customer = await make_customer(database, app)

    id = await write(database, create_license, viewer, {"customer_id": customer.id, "forever": True})
    issued = await kids_of_tokens(database, id)
    await write(database, regenerate_license, viewer, id)
    regenerated = await kids_of_tokens(database, id)
    await write(database, revoke_license, viewer, id, {})
    await write(database, reinstate_license, viewer, id)

    assert issued == regenerated == await kids_of_tokens(database, id) == [current]


@pytest.mark.parametrize("immediately", [False, True])
async def test_a_rotation_uses_the_next_key_and_makes_none(
    database: Database, viewer: Viewer, app: App, monkeypatch: pytest.MonkeyPatch, immediately: bool
) -> None:
    await make_next_keys(database, KEYRING)
    current, prepared = await kids(database)
    customer = await make_customer(database, app)
    id = await write(database, create_license, viewer, {"customer_id": customer.id, "forever": True})

    async def never(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(KEYRING, "make", never)
    await rotate_app_keys(viewer, database, KEYRING, "editor", immediately=immediately)

    assert await kids_of_tokens(database, id) == [prepared]
    assert await kids(database) == ([prepared] if immediately else [prepared, current])
    assert not (await published(database)).has_next


async def test_without_a_next_key_a_rotation_makes_it(database: Database, viewer: Viewer, app: App) -> None:
    await rotate_app_keys(viewer, database, KEYRING, "editor")
    await rotate_app_keys(viewer, database, KEYRING, "editor")

    assert await generations(database, app) == [1, 2, 3]


async def test_immediate_retirement_keeps_the_next_key(database: Database, viewer: Viewer, app: App) -> None:
    await make_next_keys(database, KEYRING)
    await rotate_app_keys(viewer, database, KEYRING, "editor")
    await make_next_keys(database, KEYRING)
    _, prepared, _ = await kids(database)

    await rotate_app_keys(viewer, database, KEYRING, "editor", immediately=True)
    assert await kids(database) == [prepared]
    await make_next_keys(database, KEYRING)

    first, second = await kids(database)
    assert first == prepared != second


async def test_processes_that_make_keys_at_the_same_time_leave_one(
    database: Database, database_url: str, account: Account, app: App
) -> None:
    other = await make_app(database, account)
    databases = [Database(database_url) for _ in range(4)]
    keyrings = [unlocked() for _ in databases]

    await asyncio.gather(*map(make_next_keys, databases, keyrings))

    for each in keyrings:
        each.close()
    for each_database in databases:
        await each_database.close()
    assert await generations(database, app) == await generations(database, other) == [1, 2]


class Held(Keyring):
    """A keyring that creates no next key until the test allows it."""

    def __init__(self) -> None:
        super().__init__()
        self.arrived, self.let_go = asyncio.Event(), asyncio.Event()

    async def make_ahead(self, algorithm: Algorithm) -> Any:
        self.arrived.set()
        await self.let_go.wait()
        return await KEYRING.make_ahead(algorithm)


async def making(database: Database, keyring: Held) -> asyncio.Task[None]:
    async with database.read() as session:
        app = await for_signing(session, "editor")
    assert app is not None
    task = asyncio.create_task(make_next_key(database, keyring, app))
    await keyring.arrived.wait()
    return task


async def test_a_key_that_is_late_for_a_rotation_is_not_stored(
    database: Database, viewer: Viewer, app: App
) -> None:
    keyring = Held()
    task = await making(database, keyring)
    await rotate_app_keys(viewer, database, KEYRING, "editor")
    before = await rows(database, signing_keys.signing_keys)

    keyring.let_go.set()
    await task

    assert await rows(database, signing_keys.signing_keys) == before
    keyring.close()


async def test_an_app_that_is_deleted_meanwhile_gets_no_key(
    database: Database, viewer: Viewer, app: App
) -> None:
    keyring = Held()
    task = await making(database, keyring)
    await write(database, delete_app, viewer, "editor")

    keyring.let_go.set()
    await task
    await make_next_keys(database, KEYRING)

    assert await generations(database, app) == [1]
    keyring.close()


async def test_licenses_are_issued_while_a_key_is_made(database: Database, viewer: Viewer, app: App) -> None:
    keyring = Held()
    task = await making(database, keyring)
    customer = await make_customer(database, app)

    await write(database, create_license, viewer, {"customer_id": customer.id, "forever": True})

    assert not task.done()
    keyring.let_go.set()
    await task
    assert await generations(database, app) == [1, 2]
    keyring.close()


async def test_a_server_makes_next_keys_at_its_start_and_after_each_rotation_and_creation(
    database: Database, viewer: Viewer, app: App
) -> None:
    async def is_complete(slug: str) -> bool:
        return (await published(database, slug)).has_next

    async with making_next_keys(database, KEYRING):
        await until(lambda: is_complete("editor"))
        await rotate_app_keys(viewer, database, KEYRING, "editor")
        await until(lambda: is_complete("editor"))
        values = {"name": "New", "slug": "new", "signing_algorithm": "EdDSA"}
        await write(database, create_app, viewer, values)
        await until(lambda: is_complete("new"))

    assert await generations(database, app) == [1, 2, 3]


async def test_the_command_makes_the_key_after_the_new_one(database: Database, app: App) -> None:
    await rotate_any_app(database, KEYRING, SERVER, "editor")
    assert await generations(database, app) == [1, 2, 3]
    new, prepared, _ = await kids(database)

    await rotate_any_app(database, KEYRING, SERVER, "editor", immediately=True)

    current, following = await kids(database)
    assert current == prepared
    assert following not in {new, prepared}


async def test_an_interrupted_rotation_keeps_signing_with_both_keys(
    database: Database, viewer: Viewer, app: App
) -> None:
    await make_next_keys(database, KEYRING)
    current, prepared = await kids(database)
    async with database.read() as session:
        signing_app = await for_signing(session, "editor")
    assert signing_app is not None

    def power_cut(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await rotate(database, KEYRING, SERVER, signing_app, progress=power_cut)
    await make_next_keys(database, KEYRING)
    customer = await make_customer(database, app)
    id = await write(database, create_license, viewer, {"customer_id": customer.id, "forever": True})

    assert await kids_of_tokens(database, id) == [current, prepared]
    assert await generations(database, app) == [1, 2]


async def test_a_rotation_notes_when_it_begins_to_sign_with_a_key(
    database: Database, viewer: Viewer, app: App, clock: Clock
) -> None:
    await make_next_keys(database, KEYRING)
    clock.passes(days=1)
    await rotate_app_keys(viewer, database, KEYRING, "editor")
    rotated_at = clock.now
    clock.passes(days=1)
    await rotate_app_keys(viewer, database, KEYRING, "editor")

    found = await rows(database, signing_keys.signing_keys)
    assert {key["generation"]: key["activated_at"] for key in found} == {
        1: None,
        2: rotated_at,
        3: rotated_at + timedelta(days=1),
    }
