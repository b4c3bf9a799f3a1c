"""The activity of an app, a customer and a license: what happened, and what it was like at the time."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.factories import App, Customer
from tests.web.chromium import DESKTOP, PHONE
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site
from tests.web.traffic import GRAPH

INSTALLATION = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
SUPPORT = ["read", "read_customers", "read_events", "write_customers", "write_licenses"]

CREATE = """mutation($app: String!, $email: String!) {
  createCustomer(input: {appSlug: $app, email: $email}) { customer { id } userErrors { message } }
}"""
ISSUE = """mutation($customer: ID!) {
  createLicense(input: {customerId: $customer, durationDays: 30}) { license { id } userErrors { message } }
}"""

ADD_TIER = """mutation {
  createTier(input: {appSlug: "atlas", slug: "team", name: "Team"}) { userErrors { message } }
}"""


@pytest.fixture
def atlas(site: Site) -> App:
    return site.make_app("atlas", name="Atlas Editor")


@pytest.fixture
def jane(site: Site, atlas: App) -> Customer:
    return site.make_customer(atlas, email="jane@example.com", name="Jane Doe")


@pytest.fixture
def support(site: Site) -> str:
    return site.make_key(kind="restricted", name="help desk", scopes=SUPPORT)


def rename(id: str, *names: str) -> str:
    """Return a document that renames a customer several times."""
    changes = " ".join(
        f'n{number}: updateCustomer(input: {{id: "{id}", name: "{name}"}}) {{ userErrors {{ message }} }}'
        for number, name in enumerate(names)
    )
    return f"mutation {{ {changes} }}"


def events(page: Page) -> Locator:
    return page.get_by_role("list", name="Events, newest first").locator("> li")


def sentences(page: Page) -> Locator:
    return events(page).locator("p:has(strong)")


def open_activity(page: Page, path: str) -> None:
    page.goto(path)
    expect(page.get_by_role("region", name="Activity")).to_be_visible()


@contextmanager
def rewritten(page: Page, change: Callable[[list[Any]], None]) -> Iterator[None]:
    """Change the events in the server's responses while the block runs, as another server might send them."""

    def answer(route: Route) -> None:
        response = route.fetch()
        body = response.json()
        node = (body.get("data") or {}).get("node") or {}
        change(node.get("events", {}).get("nodes", []))
        route.fulfill(response=response, json=body)

    page.route(GRAPH, answer)
    yield
    page.unroute(GRAPH, answer)


def test_a_change_and_its_undo_are_two_events(
    open_page: OpenPage, site: Site, jane: Customer, support: str
) -> None:
    site.make_license(jane, installation_id=INSTALLATION)
    page = open_page(key=support)
    page.goto(f"/apps/atlas/customers/{jane.id}")
    card = page.get_by_role("listitem", name=INSTALLATION)
    card.get_by_role("button", name="More actions").click()
    card.get_by_role("menuitem", name="Revoke with a reason…").click()
    page.get_by_label("Reason").fill("refund")
    page.get_by_role("button", name="Revoke license").click()
    expect(card).to_have_accessible_name(f"Revoked license for {INSTALLATION}")

    page.get_by_role("link", name="Activity").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Jane Doe")
    expect(sentences(page)).to_have_text(["License revoked by help desk, now: refund"])
    expect(events(page).get_by_text(INSTALLATION)).to_be_visible()
    changed = events(page).first
    expect(changed.get_by_role("term")).to_have_text(["Status", "Revoked", "Reason"])
    expect(changed.get_by_role("definition").first).to_have_text("from Active to Revoked")
    expect(changed.get_by_role("definition").last).to_have_text("from None to refund")

    page.get_by_role("button", name="Undo").click()

    expect(sentences(page)).to_have_text(
        ["License reinstated by help desk, now", "License revoked by help desk, now: refund"]
    )
    for number, status in ((0, "Active"), (1, "Revoked")):
        events(page).nth(number).get_by_role("button", name="Show state").click()
        dialog = page.get_by_role("dialog", name=f"State of {INSTALLATION}")
        expect(dialog.get_by_role("definition").nth(2)).to_have_text(status)
        dialog.get_by_role("button", name="Close").click()


