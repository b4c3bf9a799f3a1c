"""Uses axe to find accessibility problems of a page."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_GRAVE = {"serious", "critical"}


def axe(page: Page) -> None:
    """Check the page in its current state with axe.

    Raises AssertionError if there are serious or critical problems. The message lists each problem with the
    element that has it.
    """
    found = Axe().run(page).response["violations"]
    said = [
        f"{violation['impact']}: {violation['id']} at {' '.join(map(str, node['target']))}\n"
        f"  {violation['help']} ({violation['helpUrl']})\n  {node['html']}"
        for violation in found
        if violation["impact"] in _GRAVE
        for node in violation["nodes"]
    ]
    assert not said, "\n".join(said)
