"""API keys as objects: reading, creating, changing, rotating and revoking them.

A key can only create, change, rotate and revoke keys that can do no more than itself (`_Own`). Changes to an
account's keys run one after another, so each change is checked after the previous one has been made.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from db import accounts, apps, clock, events, ids
from db import keys as stored
from db.engine import ReadSession, WriteSession
from db.events import EventType
from db.keys import API_KEY, MOST_APPS, ManagedKey
from db.shaping.selection import Connection, Fields, Selected
from resolvers import reading
from resolvers.documents import SET_LENGTH, is_set_name
from resolvers.errors import BAD_KEY, FaultCode, Unauthenticated, fault, unknown
from resolvers.inputs import (
    UNCHANGED,
    WITHOUT_FRACTION,
    Changes,
    FutureMoment,
    Input,
    Name,
    Text,
    check,
    invalid,
    is_slug,
    is_storable,
)
from resolvers.keys import NewKey, image_values, new_token, scopes_of, set_columns, stored_form
from resolvers.origins import MAX_ORIGINS, Origins, are_within
from resolvers.reading import Json
from resolvers.viewer import ALL_SCOPES, DocumentPolicy, KeyKind, Policy, Scope, Viewer, as_list

MOST_SETS = 50
MOST_OVERLAP_HOURS = 168

_CREATED_KINDS = (KeyKind.SECRET, KeyKind.PUBLIC, KeyKind.RESTRICTED)
_OF_KIND = {
    KeyKind.RESTRICTED: ALL_SCOPES - {Scope.WRITE},
    KeyKind.PUBLIC: frozenset({Scope.READ, Scope.READ_CUSTOMERS}),
}
"""The scopes that a restricted key or a public key can be given."""


@dataclass(frozen=True, slots=True)
class _Own:
    """What the key of the request has. A key that it creates or changes cannot have more."""

    kind: str
    scopes: frozenset[Scope]
    app_ids: Sequence[str] | None
    expires_at: datetime | None
    origins: Sequence[str] | None
    documents: str
    document_sets: Sequence[str] | None
    policy: Policy

    @property
    def only_registered(self) -> bool:
        """Whether the key may only send registered documents. Keys that it creates have this limit too."""
        return self.documents == DocumentPolicy.REGISTERED

    def covers(self, key: ManagedKey) -> bool:
        """Return whether another key can do no more than this one.

        A secret key is only covered by a secret key.
        """
        has_apps = self.app_ids is None or (key.app_ids is not None and set(key.app_ids) <= set(self.app_ids))
        has_time = self.expires_at is None or (
            key.expires_at is not None and key.expires_at <= self.expires_at
        )
        has_documents = not self.only_registered or (
            key.documents == DocumentPolicy.REGISTERED and self.has_sets(key.document_sets)
        )
        has_kind = key.kind != KeyKind.SECRET or self.kind == KeyKind.SECRET
        has_scopes = scopes_of(key.kind, key.scopes, self.policy) <= self.scopes
        has_origins = are_within(key.origins, self.origins)
        return has_apps and has_time and has_documents and has_kind and has_scopes and has_origins

    def has_sets(self, names: Sequence[str] | None) -> bool:
        """Return whether this key may send the documents of these sets. None stands for every set."""
        if not self.only_registered or self.document_sets is None:
            return True
        return names is not None and set(names) <= set(self.document_sets)


def _kind(word: object) -> object:
    if word is None or word in _CREATED_KINDS:
        return None if word is None else KeyKind(str(word))
    also = ": a session is created for a customer" if word == KeyKind.SESSION else ""
    raise invalid(f"must be one of: {', '.join(_CREATED_KINDS)}{also}")


def _known_scopes(words: object) -> object:
    if not isinstance(words, list):
        return words
    if not words:
        raise invalid("can't be blank", FaultCode.BLANK)
    if not all(isinstance(word, str) and word in ALL_SCOPES for word in words):
        raise invalid(f"must be a list of these: {', '.join(as_list(ALL_SCOPES))}")
    return as_list(Scope(word) for word in words)


def _policy(word: object) -> object:
    if word is None or word in tuple(DocumentPolicy):
        return None if word is None else DocumentPolicy(str(word))
    raise invalid(f"must be one of: {', '.join(DocumentPolicy)}")


def _few_slugs(slugs: object) -> object:
    if isinstance(slugs, list) and not slugs:
        raise invalid("needs at least one app; null stands for every app")
    if isinstance(slugs, list) and len(slugs) > MOST_APPS:
        raise invalid(f"has too many apps (maximum is {MOST_APPS})")
    return slugs


def _sets(names: object) -> object:
    if isinstance(names, list) and not names:
        raise invalid("needs at least one set; null stands for every set")
    if isinstance(names, list) and len(names) > MOST_SETS:
        raise invalid(f"has too many sets (maximum is {MOST_SETS})")
    if isinstance(names, list) and not all(isinstance(name, str) and is_set_name(name) for name in names):
        raise invalid(f"must have names of 1 to {SET_LENGTH} letters, digits and . _ @ / -")
    return names


_KindWord = Literal["secret", "public", "restricted"]
_ScopeWord = Literal[
    "read",
    "read_customers",
    "read_tokens",
    "read_events",
    "write",
    "write_customers",
    "write_licenses",
    "write_catalog",
    "rotate_signing_keys",
    "manage_keys",
    "manage_webhooks",
]
_PolicyWord = Literal["any", "registered"]

Kind = Annotated[
    KeyKind,
    BeforeValidator(_kind, json_schema_input_type=_KindWord),
    Field(
        description="Kind of the key. A secret key has every scope, and only a secret key can create one. A "
        "public key only reads. A restricted key has the scopes that it is given."
    ),
]
Scopes = Annotated[
    list[Scope] | None,
    BeforeValidator(_known_scopes, json_schema_input_type=list[_ScopeWord] | None),
    Field(
        description="Scopes of the key, all of which the key of the request must have. A restricted key "
        "needs at least one, and can have any but WRITE. A public key can have READ and READ_CUSTOMERS, and "
        "gets READ by default. A secret key always has all."
    ),
]
AppSlugs = Annotated[
    list[Text] | None,
    BeforeValidator(_few_slugs, json_schema_input_type=list[Text] | None),
    Field(
        description=f"Slugs of the apps that the key can reach, 1 to {MOST_APPS}. null stands for every app "
        "that the key of the request can reach."
    ),
]
KeyOrigins = Annotated[
    Origins | None,
    Field(
        description=f"1 to {MAX_ORIGINS} origins of pages that may use the key, such as "
        "https://portal.example. https://*.portal.example stands for one label in place of the *. http is "
        "only for localhost and 127.0.0.1. Requests from another origin, or without the header Origin, are "
        "FORBIDDEN. null stands for the origins of the key of the request. If that key has none, null "
        "stands for every origin, and the header Origin is not required."
    ),
]
_ABOUT_DOCUMENTS = (
    "Whether the key may send any document, or only registered documents. By default, only a public key is "
    "limited to registered documents. If the key of the request has this limit, the new key always has it."
)
Documents = Annotated[
    DocumentPolicy,
    BeforeValidator(_policy, json_schema_input_type=_PolicyWord),
    Field(description="Whether the key may send any document, or only registered ones."),
]
DocumentSets = Annotated[
    list[Text] | None,
    BeforeValidator(_sets, json_schema_input_type=list[Text] | None),
    Field(
        description="Sets of registered documents that the key may send, if it is limited to registered "
        f"documents: 1 to {MOST_SETS} names. null stands for every set that the key of the request can send."
    ),
]
ExpiresAt = Annotated[
    FutureMoment | None,
    Field(
        description="When the key expires. null stands for the expiry of the key of the request, or for "
        "never if that key never expires."
    ),
]


class ApiKeyFilters(Input):
    """Selects API keys that meet all given conditions."""

    kind: KeyKind | None = Field(
        None, description="Kind of the key. By default, keys of all kinds except sessions are returned."
    )
    live: bool | None = Field(
        None, description="true for keys that work, false for keys that are revoked or expired."
    )


def _own_of(info: ValidationInfo) -> _Own | None:
    """Return what the key of the request has, or None if only the form of an input is checked."""
    own: _Own | None = (info.context or {}).get("own")
    return own


def _granted_scopes(scopes: list[Scope] | None, info: ValidationInfo) -> list[Scope] | None:
    """Return the scopes to store, after checking them. A secret key has every scope, so none are stored."""
    context = info.context or {}
    kind, own = info.data.get("kind") or context.get("kind"), _own_of(info)
    if kind == KeyKind.SECRET:
        if scopes is not None and set(scopes) != ALL_SCOPES:
            raise invalid("cannot be narrowed: a secret key has every scope")
        return None
    if kind is None:
        return scopes
    if scopes is None:
        if kind != KeyKind.PUBLIC or "kind" in context:
            raise invalid("can't be blank", FaultCode.BLANK)
        scopes = [Scope.READ]
    if beyond := set(scopes) - _OF_KIND[kind]:
        raise invalid(f"cannot include {', '.join(as_list(beyond))} in a {kind} key")
    if own is not None and (missing := set(scopes) - own.scopes):
        raise invalid(f"cannot include {', '.join(as_list(missing))}: the key of the request lacks it")
    return scopes


def _granted_time(moment: datetime | None, info: ValidationInfo) -> datetime | None:
    own = _own_of(info)
    until = None if own is None else own.expires_at
    if moment is not None and until is not None and moment > until:
        raise invalid(f"must not be after {clock.as_text(until)}, when the key of the request expires")
    return until if moment is None else moment


def _granted_origins(origins: list[str] | None, info: ValidationInfo) -> Sequence[str] | None:
    own = _own_of(info)
    if own is None or origins is None:
        return origins if own is None else own.origins
    if not are_within(origins, own.origins):
        raise invalid("has an origin that the key of the request does not have")
    return origins


def _granted_documents(policy: DocumentPolicy | None, info: ValidationInfo) -> DocumentPolicy | None:
    own = _own_of(info)
    if own is None or not own.only_registered:
        return policy
    if policy is DocumentPolicy.ANY:
        raise invalid("must be registered: the key of the request only sends registered documents")
    return DocumentPolicy.REGISTERED


def _granted_sets(names: list[str] | None, info: ValidationInfo) -> Sequence[str] | None:
    own = _own_of(info)
    if own is None or own.has_sets(names):
        return names
    if names is not None:
        raise invalid("has a set that the key of the request does not have")
    return own.document_sets


class CreateApiKey(Input):
    """A new API key. It can do no more than the key of the request.

    A limit that is left out (apps, origins, registered documents, expiry) is that of the key of the request.
    """

    kind: Kind
    name: Name
    scopes: Scopes = Field(None, validate_default=True)
    app_slugs: AppSlugs = None
    origins: KeyOrigins = Field(None, validate_default=True)
    documents: Annotated[Documents | None, Field(description=_ABOUT_DOCUMENTS)] = Field(
        None, validate_default=True
    )
    document_sets: DocumentSets = Field(None, validate_default=True)
    expires_at: ExpiresAt = Field(None, validate_default=True)

    _scopes = field_validator("scopes")(_granted_scopes)
    _origins = field_validator("origins")(_granted_origins)
    _documents = field_validator("documents")(_granted_documents)
    _document_sets = field_validator("document_sets")(_granted_sets)
    _expires_at = field_validator("expires_at")(_granted_time)

    @field_validator("kind")
    @classmethod
    def _only_secret_keys_create_secret_keys(cls, kind: KeyKind, info: ValidationInfo) -> KeyKind:
        own = _own_of(info)
        if kind is KeyKind.SECRET and own is not None and own.kind != KeyKind.SECRET:
            raise invalid("can only be secret if the key of the request is secret, too")
        return kind


class UpdateApiKey(Changes):
    """Changes to an API key. Fields left out keep their values.

    null replaces a limit with that of the key of the request, or removes it if that key has no such limit.
    """

    name: Name = UNCHANGED
    scopes: Scopes = UNCHANGED
    app_slugs: AppSlugs = UNCHANGED
    origins: KeyOrigins = UNCHANGED
    documents: Documents = UNCHANGED
    document_sets: DocumentSets = UNCHANGED
    expires_at: ExpiresAt = UNCHANGED

    _scopes = field_validator("scopes")(_granted_scopes)
    _origins = field_validator("origins")(_granted_origins)
    _documents = field_validator("documents")(_granted_documents)
    _document_sets = field_validator("document_sets")(_granted_sets)
    _expires_at = field_validator("expires_at")(_granted_time)


class RotateApiKey(Input):
    """How long the previous token of a key keeps working."""

    overlap_hours: Annotated[
        int,
        Field(
            ge=0,
            le=MOST_OVERLAP_HOURS,
            description=f"Hours for which the previous token keeps working, 0 to {MOST_OVERLAP_HOURS}. A "
            "token from before the previous one stops working at once.",
        ),
        WITHOUT_FRACTION,
    ] = 24


async def api_key(viewer: Viewer, session: ReadSession, id: str, selected: Selected[Fields]) -> Json | None:
    """Return the API key with this id, or None."""
    return await reading.one(viewer, session, "ApiKey", "id", id, selected)


async def all_api_keys(viewer: Viewer, session: ReadSession, selected: Selected[Connection]) -> Json:
    """Return a page of the account's API keys."""
    return await reading.connection(viewer, session, selected)


