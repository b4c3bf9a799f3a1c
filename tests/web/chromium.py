"""The installed Chromium, and functions that open pages in it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal, TypeAlias

from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from tests.web.watch import Watch

ColorScheme: TypeAlias = Literal["light", "dark"]

PATIENCE = 20
"""How many seconds a test waits for a page. This is long, because the machine may be busy."""

# The headless shell is tried first. It has the same engine as Chromium but no window, and the tests take only
# two thirds of the time with it.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
INSTALL = "apt-get install chromium-headless-shell"
_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    # No host name can be resolved, so pages can reach only this machine.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# This script signs in only once per page, so that a page stays signed out after the user signs out.
_SIGN_IN = """
if (location.origin === %s && window.name === "") {
  window.name = "was signed in";
  sessionStorage.setItem("licensegraph:key", %s);
}
"""


@dataclass(frozen=True, slots=True)
class Screen:
    """The screen that displays a page. `scale` is the number of device pixels per CSS pixel."""

    width: int
    height: int
    is_touched: bool = False
    scale: int = 1

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


DESKTOP, PHONE = Screen(1280, 800), Screen(390, 844, is_touched=True)


def find() -> str | None:
    """Return the path of Chromium, or None if it is not installed."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def launched(executable: str) -> Iterator[Browser]:
    """Start Chromium without a window. Only the thread that starts the browser may use it."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser,
    url: str,
    watch: Watch,
    *,
    key: str | None = None,
    screen: Screen = DESKTOP,
    color_scheme: ColorScheme = "light",
) -> Iterator[Page]:
    """Open an empty page in a new browser session, and close the session at the end.

    If `key` is given, pages of `url` are signed in with it. Paths given to `goto` are relative to `url`. The
    page is asked to reduce motion, so nothing moves.
    """
    context = browser.new_context(
        base_url=url,
        viewport={"width": screen.width, "height": screen.height},
        device_scale_factor=screen.scale,
        has_touch=screen.is_touched,
        is_mobile=screen.is_touched,
        color_scheme=color_scheme,
        reduced_motion="reduce",
        locale="en-US",
        timezone_id="UTC",
    )
    context.set_default_timeout(PATIENCE * 1_000)
    watch.attach(context, url)
    if key is not None:
        context.add_init_script(_SIGN_IN % (json.dumps(url), json.dumps(key)))
    try:
        yield context.new_page()
        _settle(context)
    finally:
        context.close()


def _settle(context: BrowserContext) -> None:
    """Wait until all earlier events of the pages have been handled.

    Events arrive in order, so the response to this call arrives after them.
    """
    for page in context.pages:
        with suppress(Error):  # the page is loading another address
            page.evaluate("0")
