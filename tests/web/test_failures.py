"""Failures between the dashboard and its server: the dashboard shows them, keeps all input, and recovers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.databases import SqliteTemplate
from tests.factories import Customer
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Installation, Site, installed
from tests.web.traffic import answered, held, requests
from tests.web.watch import Watch


@pytest.fixture
def jane(site: Site) -> Customer:
    return site.make_customer(site.make_app("atlas", name="Atlas"), email="jane@example.com", name="Jane Doe")


def begin_edit(page: Page, customer: Customer, name: str) -> Locator:
    """Open a customer's form, enter another name without saving, and return the form."""
    page.goto(f"/apps/atlas/customers/{customer.id}")
    page.get_by_role("button", name="Edit", exact=True).click()
    form = page.get_by_role("dialog", name="Edit customer")
    form.get_by_label("Name").fill(name)
    return form


def save(form: Locator) -> None:
    form.get_by_role("button", name="Save").click()


def expect_saved(page: Page, name: str) -> None:
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


@one_database
def test_a_wrong_key_is_reported(open_page: OpenPage, site: Site, watch: Watch) -> None:
    watch.expect("status of 401")
    site.make_app("atlas", name="Atlas")
    page = open_page()
    page.goto("/apps/atlas/customers")
    key = page.get_by_label("Key", exact=True)

    page.get_by_role("button", name="Sign in").click()
    expect(key).to_have_accessible_description("Enter a key.")
    key.fill("sk_live_" + "x" * 32)
    key.press("Enter")
    expect(key).to_have_accessible_description("This key is wrong, revoked or expired.")
    expect(key).to_have_value("sk_live_" + "x" * 32)
    key.fill(f" {site.key} ")
    key.press("Enter")

    expect(page.get_by_role("heading", name="No customers yet")).to_be_visible()


def test_a_key_revoked_in_mid_session_is_asked_for_again_and_input_is_kept(
    page: Page, site: Site, jane: Customer, watch: Watch
) -> None:
    watch.expect("status of 401")
    form = begin_edit(page, jane, "Jane Roe")
    form.get_by_label("External ID").fill("crm-42")
    site.revoke(site.key)

    save(form)

    dialog = page.get_by_role("dialog", name="Your key no longer works")
    expect(dialog).to_contain_text(f"The key ending in {site.key[-4:]}")
    key = dialog.get_by_label("Key", exact=True)
    expect(key).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(dialog).to_be_visible()
    key.fill(site.key)
    key.press("Enter")
    expect(key).to_have_accessible_description("This key is wrong, revoked or expired.")
    site.key = site.make_key()
    key.fill(site.key)
    key.press("Enter")

    expect(dialog).to_have_count(0)
    expect(form.get_by_label("Name")).to_have_value("Jane Roe")
    expect(form.get_by_label("External ID")).to_have_value("crm-42")
    save(form)
    expect_saved(page, "Jane Roe")
    expect(page.get_by_role("region", name="Details")).to_contain_text("crm-42")

    site.revoke(site.key)
    page.get_by_role("button", name="Undo").click()
    site.key = site.make_key()
    key.fill(site.key)
    key.press("Enter")
    expect(page.get_by_text("That could not be undone. Your key no longer works.")).to_be_visible()
    page.get_by_role("button", name="Try again").click()
    expect_saved(page, "Jane Doe")
    expect(dialog).to_have_count(0)


@one_database
def test_input_is_kept_when_the_server_stops_while_a_form_is_filled(
    page: Page, site: Site, jane: Customer, watch: Watch
) -> None:
    watch.expect("net::ERR_CONNECTION_")
    form = begin_edit(page, jane, "Jane Roe")

    site.stop()
    save(form)
    expect(form.get_by_role("alert")).to_contain_text("The server is not responding. It may be restarting.")
    expect(form.get_by_label("Name")).to_have_value("Jane Roe")
    site.start()
    save(form)
    expect_saved(page, "Jane Roe")

    site.stop()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("That could not be undone. The server is not responding.")).to_be_visible()
    site.start()
    page.get_by_role("button", name="Try again").click()
    expect_saved(page, "Jane Doe")


