"""Customers: create, get or create, update, and delete with their licenses."""

from dataclasses import replace
from typing import Any

import pytest

from db.apps import apps
from db.customers import customers
from db.engine import Database
from db.licenses import licenses
from db.shaping.selection import Object, Scalar, Selected
from resolvers.customers import (
    DeletedCustomer,
    SavedCustomer,
    create_customer,
    customer_in_app,
    delete_customer,
    get_or_create_customer,
    update_customer,
)
from resolvers.customers import customer as read_customer
from resolvers.errors import Forbidden
from resolvers.reading import Shown
from resolvers.viewer import Scope, Viewer
from tests.factories import Account, App, make_app, make_customer, make_license
from tests.resolvers.calling import everything, read, refused, row, rows, shape, write
from tests.resolvers.conftest import Clock

MAKERS = pytest.mark.parametrize("make", [create_customer, get_or_create_customer])

ADA = {
    "email": " Ada.L@EXAMPLE.com ",
    "name": "ADA Lovelace",
    "external_id": "CRM-1",
    "metadata": {"plan": "team", "seats": 5, "nested": {"z": [1.5, None], "a": 10**20}},
}


# Create


@MAKERS
async def test_create_stores_the_given_fields(
    database: Database, viewer: Viewer, app: App, clock: Clock, make: Any
) -> None:
    made = await write(database, make, viewer, app.slug, ADA)

    assert made.id.startswith("cus_")
    assert await rows(database, customers) == [
        {
            "id": made.id,
            "app_id": app.id,
            "email": "Ada.L@EXAMPLE.com",
            "email_folded": "ada.l@example.com",
            "email_key": "ada.l@example.com",
            "name": "ADA Lovelace",
            "name_folded": "ada lovelace",
            "external_id": "CRM-1",
            "metadata": ADA["metadata"],
            "license_count": 0,
            "created_at": clock.now,
            "updated_at": clock.now,
            "version": 1,
        }
    ]
    assert await read(database, read_customer, viewer, made.id, shape("metadata")) == (
        '{"metadata":{"plan":"team","seats":5,"nested":{"z":[1.5,null],"a":100000000000000000000}}}'
    )


@MAKERS
async def test_create_only_needs_an_email(database: Database, viewer: Viewer, app: App, make: Any) -> None:
    values = {"email": "ada@example.com", "name": "", "external_id": "", "metadata": None}

    made = await row(database, customers, (await write(database, make, viewer, app.slug, values)).id)

    assert (made["name"], made["name_folded"], made["external_id"]) == (None, None, None)
    assert made["metadata"] == {}


@MAKERS
async def test_create_reports_all_faults_together(
    database: Database, viewer: Viewer, app: App, make: Any
) -> None:
    values = {"email": "ada", "name": "x" * 256, "external_id": 5, "metadata": {"plan": "\x00", "": 1}}

    assert await refused(database, make, viewer, app.slug, values) == [
        ("INVALID", "email"),
        ("TOO_LONG", "name"),
        ("INVALID", "external_id"),
        ("INVALID", "metadata.plan"),
        ("INVALID", "metadata."),
    ]


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@EXAMPLE.COM", " aDa@Example.com "])
async def test_email_is_unique_in_its_app_ignoring_case(
    database: Database, viewer: Viewer, app: App, email: str
) -> None:
    await make_customer(database, app, email="Ada@example.com")

    assert await refused(database, create_customer, viewer, app.slug, {"email": email}) == [
        ("TAKEN", "email")
    ]


async def test_case_is_folded_by_unicode(database: Database, viewer: Viewer, app: App) -> None:
    await make_customer(database, app, email="straße@example.com")

    assert await refused(database, create_customer, viewer, app.slug, {"email": "STRASSE@example.com"}) == [
        ("TAKEN", "email")
    ]


async def test_external_id_is_unique_in_its_app_and_compared_exactly(
    database: Database, viewer: Viewer, app: App
) -> None:
    await make_customer(database, app, external_id="crm-1")

    values = {"email": "new@example.com", "external_id": "crm-1"}
    assert await refused(database, create_customer, viewer, app.slug, values) == [("TAKEN", "external_id")]

    await write(database, create_customer, viewer, app.slug, values | {"external_id": "CRM-1"})
    assert [each["external_id"] for each in await rows(database, customers)] == ["crm-1", "CRM-1"]


