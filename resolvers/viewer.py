"""Who is asking, and what they may."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from resolvers.errors import Forbidden, Unauthenticated
from resolvers.keyring import Keyring


class Scope(StrEnum):
    """Something a viewer may be allowed.

    READ_LICENSE is for who has no more than a license's token: that license, but nothing it has to do with.
    """

    READ_LICENSE = "read_license"
    READ = "read"
    READ_CUSTOMERS = "read_customers"
    READ_TOKENS = "read_tokens"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class Policy:
    """What this installation allows, as its settings say, and the keyring that signs in its name."""

    public_keys_read_customers: bool = True
    http_webhooks: bool = False
    rotation_limit: int = 2_000
    """The most live licenses whose keys a request rotates; 0: any number."""
    keyring: Keyring = field(default_factory=Keyring)


@dataclass(frozen=True, slots=True)
class Viewer:
    """The caller of one request, made once from its key. Without a key: `anonymous`, who may nothing."""

    account_id: str
    scopes: frozenset[Scope]
    policy: Policy
    key_id: str | None = None

    @property
    def is_anonymous(self) -> bool:
        """Whether the request came without a key."""
        return not self.scopes

    def require(self, scope: Scope) -> None:
        """Raise Unauthenticated or Forbidden unless the viewer has this scope."""
        if scope in self.scopes:
            return
        if self.is_anonymous:
            raise Unauthenticated
        if scope is Scope.WRITE:
            raise Forbidden("A public key can read and not write; use a secret key.")
        if scope is Scope.READ:
            raise Forbidden("A license's token shows that license alone; use a key of its account.")
        raise Forbidden("This installation does not let public keys read customers; use a secret key.")


def holder(viewer: Viewer, account_id: str) -> Viewer:
    """The viewer, as one who has shown the token of a license of this account."""
    shown = frozenset({Scope.READ_LICENSE, Scope.READ_TOKENS})
    own = viewer.scopes if viewer.account_id == account_id else frozenset()
    return replace(viewer, account_id=account_id, scopes=own | shown)


def anonymous(policy: Policy) -> Viewer:
    """The viewer of a request without a key."""
    return Viewer("", frozenset(), policy)
