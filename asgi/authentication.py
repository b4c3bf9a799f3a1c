"""Authentication: finds the viewer for the key of a request, for both GraphQL and REST."""

import time
from dataclasses import dataclass

from cachetools import LRUCache
from starlette.requests import HTTPConnection, Request

from asgi.bodies import read_body
from asgi.limits import Quota, RateLimits, Window
from asgi.request_log import record_of
from db import clock
from db.engine import Database
from resolvers import keys
from resolvers.errors import BAD_KEY, NOT_A_BEARER, OTHER_ORIGIN, Forbidden, Unauthenticated
from resolvers.keys import Admitted
from resolvers.origins import is_among
from resolvers.viewer import Policy, Viewer, anonymous

CACHED_KEYS = 1_024
CACHED_SECONDS = 0.8
PATIENCE_S = 0.1
"""If reading a body takes longer than this, the key is checked again.

Together with CACHED_SECONDS, this is less than a second, so a revoked key stops working within a second.
"""


@dataclass(frozen=True, slots=True)
class _Known:
    admitted: Admitted
    until: float


class Authentication:
    """Finds the viewer of a request. There is one instance per process.

    It caches up to `CACHED_KEYS` keys by digest. A key is cached for `CACHED_SECONDS` from the start of its
    database lookup. A revoked key therefore stops working within a second in every process, without messages
    between the processes. An expiring key stops working exactly when it expires. A new key works immediately,
    because rejections are not cached.
    """

    def __init__(self, database: Database, policy: Policy, limits: RateLimits | None = None) -> None:
        self.limits = limits or RateLimits()
        self.anonymous = anonymous(policy)
        self._with_another_header = anonymous(policy, NOT_A_BEARER)
        self._database = database
        self._policy = policy
        self._known: LRUCache[str, _Known] = LRUCache(CACHED_KEYS)
        self._asking: set[str] = set()

    async def viewer_of(self, request: HTTPConnection) -> Viewer:
        """Return the viewer of a request. A request without an Authorization header is anonymous.

        The ids of the key and its account are logged. Raises Unauthenticated if the header has no valid key,
        Forbidden if the key has origins and the request does not have exactly one of them in its Origin
        header, RateLimited after too many invalid keys from one network, and StoreUnavailable.
        """
        header = request.headers.get("authorization")
        if header is None:
            # A key in X-API-Key is not refused, because it may be for a proxy. If the request needs a key of
            # this server, the error says which header to use.
            return self._with_another_header if "x-api-key" in request.headers else self.anonymous
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            self._count_refused(request)
            raise Unauthenticated(NOT_A_BEARER)
        admitted = await self._admitted(token.strip(), request)
        record = record_of(request.scope)
        record.key, record.account = admitted.viewer.key_id, admitted.viewer.account_id
        if admitted.until is not None and admitted.until <= clock.now():
            raise Unauthenticated(BAD_KEY)
        if admitted.origins is not None:
            origins = request.headers.getlist("origin")
            if len(origins) != 1 or not is_among(origins[0], admitted.origins):
                raise Forbidden(OTHER_ORIGIN)
        return admitted.viewer

    async def body_of(self, request: Request, max_bytes: int) -> bytes:
        """Read the body of a request after `viewer_of`. If reading is slow, check the key again.

        Raises the errors of `viewer_of` and `read_body`.
        """
        began = time.monotonic()
        body = await read_body(request, max_bytes)
        if time.monotonic() - began > PATIENCE_S:
            await self.viewer_of(request)
        return body

    async def _admitted(self, token: str, request: HTTPConnection) -> Admitted:
        digest = keys.digest(token)
        known = self._known.get(digest)
        asked_at = time.monotonic()
        if known is not None and asked_at < known.until:
            return known.admitted
        # A key is a guess unless it was valid when it was last looked up, or another request is looking it up
        # now. A guess is counted as refused before its lookup. If the key is valid, this is undone.
        is_guess = known is None and digest not in self._asking
        counted = self._count_refused(request) if is_guess else None
        self._asking.add(digest)
        try:
            async with self._database.read() as session:
                admitted = await keys.admit(session, token, self._policy)
        except Unauthenticated:
            self._known.pop(digest, None)
            if not is_guess:
                self._count_refused(request)
            raise
        except BaseException:
            if counted is not None:
                counted.give_back(1)
            raise
        finally:
            self._asking.discard(digest)
        if counted is not None:
            counted.give_back(1)
        self._known[digest] = _Known(admitted, asked_at + CACHED_SECONDS)
        return admitted

    def _count_refused(self, request: HTTPConnection) -> Window | None:
        """Count one refused key for the network of the request's client.

        Returns the counter, or None if there is no limit. Raises RateLimited if the limit is reached.
        """
        return self.limits.count(Quota.REFUSED, record_of(request.scope).client.network)
