"""Keys: how they are created, listed and revoked, and how a key identifies the viewer and the account."""

import asyncio
import hashlib
import re
from datetime import timedelta
from unittest.mock import ANY

import pytest

from db.accounts import accounts
from db.engine import Database
from db.events import command
from db.keys import keys
from db.shaping import cursors
from db.tenancy import Tenant
from resolvers.accounts import default_account, first_account
from resolvers.errors import Faults, Unauthenticated
from resolvers.inputs import check
from resolvers.keys import (
    CreateKey,
    Identity,
    ListedKey,
    NewKey,
    RevokedKey,
    admit,
    create_key,
    identify,
    list_keys,
    new_token,
    revoke_key,
    without_tokens,
)
from resolvers.viewer import ALL_SCOPES, KeyKind, Policy, Scope, Viewer, anonymous, as_list
from tests.factories import Account, key_id, make_account, make_key
from tests.resolvers.calling import everything, faults_of, read, rows
from tests.resolvers.conftest import Clock
from tests.statements import Statements

SECOND = timedelta(seconds=1)


async def viewer_by(database: Database, token: str, policy: Policy | None = None) -> Viewer:
    async with database.read() as session:
        return (await admit(session, token, policy or Policy())).viewer


async def create(database: Database, kind: object = KeyKind.SECRET, **given: object) -> NewKey:
    checked = check(CreateKey, {"kind": kind, **given})
    async with database.write() as session:
        return await create_key(session, command("keys create"), Policy(), checked)


async def revoke(database: Database, id_or_token: str) -> RevokedKey:
    async with database.write() as session:
        return await revoke_key(session, command("keys revoke"), Policy(), id_or_token)


# Creating keys


@pytest.mark.parametrize(("kind", "prefix"), [(KeyKind.SECRET, "sk_live_"), (KeyKind.PUBLIC, "pk_live_")])
def test_token_only_shows_its_kind(kind: KeyKind, prefix: str) -> None:
    tokens = {new_token(kind) for _ in range(100)}

    assert len(tokens) == 100
    assert all(re.fullmatch(rf"{prefix}[0-9A-Za-z]{{32}}", token) for token in tokens)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (
            "path=/api/v1/sk_live_0123456789abcdefghijABCDEFGHIJ01 status=404",
            "path=/api/v1/sk_live_… status=404",
        ),
        ("pk_test_0123456789abcdef,cs_live_0123456789abcdef", "pk_test_…,cs_live_…"),
        ("rk_live_01234…", "rk_live_……"),  # a token that is cut off
        ("GET /eyJhbGciOiJFZERTQSJ9.e30.a-b_c HTTP", "GET /eyJ… HTTP"),
        ("eyJhbGciOiJFZERT…", "eyJ……"),
        ("sk_live_ and …x8Qz and sk_live_x8Qz", "sk_live_ and …x8Qz and sk_live_x8Qz"),
        ("/docs_test_pages/disk_live_images", "/docs_test_pages/disk_live_images"),
        ("keyJump01", "keyJump01"),
    ],
)
def test_tokens_in_a_text_are_masked(text: str, masked: str) -> None:
    assert without_tokens(text) == masked


async def test_only_a_digest_of_a_key_is_kept(database: Database, account: Account, clock: Clock) -> None:
    new = await create(database, account="Acme", name="CI")

    assert await rows(database, keys) == [
        {
            "id": new.id,
            "account_id": account.id,
            "kind": "secret",
            "name": "CI",
            "digest": hashlib.sha256(new.token.encode()).hexdigest(),
            "last4": new.token[-4:],
            "created_at": clock.now,
            "expires_at": None,
            "revoked_at": None,
            "scopes": None,
            "app_ids": None,
            "origins": None,
            "documents": "any",
            "document_sets": None,
            "customer_id": None,
            "created_by": None,
            "previous_digest": None,
            "previous_until": None,
            "version": 1,
        }
    ]
    assert new.token not in str(await everything(database))


async def test_key_of_a_new_account_creates_the_account(database: Database, account: Account) -> None:
    await create(database, KeyKind.PUBLIC, account="Bolt", new_account=True)
    await create(database, KeyKind.PUBLIC, account="Bolt")

    (acme, bolt) = await rows(database, accounts)
    assert (acme["id"], bolt["name"]) == (account.id, "Bolt")
    assert [key["account_id"] for key in await rows(database, keys)] == [bolt["id"]] * 2


