"""Registered documents: the texts that keys with the policy REGISTERED may send.

A text is checked when it is registered, in the same way as the document of a request. The caller passes the
function that checks it (`CheckText`).
"""

import hashlib
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator

from db import clock, documents, events, ids
from db.documents import HASHED, FoundDocument, ListedSet, NewDocument, StoredDocument
from db.engine import Database, ReadSession, WriteSession
from db.events import Actor, EventType
from db.shaping.selection import Connection, Fields, Selected
from resolvers import reading
from resolvers.errors import Fault, FaultCode, Faults, fault, unknown
from resolvers.inputs import Input, RequiredText, Text, check, invalid
from resolvers.reading import Json
from resolvers.viewer import Scope, Viewer

MOST_PER_CALL = 1_000
MOST_IN_ACCOUNT = 10_000
MOST_ERRORS = 10
"""At most this many errors of one text are reported."""
SET_LENGTH = 64
ID_LENGTH = 128
USED_EVERY_S = 10
"""How often a process stores when documents were last used."""

ID_FORMS = (
    f"must be {HASHED} and 64 digits of 0-9 and a-f, or x-…:…, or letters, digits and . _ ~ - "
    f"without a colon (at most {ID_LENGTH} characters)"
)
_SET = re.compile(r"[A-Za-z0-9._@/-]+")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CUSTOM = re.compile(r"x-[A-Za-z0-9._~-]+:[!-~]+|[A-Za-z0-9._~-]+")


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking a text.

    It has errors, or the names of the text's operations and the most that one of them can cost.
    """

    errors: Sequence[str] = ()
    operations: Sequence[str] = ()
    max_cost: int = 0


CheckText: TypeAlias = Callable[[str], Awaitable[Checked]]


@dataclass(frozen=True, slots=True)
class Registered:
    """What registering did: the ids of all given documents, in their order, and how many of them are new."""

    ids: Sequence[str]
    added: int


@dataclass(frozen=True, slots=True)
class BrokenDocument:
    """A registered document that the schema or a limit no longer accepts."""

    document: StoredDocument
    errors: Sequence[str]


def digest_of(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def id_of(given: str) -> str | None:
    """Return an id in the form in which it is stored, or None if it is not an id.

    64 lower-case hexadecimal digits are a SHA-256, with or without the prefix `HASHED`. It is stored with
    this prefix.
    """
    if len(given) > ID_LENGTH:
        return None
    digest = given.removeprefix(HASHED)
    if _DIGEST.fullmatch(digest):
        return f"{HASHED}{digest}"
    return given if _CUSTOM.fullmatch(given) else None


def is_set_name(text: str) -> bool:
    """Return whether a text can be the name of a set."""
    return len(text) <= SET_LENGTH and _SET.fullmatch(text) is not None


def _set_name(text: str) -> str:
    if not text:
        raise invalid("can't be blank", FaultCode.BLANK)
    if len(text) > SET_LENGTH:
        raise invalid(f"is too long (maximum is {SET_LENGTH} characters)", FaultCode.TOO_LONG)
    if not is_set_name(text):
        raise invalid("must be letters, digits and . _ @ / -")
    return text


def _document_id(text: str) -> str:
    found = id_of(text)
    if found is None:
        raise invalid(ID_FORMS)
    return found


def _some(given: list[Any]) -> list[Any]:
    if not given:
        raise invalid("can't be blank", FaultCode.BLANK)
    return given


SetName = Annotated[Text, AfterValidator(_set_name)]
"""The name of a set of documents, such as portal@1.4.2."""


class DocumentInput(Input):
    """A document to register. If no id is given, the id is the SHA-256 of the text."""

    text: RequiredText
    document_id: Annotated[Text, AfterValidator(_document_id)] | None = None

    @property
    def id(self) -> str:
        """Return the id of the document."""
        return self.document_id or f"{HASHED}{digest_of(self.text)}"


class RegisterDocuments(Input):
    """A set, and the documents to add to it."""

    set: SetName
    documents: Annotated[list[Any], AfterValidator(_some)]


class DeleteDocumentSet(Input):
    """The set to delete."""

    set: SetName


async def document(viewer: Viewer, session: ReadSession, id: str, selected: Selected[Fields]) -> Json | None:
    """Return the registered document with this id, or None."""
    return await reading.one(viewer, session, "RegisteredDocument", "id", id, selected)


async def documents_with(
    viewer: Viewer, session: ReadSession, ids: Sequence[str], selected: Selected[Fields]
) -> list[Json | None]:
    """Return the registered documents with these ids, in the order of the ids: None for each unknown id."""
    return await reading.many(viewer, session, "RegisteredDocument", ids, selected)


async def all_documents(viewer: Viewer, session: ReadSession, selected: Selected[Connection]) -> Json:
    """Return a page of the account's registered documents."""
    return await reading.connection(viewer, session, selected)


