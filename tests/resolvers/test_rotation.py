"""Rotation: every active license gets a token of the new key before that key becomes current."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import jwt
import pytest
from sqlalchemy import select, update

from db import signing_keys, tiers
from db.apps import SigningApp, apps, for_signing
from db.engine import Database
from db.events import SERVER
from db.licenses import licenses
from db.tokens import tokens
from resolvers import licenses as issuing
from resolvers import rotation as module
from resolvers.apps import delete_app
from resolvers.customers import delete_customer
from resolvers.errors import Faults
from resolvers.keyring import Keyring
from resolvers.license_changes import update_license
from resolvers.licenses import (
    create_license,
    delete_license,
    regenerate_license,
    reinstate_license,
    revoke_license,
)
from resolvers.rotation import RotatedApp, rotate, rotate_app_keys
from resolvers.signing_keys import key_set, make_missing, public_key_pem
from resolvers.verification import Reason, verify_license, verify_licenses
from resolvers.viewer import Policy, Viewer
from tests.factories import Account, App, Customer, make_app, make_customer, make_feature, make_tier
from tests.keyrings import KEYRING
from tests.resolvers.calling import faults_of, read, rows, shape, write
from tests.resolvers.conftest import Clock, viewer_of

BATCH = 4


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LICENSES_PER_TRANSACTION", BATCH)


@pytest.fixture
async def customer(database: Database, app: App) -> Customer:
    return await make_customer(database, app)


class Shop:
    """Issues, revokes and reads the licenses of one app, and rotates the app's keys."""

    def __init__(self, database: Database, viewer: Viewer, customer: Customer, slug: str) -> None:
        self.database, self.viewer, self.customer, self.slug = database, viewer, customer, slug

    async def issue(self, **values: object) -> str:
        terms = {} if values.keys() & {"duration_days", "expires_at"} else {"forever": True}
        given = {"customer_id": self.customer.id, **terms, **values}
        return await write(self.database, create_license, self.viewer, given)

    async def revoke(self, id: str) -> None:
        await write(self.database, revoke_license, self.viewer, id, {})

    async def token(self, id: str) -> str:
        answer = await read(self.database, issuing.license, self.viewer, id, shape("token"))
        assert answer is not None
        return str(json.loads(answer)["token"])

    async def rotate(self, *, immediately: bool = False) -> RotatedApp:
        async with self.database.read() as session:
            app = await for_signing(session, self.slug)
        assert app is not None
        return await rotate(self.database, KEYRING, SERVER, app, immediately=immediately)

    async def pem(self) -> str:
        async with self.database.read() as session:
            return await public_key_pem(session, self.slug) or ""

    async def published(self) -> list[str]:
        async with self.database.read() as session:
            found = await key_set(self.viewer, session, self.slug)
            return [] if found is None else [key["kid"] for key in found.keys]

    async def verified(self, token: str) -> Reason | None:
        async with self.database.read() as session:
            found = await verify_license(self.viewer, session, self.slug, "token", token)
            return None if found is None else found.reason


@pytest.fixture
def shop(database: Database, viewer: Viewer, customer: Customer, app: App) -> Shop:
    return Shop(database, viewer, customer, app.slug)


def kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def is_signed_by(pem: str, token: str) -> bool:
    try:
        jwt.decode(token, pem, algorithms=["EdDSA"], audience="editor")
    except jwt.InvalidSignatureError:
        return False
    return True


async def tokens_of(database: Database, id: str) -> list[tuple[int, bool]]:
    """Return, for each token of a license in order, its key's generation and whether its text is stored."""
    statement = select(tokens.c.generation, tokens.c.token).where(tokens.c.license_id == id)
    async with database.write() as session:
        found = await session.execute(statement.order_by(tokens.c.number))
        return [(row.generation, row.token is not None) for row in found]


