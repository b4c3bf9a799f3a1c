"""Watches pages for incidents that nobody may see.

A test fails on each incident that it does not expect.
"""

import re
from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Request, WebError

_COMPLAINTS = {"error", "warning", "assert"}
_LOCAL = {"data", "blob", "about"}
_ABORTED = "net::ERR_ABORTED"  # The page cancelled the request, or the browser went to another address.
# The console also shows violations, but it leaves out some report-only ones and all of those in workers.
_TELL_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy violation: ${event.effectiveDirective} ${event.blockedURI}`);
});
"""


class Watch:
    """Watches browser sessions for incidents.

    Incidents are console errors and warnings, uncaught errors, violations of the content security policy,
    crashes, requests to hosts that are not allowed, and requests that fail without being cancelled.
    """

    def __init__(self) -> None:
        self.incidents: list[str] = []
        self.console: list[str] = []
        self._contexts: list[BrowserContext] = []
        self._expected: list[str] = []
        self._hosts: set[str] = set()

    @property
    def pages(self) -> list[Page]:
        """All open pages of the watched sessions."""
        return [page for context in self._contexts for page in context.pages]

    def expect(self, *patterns: str) -> None:
        """Expect incidents that match these regular expressions.

        Each expression must match at least one incident, and may match several.
        """
        self._expected += patterns

    def allow(self, url: str) -> None:
        """Allow requests to the host of `url`."""
        self._hosts.add(urlsplit(url).netloc)

    def attach(self, context: BrowserContext, url: str) -> None:
        """Watch a session from now on. Its pages may send requests to the host of `url`.

        Call this before the session loads anything.
        """
        self.allow(url)
        self._contexts.append(context)

        def requested(request: Request) -> None:
            address = urlsplit(request.url)
            if address.scheme not in _LOCAL and address.netloc not in self._hosts:
                self.incidents.append(f"request to another host: {request.url}")

        context.on("page", lambda page: page.on("crash", self._crashed))
        context.on("request", requested)
        context.on("requestfailed", self._failed)
        context.on("console", self._said)
        context.on("weberror", self._raised)
        context.add_init_script(_TELL_VIOLATIONS)

    def check(self) -> None:
        """Raise AssertionError if there was an unexpected incident, or if an expected incident did not occur.

        The message lists all of them.
        """
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