async def test_any_number_of_customers_may_have_no_external_id(
    database: Database, viewer: Viewer, app: App
) -> None:
    for number in range(3):
        await write(database, create_customer, viewer, app.slug, {"email": f"{number}@example.com"})

    assert [each["external_id"] for each in await rows(database, customers)] == [None] * 3


async def test_taken_email_and_external_id_are_reported_together(
    database: Database, viewer: Viewer, app: App
) -> None:
    await make_customer(database, app, email="ada@example.com")
    await make_customer(database, app, external_id="crm-1")

    values = {"email": "ada@example.com", "external_id": "crm-1"}
    assert await refused(database, create_customer, viewer, app.slug, values) == [
        ("TAKEN", "email"),
        ("TAKEN", "external_id"),
    ]


async def test_another_app_may_have_the_same_customer(
    database: Database, account: Account, viewer: Viewer, app: App
) -> None:
    other = await make_app(database, account)
    values = {"email": "ada@example.com", "external_id": "crm-1"}

    ids = {
        (await write(database, create_customer, viewer, slug, values)).id for slug in (app.slug, other.slug)
    }

    assert len(ids) == 2


@MAKERS
async def test_app_of_another_account_is_not_found(
    database: Database, viewer: Viewer, strangers_app: App, make: Any
) -> None:
    for slug in (strangers_app.slug, "missing", "Not A Slug", "\x00", "\ud800"):
        assert await refused(database, make, viewer, slug, ADA) == [("NOT_FOUND", "app_slug")]


@MAKERS
async def test_input_is_validated_before_the_app_is_looked_up(
    database: Database, viewer: Viewer, make: Any
) -> None:
    assert await refused(database, make, viewer, "missing", {"email": "ada"}) == [("INVALID", "email")]


# Get or create


async def test_get_or_create_finds_the_customer_unchanged(
    database: Database, viewer: Viewer, app: App, clock: Clock
) -> None:
    there = await make_customer(
        database, app, email="Ada@example.com", name="Ada", external_id="crm-1", metadata={"plan": "solo"}
    )
    await make_customer(database, app, external_id="crm-2")
    before = await everything(database)
    clock.passes(hours=1)

    for email in ("Ada@example.com", "ADA@EXAMPLE.COM", " ada@example.com"):
        # For an existing email, all other values are ignored, even an external id that another customer has.
        values = {"email": email, "name": "Other", "external_id": "crm-2", "metadata": {"plan": "team"}}
        found = await write(database, get_or_create_customer, viewer, app.slug, values)
        assert (found.id, found.created) == (there.id, False)

    assert await everything(database) == before


async def test_get_or_create_says_when_it_created(database: Database, viewer: Viewer, app: App) -> None:
    first = await write(database, get_or_create_customer, viewer, app.slug, {"email": "ada@example.com"})
    second = await write(database, get_or_create_customer, viewer, app.slug, {"email": "ada@example.com"})

    assert (first.created, second.created, second.id) == (True, False, first.id)
    assert len(await rows(database, customers)) == 1


async def test_get_or_create_refuses_a_taken_external_id(
    database: Database, viewer: Viewer, app: App
) -> None:
    await make_customer(database, app, external_id="crm-1")

    values = {"email": "new@example.com", "external_id": "crm-1"}
    assert await refused(database, get_or_create_customer, viewer, app.slug, values) == [
        ("TAKEN", "external_id")
    ]


async def test_get_or_create_validates_the_input_for_an_existing_customer_too(
    database: Database, viewer: Viewer, app: App
) -> None:
    await make_customer(database, app, email="ada@example.com")

    values = {"email": "ada@example.com", "name": "x" * 256}
    assert await refused(database, get_or_create_customer, viewer, app.slug, values) == [("TOO_LONG", "name")]


async def test_a_selection_from_several_tables_is_not_part_of_the_insertion(
    database: Database, viewer: Viewer, app: App
) -> None:
    of_row = shape("id", "email")
    beyond = Selected((Object("app", "app", "App", (Scalar("slug", "slug"),)),))

    made = await write(database, get_or_create_customer, viewer, app.slug, {"email": "a@b.de"}, of_row)
    other = await write(database, get_or_create_customer, viewer, app.slug, {"email": "c@d.de"}, beyond)
    found = await write(database, get_or_create_customer, viewer, app.slug, {"email": "c@d.de"}, beyond)

    assert made == SavedCustomer(made.id, True, Shown(of_row, f'{{"id":"{made.id}","email":"a@b.de"}}'))
    assert other == SavedCustomer(other.id, True, None)
    assert found == SavedCustomer(other.id, False, Shown(beyond, '{"app":{"slug":"editor"}}'))


