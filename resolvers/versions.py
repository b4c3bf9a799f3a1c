"""Versions: a caller may require that an object still has the version that they have seen.

Every change gives an object its next version. The check is made against the locked row. If two callers
require the same version, only one of their changes is made, so that neither undoes the other unseen.
"""

from collections.abc import Collection
from typing import Protocol, TypeAlias

from resolvers.errors import FaultCode, fault

Versions: TypeAlias = Collection[int] | None
"""The versions of which a change requires one. None: the object may have any version."""


class Versioned(Protocol):
    """A locked row, with its version."""

    @property
    def version(self) -> int:
        """The version of the row."""


def require_version(found: Versioned, if_version: Versions) -> None:
    """Raise Faults unless a locked row has one of the required versions."""
    if if_version is not None and found.version not in if_version:
        message = f"does not match the current version, which is {found.version}"
        raise fault(FaultCode.WRONG_STATE, message, "if_version")
