"""Registered documents: find the text that a request names, and check a text that must be registered.

A document is named by its id, in one of two forms: `documentId` (GraphQL over HTTP, appendix A), or
`sha256Hash` in `extensions.persistedQuery` (Apollo). A text that a request sends is found by its SHA-256.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import structlog
from cachetools import LRUCache
from graphql import GraphQLError

from asgi.refusals import HttpRefusal
from asgi.unavailability import unavailability
from db.documents import HASHED, FoundDocument
from db.engine import Database, StoreUnavailable
from resolvers import documents
from resolvers.background import Background
from resolvers.documents import ID_FORMS, ID_LENGTH, USED_EVERY_S, Checked, digest_of, id_of
from resolvers.errors import Busy, Unauthenticated
from resolvers.viewer import DocumentPolicy, Viewer
from schema.pipeline.documents import Documents
from schema.pipeline.errors import Code, DocumentNotRegistered, RequestRefused

CACHED_BYTES = 16 << 20
_ENTRY_BYTES = 1_024  # the memory of an entry besides its text

log = structlog.get_logger("licensegraph.documents")
_using = Background("documents", USED_EVERY_S, at_end=True)


class DocumentName(NamedTuple):
    """The id by which a request names its document, in the form in which it is stored.

    `is_apollo` is True if the id was in `extensions`.
    """

    id: str
    is_apollo: bool = False


_Key: TypeAlias = tuple[str, tuple[str, ...] | None, str]
"""An account, the sets to which the key is limited, and the id of a document."""


@dataclass(frozen=True, slots=True)
class _Known:
    """A text that was found, and the version that the account's documents had at that time."""

    found: FoundDocument
    version: int


class RegisteredDocuments:
    """Finds registered texts. There is one instance per process.

    The first use of an id takes one statement. After that, the text is cached, until a set of the account is
    deleted. A viewer has the version of the account's documents, which is looked up with the key
    (`asgi.authentication`), so a deleted set stops working within a second in every process. Unknown ids are
    not cached, so a new document works immediately.
    """

    def __init__(self, database: Database, documents: Documents) -> None:
        self._database = database
        self._documents = documents
        self._known: LRUCache[_Key, _Known] = LRUCache(CACHED_BYTES, getsizeof=_size_of)
        self._used: set[str] = set()

    def known(self, viewer: Viewer, id: str) -> FoundDocument | None:
        """Return the text with this id from the cache.

        Returns None if it is not there, or was read before a set of the account was last deleted.
        """
        try:
            known = self._known[viewer.tenant.account_id, viewer.document_sets, id]
        except KeyError:
            return None
        if known.version < viewer.documents_version:
            return None
        self._used.update(known.found.ids)
        return known.found

    async def named(self, viewer: Viewer, name: DocumentName) -> FoundDocument:
        """Return the text that a name stands for.

        Raises RequestRefused, StoreUnavailable and Unauthenticated.
        """
        if viewer.is_anonymous and not name.is_apollo:
            raise Unauthenticated(viewer.unauthenticated)
        found = None if viewer.is_anonymous else await self._found(viewer, name.id)
        if found is None:
            raise _unknown(viewer, name)
        return found

    async def check(self, viewer: Viewer, text: str, name: DocumentName | None) -> None:
        """Check that the viewer may send a text. If a name is given, also check that it stands for this text.

        Raises DocumentNotRegistered, HttpRefusal, and the errors of `named`.
        """
        digest = f"{HASHED}{digest_of(text)}"
        if viewer.documents is DocumentPolicy.REGISTERED and await self._found(viewer, digest) is None:
            raise DocumentNotRegistered
        if name is None or name.id == digest:
            return
        if name.id.startswith(HASHED) or (await self.named(viewer, name)).text != text:
            raise HttpRefusal(400, "query is not the text that documentId names.")

    @asynccontextmanager
    async def running(self, *, checks_documents: bool) -> AsyncIterator[None]:
        """While the block runs, store at intervals when each document was last used.

        With `checks_documents`, all documents are checked at the start, and broken ones are logged.
        """
        checking = asyncio.create_task(self._log_broken()) if checks_documents else None
        try:
            async with _using.running(self._database, self._store_uses):
                yield
        finally:
            if checking is not None:
                checking.cancel()
                with suppress(asyncio.CancelledError):
                    await checking

    async def _found(self, viewer: Viewer, id: str) -> FoundDocument | None:
        """Return the text with this id that the viewer may send, or None."""
        known = self.known(viewer, id)
        if known is not None:
            return known
        async with self._database.read() as session:
            found = await documents.find(session, viewer, id)
        key = viewer.tenant.account_id, viewer.document_sets, id
        self._known.pop(key, None)
        if found is not None:
            entry = _Known(found, viewer.documents_version)
            if _size_of(entry) <= self._known.maxsize:
                self._known[key] = entry
            self._used.update(found.ids)
        return found

    async def _store_uses(self) -> None:
        used, self._used = self._used, set()
        if used:
            try:
                await documents.note_uses(self._database, used)
            except BaseException:
                self._used |= used
                raise

    async def _log_broken(self) -> None:
        try:
            for each in await documents.broken(self._database, self._checked):
                log.warning("document.broken", document=each.document.id, account=each.document.account_id)
        except StoreUnavailable as error:
            unavailability.tell(error)
        except Exception:
            log.exception("documents.unchecked")

    async def _checked(self, text: str) -> Checked:
        """Check a text. While the worker is too busy, try again every second."""
        while True:
            with suppress(Busy):
                return await self._documents.check(text)
            await asyncio.sleep(1)