@asynccontextmanager
async def before_the_switch(
    monkeypatch: pytest.MonkeyPatch, shop: Shop, **options: bool
) -> AsyncIterator[asyncio.Task[RotatedApp]]:
    """Run a rotation that has signed all tokens and waits. It switches to the new key when the block ends."""
    arrived, go_on, switch = asyncio.Event(), asyncio.Event(), module._switch

    async def waiting(*arguments: Any, **more: Any) -> None:
        arrived.set()
        await go_on.wait()
        await switch(*arguments, **more)

    monkeypatch.setattr(module, "_switch", waiting)
    task = asyncio.create_task(shop.rotate(**options))
    waiter = asyncio.create_task(arrived.wait())
    await asyncio.wait([task, waiter], return_when=asyncio.FIRST_COMPLETED)
    monkeypatch.setattr(module, "_switch", switch)
    assert not task.done(), task
    yield task
    go_on.set()
    await task


async def test_every_live_license_gets_a_token_that_says_the_same_under_the_new_key(
    database: Database, shop: Shop, app: App
) -> None:
    feature = await make_feature(database, app, slug="beta_api")
    tier = await make_tier(
        database, app, slug="team", features=[await make_feature(database, app, slug="sso")]
    )
    ids = [await shop.issue() for _ in range(2 * BATCH + 1)]
    ids.append(await shop.issue(tier_id=tier.id, features=[feature.slug], duration_days=90))
    before = {id: await shop.token(id) for id in ids}
    old_pem = await shop.pem()

    rotated = await shop.rotate()

    pem = await shop.pem()
    assert rotated == RotatedApp(app.id, len(ids))
    assert pem != old_pem
    for id, old in before.items():
        new = await shop.token(id)
        assert is_signed_by(pem, new)
        assert not is_signed_by(pem, old)
        assert kid(new) != kid(old)
        assert claims(new)["jti"] != claims(old)["jti"]
        changed = {"jti", "iat"}
        assert {name: value for name, value in claims(new).items() if name not in changed} == {
            name: value for name, value in claims(old).items() if name not in changed
        }
        assert await tokens_of(database, id) == [(1, False), (2, True)]
    assert claims(await shop.token(ids[-1]))["features"] == ["sso", "beta_api"]


async def test_features_stay_as_they_were_issued(database: Database, shop: Shop, app: App) -> None:
    """A rotation does not read the license's tier again. Only regenerating the license does."""
    tier = await make_tier(database, app, features=[await make_feature(database, app, slug="sso")])
    id = await shop.issue(tier_id=tier.id)
    async with database.write() as session:
        await tiers.set_features(session, tier.id, [])

    await shop.rotate()

    assert claims(await shop.token(id))["features"] == ["sso"]


async def test_what_is_not_live_keeps_its_token(database: Database, shop: Shop, clock: Clock) -> None:
    revoked, expired, live = await shop.issue(), await shop.issue(duration_days=1), await shop.issue()
    await shop.revoke(revoked)
    clock.passes(days=1)
    before = [await shop.token(id) for id in (revoked, expired)]

    rotated = await shop.rotate()

    assert rotated.licenses_resigned == 1
    assert [await shop.token(id) for id in (revoked, expired)] == before
    assert kid(await shop.token(live)) != kid(before[0])


async def test_nothing_shows_before_the_switch_and_all_after_it(
    monkeypatch: pytest.MonkeyPatch, database: Database, shop: Shop
) -> None:
    ids = [await shop.issue() for _ in range(BATCH + 1)]
    old = [await shop.token(id) for id in ids]
    pem = await shop.pem()

    async with before_the_switch(monkeypatch, shop):
        assert [await tokens_of(database, id) for id in ids] == [[(1, True), (2, True)]] * len(ids)
        assert [await shop.token(id) for id in ids] == old
        assert await shop.pem() == pem
        assert [await shop.verified(token) for token in old] == [Reason.VALID] * len(ids)
        # The next key is published before any token signed with it is shown.
        assert [key == kid(old[0]) for key in await shop.published()] == [True, False]

    new = await shop.pem()
    assert all([is_signed_by(new, await shop.token(id)) for id in ids])


