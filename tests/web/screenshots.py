"""``python -m tests.web.screenshots [FOLDER]``: pictures of every view, light and dark, desktop and phone.

Written to docs/screenshots, unless told. Fails when a page complains.
"""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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
  nodes { id licenses { nodes { status } } }
} } }"""
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


def _nothing(page: Page) -> None: ...


def _press(name: str) -> Callable[[Page], None]:
    def press(page: Page) -> None:
        page.get_by_role("button", name=name, exact=True).click()
        page.get_by_role("dialog").wait_for()

    return press


def _open_menu(page: Page) -> None:
    page.get_by_role("button", name="More actions").first.click()


@dataclass(frozen=True, slots=True)
class View:
    """A view by its path, in which `{customer}` is a customer's id, and what is done there first."""

    name: str
    path: str
    prepare: Callable[[Page], None] = _nothing
    signed_in: bool = True


VIEWS = (
    View("sign-in", "/", signed_in=False),
    View("apps", "/"),
    View("new-app", "/", _press("New app")),
    View("customers", "/apps/demo/customers"),
    View("customers-found", "/apps/demo/customers?search=ma&order=name"),
    View("customers-none-found", "/apps/demo/customers?search=nobody"),
    View("customers-none", "/apps/lumen-cast/customers"),
    View("new-customer", "/apps/demo/customers", _press("New customer")),
    View("customer", "/apps/demo/customers/{customer}"),
    View("edit-customer", "/apps/demo/customers/{customer}", _press("Edit")),
    View("delete-customer", "/apps/demo/customers/{customer}", _press("Delete")),
    View("license-menu", "/apps/demo/customers/{customer}", _open_menu),
    View("issue-license", "/apps/demo/customers/{customer}", _press("Issue license")),
    View("settings", "/apps/demo/settings"),
    View("graphiql", "/graphql"),
    View("not-found", "/no/such/view"),
)


@dataclass(frozen=True, slots=True)
class Demo:
    """A server with believable data, a secret key, and the id of a customer who has licenses."""

    url: str
    key: str
    customer: str


@contextmanager
def demonstrated(folder: Path) -> Iterator[Demo]:
    """The demo app of the command line, and a few that are empty."""
    key = run(folder, "keys", "create", "--kind", "secret", "--account", "Lumen Labs").stdout.strip()
    run(folder, "demo", "--customers", "2000").check_returncode()
    with serving(folder) as server:

        def ask(document: str, **variables: str) -> httpx.Response:
            body = {"query": document, "variables": variables}
            headers = {"Authorization": f"Bearer {key}"}
            return httpx.post(f"{server.url}/graphql", json=body, headers=headers).raise_for_status()

        for name, slug, description in _APPS:
            ask(_MAKE, name=name, slug=slug, description=description)
        customers = ask(_FIND).json()["data"]["app"]["customers"]["nodes"]
        yield Demo(server.url, key, max(customers, key=_variety)["id"])


def _variety(customer: Any) -> int:
    return len({license["status"] for license in customer["licenses"]["nodes"]})


def picture_all(folder: Path) -> list[str]:
    """Write every picture, and answer what the pages complained of."""
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
                        key=demo.key if view.signed_in else None,
                        screen=screen,
                        color_scheme=color_scheme,
                    ) as page:
                        page.goto(view.path.format(customer=demo.customer), wait_until="networkidle")
                        view.prepare(page)
                        page.evaluate("document.fonts.ready.then(() => 0)")
                        page.screenshot(path=folder / f"{name}.png")
                    incidents += [f"{name}: {incident}" for incident in watch.incidents]
    return incidents


if __name__ == "__main__":
    sys.exit("\n".join(picture_all(Path(sys.argv[1]) if sys.argv[1:] else FOLDER)) or None)