async def create_api_key(viewer: Viewer, session: WriteSession, values: Mapping[str, object]) -> NewKey:
    """Create an API key and return its id and token. Raises Faults."""
    own = await _own(viewer, session)
    given = check(CreateApiKey, values, {"own": own})
    app_ids = await _app_ids(viewer, session, own, given.app_slugs)
    default = DocumentPolicy.REGISTERED if given.kind is KeyKind.PUBLIC else DocumentPolicy.ANY
    new, token = ids.new_id(ids.KEY), new_token(given.kind)
    row = {
        "id": new.id,
        "account_id": viewer.account_id,
        "kind": given.kind.value,
        "name": given.name,
        **stored_form(token),
        "created_at": new.created_at,
        "expires_at": given.expires_at,
        "scopes": given.scopes,
        "app_ids": app_ids,
        "origins": given.origins,
        "documents": (given.documents or default).value,
        "document_sets": given.document_sets,
        "created_by": viewer.key_id,
    }
    await stored.insert(session, row)
    values = image_values(viewer.account_id, viewer.policy)
    await events.record(session, viewer.actor, API_KEY, new.id, EventType.KEY_CREATED, values=values)
    return NewKey(new.id, token)


async def update_api_key(viewer: Viewer, session: WriteSession, id: str, values: Mapping[str, object]) -> str:
    """Change an API key and return its id. Raises Faults."""
    own = await _own(viewer, session)
    found = await _require_key(viewer, session, own, id)
    _require_changeable(found)
    changes = check(UpdateApiKey, values, {"own": own, "kind": found.kind}).changes()
    if found.kind == KeyKind.SECRET:
        changes.pop("scopes", None)
    if "app_slugs" in changes:
        changes["app_ids"] = await _app_ids(viewer, session, own, changes.pop("app_slugs"))
    if any(changes.get(limit) is not None for limit in ("expires_at", "app_ids", "origins")) or (
        changes.get("documents") == DocumentPolicy.REGISTERED
    ):
        await _require_other_lasting(viewer, session, found)
    if changes:
        await _change(viewer, session, id, changes, EventType.KEY_UPDATED)
    return id


