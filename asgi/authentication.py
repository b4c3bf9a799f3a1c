"""From a request's key to its viewer: the same for both doors, once a request."""

import time
from dataclasses import dataclass

from cachetools import LRUCache
from starlette.requests import HTTPConnection, Request

from asgi.bodies import read_body
from asgi.request_log import record_of
from db import clock
from db.engine import Database
from resolvers import keys
from resolvers.errors import Unauthenticated
from resolvers.keys import Admitted
from resolvers.viewer import Policy, Viewer, anonymous

CACHED_KEYS = 1_024
CACHED_SECONDS = 0.8
PATIENCE_S = 0.1
"""How long a body may take before its key is asked for again. With the seconds above, less than one."""


@dataclass(frozen=True, slots=True)
class _Known:
    admitted: Admitted
    until: float


class Authentication:
    """Says who is calling. One for the process.

    The one home of keys seen before: at most `CACHED_KEYS`, by digest, each for `CACHED_SECONDS` from when
    the database was asked. So a revoked key stops working within a second on every process, without a word
    between them; an expired one stops to the second; a new one works at once, since refusals are not kept.
    """

    def __init__(self, database: Database, policy: Policy) -> None:
        self.anonymous = anonymous(policy)
        self._database = database
        self._policy = policy
        self._known: LRUCache[str, _Known] = LRUCache(CACHED_KEYS)

    async def viewer_of(self, request: HTTPConnection) -> Viewer:
        """The viewer of a request, whose record names it: `anonymous` without an Authorization header.

        Raises Unauthenticated for a header that is there and does not serve, and StoreUnavailable.
        """
        header = request.headers.get("authorization")
        if header is None:
            return self.anonymous
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated
        admitted = await self._admitted(token.strip())
        record = record_of(request.scope)
        record.key, record.account = admitted.viewer.key_id, admitted.viewer.account_id
        if admitted.until is not None and admitted.until <= clock.now():
            raise Unauthenticated
        return admitted.viewer

    async def body_of(self, request: Request, max_bytes: int) -> bytes:
        """The body of a request whose key was good before (see `viewer_of`), and is when all of it is there.

        Raises what `viewer_of` and `read_body` raise.
        """
        began = time.monotonic()
        body = await read_body(request, max_bytes)
        if time.monotonic() - began > PATIENCE_S:
            await self.viewer_of(request)
        return body

    async def _admitted(self, token: str) -> Admitted:
        digest = keys.digest(token)
        known = self._known.get(digest)
        asked_at = time.monotonic()
        if known is not None and asked_at < known.until:
            return known.admitted
        async with self._database.read() as session:
            admitted = await keys.admit(session, token, self._policy)
        self._known[digest] = _Known(admitted, asked_at + CACHED_SECONDS)
        return admitted