@MAKERS
async def test_a_viewer_that_may_not_read_the_selection_writes_nothing(
    database: Database, viewer: Viewer, app: App, make: Any
) -> None:
    blind = replace(viewer, scopes=frozenset({Scope.WRITE, Scope.READ}))

    with pytest.raises(Forbidden):
        await write(database, make, blind, app.slug, {"email": "a@b.de"}, shape("id"))

    assert await rows(database, customers) == []


async def test_get_or_create_only_searches_its_own_app(
    database: Database, account: Account, viewer: Viewer, app: App
) -> None:
    other = await make_customer(database, await make_app(database, account), email="ada@example.com")

    found = await write(database, get_or_create_customer, viewer, app.slug, {"email": "ada@example.com"})

    assert found.created
    assert found.id != other.id


# Update


async def test_update_only_changes_the_given_fields(
    database: Database, viewer: Viewer, app: App, clock: Clock
) -> None:
    ada = await make_customer(
        database, app, email="ada@example.com", name="Ada", external_id="crm-1", metadata={"plan": "solo"}
    )
    bob = await make_customer(database, app, name="Bob")
    before = await row(database, customers, ada.id), await row(database, customers, bob.id)
    clock.passes(hours=1)

    changes = {"email": "LOVELACE@Example.com", "metadata": {"seats": 3}}
    assert await write(database, update_customer, viewer, ada.id, changes) == ada.id

    assert await row(database, customers, ada.id) == {
        **before[0],
        "email": "LOVELACE@Example.com",
        "email_folded": "lovelace@example.com",
        "email_key": "lovelace@example.com",
        "metadata": {"seats": 3},  # replaced, not merged
        "updated_at": clock.now,
        "version": 2,
    }
    assert await row(database, customers, bob.id) == before[1]


async def test_update_of_the_name_is_searched_for_by_its_folded_form(
    database: Database, viewer: Viewer, app: App
) -> None:
    ada = await make_customer(database, app, name="Ada")

    await write(database, update_customer, viewer, ada.id, {"name": "ÄDA"})

    changed = await row(database, customers, ada.id)
    assert (changed["name"], changed["name_folded"]) == ("ÄDA", "äda")


async def test_update_clears_fields_that_are_null(database: Database, viewer: Viewer, app: App) -> None:
    ada = await make_customer(
        database, app, email="ada@example.com", name="Ada", external_id="crm-1", metadata={"plan": "solo"}
    )

    await write(
        database, update_customer, viewer, ada.id, {"name": None, "external_id": None, "metadata": None}
    )

    changed = await row(database, customers, ada.id)
    assert {name: changed[name] for name in ("email", "name", "name_folded", "external_id", "metadata")} == {
        "email": "ada@example.com",
        "name": None,
        "name_folded": None,
        "external_id": None,
        "metadata": {},
    }


@pytest.mark.parametrize("email", [None, "", "  "])
async def test_email_cannot_be_cleared(database: Database, viewer: Viewer, app: App, email: object) -> None:
    ada = await make_customer(database, app, name="Ada")

    values = {"email": email, "name": None}
    assert await refused(database, update_customer, viewer, ada.id, values) == [("BLANK", "email")]


async def test_update_with_nothing_to_change_changes_nothing(
    database: Database, viewer: Viewer, app: App, clock: Clock
) -> None:
    ada = await make_customer(database, app)
    before = await everything(database)
    clock.passes(hours=1)

    assert await write(database, update_customer, viewer, ada.id, {}) == ada.id

    assert await everything(database) == before


async def test_update_refuses_a_taken_email_or_external_id(
    database: Database, viewer: Viewer, app: App
) -> None:
    ada = await make_customer(database, app, email="ada@example.com", name="Ada")
    await make_customer(database, app, email="bob@example.com", external_id="crm-1")

    async def faults(values: dict[str, object]) -> list[tuple[str, str]]:
        return await refused(database, update_customer, viewer, ada.id, values)

    assert await faults({"email": "BOB@example.com", "name": "Bob"}) == [("TAKEN", "email")]
    assert await faults({"external_id": "crm-1"}) == [("TAKEN", "external_id")]
    assert await faults({"email": "bob@example.com", "external_id": "crm-1"}) == [
        ("TAKEN", "email"),
        ("TAKEN", "external_id"),
    ]


