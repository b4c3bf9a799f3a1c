"""A license keeps its last hundred superseded tokens, no matter how many times it is regenerated."""

import asyncio

import pytest
from sqlalchemy import func, insert, select

from db.engine import Database
from db.tokens import KEPT_SUPERSEDED, tokens
from resolvers.licenses import create_license, exchange_token, regenerate_license
from resolvers.licenses import license as read_license
from resolvers.rotation import rotate_app_keys
from resolvers.verification import Reason, verify_license
from resolvers.viewer import Viewer
from tests.factories import Account, App, make_app, make_customer, make_license
from tests.keyrings import KEYRING
from tests.resolvers.calling import read, rows, shape, write
from tests.statements import Statements


@pytest.fixture
async def atlas(database: Database, account: Account) -> App:
    return await make_app(database, account, slug="atlas")


@pytest.fixture
async def license_id(database: Database, viewer: Viewer, atlas: App) -> str:
    customer = await make_customer(database, atlas)
    return await write(database, create_license, viewer, {"customer_id": customer.id, "forever": True})


async def add_superseded(database: Database, license_id: str, count: int) -> None:
    """Add `count` older tokens, like those that a version without the limit has left behind."""
    async with database.write() as session:
        of_license = tokens.c.license_id == license_id
        await session.execute(tokens.update().where(of_license).values(number=tokens.c.number + count))
        for number in range(1, count + 1):
            values = {"jti": f"{license_id}-{number}", "license_id": license_id, "number": number}
            await session.execute(insert(tokens).values(**values, generation=1))


async def numbers(database: Database, license_id: str) -> list[int]:
    found = await rows(database, tokens)
    return sorted(row["number"] for row in found if row["license_id"] == license_id)


async def shown(database: Database, viewer: Viewer, license_id: str) -> tuple[str, str]:
    """Return the jti and the text of the token that a license shows."""
    answer = await read(database, read_license, viewer, license_id, shape("jti", "token"))
    assert answer is not None
    parts = answer.split('"')
    return parts[3], parts[7]


async def reason(database: Database, viewer: Viewer, by: str, value: str) -> Reason:
    async with database.read() as session:
        verification = await verify_license(viewer, session, "atlas", by, value)
    assert verification is not None
    return verification.reason


async def test_the_last_hundred_are_kept_and_the_oldest_goes(
    database: Database, viewer: Viewer, license_id: str
) -> None:
    issued = [await shown(database, viewer, license_id)]
    for _ in range(KEPT_SUPERSEDED + 5):
        await write(database, regenerate_license, viewer, license_id)
        issued.append(await shown(database, viewer, license_id))

    assert await numbers(database, license_id) == [*range(6, KEPT_SUPERSEDED + 7)]
    by_jti = [await reason(database, viewer, "jti", jti) for jti, _ in issued]
    assert by_jti == [Reason.NOT_FOUND] * 5 + [Reason.VALID] * (KEPT_SUPERSEDED + 1)
    # Verifying a token does not need its row. The first token is still valid and can still regenerate the
    # license.
    assert await reason(database, viewer, "token", issued[0][1]) is Reason.VALID
    assert (await exchange_token(viewer, database, KEYRING, issued[0][1])).id == license_id


async def test_tokens_beyond_the_bound_from_an_earlier_version_go_with_the_next_one(
    database: Database, viewer: Viewer, license_id: str
) -> None:
    await add_superseded(database, license_id, 400)
    before = await shown(database, viewer, license_id)

    await write(database, regenerate_license, viewer, license_id)

    assert await numbers(database, license_id) == [*range(402 - KEPT_SUPERSEDED, 403)]
    assert await reason(database, viewer, "jti", before[0]) is Reason.VALID


async def test_rotations_keep_the_bound_too(
    database: Database, viewer: Viewer, license_id: str, atlas: App
) -> None:
    customer = await make_customer(database, atlas)
    other = await make_license(database, customer, token="a.b.c")
    await add_superseded(database, license_id, 250)
    text = await shown(database, viewer, license_id)

    for _ in range(2):
        await rotate_app_keys(viewer, database, KEYRING, "atlas")

    assert await numbers(database, license_id) == [*range(253 - KEPT_SUPERSEDED, 254)]
    assert await numbers(database, other.id) == [1, 2, 3]
    assert await reason(database, viewer, "token", text[1]) is Reason.VALID


async def test_it_only_takes_a_statement_if_there_is_something_to_delete(
    database: Database, viewer: Viewer, license_id: str, statements: Statements
) -> None:
    async def sent() -> int:
        with statements.recorded(database) as recording:
            await write(database, regenerate_license, viewer, license_id)
        return len(recording)

    few = await sent()
    await add_superseded(database, license_id, 3 * KEPT_SUPERSEDED)

    assert await sent() == few + 1


async def test_the_bound_holds_for_concurrent_renewals_and_the_last_token_is_shown(
    database: Database, database_url: str, viewer: Viewer, license_id: str
) -> None:
    await add_superseded(database, license_id, KEPT_SUPERSEDED - 2)
    others = [Database(database_url) for _ in range(2)]

    await asyncio.gather(
        *(write(others[turn % 2], regenerate_license, viewer, license_id) for turn in range(20)),
        rotate_app_keys(viewer, database, KEYRING, "atlas"),
    )

    kept = await numbers(database, license_id)
    assert len(kept) == KEPT_SUPERSEDED + 1
    assert kept == [*range(kept[0], kept[-1] + 1)]
    async with database.read() as session:
        texts = await session.rows(
            select(func.count()).where(tokens.c.license_id == license_id, tokens.c.token.is_not(None)), {}
        )
    assert texts[0][0] == 1
    jti, text = await shown(database, viewer, license_id)
    assert await reason(database, viewer, "jti", jti) is Reason.VALID
    assert await reason(database, viewer, "token", text) is Reason.VALID
    for other in others:
        await other.close()