def test_an_app_lists_everything_that_happened_in_it(
    page: Page, open_page: OpenPage, site: Site, atlas: App, jane: Customer, support: str
) -> None:
    license = site.graph(ISSUE, customer=jane.id)["createLicense"]["license"]
    site.graph_with(support, rename(jane.id, "Jane Roe"))
    site.graph(ADD_TIER)
    page.goto("/apps/atlas/settings")

    page.get_by_role("navigation", name="App").get_by_role("link", name="Activity").click()

    expect(page).to_have_title("Activity of Atlas Editor · Licensegraph")
    expect(sentences(page)).to_have_text(
        [
            f"Tier added by the key ending in {site.key[-4:]}, now",
            "Customer changed by help desk, now",
            f"License issued by the key ending in {site.key[-4:]}, now",
        ]
    )
    expect(events(page).get_by_role("definition")).to_have_text(["from Jane Doe to Jane Roe"])
    expect(page.get_by_role("status").get_by_text("3 events")).to_be_visible()

    # A link leads to the customer, and going back to the same place in the list.
    events(page).nth(1).get_by_role("link", name="Jane Roe").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jane Roe")
    page.go_back()
    expect(events(page).nth(1).get_by_role("link", name="Jane Roe")).to_be_focused()

    # The menu of a license leads to what happened to it.
    page.goto(f"/apps/atlas/customers/{jane.id}")
    page.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Show activity").click()
    expect(page).to_have_url(f"{site.url}/apps/atlas/customers/{jane.id}/activity?of={license['id']}")
    expect(sentences(page)).to_have_text([re.compile("License issued by the key ending in")])
    page.get_by_role("button", name="Show all").click()
    expect(events(page)).to_have_count(2)


def test_events_are_filtered_by_kind_and_by_key(
    page: Page, site: Site, atlas: App, jane: Customer, support: str
) -> None:
    license = site.graph(ISSUE, customer=jane.id)["createLicense"]["license"]
    site.graph_with(
        support,
        f'mutation {{ revokeLicense(input: {{id: "{license["id"]}"}}) {{ userErrors {{ field }} }} }}',
    )
    site.graph_with(support, rename(jane.id, "Jane Roe"))
    open_activity(page, "/apps/atlas/activity")
    kind, by = page.get_by_label("Kind of event"), page.get_by_label("Made by")
    titles = events(page).locator("strong")
    expect(titles).to_have_text(["Customer changed", "License revoked", "License issued"])

    kind.select_option("Licenses: all")
    expect(titles).to_have_text(["License revoked", "License issued"])
    by.select_option("By help desk")
    expect(titles).to_have_text(["License revoked"])
    expect(page.get_by_role("status").get_by_text("1 event", exact=True)).to_be_visible()
    kind.select_option("License issued")
    expect(page.get_by_role("heading", name="No matching events")).to_be_visible()

    # The address shows the same list.
    page.reload()
    expect(page.get_by_role("heading", name="No matching events")).to_be_visible()
    expect(kind).to_have_value("license_created")
    page.get_by_role("button", name="Clear filters").click()
    expect(titles).to_have_count(3)
    expect(page).to_have_url(f"{site.url}/apps/atlas/activity")
    by.select_option(label="By Secret key (yours)")
    expect(titles).to_have_text(["License issued"])