async def test_update_may_write_the_same_email_again(database: Database, viewer: Viewer, app: App) -> None:
    ada = await make_customer(database, app, email="ada@example.com", external_id="crm-1")

    await write(
        database, update_customer, viewer, ada.id, {"email": "ADA@example.com", "external_id": "crm-1"}
    )

    assert (await row(database, customers, ada.id))["email"] == "ADA@example.com"


async def test_update_reports_all_faults_together(database: Database, viewer: Viewer, app: App) -> None:
    ada = await make_customer(database, app)

    values: dict[str, object] = {"email": None, "name": "x" * 256, "external_id": "\ud800", "metadata": []}
    assert await refused(database, update_customer, viewer, ada.id, values) == [
        ("BLANK", "email"),
        ("TOO_LONG", "name"),
        ("INVALID", "external_id"),
        ("INVALID", "metadata"),
    ]


# Delete


async def test_delete_deletes_and_counts_the_licenses(
    database: Database, viewer: Viewer, app: App, clock: Clock
) -> None:
    ada, bob = await make_customer(database, app), await make_customer(database, app)
    kept = await make_license(database, bob)
    await make_license(database, ada)
    await make_license(database, ada, revoked_at=clock.now)
    await make_license(database, ada, expires_at=clock.now)

    assert await write(database, delete_customer, viewer, ada.id) == DeletedCustomer(ada.id, 3)

    assert [each["id"] for each in await rows(database, customers)] == [bob.id]
    assert [each["id"] for each in await rows(database, licenses)] == [kept.id]
    assert [each["id"] for each in await rows(database, apps)] == [app.id]


async def test_delete_of_a_customer_without_licenses_counts_none(
    database: Database, viewer: Viewer, app: App
) -> None:
    ada = await make_customer(database, app)

    assert await write(database, delete_customer, viewer, ada.id) == DeletedCustomer(ada.id, 0)
    assert await refused(database, delete_customer, viewer, ada.id) == [("NOT_FOUND", "id")]


async def test_email_of_a_deleted_customer_is_free(database: Database, viewer: Viewer, app: App) -> None:
    ada = await make_customer(database, app, email="ada@example.com", external_id="crm-1")
    await write(database, delete_customer, viewer, ada.id)

    made = await write(
        database, create_customer, viewer, app.slug, {"email": "ada@example.com", "external_id": "crm-1"}
    )

    assert made.id != ada.id


# Tenancy


async def test_customer_of_another_account_is_not_found(
    database: Database, viewer: Viewer, app: App, strangers_app: App
) -> None:
    theirs = await make_customer(database, strangers_app, email="ada@example.com")
    await make_license(database, theirs)
    missing = theirs.id[:-1] + ("0" if theirs.id[-1] != "0" else "1")

    for id in (theirs.id, missing, app.id, "cus_", "\x00", "\ud800"):
        assert await refused(database, update_customer, viewer, id, {"name": "Mine"}) == [("NOT_FOUND", "id")]
        assert await refused(database, update_customer, viewer, id, {}) == [("NOT_FOUND", "id")]
        assert await refused(database, delete_customer, viewer, id) == [("NOT_FOUND", "id")]
        assert await read(database, read_customer, viewer, id, shape("id")) is None


async def test_customer_of_an_app_is_found_by_each_unique_field(
    database: Database, account: Account, viewer: Viewer, app: App, strangers_app: App
) -> None:
    ada = await make_customer(database, app, email="Ada@example.com", external_id="crm-1")
    other = await make_app(database, account)
    expected = (True, f'{{"id":"{ada.id}"}}')

    async def found(slug: str, lookup: str, value: str) -> object:
        async with database.read() as session:
            return await customer_in_app(viewer, session, slug, lookup, value, shape("id"))

    assert await found(app.slug, "id", ada.id) == expected
    assert await found(app.slug, "email", "ADA@EXAMPLE.COM") == expected
    assert await found(app.slug, "external_id", "crm-1") == expected
    assert await found(app.slug, "external_id", "CRM-1") == (True, None)
    assert await found(app.slug, "email", "\x00") == (True, None)
    assert await found(other.slug, "id", ada.id) == (True, None)
    assert await found(strangers_app.slug, "id", ada.id) == (False, None)
    assert await found("missing", "id", ada.id) == (False, None)