@pytest.mark.parametrize(
    ("given", "expected", "said"),
    [
        (
            {"account": "acme"},
            ("NOT_FOUND", "account"),
            "account does not exist (there are: Acme); --new-account creates it",
        ),
        (
            {"account": "Acme", "new_account": True},
            ("TAKEN", "account"),
            "account has already been taken: leave out --new-account to use it",
        ),
        (
            {"new_account": True},
            ("BLANK", "account"),
            "account is required: a new account needs a name",
        ),
    ],
)
async def test_an_account_is_only_created_on_purpose(
    database: Database, account: Account, given: dict[str, object], expected: tuple[str, str], said: str
) -> None:
    before = await everything(database)

    with pytest.raises(Faults) as raised:
        await create(database, **given)

    assert (faults_of(raised.value), str(raised.value)) == ([expected], said)
    assert await everything(database) == before


async def test_first_key_creates_the_default_account(database: Database) -> None:
    for _ in range(2):
        await create(database)

    (default,) = await rows(database, accounts)
    assert default["name"] == "default"
    assert [key["account_id"] for key in await rows(database, keys)] == [default["id"]] * 2


async def test_account_must_be_named_when_there_are_several(database: Database) -> None:
    for name in ("Acme", "Bolt"):
        await make_account(database, name=name)
    before = await everything(database)

    with pytest.raises(Faults, match="is required: there are several accounts: Acme, Bolt") as raised:
        await create(database)

    assert faults_of(raised.value) == [("BLANK", "account")]
    assert await everything(database) == before


@pytest.mark.parametrize(
    ("account", "name", "expected"),
    [
        ("", None, [("BLANK", "account")]),
        ("x" * 256, "x" * 256, [("TOO_LONG", "account"), ("TOO_LONG", "name")]),
        ("\x00", "\ud800", [("INVALID", "account"), ("INVALID", "name")]),
    ],
)
async def test_names_are_checked(
    database: Database, account: str, name: str | None, expected: list[tuple[str, str]]
) -> None:
    with pytest.raises(Faults) as raised:
        await create(database, account=account, name=name)

    assert faults_of(raised.value) == expected
    assert await rows(database, keys) == await rows(database, accounts) == []


async def test_first_account_is_created_once_by_processes_that_start_together(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(4)]

    async def begin(database: Database) -> str | None:
        async with database.write() as session:
            return await first_account(session)

    made = await asyncio.gather(*(begin(database) for database in databases for _ in range(3)))

    (account,) = await rows(databases[0], accounts)
    assert [id for id in made if id is not None] == [account["id"]]
    for database in databases:
        await database.close()


async def test_default_account_is_the_oldest(database: Database) -> None:
    oldest = await make_account(database, name="Acme")
    await make_account(database, name="default")

    async with database.write() as session:
        assert await default_account(session) == oldest.id


# Listing keys


async def test_list_shows_every_key_and_no_token(database: Database, account: Account, clock: Clock) -> None:
    secret = await make_key(database, account, name="CI")
    clock.passes(seconds=1)
    public = await make_key(
        database, account, kind="public", expires_at=clock.now + SECOND, revoked_at=clock.now
    )

    async with database.read() as session:
        found = await list_keys(session, Policy(public_keys_read_customers=False))

    ids = [key["id"] for key in await rows(database, keys)]
    at = ["2026-01-23T10:00:00Z", "2026-01-23T10:00:01Z", "2026-01-23T10:00:02Z"]
    scopes = [as_list(ALL_SCOPES), [Scope.READ]]
    unlimited = (None, None, "any", None, None)
    assert found == [
        ListedKey(
            *(ids[0], "Acme", "secret", "CI", f"sk_live_…{secret[-4:]}", scopes[0], *unlimited),
            *(at[0], None, None, None),
        ),
        ListedKey(
            *(ids[1], "Acme", "public", None, f"pk_live_…{public[-4:]}", scopes[1], *unlimited),
            *(at[1], None, at[2], at[1]),
        ),
    ]


# Revoking keys


async def test_key_is_revoked_by_id_or_by_token(database: Database, account: Account, clock: Clock) -> None:
    tokens = [await make_key(database, account) for _ in range(3)]
    ids = {key["last4"]: key["id"] for key in await rows(database, keys)}
    id_of = {token: ids[token[-4:]] for token in tokens}

    assert await revoke(database, tokens[0]) == RevokedKey(id_of[tokens[0]], was_revoked=False)
    assert await revoke(database, id_of[tokens[1]]) == RevokedKey(id_of[tokens[1]], was_revoked=False)

    revoked = {key["id"]: key["revoked_at"] for key in await rows(database, keys)}
    assert [revoked[id_of[token]] for token in tokens] == [clock.now, clock.now, None]


async def test_revoking_again_changes_nothing(database: Database, account: Account, clock: Clock) -> None:
    token = await make_key(database, account)
    first = await revoke(database, token)
    before = await everything(database)
    clock.passes(hours=1)

    assert await revoke(database, token) == RevokedKey(first.id, was_revoked=True)

    assert await everything(database) == before


