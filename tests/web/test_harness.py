"""The tests' own tools: whatever goes wrong on a page is noticed, and only what is wrong."""

import asyncio
import re

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from tests.web import chromium
from tests.web.accessibility import axe
from tests.web.chromium import DESKTOP, PHONE, ColorScheme, Screen
from tests.web.conftest import OpenPage
from tests.web.site import Site
from tests.web.traffic import answered, held, requests
from tests.web.watch import Watch

ASK = """([operation, key]) => fetch("/graphql", {
  method: "POST",
  headers: {"Content-Type": "application/json", Authorization: `Bearer ${key}`},
  body: JSON.stringify({operationName: operation, query: `query ${operation} { apps { totalCount } }`}),
}).then((answer) => { document.title += ` ${operation} ${answer.status}`; }, () => {})"""


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("console.error('broken')", "^console error: broken "),
        ("console.warn('deprecated')", "^console warning: deprecated "),
        ("setTimeout(() => { throw new Error('broken') }) && new Promise(setTimeout)", "^uncaught: .*broken"),
        ("void Promise.reject(new Error('broken'))", "^uncaught: .*broken"),
        ("fetch('/no/such/asset').catch(String)", "status of 404"),
        ("fetch('http://127.0.0.1:1/').catch(String)", "policy violation: connect-src http://127.0.0.1:1/"),
        (
            "document.body.appendChild(new Image()).src = 'http://elsewhere.example/'",
            "policy violation: img-src http://elsewhere.example/",
        ),
        (
            "document.body.appendChild(document.createElement('script')).text = '0'",
            "policy violation: script-src-elem inline",
        ),
        ("document.body.setAttribute('style', 'color: red')", "policy violation: style-src-attr inline"),
    ],
)
def test_what_is_wrong_on_a_page_fails_its_test(browser: Browser, site: Site, script: str, said: str) -> None:
    watch = Watch()
    with chromium.opened(browser, site.url, watch) as page:
        page.goto("/")
        watch.check()
        page.evaluate(script)

    with pytest.raises(AssertionError, match=f"(?m){said}"):
        watch.check()
    watch.expect(said, ".")
    watch.check()


def test_what_was_expected_has_to_come(browser: Browser, site: Site) -> None:
    watch = Watch()
    watch.expect("status of 401")
    with chromium.opened(browser, site.url, watch) as page:
        page.goto("/")

    with pytest.raises(AssertionError, match=r"^expected, but never came: status of 401"):
        watch.check()


