"""Snapshots: what a subject was at an earlier time. The subject may be deleted by now."""

from collections.abc import Sequence
from datetime import datetime

from db import reads, snapshots
from db.engine import ReadSession
from resolvers import history, reading
from resolvers.inputs import is_storable
from resolvers.reading import Json
from resolvers.viewer import Viewer


async def snapshot(viewer: Viewer, session: ReadSession, id: str, at: datetime) -> Json | None:
    """Return a subject as it was at the end of a second, or None if it did not exist then.

    Raises Unauthenticated, Forbidden, and BadUserInput as `history.moment` does.
    """
    noun = reading.noun_of(id)
    has_events = noun is not None and bool(reads.NOUNS[noun].image)
    reading.require_history(viewer, noun if has_events else None)
    then = await history.moment(viewer, session, at)
    if noun is None or not has_events or not is_storable(id):
        return None
    scopes = viewer.policy.scope_parameters
    return await snapshots.find(session, viewer.tenant, reads.NOUNS[noun], id, then, scopes=scopes)


async def snapshot_in_app(
    viewer: Viewer,
    session: ReadSession,
    app_slug: str,
    noun: str,
    id: str,
    as_of: datetime,
    keys: Sequence[str],
) -> Json | None:
    """Return an object of an app with these keys of its image, as `snapshot` does."""
    reading.require_history(viewer, noun)
    then = await history.moment(viewer, session, as_of, "as_of")
    if not is_storable(id) or not is_storable(app_slug):
        return None
    return await snapshots.find(
        session,
        viewer.tenant,
        reads.NOUNS[noun],
        id,
        then,
        scopes=viewer.policy.scope_parameters,
        keys=keys,
        app_slug=app_slug,
    )


async def snapshot_of_app(
    viewer: Viewer, session: ReadSession, slug: str, as_of: datetime, keys: Sequence[str]
) -> Json | None:
    """Return the app that had this slug at a time, with these keys of its image, as `snapshot` does."""
    reading.require_history(viewer, "App")
    then = await history.moment(viewer, session, as_of, "as_of")
    if not is_storable(slug):
        return None
    app, scopes = reads.NOUNS["App"], viewer.policy.scope_parameters
    for id in await snapshots.ids_of_app(session, viewer.tenant, slug):
        found = await snapshots.find(session, viewer.tenant, app, id, then, scopes=scopes, keys=keys)
        if found is not None:
            return found
    return None