@pytest.mark.parametrize(
    "unknown", ["", "key_01h455vb4pex5vsknk084sn02q", "sk_live_" + "x" * 32, "\x00", "\ud800"]
)
async def test_unknown_key_cannot_be_revoked(database: Database, account: Account, unknown: str) -> None:
    await make_key(database, account)
    before = await everything(database)

    with pytest.raises(Faults) as raised:
        await revoke(database, unknown)

    assert faults_of(raised.value) == [("NOT_FOUND", "key")]
    assert await everything(database) == before


# From keys to viewers


@pytest.mark.parametrize(
    ("kind", "policy", "scopes"),
    [
        ("secret", Policy(), ALL_SCOPES),
        ("secret", Policy(public_keys_read_customers=False), ALL_SCOPES),
        ("public", Policy(), {Scope.READ, Scope.READ_CUSTOMERS}),
        ("public", Policy(public_keys_read_customers=False), {Scope.READ}),
    ],
)
async def test_key_becomes_a_viewer(
    database: Database, account: Account, kind: str, policy: Policy, scopes: set[Scope]
) -> None:
    await make_key(database, await make_account(database))
    token = await make_key(database, account, kind=kind)
    (key_id,) = (key["id"] for key in await rows(database, keys) if key["account_id"] == account.id)

    viewer = await viewer_by(database, token, policy)

    assert viewer == Viewer(Tenant(account.id), frozenset(scopes), policy, key_id, KeyKind(kind))
    assert not viewer.is_anonymous


@pytest.mark.parametrize(
    ("kind", "scopes"),
    [
        (KeyKind.SECRET, tuple(scope for scope in Scope if scope is not Scope.READ_LICENSE)),
        (KeyKind.PUBLIC, (Scope.READ, Scope.READ_CUSTOMERS)),
    ],
)
async def test_viewer_learns_who_it_is(
    database: Database, account: Account, kind: KeyKind, scopes: tuple[Scope, ...]
) -> None:
    await make_key(database, await make_account(database))
    token = await make_key(database, account, kind=kind, name="CI")
    viewer = await viewer_by(database, token)

    expected = Identity(
        account.name,
        await key_id(database, token),
        "CI",
        kind,
        token[-4:],
        scopes,
        is_limited_to_apps=False,
        history_since=ANY,
        changes_cursor=cursors.encode("Event.position.both", "0", None),
    )
    assert await read(database, identify, viewer) == expected


async def test_identify_with_a_deleted_key_is_unauthenticated(
    database: Database, account: Account, statements: Statements
) -> None:
    viewer = await viewer_by(database, await make_key(database, account))
    async with database.write() as session:
        await session.execute(keys.delete())

    with statements.recorded(database) as sent:
        with pytest.raises(Unauthenticated):
            await read(database, identify, anonymous(Policy()))
        assert sent == []
        with pytest.raises(Unauthenticated):
            await read(database, identify, viewer)


async def test_unknown_revoked_and_expired_keys_get_the_same_error(
    database: Database, account: Account, clock: Clock
) -> None:
    good = await make_key(database, account)
    tokens = {
        "unknown": "sk_live_" + "x" * 32,
        "revoked": await make_key(database, account, revoked_at=clock.now),
        "expired": await make_key(database, account, expires_at=clock.now - SECOND),
        "expired this very second": await make_key(database, account, expires_at=clock.now),
        "of the wrong kind": good.replace("sk_", "pk_", 1),
        "of another mode": good.replace("_live_", "_test_", 1),
        "a letter short": good[:-1],
        "a letter long": good + "x",
        "in other letters": good.swapcase(),
        "with a space": good + " ",
        "with a line end": good + "\n",
        "empty": "",
        "a prefix alone": "sk_live_",
        "foreign": "Bearer abc",
        "no text at all": "\x00",
        "half a character": "sk_live_\ud800" + "x" * 16,
        "far too long": "sk_live_" + "x" * 100_000,
    }
    assert (await viewer_by(database, good)).account_id == account.id

    said = set()
    for token in tokens.values():
        with pytest.raises(Unauthenticated) as raised:
            await viewer_by(database, token)
        said.add((type(raised.value), str(raised.value)))

    assert said == {(Unauthenticated, "The API key is unknown, expired or revoked.")}


async def test_key_works_until_the_second_it_expires(
    database: Database, account: Account, clock: Clock
) -> None:
    token = await make_key(database, account, expires_at=clock.now + 60 * SECOND)

    clock.passes(seconds=59)
    assert (await viewer_by(database, token)).account_id == account.id

    clock.passes(seconds=1)
    with pytest.raises(Unauthenticated):
        await viewer_by(database, token)


async def test_revoked_key_no_longer_works_in_any_process(database_url: str) -> None:
    here, there = Database(database_url), Database(database_url)
    token = await make_key(here, await make_account(here))
    assert not (await viewer_by(there, token)).is_anonymous

    await revoke(here, token)

    with pytest.raises(Unauthenticated):
        await viewer_by(there, token)
    await here.close()
    await there.close()
