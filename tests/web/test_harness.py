"""The tools of the browser tests.

They report every incident on a page, sign pages in, check accessibility, and record, hold back and replace
responses.
"""

import asyncio
import re

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from tests.web import chromium
from tests.web.accessibility import axe
from tests.web.chromium import DESKTOP, PHONE, ColorScheme, Screen
from tests.web.conftest import OpenPage, one_database
from tests.web.site import Site
from tests.web.traffic import answered, held, requests
from tests.web.watch import Watch

BARE = """<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"></head><body></body></html>"""

# The kind of database makes no difference to the browser.
pytestmark = one_database

ASK = """([operation, key]) => fetch("/graphql", {
  method: "POST",
  headers: {"Content-Type": "application/json", Authorization: `Bearer ${key}`},
  body: JSON.stringify({operationName: operation, query: `query ${operation} { apps { totalCount } }`}),
}).then((answer) => { document.title += ` ${operation} ${answer.status}`; }, () => {})"""


def go_to_bare_page(page: Page, path: str = "/bare") -> None:
    """Go to a page of the site where nothing happens except what the test does."""
    page.route(f"**{path}", lambda route: route.fulfill(content_type="text/html", body=BARE))
    page.goto(path)


WRONG = {
    "console.error('broken')": r"console error: broken .*",
    "console.warn('deprecated')": r"console warning: deprecated .*",
    "setTimeout(() => { throw new Error('late') }) && new Promise(setTimeout)": r"uncaught: .*late",
    "void Promise.reject(new Error('rejected'))": r"uncaught: .*rejected",
    "fetch('/no/such/asset')": r"console error: .* status of 404 .*",
    "fetch('http://127.0.0.1:1/').catch(() => 0)": r".*policy violation: connect-src http://127.0.0.1:1/ .*",
    "void (new Image().src = 'http://elsewhere.example/')": r"request to another host: .*elsewhere.example/",
    "document.body.append(Object.assign(document.createElement('script'), {text: '0'}))": (
        r".*policy violation: script-src-elem inline .*"
    ),
    "document.body.setAttribute('style', 'color: red')": r".*policy violation: style-src-attr inline .*",
}
"""Scripts that cause an incident, each with a pattern for the message of the failure."""


def test_incidents_on_a_page_fail_the_test(browser: Browser, site: Site) -> None:
    watch = Watch()
    with chromium.opened(browser, site.url, watch) as page:
        page.goto("/")
        watch.check()
        for script in WRONG:
            page.evaluate(script)

    with pytest.raises(AssertionError) as failure:
        watch.check()
    lines = str(failure.value).splitlines()
    assert [said for said in WRONG.values() if not any(re.fullmatch(said, line) for line in lines)] == []


def test_expected_incidents_must_happen_and_no_others(browser: Browser, site: Site) -> None:
    watch = Watch()
    watch.expect("status of 404", "status of 401")
    with chromium.opened(browser, site.url, watch) as page:
        go_to_bare_page(page)
        page.evaluate("fetch('/no/such/asset')")
        page.evaluate("console.error('broken')")

    with pytest.raises(AssertionError) as failure:
        watch.check()
    assert str(failure.value).splitlines() == [
        "console error: broken (:0)",
        "expected, but never came: status of 401",
    ]


def test_no_other_host_can_be_reached(page: Page, watch: Watch) -> None:
    watch.expect("^request to another host: http://example.com/$", "^failed: .* net::ERR_NAME_NOT_RESOLVED$")

    with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("http://example.com/")


def test_a_page_begins_signed_in_and_may_sign_out(page: Page, open_page: OpenPage, site: Site) -> None:
    key = "sessionStorage.getItem('licensegraph:key')"
    go_to_bare_page(page)
    go_to_bare_page(page, "/bare/too")
    assert page.evaluate(key) == site.key
    page.evaluate("sessionStorage.clear()")
    page.reload()
    assert page.evaluate(key) is None

    reader, stranger = open_page(key=site.public_key), open_page()
    for other in (reader, stranger):
        go_to_bare_page(other)
    assert reader.evaluate(key) == site.public_key
    assert stranger.evaluate(key) is None


def test_axe_reports_accessibility_problems(page: Page) -> None:
    go_to_bare_page(page)
    page.set_content("<html lang='en'><title>Page</title><main><h1>Page</h1><p>Fine.</p></main></html>")
    axe(page)
    page.set_content("<html lang='en'><title>Page</title><main><h1>Page</h1><input></main></html>")

    with pytest.raises(AssertionError, match=r"^critical: label at input\n  Form elements must have labels"):
        axe(page)


def test_requests_to_the_graph_are_recorded(page: Page, site: Site) -> None:
    go_to_bare_page(page)

    with requests(page) as sent:
        page.evaluate(ASK, ["First", site.key])
        page.evaluate(ASK, ["Second", site.key])
        expect(page).to_have_title(re.compile("First 200 Second 200"))
        page.evaluate("fetch('/api/health')")
    page.evaluate(ASK, ["Third", site.key])

    assert [request.operation for request in sent] == ["First", "Second"]
    assert sent[0].variables == {}
    assert sent[0].sent_at < sent[1].sent_at


def test_held_responses_come_when_and_in_the_order_that_the_test_says(page: Page, site: Site) -> None:
    go_to_bare_page(page)

    with held(page) as answers:
        for operation in ("First", "Second", "Third"):
            page.evaluate(f"void ({ASK})({[operation, site.key]})")
        answers.wait_for(3)
        assert page.title() == ""
        answers.release(1)
        expect(page).to_have_title("Second 200")
        answers.release()
        expect(page).to_have_title("Second 200 First 200")
    expect(page).to_have_title("Second 200 First 200 Third 200")


def test_a_single_operation_can_be_held(page: Page, site: Site) -> None:
    go_to_bare_page(page)

    with held(page, "First") as answers:
        page.evaluate(f"void ({ASK})({['First', site.key]})")
        page.evaluate(ASK, ["Second", site.key])
        answers.wait_for(1)
        expect(page).to_have_title("Second 200")
    expect(page).to_have_title("Second 200 First 200")


def test_the_test_can_answer_instead_of_the_server(page: Page, site: Site, watch: Watch) -> None:
    watch.expect("status of 429")
    go_to_bare_page(page)

    with answered(page, 429, "RATE_LIMITED", headers={"Retry-After": "2"}):
        page.evaluate(ASK, ["First", site.key])
    page.evaluate(ASK, ["Second", site.key])

    expect(page).to_have_title("First 429 Second 200")


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=str)
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_pages_get_the_screen_and_the_color_scheme(
    page: Page, screen: Screen, color_scheme: ColorScheme
) -> None:
    go_to_bare_page(page)

    assert page.evaluate("[innerWidth, innerHeight]") == [screen.width, screen.height]
    for query in (
        f"(prefers-color-scheme: {color_scheme})",
        "(prefers-reduced-motion: reduce)",
        f"(pointer: {'coarse' if screen.is_touched else 'fine'})",
    ):
        assert page.evaluate("query => matchMedia(query).matches", query), query


@pytest.fixture
async def loop(page: Page) -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_other_event_loops_run_next_to_the_browser(loop: asyncio.AbstractEventLoop) -> None:
    """Async fixtures work, although the tests run in the thread of Playwright's own event loop."""
    assert loop is not asyncio.get_running_loop()