async def test_a_token_that_was_signed_ahead_is_not_known_yet(
    monkeypatch: pytest.MonkeyPatch, database: Database, viewer: Viewer, shop: Shop
) -> None:
    id = await shop.issue()

    async def reason(jti: str) -> Reason:
        async with database.read() as session:
            found = await verify_license(viewer, session, shop.slug, "jti", jti)
            assert found is not None
            return found.reason

    async with before_the_switch(monkeypatch, shop):
        statement = select(tokens.c.jti).where(tokens.c.license_id == id).order_by(tokens.c.number)
        async with database.write() as session:
            jtis = (await session.execute(statement)).scalars().all()
        assert [await reason(jti) for jti in jtis] == [Reason.VALID, Reason.NOT_FOUND]

    assert [await reason(jti) for jti in jtis] == [Reason.VALID, Reason.VALID]


async def test_whatever_is_done_to_licenses_before_the_switch_holds_after_it(
    monkeypatch: pytest.MonkeyPatch, database: Database, viewer: Viewer, shop: Shop
) -> None:
    renewed, revoked, reinstated, deleted = [await shop.issue() for _ in range(4)]
    await shop.revoke(reinstated)

    async with before_the_switch(monkeypatch, shop):
        issued = await shop.issue()
        await write(database, regenerate_license, viewer, renewed)
        await shop.revoke(revoked)
        await write(database, reinstate_license, viewer, reinstated)
        await write(database, delete_license, viewer, deleted)
        shown = {id: await shop.token(id) for id in (issued, renewed, reinstated)}
        assert len({kid(token) for token in shown.values()}) == 1

    pem = await shop.pem()
    for id, token in shown.items():
        assert is_signed_by(pem, await shop.token(id))
        assert not is_signed_by(pem, token)
        assert await shop.verified(token) == Reason.VALID
    assert await tokens_of(database, deleted) == []
    assert await tokens_of(database, renewed) == [(1, False), (2, False), (1, False), (2, True)]
    await write(database, reinstate_license, viewer, revoked)
    assert is_signed_by(pem, await shop.token(revoked))


async def test_a_license_that_moves_before_the_switch_is_for_its_new_installation_after_it(
    monkeypatch: pytest.MonkeyPatch, database: Database, viewer: Viewer, shop: Shop
) -> None:
    """The token that was signed ahead for the old installation never counts."""
    id = await shop.issue()
    elsewhere = str(uuid4())

    async with before_the_switch(monkeypatch, shop):
        await write(database, update_license, viewer, id, {"installation_id": elsewhere})
        assert claims(await shop.token(id))["sub"] == elsewhere

    token = await shop.token(id)
    assert is_signed_by(await shop.pem(), token)
    assert claims(token)["sub"] == elsewhere
    statement = select(tokens.c.jti).where(tokens.c.license_id == id).order_by(tokens.c.number)
    async with database.write() as session:
        jtis = (await session.execute(statement)).scalars().all()
    async with database.read() as session:
        found = await verify_licenses(viewer, session, shop.slug, "jti", jtis)
    assert [each.reason for each in found or ()] == [*[Reason.MOVED] * 2, *[Reason.VALID] * 2]


async def test_a_license_that_was_revoked_through_it_all_gets_its_token_when_it_is_reinstated(
    database: Database, viewer: Viewer, shop: Shop
) -> None:
    id = await shop.issue()
    await shop.revoke(id)
    await shop.rotate()
    assert await tokens_of(database, id) == [(1, True)]

    await write(database, reinstate_license, viewer, id)

    assert is_signed_by(await shop.pem(), await shop.token(id))


