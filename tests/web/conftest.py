"""Chromium, a server for each kind of database, and pages that are watched for incidents.

Playwright runs an event loop in the thread that starts it, and no other event loop can run in that thread.
Later tests in the same process need one. The browser, and the tests that use it, therefore run in a separate
thread. Fixtures run in the main thread, so they must not use pages. They may return functions that use pages,
and tests may call these functions.
"""

import os
from collections.abc import Callable, Generator, Iterator
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
"""Runs a test with only one kind of database, because the test is about the browser."""

expect.set_options(timeout=PATIENCE * 1_000)


@pytest.fixture(scope="package", autouse=True)
def everything_needed() -> None:
    """Skip these tests if the browser or the built dashboard is missing. In CI, fail instead."""
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


# The pages only use the public APIs, which are tested on both databases. So PostgreSQL is left to long tests.
@pytest.fixture(scope="package", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.long)])
def installation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """A server for one kind of database, shared by all tests that use this kind."""
    template = request.getfixturevalue(f"{request.param}_template")
    with template.copied() as url, installed(tmp_path_factory.mktemp("server"), url) as installation:
        yield installation


@pytest.fixture
def site(installation: Installation) -> Iterator[Site]:
    """A running server with an account and its keys. It has no apps except those that the test creates."""
    with visited(installation) as site:
        yield site


@pytest.fixture
def screen() -> Screen:
    """The screen of the test's page. Tests override it as a parameter."""
    return DESKTOP


@pytest.fixture
def color_scheme() -> ColorScheme:
    """The preferred color scheme of the test's page. Tests override it as a parameter."""
    return "light"


@pytest.fixture
def watch() -> Watch:
    """Watches all pages of the test for incidents.

    A test must declare each incident that it causes: ``watch.expect("401")``.
    """
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
    """A function that opens another page in a new browser session: ``open_page(key=site.public_key)``.

    Without a key, the page is not signed in.
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
    """An empty page, signed in with the secret key."""
    return browser_thread.run(partial(open_page, key=site.key))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Iterator[None]:
    thread = pyfuncitem.funcargs.get("browser_thread")
    test = pyfuncitem.obj
    if isinstance(thread, Thread):
        pyfuncitem.obj = partial(thread.run, test)
    try:
        return (yield)
    finally:
        pyfuncitem.obj = test


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.when == "call" and "open_page" in item.funcargs:
        watch, thread, folder = (item.funcargs[name] for name in ("watch", "browser_thread", "tmp_path"))
        assert isinstance(watch, Watch)
        assert isinstance(thread, Thread)
        assert isinstance(folder, Path)
        report.sections.append(("console", "\n".join(watch.console)))
        report.sections += thread.run(lambda: list(_shown(watch, folder)))
    return report


def _shown(watch: Watch, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield a report section for each page of a failed test, with what the page shows."""
    for number, page in enumerate(watch.pages, start=1):
        picture = folder / f"page-{number}.png"
        page.screenshot(path=picture)
        yield f"{page.url}, pictured in {picture}", page.locator("body").aria_snapshot()
