"""Chromium as the machine has it, and pages in it that begin with nothing."""

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
"""For how many seconds what a page should do is waited for: the machine may be busy."""

# The same engine without a window around it takes two thirds of the time of the whole browser.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
INSTALL = "apt-get install chromium-headless-shell"
_ARGUMENTS = (
    "--disable-gpu",
    "--disable-quic",
    # As if there were no network but this machine's own.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
# Once in the life of a page, and not again after somebody has signed out.
_SIGN_IN = """
if (location.origin === %s && window.name === "") {
  window.name = "was signed in";
  sessionStorage.setItem("licensegraph:key", %s);
}
"""


@dataclass(frozen=True, slots=True)
class Screen:
    """What pages are shown on. `scale` is how many of its points a pixel of the page takes, each way."""

    width: int
    height: int
    is_touched: bool = False
    scale: int = 1

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"


DESKTOP, PHONE = Screen(1280, 800), Screen(390, 844, is_touched=True)


def find() -> str | None:
    """Where Chromium is, if it is installed."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@contextmanager
def launched(executable: str) -> Iterator[Browser]:
    """Chromium, without a window, to be used by the thread that launched it."""
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
    """A page with a browser session of its own, signed in with `key`. It is closed in the end.

    Addresses are relative to `url`. Nothing moves: the page is told that motion is not wanted.
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
    """Hear what the pages have said: it comes in order, and so before this answer."""
    for page in context.pages:
        with suppress(Error):  # it is on its way to another address
            page.evaluate("0")