@pytest.mark.parametrize("signed", [0, BATCH, 2 * BATCH])
async def test_what_was_broken_off_is_taken_up(
    monkeypatch: pytest.MonkeyPatch, database: Database, shop: Shop, signed: int
) -> None:
    ids = [await shop.issue() for _ in range(2 * BATCH)]

    def power_cut(done: int, _of: int) -> None:
        if done == signed:
            raise KeyboardInterrupt

    app = await signing_app(database, shop)
    with pytest.raises(KeyboardInterrupt):
        await rotate(database, KEYRING, SERVER, app, progress=power_cut)
    kept = await rows_of(database, generation=2)
    next_key = (await rows(database, signing_keys.signing_keys))[1]
    told: list[tuple[int, int]] = []

    await rotate(database, KEYRING, SERVER, app, progress=lambda *each: told.append(each))

    assert len(kept) == signed
    assert set(kept) <= set(await rows_of(database, generation=2))
    left = len(ids) - signed
    assert told == [(done, left) for done in range(0, left + 1, BATCH)]
    assert {kid(await shop.token(id)) for id in ids} == {next_key["id"]}
    assert len(await rows(database, signing_keys.signing_keys)) == 2


async def signing_app(database: Database, shop: Shop) -> SigningApp:
    async with database.read() as session:
        app = await for_signing(session, shop.slug)
    assert app is not None
    return app


async def rows_of(database: Database, *, generation: int) -> Sequence[tuple[str, str]]:
    statement = select(tokens.c.jti, tokens.c.token).where(tokens.c.generation == generation)
    async with database.write() as session:
        return [tuple(row) for row in await session.execute(statement)]


async def test_texts_that_a_crash_left_behind_go_with_the_next_rotation(
    monkeypatch: pytest.MonkeyPatch, database: Database, shop: Shop
) -> None:
    id = await shop.issue()

    async def power_cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "_clear_superseded", power_cut)
        with pytest.raises(KeyboardInterrupt):
            await shop.rotate()
    assert await tokens_of(database, id) == [(1, True), (2, True)]
    assert is_signed_by(await shop.pem(), await shop.token(id))

    await shop.rotate()

    assert await tokens_of(database, id) == [(1, False), (2, False), (3, True)]


async def test_two_at_once_are_one(database: Database, shop: Shop) -> None:
    ids = [await shop.issue() for _ in range(5 * BATCH)]
    app = await signing_app(database, shop)

    first, second = await asyncio.gather(*(rotate(database, KEYRING, SERVER, app) for _ in range(2)))

    assert first == second
    assert first.licenses_resigned == len(ids)
    assert len(await rows(database, signing_keys.signing_keys)) == 2
    assert [await tokens_of(database, id) for id in ids] == [[(1, False), (2, True)]] * len(ids)


async def test_one_that_was_held_up_signs_nothing_under_a_key_that_has_been_replaced(
    monkeypatch: pytest.MonkeyPatch, database: Database, shop: Shop
) -> None:
    arrived, go_on, sign = asyncio.Event(), asyncio.Event(), module._sign

    async def waiting(*arguments: Any) -> bool:
        arrived.set()
        await go_on.wait()
        return await sign(*arguments)

    await shop.issue()
    monkeypatch.setattr(module, "_sign", waiting)
    held_up = asyncio.create_task(shop.rotate())
    await arrived.wait()
    monkeypatch.setattr(module, "_sign", sign)
    await shop.rotate()
    await shop.rotate()
    newcomer = await shop.issue()

    go_on.set()
    await held_up

    assert await tokens_of(database, newcomer) == [(3, True)]
    async with database.write() as session:
        assert (await session.execute(select(apps.c.signing_generation))).scalar() == 3


async def test_one_that_began_before_two_others_has_nothing_left_to_do(
    database: Database, shop: Shop
) -> None:
    id, app = await shop.issue(), await signing_app(database, shop)
    await shop.rotate()
    await shop.rotate()
    token = await shop.token(id)

    await rotate(database, KEYRING, SERVER, app)

    assert await shop.token(id) == token