@one_database
def test_a_list_that_failed_to_load_is_loaded_when_the_server_is_back(
    page: Page, site: Site, jane: Customer, watch: Watch
) -> None:
    watch.expect("net::ERR_CONNECTION_")
    page.clock.install()
    page.goto("/")
    expect(page.get_by_role("link", name="Atlas")).to_be_visible()

    site.stop()
    page.get_by_role("link", name="Atlas").click()
    expect(page.get_by_role("heading", name="The server is not responding")).to_be_visible()
    expect(page.get_by_role("button", name="Try again (")).to_be_visible()
    site.start()
    page.clock.fast_forward(5_000)

    expect(page.get_by_role("region", name="Active licenses")).to_be_visible()
    expect(page.get_by_role("heading", name="The server is not responding")).to_have_count(0)


@one_database
def test_a_view_retries_after_the_time_that_the_server_says(page: Page, jane: Customer, watch: Watch) -> None:
    watch.expect("status of 429")
    page.clock.install()
    again = page.get_by_role("button", name="Try again")
    with requests(page) as sent:
        with answered(page, 429, "RATE_LIMITED", operation="Customers", headers={"Retry-After": "60"}):
            page.goto("/apps/atlas/customers")
            expect(page.get_by_role("heading", name="Too many requests")).to_be_visible()
            expect(page.get_by_text("Wait for 60 s.")).to_be_visible()
            page.clock.fast_forward(40_000)
            expect(again).to_have_text("Try again (20 s)")
        asked = [request.operation for request in sent].count("Customers")
        page.clock.fast_forward(20_000)
        expect(page.get_by_role("link", name="Jane Doe")).to_be_visible()

    assert (asked, [request.operation for request in sent].count("Customers")) == (1, 2)


@one_database
@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (429, "RATE_LIMITED", "Too many requests. Wait for 7 s. Nothing is lost."),
        (503, "UNAVAILABLE", "The server has a problem. It could not process this request."),
    ],
)
def test_input_is_kept_when_the_server_refuses_it(
    page: Page, jane: Customer, watch: Watch, status: int, code: str, said: str
) -> None:
    watch.expect(f"status of {status}")
    form = begin_edit(page, jane, "Jane Roe")

    with answered(page, status, code, operation="UpdateCustomer", headers={"Retry-After": "7"}):
        save(form)
        expect(form.get_by_role("alert")).to_contain_text(said)
    expect(form.get_by_label("Name")).to_have_value("Jane Roe")
    save(form)

    expect_saved(page, "Jane Roe")


@one_database
def test_a_slow_response_is_awaited_with_a_message(page: Page, jane: Customer) -> None:
    page.clock.install()
    with held(page, "Customer") as reading:
        page.goto(f"/apps/atlas/customers/{jane.id}")
        loading = page.get_by_role("status").filter(has_text="Loading the customer…")
        expect(loading).not_to_contain_text("slow to respond")
        reading.wait_for(1)
        page.clock.fast_forward(5_000)
        expect(loading).to_contain_text("The server is slow to respond. Still waiting…")
        reading.release()
        expect(page.get_by_role("heading", level=1)).to_have_text("Jane Doe")

    page.get_by_role("button", name="Edit", exact=True).click()
    form = page.get_by_role("dialog", name="Edit customer")
    form.get_by_label("Name").fill("Jane Roe")
    with held(page, "UpdateCustomer") as writing:
        save(form)
        form.get_by_role("button", name="Save").click(force=True)
        form.get_by_label("Name").press("Enter")
        page.clock.fast_forward(5_000)
        expect(form).to_contain_text("The server is slow to respond. What you typed is still here.")
        expect(form.get_by_label("Name")).to_have_value("Jane Roe")
        writing.wait_for(1)
        writing.release()
        expect_saved(page, "Jane Roe")
        assert writing.waiting == []


