"""Which fields of a selection set may share a response key: what GraphQL asks of fields that are merged."""

from dataclasses import dataclass, field

NODE = "Node"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a response key stands for, in objects of one type."""

    parent: str
    name: str
    arguments: str
    size: int = 1


class Scope:
    """The response keys of one selection set, fragments included, with what they stand for."""

    def __init__(self) -> None:
        self.entries: dict[str, _Entry] = {}

    def allows(self, key: str, type_: str, claim: Claim) -> bool:
        """Whether a field may go by this key next to all that is here already."""
        entry = self.entries.get(key)
        return entry is None or (entry.type == type_ and all(_agree(claim, other) for other in entry.claims))

    def allows_all(self, other: "Scope") -> bool:
        """Whether another selection set may be merged into this one."""
        return all(
            all(self.allows(key, entry.type, claim) for claim in entry.claims)
            and (key not in self.entries or self.entries[key].below.allows_all(entry.below))
            for key, entry in other.entries.items()
        )

    def claim(self, key: str, type_: str, claim: Claim) -> "Scope":
        """Take a key; answer the scope of what is selected below it."""
        entry = self.entries.setdefault(key, _Entry(type_))
        if claim not in entry.claims:
            entry.claims.append(claim)
        return entry.below

    def merge(self, other: "Scope") -> None:
        """Take all keys of another selection set."""
        for key, entry in other.entries.items():
            for claim in entry.claims:
                self.claim(key, entry.type, claim).merge(entry.below)


@dataclass
class _Entry:
    type: str
    claims: list[Claim] = field(default_factory=list)
    below: Scope = field(default_factory=Scope)


def _agree(one: Claim, other: Claim) -> bool:
    """Whether two fields of one key can be merged. Two types of objects never meet; a Node may be any."""
    same_objects = one.parent == other.parent or NODE in {one.parent, other.parent}
    return not same_objects or (one.name, one.arguments) == (other.name, other.arguments)
