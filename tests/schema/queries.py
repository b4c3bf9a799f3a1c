"""Hypothesis strategies: queries over a data set, valid by construction and within the limits.

A query is built from the top down. Each level has a budget of cost, so fragments, aliases and repeated fields
can be combined freely.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLField, GraphQLSchema, get_named_type, is_composite_type
from hypothesis import strategies as st

from db.features import MOST_IN_APP
from db.keys import MOST_APPS
from db.standing import STANDING_COST
from db.statistics import MOST_INTERVALS
from tests.schema.arguments import KINDS, Arguments, Choices, Facts
from tests.schema.dataset import Dataset, Vendor
from tests.schema.merging import NODE, Claim, Scope

# Lower than the server's own limits (depth 15, cost 20,000, 100 aliases), because the server may count
# differently.
_DEPTH = 13
_COST = 12_000
_ALIASES = 80
_FIELDS = 250

_COSTS: Mapping[str, int] = {"totalCount": 1, "token": 1, "text": 5, "snapshot": 1}
"""The leaf fields that have a cost."""

_LISTS = {
    ("Tier", "features"): 2 * MOST_IN_APP,
    ("ApiKey", "apps"): 2 * MOST_APPS,
    ("App", "statistics"): MOST_INTERVALS,
    ("App", "standing"): 10 * STANDING_COST,
    ("Standing", "byTier"): 10 * STANDING_COST,
}
"""The fields that are lists of objects, with an allowance that is enough for each."""

_OF_MANAGERS = ("apiKeys", "registeredDocuments", "events", "snapshot")
"""The fields that only the secret key of a vendor can read."""

_TIMES = ("createdAt", "updatedAt")
_ASKED: Mapping[str, Sequence[str]] = {
    "Query": (
        *("app", "apps", "customer", "license", "node", "nodes", "search"),
        *("apiKeys", "registeredDocuments", "events", "snapshot"),
    ),
    NODE: ("id",),
    "App": (
        *("id", "slug", "name", "description", "webhookUrl", "signingAlgorithm", "publicKeyPem", *_TIMES),
        *("customer", "customers", "licenses", "license", "tier", "tiers", "feature", "features"),
        *("version", "changesCursor", "events", "snapshot", "statistics", "standing"),
    ),
    "Statistic": (
        *("from", "active", "issued", "renewed", "reinstated", "expired", "revoked", "deleted"),
        *("customersAdded", "customersDeleted", "customers"),
    ),
    "Standing": (
        *("active", "expired", "revoked", "expiringIn7Days", "expiringIn30Days", "neverVerified", "byTier"),
    ),
    "TierStanding": ("tier", "active"),
    "Customer": (
        *("id", "email", "name", "externalId", "metadata", *_TIMES, "app", "licenses"),
        *("version", "events", "snapshot"),
    ),
    "License": (
        *("id", "installationId", "status", "expiresAt", "revokedAt", "revokedReason", "metadata", *_TIMES),
        *("features", "jti", "token", "app", "customer", "tier", "version", "events", "snapshot"),
        *("lastVerifiedAt", "trial"),
    ),
    "Tier": (
        *("id", "slug", "name", "position", "createdAt", "app", "features", "licenses"),
        *("version", "events", "durationDays", "trial"),
    ),
    "Feature": ("id", "slug", "name", "description", "createdAt", "app", "version", "events"),
    "ApiKey": (
        *("id", "kind", "name", "prefix", "last4", "scopes", "apps", "origins", "documents", "documentSets"),
        *("createdAt", "createdBy", "expiresAt", "revokedAt", "lastUsedAt", "usage"),
    ),
    "KeyUsage": ("day", "requests", "points", "refused"),
    "RegisteredDocument": (
        *("id", "documentId", "set", "operations", "text", "maxCost", "registeredAt", "lastUsedAt"),
    ),
    "Event": (
        *("id", "type", "createdAt", "subjectType", "subjectId", "version", "app", "actor", "requestId"),
        *("causedBy", "data", "changes", "erased"),
    ),
    "Actor": ("kind", "id", "name", "last4"),
    "SearchHit": ("field", "customer", "license"),
    "PageInfo": ("hasNextPage", "hasPreviousPage", "startCursor", "endCursor"),
    **{f"{kind}Connection": ("edges", "nodes", "pageInfo", "totalCount") for kind in KINDS},
    **{f"{kind}Edge": ("cursor", "node") for kind in KINDS},
}
"""The fields of each type that queries select: those that the reference executor supports."""

_ALIASES_TO_CHOOSE_FROM = (
    *("a", "b", "c", "_", "ID", "id", "name", "nodes", "cursor", "email", "totalCount", "select", "data"),
    # PostgreSQL truncates names after 63 bytes, and keeps capitals only in quoted names.
    *("x" * 63, "x" * 63 + "Y", "x" * 63 + "Z", "Name", "NAME", "row_to_json"),
)


@dataclass(frozen=True, slots=True)
class Question:
    """A query, and the vendor that sends the query."""

    document: str
    variables: Mapping[str, Any]
    operation: str | None
    vendor: Vendor


def questions(schema: GraphQLSchema, data: Dataset) -> st.SearchStrategy[Question]:
    """Return a strategy for queries over the data set, each sent by one of its vendors."""
    facts = Facts(data)
    # Hypothesis makes each choice, so it can shrink the choices. The choices come from `st.randoms`, because
    # with many draws from one strategy Hypothesis would mostly repeat variations of a few queries.
    return st.randoms(use_true_random=False).map(
        lambda random: _Writer(Choices(random), schema, facts).question()
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a document, with its cost, number of levels and number of aliases."""

    text: str
    cost: int = 0
    depth: int = 0
    aliases: int = 0


