"""The viewer: who makes a request, and what they are allowed to do."""

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from db.events import SERVER, Actor, ActorKind
from db.tenancy import Tenant
from db.types import json_text
from resolvers.errors import NO_KEY, Forbidden, Unauthenticated

REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being handled."""


class KeyKind(StrEnum):
    """What a key is for. Its scopes say what it may do.

    A secret key has every scope. A restricted key has those that it was given. A public key only reads, and
    may be shown to anyone. A session key acts for one customer.
    """

    SECRET = "secret"  # noqa: S105  (a kind, not a password)
    PUBLIC = "public"
    RESTRICTED = "restricted"
    SESSION = "session"


class DocumentPolicy(StrEnum):
    """Which documents a key may send: any, or only registered ones."""

    ANY = "any"
    REGISTERED = "registered"


class Scope(StrEnum):
    """What a viewer may be allowed to do. A key lists its scopes in this order.

    READ_LICENSE comes with a license's token. It allows reading that license with its token, its tier and the
    tier's features (`resolvers.visible`). WRITE implies every scope that follows it (`implied`).
    """

    READ_LICENSE = "read_license"
    READ = "read"
    READ_CUSTOMERS = "read_customers"
    READ_TOKENS = "read_tokens"
    READ_EVENTS = "read_events"
    WRITE = "write"
    WRITE_CUSTOMERS = "write_customers"
    WRITE_LICENSES = "write_licenses"
    WRITE_CATALOG = "write_catalog"
    ROTATE_SIGNING_KEYS = "rotate_signing_keys"
    MANAGE_KEYS = "manage_keys"
    MANAGE_WEBHOOKS = "manage_webhooks"


ALL_SCOPES = frozenset(Scope) - {Scope.READ_LICENSE}
"""The scopes of a secret key."""

_BY_WRITE = frozenset(list(Scope)[list(Scope).index(Scope.WRITE) :])


def implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return these scopes and those that they imply."""
    given = frozenset(scopes)
    return given | _BY_WRITE if Scope.WRITE in given else given


def as_list(scopes: Iterable[Scope]) -> list[Scope]:
    """Return scopes in the order of `Scope`, without repeats."""
    given = frozenset(scopes)
    return [scope for scope in Scope if scope in given]


@dataclass(frozen=True, slots=True)
class Policy:
    """What the settings of this installation allow."""

    public_keys_read_customers: bool = True
    http_webhooks: bool = False
    rotation_limit: int = 2_000
    """A request can rotate an app's keys if the app has at most this many active licenses; 0 for no limit."""
    event_days: int = 400
    """For how many days events are kept; 0 for ever."""
    renewal_grace_days: int = 60
    """For how many days an expired token can be exchanged for a new one; 0 for not at all."""
    scope_parameters: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """The scopes of keys for which none are stored, as reads need them (`db.keys`)."""

    def __post_init__(self) -> None:
        public = self.public_scopes
        parameters = {"secret_scopes": as_list(ALL_SCOPES), "public_scopes": as_list(public)}
        written = {name: json_text(scopes) for name, scopes in parameters.items()}
        object.__setattr__(self, "scope_parameters", written)

    @property
    def renewal_grace(self) -> timedelta:
        """Return for how long an expired token can be exchanged for a new one."""
        return timedelta(days=self.renewal_grace_days)

    @property
    def public_scopes(self) -> frozenset[Scope]:
        """Return the scopes of a public key for which none are stored."""
        return frozenset(
            {Scope.READ} | ({Scope.READ_CUSTOMERS} if self.public_keys_read_customers else set())
        )


@dataclass(frozen=True, slots=True)
class Viewer:
    """The sender of one request, identified by a key, by a license's token, or by both.

    `anonymous` returns the viewer for requests that have neither. `tenant` is what the viewer can reach.
    `kind` is the kind of the key. `unauthenticated` is the error message if this viewer has no key and one is
    required.

    `documents` says which documents the key may send. If they must be registered, and `document_sets` is not
    None, they must be in one of these sets. `documents_version` grows when a set of the account is deleted.
    """

    tenant: Tenant
    scopes: frozenset[Scope]
    policy: Policy
    key_id: str | None = None
    kind: KeyKind | None = None
    unauthenticated: str = NO_KEY
    documents: DocumentPolicy = DocumentPolicy.ANY
    document_sets: tuple[str, ...] | None = None
    documents_version: int = 0

    @property
    def account_id(self) -> str:
        """Return the id of the account."""
        return self.tenant.account_id

    @property
    def actor(self) -> Actor:
        """Return who makes the changes that this viewer asks for. Without a key, this is the server."""
        return SERVER if self.key_id is None else Actor(ActorKind.KEY, self.key_id, REQUEST_ID.get())

    @property
    def is_customer(self) -> bool:
        """Whether the viewer is one customer, in a session (`resolvers.visible.OF_CUSTOMER`)."""
        return self.tenant.customer_id is not None

    @property
    def is_anonymous(self) -> bool:
        """Whether the request has neither a key nor a license's token."""
        return not self.scopes and self.kind is None

    def require(self, scope: Scope) -> None:
        """Raise Unauthenticated or Forbidden unless the viewer has this scope."""
        if scope in self.scopes:
            return
        if self.is_customer and scope is Scope.READ_CUSTOMERS:
            return  # only the customer itself can be reached
        if self.is_anonymous:
            raise Unauthenticated(self.unauthenticated)
        if self.documents is DocumentPolicy.REGISTERED and not self.scopes:
            raise Forbidden("This key only sends registered documents, to /graphql.")
        if self.scopes == _OF_LICENSE:
            raise Forbidden(
                "A license's token only shows that license, its tier and features; use a key of its account."
            )
        if self.is_customer:
            raise Forbidden(NOT_OF_CUSTOMER)
        if self.kind is not KeyKind.PUBLIC:
            raise Forbidden(f"This key does not have the scope {scope.upper()}.")
        if scope is Scope.MANAGE_KEYS:
            raise Forbidden("A public key cannot read or manage keys; use a secret key.")
        if scope is Scope.READ_EVENTS:
            raise Forbidden("A public key cannot read events; use a secret key.")
        if scope in _BY_WRITE:
            raise Forbidden("A public key can read and not write; use a secret key.")
        raise Forbidden("This public key cannot read customers; use a secret key.")


_OF_LICENSE = frozenset({Scope.READ_LICENSE})

NOT_OF_CUSTOMER = "This session only shows its own customer and that customer's licenses."


def holder(viewer: Viewer, account_id: str, app_id: str) -> Viewer:
    """Return the viewer for a request that proves itself with a token of a license in this app.

    A key that can reach the whole app keeps its scopes. Any other key's scopes and tenant are ignored.
    """
    if viewer.tenant.reaches(account_id, app_id):
        return replace(viewer, scopes=viewer.scopes | _OF_LICENSE)
    return replace(viewer, tenant=Tenant(account_id), scopes=_OF_LICENSE)


def closed_to_rest(viewer: Viewer) -> Viewer:
    """Return the viewer for REST: without scopes if the key may only send registered documents."""
    return replace(viewer, scopes=frozenset()) if viewer.documents is DocumentPolicy.REGISTERED else viewer


def anonymous(policy: Policy, unauthenticated: str = NO_KEY) -> Viewer:
    """Return the viewer for a request without a key. It has no scopes."""
    return Viewer(Tenant(""), frozenset(), policy, unauthenticated=unauthenticated)