def name_of(parameters: Mapping[str, Any], extensions: Mapping[str, Any]) -> DocumentName | None:
    """Return how a request names its document, or None if it does not. Raises HttpRefusal."""
    given, apollo = parameters.get("documentId"), extensions.get("persistedQuery")
    by_apollo = None if apollo is None else _apollo_name(apollo)
    if given is None or given == "":
        return by_apollo
    name = _name(given, is_apollo=False)
    if name is None:
        raise HttpRefusal(400, f"documentId {ID_FORMS}.")
    if by_apollo is not None and by_apollo.id != name.id:
        raise HttpRefusal(400, "documentId and extensions.persistedQuery must name the same document.")
    return name


def _apollo_name(given: Any) -> DocumentName:
    # Some clients send an id that is not a SHA-256 here, or members besides these two.
    if isinstance(given, dict) and given.get("version") == 1:
        name = _name(given.get("sha256Hash"), is_apollo=True)
        if name is not None:
            return name
    raise HttpRefusal(
        400, 'extensions.persistedQuery must be {"version": 1, "sha256Hash": "…"}, with the id of a document.'
    )


def _name(given: Any, *, is_apollo: bool) -> DocumentName | None:
    """Return the name with this id, or None if this is not an id."""
    # Longer values are not ids, and must not fill the cache.
    return _cached_name(given, is_apollo) if isinstance(given, str) and len(given) <= ID_LENGTH else None


@lru_cache(4_096)
def _cached_name(given: str, is_apollo: bool) -> DocumentName | None:
    id = id_of(given)
    return None if id is None else DocumentName(id, is_apollo)


def _unknown(viewer: Viewer, name: DocumentName) -> RequestRefused:
    """Return the error for an id that is not registered.

    Apollo's clients send the text after PERSISTED_QUERY_NOT_FOUND, and stop sending ids after
    PERSISTED_QUERY_NOT_SUPPORTED.
    """
    if not name.is_apollo:
        message, code = "No document with this id is registered.", Code.DOCUMENT_NOT_FOUND
    elif viewer.documents is DocumentPolicy.REGISTERED:
        message, code = "PersistedQueryNotFound", Code.PERSISTED_QUERY_NOT_FOUND
    else:
        message, code = "PersistedQueryNotSupported", Code.PERSISTED_QUERY_NOT_SUPPORTED
    return RequestRefused([GraphQLError(message)], code)


def _size_of(known: _Known) -> int:
    """Return an upper estimate of the memory that an entry takes."""
    return _ENTRY_BYTES + sys.getsizeof(known.found.text)