@dataclass(frozen=True, slots=True)
class _Fragment:
    name: str
    on: str
    scope: Scope
    body: _Part


class _Writer:
    """Writes one query document, with the values of its variables."""

    def __init__(self, choices: Choices, schema: GraphQLSchema, facts: Facts) -> None:
        self._choices = choices
        self._schema = schema
        self._vendor = choices.pick(facts.vendors)
        self._arguments = Arguments(choices, facts, self._vendor)
        self._fragments: list[_Fragment] = []
        self._aliases = 0
        self._fields = 0

    # ---------------------------------------------------------------- the document

    def question(self) -> Question:
        for number in range(self._choices.number(0, 3)):
            on = self._choices.pick(
                (*KINDS, NODE, "CustomerConnection", "LicenseConnection", "TierConnection")
            )
            scope = Scope()
            body = self._selection(on, scope, _DEPTH - 7, 200)
            self._fragments.append(_Fragment(f"F{number}", on, scope, body))
        # A fragment on Query is written last, because it may contain the fragments before it.
        root = Scope()
        if self._choices.chance(15):
            body = self._selection("Query", root, _DEPTH, _COST // 3)
            self._fragments.append(_Fragment("Root", "Query", root, body))
        body = self._selection("Query", Scope(), _DEPTH, _COST)
        return self._assembled(body.text)

    def _assembled(self, body: str) -> Question:
        used: list[_Fragment] = []
        text = body
        for fragment in reversed(self._fragments):
            if f"...{fragment.name} " in text:
                used.append(fragment)
                text += fragment.body.text
        declared, variables = self._arguments.variables_in(text)
        name = self._choices.pick(("Asked", "", ""))
        head = f"query {name}({declared}) " if declared else f"query {name} "
        if not declared and not name and self._choices.chance(50):
            head = ""
        definitions = [head + body, *(f"fragment {each.name} on {each.on} {each.body.text}" for each in used)]
        if name and self._choices.chance(20):
            definitions.insert(self._choices.number(0, 1), "query Other { __typename }")
        many = "query Other" in "".join(definitions)
        return Question(
            document="\n".join(definitions),
            variables=variables,
            operation=name if many else None,
            vendor=self._vendor,
        )

    # ---------------------------------------------------------------- selections

    def _selection(self, parent: str, scope: Scope, depth: int, allowance: int) -> _Part:
        """Return a selection set on a type, with at least one field or fragment."""
        if parent in KINDS and self._aliases < _ALIASES and self._choices.chance(2):
            return self._wide_selection(parent, scope)
        parts: list[_Part] = []
        most = 5 if self._fields < _FIELDS // 2 else 2
        for _ in range(self._choices.number(1, most)):
            left = allowance - sum(part.cost for part in parts)
            parts.append(self._item(parent, scope, depth, left))
        return _Part(
            "{ " + " ".join(part.text for part in parts) + " }",
            cost=sum(part.cost for part in parts),
            depth=max(part.depth for part in parts),
            aliases=sum(part.aliases for part in parts),
        )

    def _wide_selection(self, parent: str, scope: Scope) -> _Part:
        """Return a selection set with up to 70 fields.

        Neither database can pass that many fields to one call of an SQL function.
        """
        names = [
            name for name in _ASKED[parent] if not self._is_composite(parent, name) and name not in _COSTS
        ]
        count = min(70, _ALIASES - self._aliases)
        texts = [
            self._leaf(parent, scope, f"w{number}", names[number % len(names)]) for number in range(count)
        ]
        self._aliases += len(texts)
        return _Part("{ " + " ".join(texts) + " }", depth=1, aliases=len(texts))

    def _leaf(self, parent: str, scope: Scope, alias: str, name: str) -> str:
        type_, claim = str(self._declaration(parent, name).type), Claim(parent, name, "")
        if not scope.allows(alias, type_, claim):
            return "__typename"
        scope.claim(alias, type_, claim)
        return f"{alias}: {name}"

    def _item(self, parent: str, scope: Scope, depth: int, allowance: int) -> _Part:
        kind = self._choices.number(0, 99)
        if kind >= 90 and depth > 1:
            return self._inline_fragment(parent, scope, depth, allowance)
        if kind >= 80:
            spread = self._spread(parent, scope, depth, allowance)
            if spread is not None:
                return spread
        if kind >= 76:
            return self._typename(parent, scope)
        if kind >= 68:
            repeated = self._repeated(parent, scope, depth, allowance)
            if repeated is not None:
                return repeated
        return self._field(parent, scope, depth, allowance)

    def _inline_fragment(self, parent: str, scope: Scope, depth: int, allowance: int) -> _Part:
        on = self._choices.pick(("", parent, *self._overlapping(parent)))
        # An inline fragment is not a level of the response, but is counted as one here. Otherwise, fragments
        # could nest forever.
        body = self._selection(on or parent, scope, depth - 1, allowance)
        head = f"... on {on} " if on else "... "
        return _Part(head + self._directives() + body.text, body.cost, body.depth, body.aliases)

    def _spread(self, parent: str, scope: Scope, depth: int, allowance: int) -> _Part | None:
        fitting = [
            each
            for each in self._fragments
            if (each.on == parent or each.on in self._overlapping(parent))
            and each.body.cost <= allowance
            and each.body.depth <= depth
            and each.body.aliases + self._aliases <= _ALIASES
            and scope.allows_all(each.scope)
        ]
        if not fitting:
            return None
        chosen = self._choices.pick(fitting)
        scope.merge(chosen.scope)
        self._aliases += chosen.body.aliases
        text = f"...{chosen.name} {self._directives()}"
        return _Part(text, chosen.body.cost, chosen.body.depth, chosen.body.aliases)

    def _typename(self, parent: str, scope: Scope) -> _Part:
        text, _, aliases = self._named(scope, "String!", Claim(parent, "__typename", ""))
        return _Part(f"{text} {self._directives()}".strip(), depth=1, aliases=aliases)

    def _field(self, parent: str, scope: Scope, depth: int, allowance: int) -> _Part:
        composite_allowed = depth > 2 and allowance > 25 and self._fields < _FIELDS
        asked = [
            name
            for name in _ASKED[parent]
            if allowance > _LISTS.get((parent, name), _COSTS.get(name, -1))
            and (name not in _OF_MANAGERS or self._vendor.manages_keys)
        ]
        leaves = [name for name in asked if not self._is_composite(parent, name)]
        branches = [name for name in asked if name not in leaves]
        if not composite_allowed and parent != "Query":
            branches = []
        if not leaves and not branches:
            return self._typename(parent, scope)
        name = self._choices.pick(
            branches if branches and (not leaves or self._choices.chance(60)) else leaves
        )
        declaration = self._declaration(parent, name)
        type_ = get_named_type(declaration.type).name
        if type_.endswith("Connection"):
            largest = max(allowance // 4, 1)
            arguments, size = self._arguments.page(parent, type_.removesuffix("Connection"), largest)
        else:
            arguments, size = self._arguments.lookup(parent, name)
        claim = Claim(parent, name, arguments, size)
        # If the response key is taken, the field needs an alias, but the number of aliases is limited.
        if self._aliases >= _ALIASES and not scope.allows(name, str(declaration.type), claim):
            return self._typename(parent, scope)
        text, below, aliases = self._named(scope, str(declaration.type), claim)
        return self._selected(text, below, aliases, claim, depth, allowance)

    def _repeated(self, parent: str, scope: Scope, depth: int, allowance: int) -> _Part | None:
        """Select a field again, with a new selection set if its type needs one.

        GraphQL merges both selections in the response. Returns None if no field can be repeated.
        """
        there = [
            (key, entry.below, claim)
            for key, entry in scope.entries.items()
            for claim in entry.claims
            if claim.parent == parent and claim.size * 4 < allowance and depth > 2
        ]
        if not there or self._aliases >= _ALIASES:
            return None
        key, below, claim = self._choices.pick(there)
        alias = "" if key == claim.name else f"{key}: "
        self._aliases += bool(alias)
        return self._selected(
            alias + claim.name + claim.arguments, below, int(bool(alias)), claim, depth, allowance
        )

    def _selected(
        self, text: str, below: Scope, aliases: int, claim: Claim, depth: int, allowance: int
    ) -> _Part:
        """Return a field with its directives and, if its type needs one, its selection set."""
        text = f"{text} {self._directives()}".strip()
        self._fields += 1
        if not self._is_composite(claim.parent, claim.name):
            return _Part(text, cost=_COSTS.get(claim.name, 0), depth=1, aliases=aliases)
        target, size = get_named_type(self._declaration(claim.parent, claim.name).type).name, claim.size
        body = self._selection(target, below, depth - 1, (allowance - 1) // size - 1)
        return _Part(
            f"{text} {body.text}",
            cost=1 + size * (1 + body.cost),
            depth=1 + body.depth,
            aliases=aliases + body.aliases,
        )

    def _named(self, scope: Scope, type_: str, claim: Claim) -> tuple[str, Scope, int]:
        """Return a field under a response key that is free or already stands for the same field.

        Also returns the scope of the field's selection set, and the number of aliases that were used: 0 or 1.
        """
        key = claim.name
        if self._choices.chance(25) and self._aliases < _ALIASES:
            key = self._choices.pick(_ALIASES_TO_CHOOSE_FROM)
        number = 0
        while not scope.allows(key, type_, claim):
            number += 1
            key = f"{claim.name.strip('_')}{number}"
        below = scope.claim(key, type_, claim)
        aliases = int(key != claim.name)
        self._aliases += aliases
        return (f"{key}: " if aliases else "") + claim.name + claim.arguments, below, aliases

    def _overlapping(self, parent: str) -> Sequence[str]:
        """Return the other types that an object of this type may match."""
        if parent == NODE:
            return KINDS
        return (NODE,) if parent in KINDS else ()

    def _declaration(self, parent: str, name: str) -> GraphQLField:
        type_ = self._schema.type_map[parent]
        return type_.fields[name]  # type: ignore[attr-defined, no-any-return]

    def _is_composite(self, parent: str, name: str) -> bool:
        if name == "__typename":
            return False
        named = get_named_type(self._declaration(parent, name).type)
        return is_composite_type(named)

    def _directives(self) -> str:
        if not self._choices.chance(8):
            return ""
        names = self._choices.pick((("skip",), ("include",), ("skip", "include")))
        return " ".join(f"@{name}(if: {self._arguments.flag()})" for name in names) + " "
