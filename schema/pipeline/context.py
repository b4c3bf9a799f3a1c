"""The context of a request, for its resolvers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import strawberry
from graphql.pyutils import Path

from asgi.limits import Meter, unmetered
from asgi.request_log import Record
from db.engine import Database
from db.idempotency import Claim
from db.shaping.selection import Fields, Selected
from resolvers.keyring import Keyring
from resolvers.viewer import Viewer
from schema.pipeline.documents import Documents
from schema.pipeline.plan import ResponsePath
from schema.pipeline.selections import Selection


@dataclass(slots=True)
class Context:
    """One request: its viewer, the database, the keyring, and the selection at each response path.

    `nouns` has the name of the selected type at each of these paths. `documents` checks the texts that the
    request registers. `record` collects what the log line of the request reports. `meter` takes what the
    request costs. `sent_keys` are the request's headers Idempotency-Key, and `idempotency_key` is the key in
    them, if there is one and the operation is a mutation. `claims` has the claim of each mutation field that
    was sent with a key, and `replayed` the response keys of those whose earlier outcome is repeated.
    """

    viewer: Viewer
    database: Database
    keyring: Keyring
    documents: Documents
    selected: Mapping[ResponsePath, Selected[Selection]] = field(default_factory=dict)
    record: Record = field(default_factory=Record)
    meter: Meter = field(default_factory=unmetered)
    nouns: Mapping[ResponsePath, str] = field(default_factory=dict)
    sent_keys: Sequence[str] = ()
    idempotency_key: str | None = None
    claims: dict[ResponsePath, Claim] = field(default_factory=dict)
    replayed: list[str] = field(default_factory=list)


def context_of(info: strawberry.Info) -> Context:
    """Return the context of the request that a resolver runs in."""
    return cast("Context", info.context)


def selected_at(info: strawberry.Info) -> Selected[Selection]:
    """Return the selection at the resolver's response path."""
    return context_of(info).selected[path_of(info)]


def selected_below(info: strawberry.Info) -> list[Selected[Fields]]:
    """Return the selections on the objects directly inside the payload at the resolver's response path."""
    here = path_of(info)
    return [
        cast("Selected[Fields]", selected)
        for path, selected in context_of(info).selected.items()
        if path[:-1] == here and isinstance(selected.selection, tuple)
    ]


def nouns_below(info: strawberry.Info) -> list[tuple[str, Selected[Fields]]]:
    """Return the type and the selection of each object inside the payload at the resolver's response path."""
    context, here = context_of(info), path_of(info)
    return [
        (context.nouns[path], cast("Selected[Fields]", selected))
        for path, selected in context.selected.items()
        if path[: len(here)] == here and isinstance(selected.selection, tuple)
    ]


def path_of(info: strawberry.Info) -> ResponsePath:
    """Return the response path of a resolver."""
    keys: list[str] = []
    path: Path | None = info.path
    while path is not None:
        keys.append(str(path.key))
        path = path.prev
    return tuple(reversed(keys))
