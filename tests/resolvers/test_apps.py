"""Apps: created, changed, and deleted with everything in them."""

import pytest

from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from db.signing_keys import signing_keys
from resolvers.apps import DeletedApp, app_by_id, create_app, delete_app, update_app
from resolvers.apps import app as read_app
from resolvers.purge import purge
from resolvers.viewer import Policy, Viewer
from tests.factories import Account, App, make_app, make_customer, make_license
from tests.resolvers.calling import everything, read, refused, row, rows, shape, write
from tests.resolvers.conftest import Clock, viewer_of

# Create


async def test_create_stores_what_was_given(
    database: Database, viewer: Viewer, account: Account, clock: Clock
) -> None:
    id = await write(
        database,
        create_app,
        viewer,
        {
            "name": " Ünser EDITOR ",
            "slug": "editor-2",
            "description": "Writes.",
            "webhook_url": "https://example.com/hook",
        },
    )

    assert id.startswith("app_")
    assert await rows(database, apps) == [
        {
            "id": id,
            "account_id": account.id,
            "slug": "editor-2",
            "name": " Ünser EDITOR ",
            "name_folded": " ünser editor ",
            "description": "Writes.",
            "webhook_url": "https://example.com/hook",
            "signing_algorithm": "RS256",
            "signing_generation": 1,
            "created_at": clock.now,
            "updated_at": clock.now,
            "version": 1,
        }
    ]
    (key,) = await rows(database, signing_keys)
    assert key["public_key_pem"].startswith("-----BEGIN PUBLIC KEY-----\n")
    assert key["sealed"]
    assert {**key, "public_key_pem": "", "sealed": ""} == {
        "id": key["id"],
        "app_id": id,
        "generation": 1,
        "public_key_pem": "",
        "sealed": "",
        "created_at": clock.now,
        "retired_at": None,
        "last_expiry": None,
        "dropped_at": None,
        "activated_at": None,
    }


@pytest.mark.parametrize(("algorithm", "expected"), [(None, "RS256"), ("RS256", "RS256"), ("EdDSA", "EDDSA")])
async def test_algorithm_is_chosen_when_an_app_is_made(
    database: Database, viewer: Viewer, algorithm: str | None, expected: str
) -> None:
    chosen = {} if algorithm is None else {"signing_algorithm": algorithm}

    id = await write(database, create_app, viewer, {"name": "Editor", "slug": "editor", **chosen})

    assert (await row(database, apps, id))["signing_algorithm"] == expected


@pytest.mark.parametrize("algorithm", ["HS256", "none", "eddsa", "", 256])
async def test_unknown_algorithm(database: Database, viewer: Viewer, algorithm: object) -> None:
    values = {"name": "Editor", "slug": "editor", "signing_algorithm": algorithm}

    assert await refused(database, create_app, viewer, values) == [("INVALID", "signing_algorithm")]


async def test_create_only_needs_a_name_and_a_slug(database: Database, viewer: Viewer) -> None:
    id = await write(
        database,
        create_app,
        viewer,
        {"name": "Editor", "slug": "editor", "description": "", "webhook_url": ""},
    )

    made = await row(database, apps, id)
    assert (made["description"], made["webhook_url"]) == (None, None)


async def test_create_reports_all_faults_together(database: Database, viewer: Viewer) -> None:
    values = {"name": "", "slug": "Editor", "description": "x" * 2_001, "webhook_url": "http://example.com"}

    assert await refused(database, create_app, viewer, values) == [
        ("BLANK", "name"),
        ("INVALID", "slug"),
        ("TOO_LONG", "description"),
        ("INVALID", "webhook_url"),
    ]


async def test_slug_is_unique_in_the_installation(
    database: Database, viewer: Viewer, app: App, strangers_app: App
) -> None:
    for taken in (app, strangers_app):
        values = {"name": "Another", "slug": taken.slug}
        assert await refused(database, create_app, viewer, values) == [("TAKEN", "slug")]


async def test_input_is_validated_before_any_statement(database: Database, viewer: Viewer, app: App) -> None:
    values = {"name": None, "slug": app.slug}

    assert await refused(database, create_app, viewer, values) == [("BLANK", "name")]


async def test_http_webhooks_need_a_setting(database: Database, account: Account, viewer: Viewer) -> None:
    values = {"name": "Editor", "slug": "editor", "webhook_url": "http://localhost/hook"}
    lenient = viewer_of(account, Policy(http_webhooks=True))

    assert await refused(database, create_app, viewer, values) == [("INVALID", "webhook_url")]

    id = await write(database, create_app, lenient, values)
    assert (await row(database, apps, id))["webhook_url"] == "http://localhost/hook"


