"""Who is asking, and what they may."""

from dataclasses import dataclass, field
from enum import StrEnum

from resolvers.errors import Forbidden, Unauthenticated
from resolvers.keyring import Keyring


class Scope(StrEnum):
    """Something a viewer may be allowed."""

    READ = "read"
    READ_CUSTOMERS = "read_customers"
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
        raise Forbidden("This installation does not let public keys read customers; use a secret key.")


def anonymous(policy: Policy) -> Viewer:
    """The viewer of a request without a key."""
    return Viewer("", frozenset(), policy)
