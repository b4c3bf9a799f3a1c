"""Decides which fields of a selection set may share a response key, by GraphQL's rule for merging fields."""

from dataclasses import dataclass, field

NODE = "Node"


@dataclass(frozen=True, slots=True)
class Claim:
    """The field that a response key stands for in objects of one type."""

    parent: str
    name: str
    arguments: str
    size: int = 1


class Scope:
    """The response keys of one selection set and its fragments, and the fields that the keys stand for."""

    def __init__(self) -> None:
        self.entries: dict[str, _Entry] = {}

    def allows(self, key: str, type_: str, claim: Claim) -> bool:
        """Return whether a field may use this response key, given the fields already in this scope."""
        entry = self.entries.get(key)
        return entry is None or (entry.type == type_ and all(_agree(claim, other) for other in entry.claims))

    def allows_all(self, other: "Scope") -> bool:
        """Return whether another selection set may be merged into this one."""
        return all(
            all(self.allows(key, entry.type, claim) for claim in entry.claims)
            and (key not in self.entries or self.entries[key].below.allows_all(entry.below))
            for key, entry in other.entries.items()
        )

    def claim(self, key: str, type_: str, claim: Claim) -> "Scope":
        """Add a field under a response key, and return the scope of its selection set."""
        entry = self.entries.setdefault(key, _Entry(type_))
        if claim not in entry.claims:
            entry.claims.append(claim)
        return entry.below

    def merge(self, other: "Scope") -> None:
        """Add all fields of another selection set."""
        for key, entry in other.entries.items():
            for claim in entry.claims:
                self.claim(key, entry.type, claim).merge(entry.below)


@dataclass
class _Entry:
    type: str
    claims: list[Claim] = field(default_factory=list)
    below: Scope = field(default_factory=Scope)


def _agree(one: Claim, other: Claim) -> bool:
    """Return whether two fields with the same response key can be merged.

    Fields of two different object types never conflict, because an object has only one type. A field of the
    interface Node may belong to an object of any type.
    """
    same_objects = one.parent == other.parent or NODE in {one.parent, other.parent}
    return not same_objects or (one.name, one.arguments) == (other.name, other.arguments)
