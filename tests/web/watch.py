"""What goes wrong on a page that looks right: a test fails for it unless it has said that it will come."""

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, WebError

_COMPLAINTS = {"error", "warning", "assert"}
_LOCAL = {"data", "blob", "about"}
_ABORTED = "net::ERR_ABORTED"  # the page itself changed its mind, or went elsewhere
# The console says so too, but not of everything that was only reported, nor in workers.
_TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy violation: ${event.effectiveDirective} ${event.blockedURI}`);
});
"""


class Watch:
    """Watches browser sessions for incidents.

    These are: console errors and warnings, errors that no script caught, violations of the content
    security policy, requests to another host, and requests that got no answer.
    """

    def __init__(self) -> None:
        self.incidents: list[str] = []
        self.console: list[str] = []
        self._contexts: list[BrowserContext] = []
        self._expected: list[str] = []

    @property
    def pages(self) -> list[Page]:
        """The pages that are open."""
        return [page for context in self._contexts for page in context.pages]

    def expect(self, *patterns: str) -> None:
        """Say which incidents this test brings about: a regular expression for each kind.

        Any number of each may come, and at least one has to.
        """
        self._expected += patterns

    def attach(self, context: BrowserContext, url: str) -> None:
        """Watch a session of which nothing has been loaded, and whose pages are those of `url`."""
        host = urlsplit(url).netloc
        self._contexts.append(context)

        def requested(request: Request) -> None:
            address = urlsplit(request.url)
            if address.scheme not in _LOCAL and address.netloc != host:
                self.incidents.append(f"request to another host: {request.url}")

        context.on("page", lambda page: page.on("crash", self._crashed))
        context.on("request", requested)
        context.on("requestfailed", self._failed)
        context.on("console", self._said)
        context.on("weberror", self._raised)
        context.add_init_script(_TELL_VIOLATIONS)

    def check(self) -> None:
        """Raise AssertionError for incidents that nobody expected, and for those that did not come."""
        __tracebackhide__ = True
        unexpected = [
            incident
            for incident in self.incidents
            if not any(re.search(pattern, incident) for pattern in self._expected)
        ]
        missing = [
            pattern
            for pattern in self._expected
            if not any(re.search(pattern, incident) for incident in self.incidents)
        ]
        said = [*unexpected, *(f"expected, but never came: {pattern}" for pattern in missing)]
        assert not said, "\n".join(said)

    def _said(self, message: ConsoleMessage) -> None:
        at = message.location
        line = f"console {message.type}: {message.text} ({at['url']}:{at['lineNumber']})"
        self.console.append(line)
        if message.type in _COMPLAINTS:
            self.incidents.append(line)

    def _raised(self, error: WebError) -> None:
        self.incidents.append(f"uncaught: {error.error}")

    def _crashed(self, page: Page) -> None:
        self.incidents.append(f"crashed: {page.url}")

    def _failed(self, request: Request) -> None:
        if request.failure != _ABORTED:
            self.incidents.append(f"failed: {request.method} {request.url}: {request.failure}")
