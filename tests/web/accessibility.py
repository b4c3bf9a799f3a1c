"""What axe finds on a page that keeps people from using it."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_GRAVE = {"serious", "critical"}


def axe(page: Page) -> None:
    """Look at the page as it is now. Raises AssertionError with what is serious or critical, and where."""
    found = Axe().run(page).response["violations"]
    said = [
        f"{violation['impact']}: {violation['id']} at {' '.join(map(str, node['target']))}\n"
        f"  {violation['help']} ({violation['helpUrl']})\n  {node['html']}"
        for violation in found
        if violation["impact"] in _GRAVE
        for node in violation["nodes"]
    ]
    assert not said, "\n".join(said)