async def test_an_app_that_is_deleted_meanwhile_is_not_signed_for_any_longer(
    monkeypatch: pytest.MonkeyPatch, database: Database, viewer: Viewer, shop: Shop
) -> None:
    for _ in range(3 * BATCH):
        await shop.issue()
    app, batches, sign = await signing_app(database, shop), 0, module._sign

    async def counting(*arguments: Any) -> bool:
        nonlocal batches
        batches += 1
        await write(database, delete_app, viewer, shop.slug)
        return await sign(*arguments)

    monkeypatch.setattr(module, "_sign", counting)
    with pytest.raises(Faults) as raised:
        await rotate(database, KEYRING, SERVER, app)

    assert faults_of(raised.value) == [("NOT_FOUND", "app_slug")]
    assert batches == 1
    assert await rows_of(database, generation=2) == []


async def test_a_license_that_is_being_changed_is_waited_for_and_no_other(
    database: Database, shop: Shop, viewer: Viewer
) -> None:
    """While the rotation waits for a locked license, it holds no lock on the other licenses of the batch."""
    if database.is_sqlite:
        pytest.skip("SQLite has one writer, and no locks on rows")
    held, *others = [await shop.issue() for _ in range(3)]
    async with database.write() as session:
        await session.execute(select(licenses.c.id).where(licenses.c.id == held).with_for_update())
        rotating = asyncio.create_task(shop.rotate())
        async with asyncio.timeout(30):
            while [len(await tokens_of(database, id)) for id in others] != [2, 2]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert await tokens_of(database, held) == [(1, True)]
        assert not rotating.done()

    assert (await rotating).licenses_resigned == 3
    assert await tokens_of(database, held) == [(1, False), (2, True)]


@pytest.mark.parametrize(("grace", "longer"), [(60, 60), (31, 31), (30, 30), (7, 30), (0, 30)])
async def test_a_retired_key_is_published_while_its_last_token_can_be_exchanged_and_for_at_least_thirty_days(
    shop: Shop, clock: Clock, grace: int, longer: int
) -> None:
    await shop.issue(duration_days=10)
    id = await shop.issue(duration_days=20)
    old = await shop.token(id)
    await shop.rotate()
    new = await shop.token(id)
    shop.viewer = replace(shop.viewer, policy=Policy(renewal_grace_days=grace))

    assert await shop.published() == [kid(new), kid(old)]
    clock.passes(days=20 + longer, seconds=-1)
    assert await shop.published() == [kid(new), kid(old)]
    clock.passes(seconds=1)
    assert await shop.published() == [kid(new)]
    assert await shop.verified(old) == Reason.RETIRED_KEY


@pytest.mark.parametrize("term", [{"forever": True}, {"expires_at": "9999-12-01T00:00:00Z"}])
async def test_a_token_that_never_expires_keeps_its_key_published(
    shop: Shop, clock: Clock, term: dict[str, object]
) -> None:
    await shop.issue(duration_days=10)
    id = await shop.issue(**term)
    old = kid(await shop.token(id))
    await shop.rotate()

    clock.passes(days=40 * 365)

    assert await shop.published() == [kid(await shop.token(id)), old]


async def test_a_key_without_tokens_is_published_for_sixty_days(shop: Shop, clock: Clock) -> None:
    (old,) = await shop.published()
    await shop.rotate()

    clock.passes(days=60, seconds=-1)
    assert (await shop.published())[1:] == [old]
    clock.passes(seconds=1)
    assert len(await shop.published()) == 1


