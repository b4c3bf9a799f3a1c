"""The view of one customer: its fields, its metadata, and its deletion."""

import json
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from tests.factories import Customer
from tests.web.site import Site

# The keys are in the order in which both databases and the client keep them.
METADATA = {"plan": "team", "seats": 5, "support": {"tags": ["vip", "eu"], "telephone": None}}


@pytest.fixture
def jane(site: Site) -> Customer:
    return site.make_customer(
        site.make_app("atlas", name="Atlas Editor"),
        email="jane@example.com",
        name="Jane Doe",
        external_id="crm-42",
        metadata=METADATA,
        created_at=datetime(2025, 3, 1, 9, 30, tzinfo=UTC),
        updated_at=datetime(2025, 4, 2, 18, 5, tzinfo=UTC),
    )


def open_customer(page: Page, customer: Customer) -> None:
    page.goto(f"/apps/atlas/customers/{customer.id}")
    expect(page.get_by_role("region", name="Details")).to_be_visible()


def test_all_fields_of_a_customer_are_shown(page: Page, jane: Customer) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])

    open_customer(page, jane)

    expect(page).to_have_title("Jane Doe · Licensegraph")
    expect(page.get_by_role("heading", level=1)).to_have_text("Jane Doe")
    expect(page.get_by_role("banner").get_by_text("Read only")).to_have_count(0)
    details = page.get_by_role("region", name="Details")
    assert details.get_by_role("term").all_inner_texts() == [
        "Email",
        "Name",
        "External ID",
        "ID",
        "Added",
        "Changed",
    ]
    assert details.get_by_role("definition").all_inner_texts() == [
        "jane@example.com",
        "Jane Doe",
        "crm-42",
        jane.id,
        "Mar 1, 2025, 9:30 AM",
        "Apr 2, 2025, 6:05 PM",
    ]
    metadata = page.get_by_role("region", name="Metadata", exact=True).get_by_role("region", name="Metadata")
    expect(metadata).to_have_text(json.dumps(METADATA, indent=2))
    page.get_by_role("button", name="Copy External ID").click()
    expect(page.get_by_role("button", name="Copied External ID")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "crm-42"
    page.get_by_role("button", name="Copy metadata").click()
    assert page.evaluate("navigator.clipboard.readText()") == json.dumps(METADATA, indent=2)


def test_a_customer_is_edited_and_the_edit_undone(page: Page, site: Site, jane: Customer) -> None:
    open_customer(page, jane)

    page.get_by_role("button", name="Edit", exact=True).click()
    form = page.get_by_role("dialog", name="Edit customer")
    form.get_by_label("Email").fill("jane.roe@example.com")
    form.get_by_label("Name").fill("Jane Roe")
    form.get_by_label("External ID").fill("")
    form.get_by_role("button", name="Save").click()

    expect(form).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text("Jane Roe")
    details = page.get_by_role("region", name="Details")
    expect(details.get_by_role("definition").nth(0)).to_have_text("jane.roe@example.com")
    expect(details.get_by_role("definition").nth(2)).to_have_text("None")
    assert stored(site, jane) == {"email": "jane.roe@example.com", "name": "Jane Roe", "externalId": None}

    page.get_by_role("button", name="Undo").click()

    expect(page.get_by_text("The change to the customer was undone.")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jane Doe")
    assert stored(site, jane) == {"email": "jane@example.com", "name": "Jane Doe", "externalId": "crm-42"}


def test_an_edit_keeps_the_changes_of_others(page: Page, site: Site, jane: Customer) -> None:
    open_customer(page, jane)
    page.get_by_role("button", name="Edit", exact=True).click()
    form = page.get_by_role("dialog", name="Edit customer")
    form.get_by_label("Name").fill("Jane Roe")
    rename = (
        'mutation($id: ID!) { updateCustomer(input: {id: $id, externalId: "crm-43"}) { customer { id } } }'
    )
    site.graph(rename, id=jane.id)

    form.get_by_role("button", name="Save").click()

    expect(form).to_have_count(0)
    assert stored(site, jane) == {"email": "jane@example.com", "name": "Jane Roe", "externalId": "crm-43"}
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("The change to the customer was undone.")).to_be_visible()
    assert stored(site, jane) == {"email": "jane@example.com", "name": "Jane Doe", "externalId": "crm-43"}


def test_errors_of_an_edit_are_shown_at_its_fields(page: Page, site: Site, jane: Customer) -> None:
    site.graph(
        """mutation { createCustomer(input: {
             appSlug: "atlas", email: "john@example.com", externalId: "crm-43"
           }) { userErrors { message } } }"""
    )
    open_customer(page, jane)
    page.get_by_role("button", name="Edit", exact=True).click()
    form = page.get_by_role("dialog", name="Edit customer")
    email, name, external_id = (form.get_by_label(label) for label in ("Email", "Name", "External ID"))

    email.fill("jane at example")
    name.fill("x" * 256)
    external_id.fill("y" * 256)
    form.get_by_role("button", name="Save").click()

    expect(email).to_have_accessible_description("Email is not a valid address.")
    expect(email).to_be_focused()
    expect(name).to_have_accessible_description("Name is too long (maximum is 255 characters).")
    expect(external_id).to_have_accessible_description(
        "The customer's id in your shop or CRM. External ID is too long (maximum is 255 characters)."
    )

    name.fill("Jane Roe")
    expect(name).to_have_accessible_description("")
    email.fill("JOHN@example.com")
    external_id.fill("crm-44")
    name.press("Enter")

    expect(email).to_have_accessible_description("Email has already been taken.")
    assert [name.input_value(), external_id.input_value()] == ["Jane Roe", "crm-44"]
    email.fill("")
    email.press("Enter")
    expect(email).to_have_accessible_description("Email can't be blank.")
    assert stored(site, jane)["email"] == "jane@example.com"


def test_metadata_is_edited_and_the_edit_undone(page: Page, site: Site, jane: Customer) -> None:
    open_customer(page, jane)
    panel = page.get_by_role("region", name="Metadata", exact=True).first

    panel.get_by_role("button", name="Edit metadata").click()
    editor = panel.get_by_label("Metadata as JSON")
    expect(editor).to_be_focused()
    expect(editor).to_have_value(json.dumps(METADATA, indent=2))
    editor.fill('{"note": "says \\"hi\\"", "plan": "solo"}')
    panel.get_by_role("button", name="Save metadata").click()

    shown = panel.get_by_role("region", name="Metadata")
    expect(shown).to_have_text('{\n  "note": "says \\"hi\\"",\n  "plan": "solo"\n}')
    assert metadata_of(site, jane) == {"plan": "solo", "note": 'says "hi"'}

    page.get_by_role("button", name="Undo").click()

    expect(page.get_by_text("The change to the metadata was undone.")).to_be_visible()
    expect(shown).to_have_text(json.dumps(METADATA, indent=2))
    assert metadata_of(site, jane) == METADATA

    panel.get_by_role("button", name="Edit metadata").click()
    editor.fill("")
    panel.get_by_role("button", name="Save metadata").click()
    expect(panel.get_by_text("No metadata.")).to_be_visible()
    assert metadata_of(site, jane) == {}


def test_invalid_metadata_is_refused_at_the_field(page: Page, site: Site, jane: Customer) -> None:
    open_customer(page, jane)
    panel = page.get_by_role("region", name="Metadata", exact=True).first
    panel.get_by_role("button", name="Edit metadata").click()
    editor = panel.get_by_label("Metadata as JSON")

    for typed, said in (
        ('{"plan": }', "This is not valid JSON: "),
        ("[1, 2]", "This must be a JSON object: { … }."),
        ("null", "This must be a JSON object: { … }."),
        (
            '{"id": 9007199254740993}',
            "Write numbers above 9007199254740991 as strings: browsers round them.",
        ),
        (json.dumps(dict.fromkeys(map(str, range(51)), 0)), "Metadata has too many keys (maximum is 50)."),
        ('{"a": {"b": {"c": {"d": {}}}}}', "Metadata › a is nested too deeply (maximum depth is 4)."),
        (json.dumps({"a": "x" * 17_000}), "Metadata is too large (maximum is 16384 bytes as JSON)."),
        (
            json.dumps({"k" * 65: 1}),
            f"Metadata › {'k' * 64} has a key that is empty or longer than 64 characters.",
        ),
    ):
        editor.fill(typed)
        panel.get_by_role("button", name="Save metadata").click()
        expect(panel.get_by_role("alert")).to_contain_text(said)
        expect(editor).to_be_focused()
        expect(editor).to_have_value(typed)

    panel.get_by_role("button", name="Cancel").click()
    expect(panel.get_by_role("region", name="Metadata")).to_have_text(json.dumps(METADATA, indent=2))
    assert metadata_of(site, jane) == METADATA


def test_a_customer_is_deleted_once_its_email_is_typed(page: Page, site: Site, jane: Customer) -> None:
    site.make_license(jane)
    site.make_license(jane, revoked_at=datetime(2025, 5, 1, tzinfo=UTC))
    page.goto("/")
    atlas = page.get_by_role("listitem").filter(has_text="Atlas Editor")
    expect(atlas).to_contain_text("Customers1Licenses2Active1")
    atlas.get_by_role("link", name="Atlas Editor").click()
    page.get_by_role("link", name="Customers").click()
    page.get_by_role("link", name="Jane Doe").click()

    page.get_by_role("button", name="Delete", exact=True).click()
    dialog = page.get_by_role("dialog", name="Delete customer")
    expect(dialog).to_contain_text("2 licenses, 1 of them active, will also be deleted.")
    typed = dialog.get_by_label("Type the customer's email to confirm")
    expect(typed).to_be_focused()
    typed.fill("jane@example.org")
    typed.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text("This does not match.")
    assert stored(site, jane)["email"] == "jane@example.com"
    typed.fill("JANE@Example.com")
    dialog.get_by_role("button", name="Delete customer").click()

    expect(page.get_by_text("jane@example.com was deleted, with 2 licenses.")).to_be_visible()
    expect(page).to_have_url(f"{site.url}/apps/atlas/customers")
    expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()
    page.get_by_role("link", name="Apps", exact=True).click()
    expect(atlas).to_contain_text("Customers0Licenses0Active0")
    page.goto(f"/apps/atlas/customers/{jane.id}")
    expect(page.get_by_role("heading", name="Customer not found")).to_be_visible()


def stored(site: Site, customer: Customer) -> dict[str, str | None]:
    found: dict[str, str | None] = site.graph(
        "query($id: ID!) { customer(id: $id) { email name externalId } }", id=customer.id
    )["customer"]
    return found


def metadata_of(site: Site, customer: Customer) -> object:
    return site.graph("query($id: ID!) { customer(id: $id) { metadata } }", id=customer.id)["customer"][
        "metadata"
    ]