# Update


async def test_update_only_changes_the_given_fields(
    database: Database, account: Account, viewer: Viewer, clock: Clock
) -> None:
    made = await make_app(
        database, account, name="Editor", description="Writes.", webhook_url="https://example.com"
    )
    other = await make_app(database, account)
    before = await row(database, apps, made.id), await row(database, apps, other.id)
    clock.passes(hours=1)

    assert await write(database, update_app, viewer, made.slug, {"name": "SKETCH"}) == made.id

    assert await row(database, apps, made.id) == {
        **before[0],
        "name": "SKETCH",
        "name_folded": "sketch",
        "updated_at": clock.now,
        "version": 2,
    }
    assert await row(database, apps, other.id) == before[1]


@pytest.mark.parametrize("nothing", [None, ""])
async def test_update_clears_fields_that_are_null(
    database: Database, account: Account, viewer: Viewer, nothing: object
) -> None:
    app = await make_app(database, account, description="Writes.", webhook_url="https://example.com")
    before = await row(database, apps, app.id)

    await write(database, update_app, viewer, app.slug, {"description": nothing, "webhook_url": nothing})

    after = await row(database, apps, app.id)
    assert (after["description"], after["webhook_url"]) == (None, None)
    assert (after["name"], after["slug"]) == (before["name"], before["slug"])


@pytest.mark.parametrize("values", [{}, {"slug": "editor"}])
async def test_update_with_nothing_to_change_changes_nothing(
    database: Database, viewer: Viewer, app: App, clock: Clock, values: dict[str, object]
) -> None:
    before = await everything(database)
    clock.passes(hours=1)

    assert await write(database, update_app, viewer, app.slug, values) == app.id

    assert await everything(database) == before


async def test_update_reports_all_faults_together(database: Database, viewer: Viewer, app: App) -> None:
    values = {"slug": "other", "name": None, "description": "\x00", "webhook_url": "x"}

    assert await refused(database, update_app, viewer, app.slug, values) == [
        ("INVALID", "slug"),
        ("BLANK", "name"),
        ("INVALID", "description"),
        ("INVALID", "webhook_url"),
    ]


# Delete


async def test_delete_deletes_and_counts_everything_in_the_app(
    database: Database, account: Account, viewer: Viewer, app: App
) -> None:
    other = await make_app(database, account)
    kept = await make_customer(database, other)
    kept_license = await make_license(database, kept)
    for licenses_each in (0, 1, 3):
        customer = await make_customer(database, app)
        for _ in range(licenses_each):
            await make_license(database, customer)

    assert await write(database, delete_app, viewer, app.slug) == DeletedApp(app.id, 3, 4)

    await purge(database)
    assert [each["id"] for each in await rows(database, apps)] == [other.id]
    assert [each["id"] for each in await rows(database, customers)] == [kept.id]
    assert [each["id"] for each in await rows(database, licenses)] == [kept_license.id]


async def test_delete_of_an_empty_app_counts_nothing(database: Database, viewer: Viewer, app: App) -> None:
    assert await write(database, delete_app, viewer, app.slug) == DeletedApp(app.id, 0, 0)

    await purge(database)
    assert await rows(database, apps) == []


async def test_slug_of_a_deleted_app_is_free(database: Database, viewer: Viewer, app: App) -> None:
    await write(database, delete_app, viewer, app.slug)

    id = await write(database, create_app, viewer, {"name": "Editor", "slug": app.slug})

    assert id != app.id


# Tenancy


async def test_app_of_another_account_is_not_found(
    database: Database, viewer: Viewer, strangers_app: App
) -> None:
    await make_license(database, await make_customer(database, strangers_app))

    for slug in (strangers_app.slug, "missing", "Not A Slug", "\x00", "\ud800"):
        assert await refused(database, update_app, viewer, slug, {"name": "Mine"}) == [("NOT_FOUND", "slug")]
        assert await refused(database, update_app, viewer, slug, {}) == [("NOT_FOUND", "slug")]
        assert await refused(database, delete_app, viewer, slug) == [("NOT_FOUND", "slug")]
        assert await read(database, read_app, viewer, slug, shape("id")) is None
    assert await read(database, app_by_id, viewer, strangers_app.id, shape("id")) is None


async def test_own_app_is_read_by_slug_and_by_id(database: Database, viewer: Viewer, app: App) -> None:
    expected = f'{{"slug":"{app.slug}"}}'

    assert await read(database, read_app, viewer, app.slug, shape("slug")) == expected
    assert await read(database, app_by_id, viewer, app.id, shape("slug")) == expected