@pytest.mark.parametrize("whole_customer", [False, True])
async def test_tokens_of_deleted_licenses_count(
    database: Database, viewer: Viewer, shop: Shop, clock: Clock, whole_customer: bool
) -> None:
    id = await shop.issue(duration_days=20)
    old = kid(await shop.token(id))
    if whole_customer:
        await write(database, delete_customer, viewer, shop.customer.id)
    else:
        await write(database, delete_license, viewer, id)
    await shop.rotate()

    clock.passes(days=20 + 60, seconds=-1)
    assert old in await shop.published()
    clock.passes(seconds=1)
    assert old not in await shop.published()


async def test_a_token_is_good_after_a_rotation_and_is_not_once_its_key_is_dropped(
    shop: Shop, clock: Clock
) -> None:
    id = await shop.issue()
    first = await shop.token(id)
    await shop.rotate()
    second = await shop.token(id)

    assert [await shop.verified(token) for token in (first, second)] == [Reason.VALID] * 2

    await shop.rotate(immediately=True)

    third = await shop.token(id)
    assert await shop.published() == [kid(third)]
    assert [await shop.verified(token) for token in (first, second, third)] == [
        Reason.RETIRED_KEY,
        Reason.RETIRED_KEY,
        Reason.VALID,
    ]


async def test_the_private_half_of_a_retired_key_is_forgotten(database: Database, shop: Shop) -> None:
    await shop.rotate()

    sealed = [key["sealed"] is not None for key in await rows(database, signing_keys.signing_keys)]
    assert sealed == [False, True]


@pytest.mark.parametrize(("limit", "is_refused"), [(2, True), (3, False), (0, False)])
async def test_a_request_signs_for_no_more_than_the_limit(
    database: Database, account: Account, shop: Shop, limit: int, is_refused: bool
) -> None:
    revoked, *_ = [await shop.issue() for _ in range(4)]
    await shop.revoke(revoked)
    viewer = viewer_of(account, Policy(rotation_limit=limit))

    if is_refused:
        with pytest.raises(Faults) as raised:
            await write(database, rotate_app_keys, viewer, shop.slug)
        assert faults_of(raised.value) == [("WRONG_STATE", "app_slug")]
        assert "./licensegraph keys rotate --app editor" in str(raised.value)
        assert len(await rows(database, signing_keys.signing_keys)) == 1
    else:
        rotated = await write(database, rotate_app_keys, viewer, shop.slug)
        assert rotated.licenses_resigned == 3


@pytest.mark.parametrize("slug", ["strangers", "nowhere", "NOT A SLUG"])
async def test_a_request_rotates_the_keys_of_an_app_of_its_own_alone(
    database: Database, viewer: Viewer, strangers_app: App, slug: str
) -> None:
    with pytest.raises(Faults) as raised:
        await write(database, rotate_app_keys, viewer, slug)

    assert faults_of(raised.value) == [("NOT_FOUND", "app_slug")]


async def test_other_apps_are_left_alone(
    database: Database, account: Account, viewer: Viewer, shop: Shop
) -> None:
    other = await make_app(database, account, slug="other")
    theirs = Shop(database, viewer, await make_customer(database, other), "other")
    id, pem = await theirs.issue(), await theirs.pem()
    token = await theirs.token(id)
    await shop.issue()

    assert (await shop.rotate(immediately=True)).licenses_resigned == 1

    assert (await theirs.token(id), await theirs.pem()) == (token, pem)


async def test_apps_older_than_signing_keys_get_one(
    database: Database, keyring: Keyring, shop: Shop, app: App
) -> None:
    async with database.write() as session:
        await session.execute(signing_keys.signing_keys.delete())

    assert await make_missing(database, keyring) == 1
    assert await make_missing(database, keyring) == 0

    assert is_signed_by(await shop.pem(), await shop.token(await shop.issue()))


async def test_licenses_older_than_tokens_are_signed_for(database: Database, shop: Shop) -> None:
    id = await shop.issue()
    async with database.write() as session:
        await session.execute(update(tokens).values(token=None))

    assert (await shop.rotate()).licenses_resigned == 1

    assert is_signed_by(await shop.pem(), await shop.token(id))