@one_database
def test_data_and_input_are_kept_without_a_network(page: Page, jane: Customer, watch: Watch) -> None:
    watch.expect("net::ERR_INTERNET_DISCONNECTED")
    form = begin_edit(page, jane, "Jane Roe")
    banner = page.get_by_role("status").filter(has_text="You are offline. What you see may be out of date")

    page.context.set_offline(True)
    expect(banner).to_be_visible()
    save(form)
    expect(form.get_by_role("alert")).to_contain_text("You are offline.")
    page.context.set_offline(False)
    expect(banner).to_have_count(0)
    save(form)
    expect_saved(page, "Jane Roe")

    page.context.set_offline(True)
    page.get_by_role("link", name="Atlas").click()
    expect(page.get_by_role("heading", name="You are offline")).to_be_visible()
    page.context.set_offline(False)
    expect(page.get_by_role("link", name="Jane Roe")).to_be_visible()


@one_database
@pytest.mark.parametrize(
    ("path", "operation", "what", "empty"),
    [
        ("/", "Apps", "apps", "No apps yet"),
        ("/apps/atlas/customers", "Customers", "customers", "No customers yet"),
        ("/apps/atlas/customers/{jane}", "Customer", "the customer", "No licenses yet"),
        ("/apps/atlas/settings", "AppSettings", "settings", "No features yet."),
    ],
)
def test_every_view_has_a_state_while_it_loads_when_it_fails_and_when_it_is_empty(
    page: Page, site: Site, watch: Watch, path: str, operation: str, what: str, empty: str
) -> None:
    watch.expect("status of 503")
    if operation != "Apps":
        atlas = site.make_app("atlas", name="Atlas")
    if operation == "Customer":
        path = path.format(jane=site.make_customer(atlas).id)

    with held(page, operation) as answers:
        page.goto(path)
        loading = page.get_by_role("status").filter(has_text=f"Loading {what}…")
        answers.wait_for(1)
        expect(loading).to_have_count(1)
    expect(page.get_by_text(empty).first).to_be_visible()
    expect(loading).to_have_count(0)

    with answered(page, 503, "UNAVAILABLE", operation=operation):
        page.reload()
        failed = page.get_by_role("alert").filter(has_text="The server has a problem")
        expect(failed).to_have_count(1)
    failed.get_by_role("button", name="Try again").click()
    expect(page.get_by_text(empty).first).to_be_visible()
    expect(failed).to_have_count(0)


class TestCustomersKeptFromPublicKeys:
    """The dashboard with a public key, on a server where public keys may not read customers."""

    @pytest.fixture
    def installation(self, sqlite_template: SqliteTemplate, tmp_path: Path) -> Iterator[Installation]:
        variables = {"LICENSEGRAPH_PUBLIC_KEYS_READ_CUSTOMERS": "false"}
        with sqlite_template.copied() as url, installed(tmp_path, url, **variables) as installation:
            yield installation

    def test_a_public_key_is_told_what_it_may_not_see(
        self, open_page: OpenPage, site: Site, jane: Customer
    ) -> None:
        site.make_license(jane)
        page = open_page(key=site.public_key)
        forbidden = page.get_by_role("heading", name="Your key does not allow this")
        for path in ("/apps/atlas/customers", f"/apps/atlas/customers/{jane.id}"):
            page.goto(path)
            expect(forbidden).to_be_visible()
            expect(page.get_by_text("jane@example.com")).to_have_count(0)
            expect(page.get_by_role("button", name="Try again")).to_have_count(0)
        page.goto("/")
        atlas = page.get_by_role("listitem").filter(has_text="Atlas")
        expect(atlas).to_contain_text("Licenses1Active1")
        expect(atlas).not_to_contain_text("Customers")
        atlas.get_by_role("link", name="Atlas").click()
        page.get_by_role("link", name="Settings").click()
        expect(page.get_by_role("region", name="About")).to_be_visible()