async def rotate_api_key(
    viewer: Viewer, session: WriteSession, id: str, values: Mapping[str, object]
) -> NewKey:
    """Give an API key a new token, and return its id and the token. Raises Faults.

    The previous token keeps working until the overlap ends. Earlier ones stop working.
    """
    own = await _own(viewer, session)
    found = await _require_key(viewer, session, own, id)
    _require_changeable(found)
    now = clock.now()
    if found.expires_at is not None and found.expires_at <= now:
        raise fault(FaultCode.WRONG_STATE, "has expired", "id")
    overlap = timedelta(hours=check(RotateApiKey, values).overlap_hours)
    token = new_token(KeyKind(found.kind))
    changes: dict[str, Any] = {
        **stored_form(token),
        "previous_digest": found.digest if overlap else None,
        "previous_until": now + overlap if overlap else None,
    }
    await _change(viewer, session, id, changes, EventType.KEY_ROTATED)
    return NewKey(id, token)


async def revoke_api_key(viewer: Viewer, session: WriteSession, id: str) -> str:
    """Revoke an API key and return its id. A key that is revoked already does not change. Raises Faults."""
    own = await _own(viewer, session)
    found = await _require_key(viewer, session, own, id)
    if found.revoked_at is None:
        await _require_other_lasting(viewer, session, found)
        await _change(viewer, session, id, {"revoked_at": clock.now()}, EventType.KEY_REVOKED)
    return id