def test_no_other_host_can_be_reached(page: Page, watch: Watch) -> None:
    watch.expect("^request to another host: http://example.com/$", "^failed: .* net::ERR_NAME_NOT_RESOLVED$")

    with pytest.raises(Error, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("http://example.com/")


def test_a_page_begins_signed_in_and_may_sign_out(page: Page, open_page: OpenPage, site: Site) -> None:
    key = "sessionStorage.getItem('licensegraph:key')"
    page.goto("/")
    page.goto("/apps/atlas/customers")
    assert page.evaluate(key) == site.key
    page.evaluate("sessionStorage.clear()")
    page.reload()
    assert page.evaluate(key) is None

    reader, stranger = open_page(key=site.public_key), open_page()
    for other in (reader, stranger):
        other.goto("/")
    assert reader.evaluate(key) == site.public_key
    assert stranger.evaluate(key) is None


def test_axe_tells_what_keeps_people_out(page: Page) -> None:
    page.goto("/")
    page.set_content("<html lang='en'><title>Page</title><main><h1>Page</h1><p>Fine.</p></main></html>")
    axe(page)
    page.set_content("<html lang='en'><title>Page</title><main><h1>Page</h1><input></main></html>")

    with pytest.raises(AssertionError, match=r"^critical: label at input\n  Form elements must have labels"):
        axe(page)


def test_requests_to_the_graph_are_recorded(page: Page, site: Site) -> None:
    page.goto("/")

    with requests(page) as sent:
        page.evaluate(ASK, ["First", site.key])
        page.evaluate(ASK, ["Second", site.key])
        expect(page).to_have_title(re.compile("First 200 Second 200"))
        page.evaluate("fetch('/api/health')")
    page.evaluate(ASK, ["Third", site.key])

    assert [request.operation for request in sent] == ["First", "Second"]
    assert sent[0].variables == {}
    assert sent[0].sent_at < sent[1].sent_at


def test_answers_come_when_and_in_the_order_that_the_test_says(page: Page, site: Site) -> None:
    page.goto("/")
    page.evaluate("document.title = ''")

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


def test_one_operation_is_held_alone(page: Page, site: Site) -> None:
    page.goto("/")
    page.evaluate("document.title = ''")

    with held(page, "First") as answers:
        page.evaluate(f"void ({ASK})({['First', site.key]})")
        page.evaluate(ASK, ["Second", site.key])
        answers.wait_for(1)
        expect(page).to_have_title("Second 200")
    expect(page).to_have_title("Second 200 First 200")


def test_the_test_answers_in_the_place_of_the_server(page: Page, site: Site, watch: Watch) -> None:
    watch.expect("status of 429")
    page.goto("/")
    page.evaluate("document.title = ''")

    with answered(page, 429, "RATE_LIMITED", headers={"Retry-After": "2"}):
        page.evaluate(ASK, ["First", site.key])
    page.evaluate(ASK, ["Second", site.key])

    expect(page).to_have_title("First 429 Second 200")


def test_a_key_is_revoked_in_the_middle_of_a_session(page: Page, site: Site, watch: Watch) -> None:
    watch.expect("status of 401")
    page.goto("/")
    page.evaluate("document.title = ''")
    page.evaluate(ASK, ["First", site.key])

    site.revoke(site.key)
    page.evaluate(ASK, ["Second", site.key])

    expect(page).to_have_title("First 200 Second 401")


def test_a_server_stops_and_is_back(page: Page, site: Site, watch: Watch) -> None:
    watch.expect("net::ERR_CONNECTION_")
    site.make_app("atlas")
    page.goto("/")
    page.evaluate("document.title = ''")

    site.stop()
    page.evaluate(ASK, ["First", site.key])
    site.start()
    page.evaluate(ASK, ["Second", site.key])

    expect(page).to_have_title("Second 200")
    assert site.graph('{ app(slug: "atlas") { name } }') == {"app": {"name": "Atlas"}}


@pytest.mark.parametrize("screen", [DESKTOP, PHONE], ids=str)
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_pages_know_the_screen_and_what_people_prefer(
    page: Page, screen: Screen, color_scheme: ColorScheme
) -> None:
    page.goto("/")

    assert page.evaluate("[innerWidth, innerHeight]") == [screen.width, screen.height]
    for query in (
        f"(prefers-color-scheme: {color_scheme})",
        "(prefers-reduced-motion: reduce)",
        f"(pointer: {'coarse' if screen.is_touched else 'fine'})",
    ):
        assert page.evaluate("query => matchMedia(query).matches", query), query


def test_a_site_is_filled_for_one_test(site: Site) -> None:
    app = site.make_app("atlas", name="Atlas Editor")
    tier = site.make_tier(app, slug="team", features=[site.make_feature(app, slug="export")])
    customer = site.make_customer(app, email="jane@example.com")
    site.make_license(customer, tier=tier)
    site.make_customers(app, 2_000, licenses_each=1)

    apps = site.graph("{ apps { nodes { slug customers { totalCount } licenses { totalCount } } } }")

    assert apps == {
        "apps": {
            "nodes": [
                {"slug": "atlas", "customers": {"totalCount": 2_001}, "licenses": {"totalCount": 2_001}}
            ]
        }
    }


def test_and_is_empty_for_the_next(site: Site) -> None:
    assert site.graph("{ apps { totalCount } }") == {"apps": {"totalCount": 0}}
    assert site.make_app("atlas").slug == "atlas"


@pytest.fixture
async def loop(page: Page) -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_event_loops_of_others_run_beside_the_browser(loop: asyncio.AbstractEventLoop) -> None:
    """Playwright has one too: in its thread no other could run."""
    assert loop is not asyncio.get_running_loop()