async def find(session: ReadSession, viewer: Viewer, id: str) -> FoundDocument | None:
    """Return the text that the viewer may send by this id, or None. The id is in its stored form."""
    return await documents.find(session, viewer.account_id, id, viewer.document_sets)


async def register_documents(
    viewer: Viewer, database: Database, check_text: CheckText, values: Mapping[str, object]
) -> Registered:
    """Add documents to a set, all or none of them. Raises Faults.

    Documents that are already in the set do not change.
    """
    viewer.require(Scope.MANAGE_KEYS)
    given = values.get("documents")
    too_many = isinstance(given, list) and len(given) > MOST_PER_CALL
    if too_many:
        raise fault(FaultCode.INVALID, f"must be at most {MOST_PER_CALL:,} in one call", "documents")
    return await register(database, viewer.actor, viewer.account_id, check_text, values)


async def register(
    database: Database,
    actor: Actor,
    account_id: str,
    check_text: CheckText,
    values: Mapping[str, object],
) -> Registered:
    """Add any number of documents to a set of an account, as `register_documents` does."""
    given, faults = _checked(values)
    texts = dict.fromkeys(document.text for document in given.values())
    checked = {text: await check_text(text) for text in texts}
    for place, document in given.items():
        faults += _faults_of(place, document, checked[document.text])
    custom = {
        document.id: digest_of(document.text)
        for document in given.values()
        if not document.id.startswith(HASHED)
    }
    async with database.read() as session:
        bound = dict(await documents.digests_of(session, account_id, custom)) if custom else {}
    for place, document in given.items():
        if document.id in custom:
            digest = digest_of(document.text)
            if bound.setdefault(document.id, digest) != digest:
                faults.append(_taken(place))
    if faults:
        raise Faults(sorted(faults, key=_place_of))
    async with database.write() as session:
        await documents.lock_account(session, account_id)
        taken = await documents.bind(session, account_id, custom) if custom else {}
        if taken:
            raise Faults(_taken(place) for place, document in given.items() if document.id in taken)
        return await _add(session, actor, account_id, str(values["set"]), given, checked)


async def _add(
    session: WriteSession,
    actor: Actor,
    account_id: str,
    set: str,
    given: Mapping[int, DocumentInput],
    checked: Mapping[str, Checked],
) -> Registered:
    named = {document.id: document.text for document in given.values()}
    there = dict(await documents.ids_in_set(session, account_id, set, named))
    new = []
    for document_id, text in named.items():
        if document_id not in there:
            made = ids.new_id(ids.DOCUMENT)
            there[document_id] = made.id
            row = (made.id, account_id, document_id, set, digest_of(text))
            about = checked[text]
            new.append(NewDocument(*row, about.operations, text, about.max_cost, made.created_at))
    if new and len(new) + await documents.count(session, account_id) > MOST_IN_ACCOUNT:
        message = f"would be more than {MOST_IN_ACCOUNT:,} in the account: delete a set that is not used"
        raise fault(FaultCode.WRONG_STATE, message, "documents")
    if new:
        await documents.insert(session, new)
        count = await documents.count_in_set(session, account_id, set)
        await _record(session, actor, account_id, EventType.DOCUMENTS_REGISTERED, set, count)
    return Registered([there[document.id] for document in given.values()], len(new))