async def _change(
    viewer: Viewer, session: WriteSession, id: str, changes: Mapping[str, object], type: EventType
) -> None:
    values = image_values(viewer.account_id, viewer.policy)
    await set_columns(session, viewer.actor, values, id, changes, type)


async def _own(viewer: Viewer, session: WriteSession) -> _Own:
    """Lock the account, and return what the key of the request has now. Raises Refused."""
    viewer.require(Scope.MANAGE_KEYS)
    await accounts.lock(session, viewer.account_id)
    found = await stored.find_in_account(session, viewer.account_id, viewer.key_id or "")
    is_over = found is None or (found.expires_at is not None and found.expires_at <= clock.now())
    if found is None or is_over or found.revoked_at is not None:
        raise Unauthenticated(BAD_KEY)
    scopes = scopes_of(found.kind, found.scopes, viewer.policy)
    replace(viewer, scopes=scopes).require(Scope.MANAGE_KEYS)
    return _Own(
        found.kind,
        scopes,
        found.app_ids,
        found.expires_at,
        found.origins,
        found.documents,
        found.document_sets,
        viewer.policy,
    )


async def _require_key(viewer: Viewer, session: WriteSession, own: _Own, id: str) -> ManagedKey:
    found = await stored.find_in_account(session, viewer.account_id, id) if is_storable(id) else None
    if found is None or not own.covers(found):
        raise unknown(id, "id")
    return found


