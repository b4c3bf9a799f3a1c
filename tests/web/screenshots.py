"""``python -m tests.web.screenshots [FOLDER]``: screenshots of every view.

Each view is shown four times: in the light and the dark color scheme, each on a desktop and on a phone. The
default folder is docs/screenshots. The command fails if a page has an incident.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import httpx
from playwright.sync_api import Page

from tests.processes import run, serving
from tests.web import chromium
from tests.web.chromium import DESKTOP, PHONE, ColorScheme
from tests.web.watch import Watch

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
SCREENS = {"": replace(DESKTOP, scale=2), "-phone": replace(PHONE, scale=2)}
COLOR_SCHEMES: tuple[ColorScheme, ...] = ("light", "dark")

_FIND = """{ app(slug: "demo") { customers(first: 100, filter: {search: "a"}, orderBy: {field: CREATED_AT}) {
  nodes { id licenses { nodes { id status } } }
} tiers(first: 3) { nodes { id } } } }"""
_ISSUE = """mutation($customer: ID!, $tier: ID!) {
  createLicense(input: {customerId: $customer, tierId: $tier, durationDays: 365}) { userErrors { message } }
}"""
_MAKE = """mutation($name: String!, $slug: String!, $description: String!) {
  createApp(input: {name: $name, slug: $slug, description: $description, signingAlgorithm: EDDSA}) {
    userErrors { message }
  }
}"""
_APPS = (
    ("Lumen Draw", "lumen-draw", "Sketches and diagrams that live beside your notes."),
    ("Lumen Cast", "lumen-cast", "Record, cut and publish a lecture in one afternoon."),
    ("Lumen Sync Server", "lumen-sync", "For those who keep their notes in their own house."),
)
_CHANGE = """mutation($customer: ID!, $license: ID!) {
  updateCustomer(input: {id: $customer, externalId: "crm-20417", metadata: {plan: "team", seats: 12}}) {
    userErrors { message }
  }
  revokeLicense(input: {id: $license, reason: "Refunded, ticket 4711."}) { userErrors { message } }
}"""
_REINSTATE = """mutation($license: ID!) {
  reinstateLicense(input: {id: $license}) { userErrors { message } }
}"""
_MAKE_KEY = """mutation($input: CreateApiKeyInput!) {
  createApiKey(input: $input) { apiKey { id } userErrors { field message } }
}"""
_SUPPORT = ["READ", "READ_CUSTOMERS", "READ_EVENTS", "WRITE_CUSTOMERS", "WRITE_LICENSES"]
_KEYS: tuple[dict[str, Any], ...] = (
    {"input": {"kind": "RESTRICTED", "name": "help desk", "scopes": _SUPPORT}},
    {"input": {"kind": "RESTRICTED", "name": "nightly export", "scopes": ["READ", "READ_TOKENS"]}},
    {
        "input": {
            "kind": "PUBLIC",
            "name": "customer portal",
            "appSlugs": ["demo"],
            "origins": ["https://portal.lumen.example", "http://localhost:3000"],
            "documentSets": ["portal@1.4.2"],
            "expiresAt": "2099-12-31T23:59:59Z",
        }
    },
)


def _nothing(page: Page) -> None: ...


def _press(name: str) -> Callable[[Page], None]:
    def press(page: Page) -> None:
        page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("dialog").wait_for()

    return press


def _choose(item: str) -> Callable[[Page], None]:
    def choose(page: Page) -> None:
        _open_menu(page)
        page.get_by_role("menuitem", name=item).click()
        page.get_by_role("dialog").wait_for()

    return choose


def _open_menu(page: Page) -> None:
    page.get_by_role("listitem", name="Active license").first.get_by_role(
        "button", name="More actions"
    ).click()


def _revoke(page: Page) -> None:
    page.get_by_role("button", name="Revoke").first.click()
    page.get_by_role("button", name="Undo").wait_for()


def _select_licenses(page: Page) -> None:
    for number in range(3):
        page.get_by_role("checkbox", name="Select license for").nth(number).check()


def _revoke_selected(page: Page) -> None:
    _select_licenses(page)
    _press("Revoke selected…")(page)


def _fail_to_issue(page: Page) -> None:
    _press("Issue license")(page)
    page.keyboard.press("Enter")
    page.get_by_text("Choose a tier.").wait_for()


def _issue_with_tier(page: Page) -> None:
    _press("Issue license")(page)
    page.get_by_label("Tier").select_option("Team")


def _drop_old_keys(page: Page) -> None:
    _press("Rotate…")(page)
    page.get_by_label("Drop the old keys").check()


def _new_key(page: Page) -> None:
    _press("New key")(page)
    page.get_by_label("Name").fill("help desk")
    page.get_by_role("button", name="Support").click()


def _limit_new_key(page: Page) -> None:
    _new_key(page)
    page.get_by_text("Only some", exact=True).click()
    page.get_by_role("checkbox", name="Lumen Draw").check()
    page.get_by_text("On a date").click()
    page.get_by_label("Last day").scroll_into_view_if_needed()


def _create_key(page: Page) -> None:
    _new_key(page)
    page.get_by_role("button", name="Create key").click()
    page.get_by_role("dialog", name="Copy the key now").wait_for()


def _show_numbers(page: Page) -> None:
    page.get_by_text("Show numbers").click()


def _switch_app(page: Page) -> None:
    page.get_by_role("button", name="switch app").click()
    page.get_by_role("link", name="Lumen Cast").wait_for()


def _show_state(page: Page) -> None:
    page.get_by_role("button", name="Show state: Customer changed").click()
    page.get_by_role("dialog").wait_for()


def _ask_to_discard(page: Page) -> None:
    _issue_with_tier(page)
    page.keyboard.press("Escape")
    page.get_by_role("dialog", name="Discard your changes?").wait_for()


@dataclass(frozen=True, slots=True)
class View:
    """A view to take a screenshot of: its path, what to do on the page first, and the kind of key to use.

    If `key` is None, the page is not signed in. In a path, `{customer}` and `{busiest}` are replaced with ids
    of customers, and `{key}` is replaced with the id of a key.
    """

    name: str
    path: str
    prepare: Callable[[Page], None] = _nothing
    key: Literal["secret", "public"] | None = "secret"


VIEWS = (
    View("sign-in", "/", key=None),
    View("apps", "/"),
    View("new-app", "/", _press("New app")),
    View("overview", "/apps/demo"),
    View("overview-30-days", "/apps/demo?range=30d&tier=team", _show_numbers),
    View("overview-all", "/apps/demo?range=all"),
    View("overview-empty", "/apps/lumen-cast"),
    View("switch-app", "/apps/demo", _switch_app),
    View("customers", "/apps/demo/customers"),
    View("customers-found", "/apps/demo/customers?search=ma&order=name"),
    View("customers-none-found", "/apps/demo/customers?search=nobody"),
    View("customers-none", "/apps/lumen-cast/customers"),
    View("new-customer", "/apps/demo/customers", _press("New customer")),
    View("customer", "/apps/demo/customers/{customer}"),
    View("edit-customer", "/apps/demo/customers/{customer}", _press("Edit")),
    View("delete-customer", "/apps/demo/customers/{customer}", _press("Delete")),
    View("license-menu", "/apps/demo/customers/{customer}", _open_menu),
    View("license-details", "/apps/demo/customers/{customer}", _choose("Show details")),
    View("license-token", "/apps/demo/customers/{customer}", _choose("Show token")),
    View("license-revoked", "/apps/demo/customers/{busiest}", _revoke),
    View("change-license", "/apps/demo/customers/{customer}", _choose("Change…")),
    View("renew-license", "/apps/demo/customers/{customer}", _choose("Renew…")),
    View("hand-over-license", "/apps/demo/customers/{customer}", _choose("Hand over…")),
    View("licenses", "/apps/demo/licenses"),
    View("licenses-expiring", "/apps/demo/licenses?status=expiring&order=expires_at"),
    View("licenses-selected", "/apps/demo/licenses", _select_licenses),
    View("revoke-licenses", "/apps/demo/licenses", _revoke_selected),
    View("issue-license", "/apps/demo/customers/{customer}", _issue_with_tier),
    View("issue-license-without-tier", "/apps/demo/customers/{customer}", _fail_to_issue),
    View("discard", "/apps/demo/customers/{customer}", _ask_to_discard),
    View("many-licenses", "/apps/demo/customers/{busiest}"),
    View("app-activity", "/apps/demo/activity"),
    View("activity-none-found", "/apps/demo/activity?type=tier"),
    View("customer-activity", "/apps/demo/customers/{customer}/activity"),
    View("state", "/apps/demo/customers/{customer}/activity", _show_state),
    View("settings", "/apps/demo/settings"),
    View("rotate-signing-keys", "/apps/demo/settings", _drop_old_keys),
    View("settings-read-only", "/apps/demo/settings", key="public"),
    View("keys", "/keys?state=all"),
    View("key", "/keys/{key}"),
    View("new-key", "/keys", _new_key),
    View("new-key-limited", "/keys", _limit_new_key),
    View("new-token", "/keys", _create_key),
    View("edit-key", "/keys/{key}", _press("Edit")),
    View("rotate-key", "/keys/{key}", _press("Rotate…")),
    View("revoke-key", "/keys/{key}", _press("Revoke…")),
    View("graphiql", "/graphql"),
    View("docs", "/api/docs"),
    View("not-found", "/no/such/view"),
    View("customer-not-found", "/apps/demo/customers/cus_00000000000000000000000000"),
)


@dataclass(frozen=True, slots=True)
class Demo:
    """A running server with realistic data, keys to sign in with, and the ids of two customers and of a key.

    `keys` maps the kind of a key to the key. `customer` has licenses with several statuses, and `busiest` has
    at least 20 licenses. `key` is the id of a public key for pages.
    """

    url: str
    keys: Mapping[str, str]
    customer: str
    busiest: str
    key: str


@contextmanager
def demonstrated(folder: Path) -> Iterator[Demo]:
    """Run a server with the data of the command `demo`, some empty apps and some keys."""
    keys: dict[str, str] = {}
    for kind in ("secret", "public"):
        account = ("--account", "Lumen Labs", *(() if keys else ("--new-account",)))
        keys[kind] = run(folder, "keys", "create", "--kind", kind, *account).stdout.strip()
    run(folder, "demo", "--customers", "2000").check_returncode()
    with serving(folder) as server:

        def ask(document: str, **variables: Any) -> httpx.Response:
            body = {"query": document, "variables": variables}
            headers = {"Authorization": f"Bearer {keys['secret']}"}
            return httpx.post(f"{server.url}/graphql", json=body, headers=headers).raise_for_status()

        for name, slug, description in _APPS:
            ask(_MAKE, name=name, slug=slug, description=description)
        app = ask(_FIND).json()["data"]["app"]
        customers, tier = app["customers"]["nodes"], app["tiers"]["nodes"][1]["id"]
        busiest, various = sorted(customers, key=_variety)[-2:]
        for _ in range(20):
            ask(_ISSUE, customer=busiest["id"], tier=tier)
        active = next(each for each in various["licenses"]["nodes"] if each["status"] == "ACTIVE")
        ask(_CHANGE, customer=various["id"], license=active["id"])
        ask(_REINSTATE, license=active["id"])
        made = [ask(_MAKE_KEY, **key).json()["data"]["createApiKey"] for key in _KEYS]
        yield Demo(server.url, keys, various["id"], busiest["id"], made[-1]["apiKey"]["id"])


def _variety(customer: Any) -> int:
    return len({license["status"] for license in customer["licenses"]["nodes"]})


def picture_all(folder: Path) -> list[str]:
    """Take every screenshot, and return the incidents on the pages."""
    executable = chromium.find()
    if executable is None:
        sys.exit(f"Chromium is not installed ({chromium.INSTALL}).")
    folder.mkdir(parents=True, exist_ok=True)
    incidents = []
    with (
        tempfile.TemporaryDirectory() as home,
        demonstrated(Path(home)) as demo,
        chromium.launched(executable) as browser,
    ):
        for view in VIEWS:
            for suffix, screen in SCREENS.items():
                for color_scheme in COLOR_SCHEMES:
                    name = f"{view.name}-{color_scheme}{suffix}"
                    watch = Watch()
                    with chromium.opened(
                        browser,
                        demo.url,
                        watch,
                        key=view.key and demo.keys[view.key],
                        screen=screen,
                        color_scheme=color_scheme,
                    ) as page:
                        page.goto(
                            view.path.format(customer=demo.customer, busiest=demo.busiest, key=demo.key),
                            wait_until="networkidle",
                        )
                        view.prepare(page)
                        page.evaluate("document.fonts.ready.then(() => 0)")
                        page.screenshot(path=folder / f"{name}.png")
                    incidents += [f"{name}: {incident}" for incident in watch.incidents]
    return incidents


if __name__ == "__main__":
    sys.exit("\n".join(picture_all(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)) or None)