def test_a_long_list_has_pages_that_stay_when_the_user_comes_back(
    page: Page, site: Site, jane: Customer
) -> None:
    site.graph(rename(jane.id, *(f"Name {number}" for number in range(30))))
    site.graph(rename(jane.id, *(f"Name {number}" for number in range(30, 60))))
    open_activity(page, "/apps/atlas/activity")
    expect(page.get_by_text("The newest 50 events")).to_be_visible()
    expect(events(page)).to_have_count(50)
    expect(events(page).first.get_by_role("definition")).to_have_text("from Name 58 to Name 59")

    page.get_by_role("button", name="Show more events").click()

    expect(events(page)).to_have_count(60)
    expect(events(page).last.get_by_role("definition")).to_have_text("from Jane Doe to Name 0")
    expect(page.get_by_role("button", name="Show more events")).to_have_count(0)
    expect(page.get_by_text("60 events", exact=True)).to_be_visible()

    events(page).nth(55).scroll_into_view_if_needed()
    page.evaluate("() => new Promise(requestAnimationFrame)")
    events(page).nth(55).get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Name 59")
    page.go_back()
    expect(events(page)).to_have_count(60)
    expect(events(page).nth(55).get_by_role("link")).to_be_focused()
    expect(events(page).nth(55)).to_be_in_viewport()


def test_what_others_change_is_listed_while_the_list_is_shown(
    page: Page, site: Site, jane: Customer, support: str
) -> None:
    open_activity(page, f"/apps/atlas/customers/{jane.id}/activity")
    expect(page.get_by_role("heading", name="No events")).to_be_visible()

    site.graph_with(support, rename(jane.id, "Jane Roe"))

    expect(sentences(page)).to_have_text(["Customer changed by help desk, now"])


def test_a_customer_that_was_deleted_keeps_its_activity(
    open_page: OpenPage, site: Site, jane: Customer, support: str
) -> None:
    site.make_license(jane, installation_id=INSTALLATION)
    site.graph_with(
        support, f'mutation {{ deleteCustomer(input: {{id: "{jane.id}"}}) {{ userErrors {{ field }} }} }}'
    )
    page = open_page(key=support)
    open_activity(page, "/apps/atlas/activity")

    deleted = events(page).filter(has_text="Customer deleted")
    expect(deleted.locator("p").first).to_have_text("Customer deleted by help desk, now: with 1 license")
    expect(events(page).filter(has_text="License deleted").locator("p").first).to_have_text(
        "License deleted by help desk, now: deleted with its customer"
    )
    expect(events(page).get_by_role("link")).to_have_count(0)
    deleted.get_by_role("button", name="Show state").click()
    dialog = page.get_by_role("dialog", name="State of Jane Doe")
    expect(dialog.get_by_label("Time")).to_have_accessible_description(re.compile("Before it was deleted, "))
    expect(dialog).to_contain_text("jane@example.com")

    # The address of the customer leads to its activity, too.
    page.goto(f"/apps/atlas/customers/{jane.id}")
    page.get_by_role("link", name="Activity of this customer").click()
    expect(sentences(page)).to_have_text(["Customer deleted by help desk, now: with 1 license"])


def test_erased_data_is_shown_as_erased(open_page: OpenPage, site: Site, jane: Customer) -> None:
    site.graph(rename(jane.id, "Jane Roe"))
    site.graph(
        "mutation($id: ID!) { deleteCustomer(input: {id: $id, erase: true}) { userErrors { field } } }",
        id=jane.id,
    )
    page = open_page(key=site.key)

    open_activity(page, f"/apps/atlas/activity?of={jane.id}&type=customer_updated")

    expect(events(page)).to_contain_text("The personal data in this event was erased.")
    expect(events(page).get_by_role("definition")).to_have_text(["Erased"])
    events(page).get_by_role("button", name="Show state").click()
    dialog = page.get_by_role("dialog", name=f"State of {jane.id}")
    expect(dialog.get_by_role("definition").filter(has_text="Erased")).to_have_count(4)
    expect(dialog).not_to_contain_text("Jane")