def _require_changeable(key: ManagedKey) -> None:
    if key.kind == KeyKind.SESSION:
        raise fault(FaultCode.WRONG_STATE, "is a session, which can only be revoked", "id")
    if key.revoked_at is not None:
        raise fault(FaultCode.WRONG_STATE, "is revoked", "id")


async def _require_other_lasting(viewer: Viewer, session: WriteSession, key: ManagedKey) -> None:
    """Raise Faults if the account would be left without a secret key that works without an end or a limit."""
    if key.lasts and not await stored.has_other_lasting(session, viewer.account_id, key.id):
        raise fault(
            FaultCode.WRONG_STATE,
            "is the last secret key without an expiry or a limit: it cannot be revoked or limited",
            "id",
        )


async def _app_ids(
    viewer: Viewer, session: WriteSession, own: _Own, slugs: Iterable[str] | None
) -> Sequence[str] | None:
    """Return the ids of the apps with these slugs. Raises Faults.

    If `slugs` is None, returns the ids of the apps that the key of the request is limited to, or None if it
    is not limited.
    """
    if slugs is None:
        return own.app_ids
    wanted = list(dict.fromkeys(slugs))
    tenant = replace(viewer.tenant, app_ids=None if own.app_ids is None else tuple(own.app_ids))
    found = await apps.ids_of(session, tenant, list(filter(is_slug, wanted)))
    missing = [slug for slug in wanted if slug not in found]
    if missing:
        raise fault(FaultCode.NOT_FOUND, f"do not all exist: {', '.join(missing)[:255]}", "app_slugs")
    return [found[slug] for slug in wanted]
