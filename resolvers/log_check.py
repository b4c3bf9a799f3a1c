"""Checks the log of events against the tables. A command uses this module; requests do not.

Each subject is rebuilt from its events: what its last event shows must be what its row shows. Servers can
keep running, because a change and its event are committed together, and each batch is read in one snapshot.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, TypeVar

from db import ids
from db import log_check as stored
from db.engine import Database, ReadSession
from db.erasure import ERASED
from db.events import DELETIONS, EventType
from db.log_check import DocumentSet, LogState, Subject, Unrecorded
from db.shaping.nouns import Noun

SUBJECTS_PER_BATCH, POSITIONS_PER_BATCH = 500, 10_000
CLOCKS_DIFFER = timedelta(hours=1)
"""How much the clocks of several hosts may differ."""

_FOREVER = datetime.max.replace(tzinfo=UTC)
_CHANGING = {"status", "jti"}
"""What the image of a row has that changes without an event: with the clock, and when keys are rotated."""

R = TypeVar("R", Subject, Unrecorded, DocumentSet)
Batch: TypeAlias = Callable[[str], Awaitable[Sequence[R]]]


@dataclass(frozen=True, slots=True)
class _Kept:
    """The events that the log still has. Subjects that are older than `since` may lack their first events."""

    log_began: datetime
    since: datetime | None

    @classmethod
    def of(cls, state: LogState) -> "_Kept":
        if (state.first or 1) == 1 and (state.first is not None or state.head == 0):
            return cls(state.since, None)
        first = _FOREVER if state.first_id is None else ids.time_of(state.first_id) + CLOCKS_DIFFER
        return cls(state.since, first)

    def may_begin_with(self, version: int, created_at: datetime, loaded_at: datetime | None) -> bool:
        """Whether the first event of a subject may have this version."""
        if version == 1 or (self.since is not None and created_at <= self.since):
            return True
        began = self.log_began if loaded_at is None else max(self.log_began, loaded_at)
        return version == 2 and created_at <= began


async def mismatches(database: Database, since: datetime | None = None) -> AsyncIterator[str]:
    """Yield a sentence for each place in which the log and the tables differ.

    With `since`, only subjects that have events since this time are checked. What differs is read again
    before it is reported, because old events may have been removed in the meantime.
    """
    async with database.read() as session:
        for noun in stored.NOUNS:
            async for line in _subjects(session, noun, since):
                yield line
            async for line in _unrecorded(session, noun, since):
                yield line
        async for line in _document_sets(session, since):
            yield line
        async for line in _positions(session, since):
            yield line


async def _subjects(session: ReadSession, noun: Noun, since: datetime | None) -> AsyncIterator[str]:
    async def batch(after: str) -> Sequence[Subject]:
        return await stored.subjects(session, noun, after, since, SUBJECTS_PER_BATCH)

    async def wrong(found: Subject, kept: _Kept) -> str | None:
        reason = _wrong_versions(found, kept, ids.time_of(found.id), found.loaded_at)
        return reason or await _wrong_row(session, noun, found)

    async for line in _each(session, batch, wrong):
        yield line


async def _unrecorded(session: ReadSession, noun: Noun, since: datetime | None) -> AsyncIterator[str]:
    log_began = (await stored.state(session)).since
    created_after = log_began if since is None else max(log_began, since - timedelta(seconds=1))

    async def batch(after: str) -> Sequence[Unrecorded]:
        return await stored.unrecorded(session, noun, after, created_after, SUBJECTS_PER_BATCH)

    async def wrong(found: Unrecorded, kept: _Kept) -> str | None:
        created_at = ids.time_of(found.id)
        if since is not None and created_at < since:
            return None
        if kept.may_begin_with(found.version + 1, created_at, found.loaded_at):
            return None
        return f"has version {found.version}, and no events"

    async for line in _each(session, batch, wrong):
        yield line


async def _document_sets(session: ReadSession, since: datetime | None) -> AsyncIterator[str]:
    async def batch(after: str) -> Sequence[DocumentSet]:
        return await stored.document_sets(session, after, since, SUBJECTS_PER_BATCH)

    async def wrong(found: DocumentSet, kept: _Kept) -> str | None:
        created_at = datetime.min.replace(tzinfo=UTC) if kept.since is not None else _FOREVER
        reason = _wrong_versions(found, kept, created_at, None)
        is_deleted = found.type == EventType.DOCUMENTS_DELETED
        count = 0 if is_deleted else json.loads(found.data)["document_count"]
        if reason is None and found.documents != count:
            return f"has {found.documents} documents, its last event ({found.type}) leaves {count}"
        return reason

    async for line in _each(session, batch, wrong):
        yield line


async def _each(
    session: ReadSession, batch: Batch[R], wrong: Callable[[R, _Kept], Awaitable[str | None]]
) -> AsyncIterator[str]:
    """Yield a sentence for each subject that is wrong, and still is when it is read again."""
    after = ""
    while found := await batch(after):
        if await _reasons(session, found, wrong):
            again = [each for each in await batch(after) if each.id <= found[-1].id]
            for id, reason in (await _reasons(session, again, wrong)).items():
                yield f"{id} {reason}"
        after = found[-1].id


async def _reasons(
    session: ReadSession, found: Sequence[R], wrong: Callable[[R, _Kept], Awaitable[str | None]]
) -> Mapping[str, str]:
    kept = _Kept.of(await stored.state(session))
    reasons = {each.id: await wrong(each, kept) for each in found}
    return {id: reason for id, reason in reasons.items() if reason is not None}


def _wrong_versions(
    found: Subject | DocumentSet, kept: _Kept, created_at: datetime, loaded_at: datetime | None
) -> str | None:
    if not kept.may_begin_with(found.first, created_at, loaded_at):
        return f"has no event with version 1: its first event has version {found.first}"
    if found.count != found.last - found.first + 1:
        return f"has {found.count} events, their versions are {found.first} to {found.last}"
    if not found.in_order:
        return "has a later version at an earlier position"
    return None


async def _wrong_row(session: ReadSession, noun: Noun, found: Subject) -> str | None:
    shown = json.loads(found.data)
    if found.type in DELETIONS:
        return None if found.version is None else f"exists, its last event is {found.type}"
    if found.version is None:
        # Sessions are deleted without an event when they have ended, or with their customer.
        is_session = shown.get("kind") == "session"
        return None if found.app_is_deleted or is_session else f"is gone, its last event is {found.type}"
    if found.version != found.last:
        return f"has version {found.version}, its last event has version {found.last}"
    differing = [each async for each in _differing(session, noun, found, shown)]
    if differing:
        return f"differs from its last event, version {found.last}, in {', '.join(differing)}"
    return None


async def _differing(
    session: ReadSession, noun: Noun, found: Subject, shown: Mapping[str, Any]
) -> AsyncIterator[str]:
    """Yield the names of the fields in which a row differs from what its last event shows."""
    ignored = _CHANGING | (ERASED.keys() if found.erased else set())
    for name, value in json.loads(found.image or "{}").items():
        if name in ignored or name not in shown or shown[name] == value:
            continue
        if noun.subject == "api_key":
            # Scopes that are not stored come from the settings, and deleted apps are not shown.
            if name == "scopes" and value is None:
                continue
            if name == "apps" and await _are_retired(session, shown[name], value):
                continue
        yield name


async def _are_retired(session: ReadSession, before: Sequence[str] | None, now: Sequence[str] | None) -> bool:
    if before is None or now is None or not set(now) < set(before):
        return False
    return all([await stored.is_retired(session, slug) for slug in set(before) - set(now)])


async def _positions(session: ReadSession, since: datetime | None) -> AsyncIterator[str]:
    """Yield a sentence for each gap in the positions, from the first that is kept to the head."""
    start = None if since is None else await stored.first_since(session, since)
    last = None if start is None else start - 1
    while found := await stored.positions(session, last or 0, POSITIONS_PER_BATCH):
        for first, after in _gaps(found[0] - 1 if last is None else last, found):
            state = await stored.state(session)
            if after > state.gaps_until and first >= (state.first or 0):
                yield _missing(first, after)
        last = found[-1]
    # Read again in one snapshot: a server may have added events.
    state = await stored.state(session)
    if state.last is not None and state.last < state.head and state.head > state.gaps_until:
        yield _missing(state.last + 1, state.head + 1)
    if state.last is not None and state.last > state.head:
        yield f"the head of the log is {state.head}, its last position is {state.last}"


def _gaps(last: int, found: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield each gap: the first position that is missing, and the first one that is not."""
    for before, position in zip([last, *found], found, strict=False):
        if position != before + 1:
            yield before + 1, position


def _missing(first: int, after: int) -> str:
    if after - first == 1:
        return f"position {first} of the log is missing"
    return f"positions {first} to {after - 1} of the log are missing"
