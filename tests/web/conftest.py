"""Chromium, a server for each kind of database, and pages that are watched.

Playwright keeps an event loop in the thread that it is started in, and there no other loop can run: tests
of other folders that come after in the same process would fail. So the browser is driven from a thread of
its own, and the tests that use it run there. Their fixtures run in the main thread as ever, and leave pages
alone: what touches a page is a function that the test calls.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.web import chromium
from tests.web.chromium import DESKTOP, PATIENCE, ColorScheme, Screen
from tests.web.site import Installation, Site, installed, visited
from tests.web.threads import Thread, new_thread
from tests.web.watch import Watch

OpenPage = Callable[..., Page]

one_database = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
"""For tests of the browser alone, which ask the database nothing that others do not ask of both."""

expect.set_options(timeout=PATIENCE * 1_000)


@pytest.fixture(scope="package", autouse=True)
def everything_needed() -> None:
    """Without a browser or a build there is nothing to test; in CI that is a failure."""
    from server import WEB  # noqa: PLC0415

    absent = [
        said
        for said, is_there in (
            (
                "Chromium is not installed (apt-get install chromium-headless-shell)",
                chromium.find() is not None,
            ),
            ("the dashboard is not built (make web, which needs Node.js)", (WEB / "index.html").is_file()),
        )
        if not is_there
    ]
    if absent and os.environ.get("CI"):
        pytest.fail("; ".join(absent), pytrace=False)
    if absent:
        pytest.skip("; ".join(absent))


@pytest.fixture(scope="package")
def browser_thread(everything_needed: None) -> Iterator[Thread]:
    with new_thread("browser") as thread:
        yield thread


@pytest.fixture(scope="package")
def browser(browser_thread: Thread) -> Iterator[Browser]:
    executable = chromium.find()
    assert executable is not None
    with browser_thread.within(chromium.launched(executable)) as browser:
        yield browser


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def installation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A server, the same for all tests of one kind of database."""
    template = request.getfixturevalue(f"{request.param}_template")
    with template.copied() as url, installed(tmp_path_factory.mktemp("server"), url) as installation:
        yield installation


@pytest.fixture
def site(installation: Installation) -> Iterator[Site]:
    """A running server where nothing is but an account with its keys."""
    with visited(installation) as site:
        yield site


@pytest.fixture
def screen() -> Screen:
    """What the test's page is shown on. Tests parametrize it."""
    return DESKTOP


@pytest.fixture
def color_scheme() -> ColorScheme:
    """What the test's page is told that people prefer. Tests parametrize it."""
    return "light"


@pytest.fixture
def watch() -> Watch:
    """Watches all pages of the test. One that brings about an incident says so: ``watch.expect("401")``."""
    return Watch()


@pytest.fixture
def open_page(
    browser_thread: Thread,
    browser: Browser,
    site: Site,
    watch: Watch,
    screen: Screen,
    color_scheme: ColorScheme,
    tmp_path: Path,
) -> Iterator[OpenPage]:
    """Opens another page, in a browser session of its own: ``open_page(key=site.public_key)``.

    Without a key nobody is signed in.
    """
    with ExitStack() as stack:

        def open_page(*, key: str | None = None) -> Page:
            opened = chromium.opened(
                browser, site.url, watch, key=key, screen=screen, color_scheme=color_scheme
            )
            return stack.enter_context(opened)

        yield open_page
        browser_thread.run(stack.close)
    watch.check()


@pytest.fixture
def page(browser_thread: Thread, open_page: OpenPage, site: Site) -> Page:
    """An empty page, of somebody who is signed in with the secret key."""
    return browser_thread.run(partial(open_page, key=site.key))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    thread: Thread | None = pyfuncitem.funcargs.get("browser_thread")
    test = pyfuncitem.obj
    if thread is not None:
        pyfuncitem.obj = partial(thread.run, test)
    try:
        return (yield)
    finally:
        pyfuncitem.obj = test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield
    if report.failed and call.when == "call" and "open_page" in item.funcargs:
        watch, thread, folder = (item.funcargs[name] for name in ("watch", "browser_thread", "tmp_path"))
        report.sections.append(("console", "\n".join(watch.console)))
        report.sections += thread.run(lambda: list(_shown(watch, folder)))
    return report


def _shown(watch: Watch, folder: Path) -> Iterator[tuple[str, str]]:
    """What the pages of a test that failed show, as sections of the report."""
    for number, page in enumerate(watch.pages, start=1):
        picture = folder / f"page-{number}.png"
        page.screenshot(path=picture)
        yield f"{page.url}, pictured in {picture}", page.locator("body").aria_snapshot()