async def delete_document_set(viewer: Viewer, session: WriteSession, values: Mapping[str, object]) -> int:
    """Delete a set, and return how many documents it had. Raises Faults.

    Within a second, every process stops accepting these documents, except those that are in another set too.
    """
    viewer.require(Scope.MANAGE_KEYS)
    return await delete_set(session, viewer.actor, viewer.account_id, values)


async def delete_set(
    session: WriteSession, actor: Actor, account_id: str, values: Mapping[str, object]
) -> int:
    """Delete a set of an account, as `delete_document_set` does."""
    given = check(DeleteDocumentSet, values)
    await documents.lock_account(session, account_id)
    deleted = await documents.delete_set(session, account_id, given.set)
    if not deleted:
        raise unknown(given.set, "set")
    await _record(session, actor, account_id, EventType.DOCUMENTS_DELETED, given.set, deleted)
    return deleted


async def _record(
    session: WriteSession, actor: Actor, account_id: str, type: EventType, set: str, count: int
) -> None:
    """Write the event of a change to a set, which has `count` documents after it, or before its deletion."""
    subject_id = documents.subject_id(account_id, set)
    data = {"set": set, "document_count": count}
    await events.record_without_row(session, actor, account_id, documents.SUBJECT, subject_id, type, data)


async def note_uses(database: Database, used: Collection[str]) -> None:
    """Store the current time as the last use of the documents with these ids."""
    async with database.write() as session:
        await documents.note_uses(session, used, clock.now())


async def list_sets(session: ReadSession) -> Sequence[ListedSet]:
    """Return the sets of all accounts."""
    return await documents.list_sets(session)


async def broken(database: Database, check_text: CheckText) -> Sequence[BrokenDocument]:
    """Check the registered documents of all accounts, and return those that are no longer accepted."""
    found: list[BrokenDocument] = []
    last, known = "", dict[str, Sequence[str]]()
    while True:
        async with database.read() as session:
            page = await documents.after(session, last, 100)
        if not page:
            return found
        last = page[-1].id
        for each in page:
            digest = digest_of(each.text)
            if digest not in known:
                known[digest] = (await check_text(each.text)).errors
            if known[digest]:
                found.append(BrokenDocument(each, known[digest]))


def _checked(values: Mapping[str, object]) -> tuple[dict[int, DocumentInput], list[Fault]]:
    """Return the documents whose form is right, by their place in the input, and all faults of the form."""
    faults: list[Fault] = []
    try:
        check(RegisterDocuments, values)
    except Faults as wrong:
        faults += wrong.faults
    given = {}
    listed = values.get("documents")
    for place, document in enumerate(listed if isinstance(listed, list) else ()):
        try:
            given[place] = check(DocumentInput, document)
        except Faults as wrong:
            faults += [
                Fault(each.code, each.message, ("documents", str(place), *each.field))
                for each in wrong.faults
            ]
    return given, faults


def _faults_of(place: int, document: DocumentInput, checked: Checked) -> Iterator[Fault]:
    for error in checked.errors:
        yield Fault(FaultCode.INVALID, error, ("documents", str(place), "text"))
    if document.id.startswith(HASHED) and document.id != f"{HASHED}{digest_of(document.text)}":
        message = "is not the SHA-256 of the text"
        yield Fault(FaultCode.INVALID, message, ("documents", str(place), "document_id"))


def _taken(place: int) -> Fault:
    message = "already stands for another text, and an id never changes its text"
    return Fault(FaultCode.TAKEN, message, ("documents", str(place), "document_id"))


def _place_of(fault: Fault) -> tuple[bool, int]:
    return (True, int(fault.field[1])) if len(fault.field) > 1 else (False, 0)