@one_database
def test_the_state_at_another_time_can_be_chosen(page: Page, site: Site, atlas: App) -> None:
    since = datetime.fromisoformat(site.graph("{ viewer { historySince } }")["viewer"]["historySince"])
    while datetime.now(UTC) < since + timedelta(seconds=2):
        time.sleep(0.1)
    jane = site.graph(CREATE, app="atlas", email="jane@example.com")["createCustomer"]["customer"]
    created = datetime.now(UTC)
    site.graph(rename(jane["id"], "Jane Doe"))
    open_activity(page, f"/apps/atlas/customers/{jane['id']}/activity")
    events(page).last.get_by_role("button", name="Show state").click()
    dialog = page.get_by_role("dialog", name="State of jane@example.com")
    expect(dialog.get_by_role("definition").nth(2)).to_have_text("None")

    def choose(moment: datetime) -> None:
        local = moment.astimezone().strftime("%Y-%m-%dT%H:%M:%S")
        dialog.get_by_label("Time").fill(local)

    choose(created + timedelta(minutes=1))
    expect(dialog.get_by_role("definition").nth(2)).to_have_text("Jane Doe")
    choose(since + timedelta(seconds=1))
    expect(dialog.get_by_text("It did not exist at this time.")).to_be_visible()
    choose(since - timedelta(days=1))
    expect(dialog.get_by_role("alert")).to_contain_text("The request failed")


@one_database
def test_types_actors_and_fields_that_are_not_known_are_shown_in_plain_words(
    page: Page, site: Site, jane: Customer
) -> None:
    site.graph(rename(jane.id, "Jane Roe"))

    def as_in_a_later_version(nodes: list[Any]) -> None:
        for node in nodes:
            node |= {
                "type": "WEBHOOK_PUT_ON_HOLD",
                "subjectType": "WEBHOOK",
                "subjectId": "whk_1",
                "data": {},
            }
            node["actor"] |= {"kind": "LOAD_BALANCER", "name": None}
            node["changes"] = {"retry_at": {"from": None, "to": [1, {"in": "s"}]}, "is_held": {"to": True}}

    with rewritten(page, as_in_a_later_version):
        open_activity(page, "/apps/atlas/activity")

        expect(sentences(page)).to_have_text(["Webhook put on hold by Load balancer, now"])
        expect(events(page).get_by_text("whk_1")).to_be_visible()
        expect(events(page).get_by_role("term")).to_have_text(["Retry at", "Is held"])
        expect(events(page).get_by_role("definition")).to_have_text(
            ['from None to [1,{"in":"s"}]', "from None to Yes"]
        )
        events(page).get_by_role("button", name="Show state").click()
        expect(page.get_by_role("dialog", name="State of whk_1")).to_be_visible()


@one_database
def test_a_key_that_cannot_read_events_sees_no_activity(
    open_page: OpenPage, site: Site, jane: Customer
) -> None:
    site.make_license(jane)
    site.graph(rename(jane.id, "Jane Roe"))
    page = open_page(key=site.public_key)

    page.goto(f"/apps/atlas/customers/{jane.id}")

    expect(page.get_by_role("heading", level=1)).to_have_text("Jane Roe")
    page.get_by_role("button", name="More actions").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Show details"])
    expect(page.get_by_role("link", name="Activity")).to_have_count(0)
    page.goto("/apps/atlas/settings")
    tabs = page.get_by_role("navigation", name="App").get_by_role("link")
    expect(tabs).to_have_text(["Overview", "Customers", "Licenses", "Settings"])
    for path in ("/apps/atlas/activity", f"/apps/atlas/customers/{jane.id}/activity"):
        page.goto(path)
        expect(page.get_by_role("heading", name="Page not found")).to_be_visible()


@one_database
@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=str)
def test_the_keyboard_is_enough_and_nothing_is_wider_than_the_screen(
    page: Page, site: Site, jane: Customer
) -> None:
    site.graph(rename(jane.id, "Jane " + "Roe" * 60))
    open_activity(page, "/apps/atlas/activity")
    button = events(page).get_by_role("button", name="Show state")

    events(page).get_by_role("link").focus()
    page.keyboard.press("Tab")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog").get_by_label("Time")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    assert page.evaluate("document.documentElement.scrollWidth <= screen.width")
