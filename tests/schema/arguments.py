"""Arguments for generated queries: values from the data set, as literals or as any kind of variable."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from random import Random
from typing import Any, TypeVar

from db import clock
from db.events import EventType
from db.features import MOST_IN_APP
from db.keys import MOST_APPS
from db.shaping import cursors
from db.standing import STANDING_COST, TYPICAL_TIERS
from db.statistics import MOST_INTERVALS
from resolvers.search import DEFAULT_HITS
from tests.reference.pages import BY_VERSION, ORDERS, Order
from tests.reference.rows import Row
from tests.schema.dataset import NOW, Dataset, Vendor

T = TypeVar("T")

MANAGED = ("ApiKey", "RegisteredDocument", "Event")
"""The types that only a vendor who manages keys can read."""

_SOLD = ("App", "Customer", "License", "Tier", "Feature")
KINDS = (*_SOLD, *MANAGED)
_WITH_SNAPSHOTS = ("App", "Customer", "License")

_FILTERED = ("Customer", "License", "ApiKey", "Event")
_IN_THE_ORDER_ASKED = ("App", "Customer", "License", "Event")
_WITH_OWN_EVENTS = ("License", "Tier", "Feature")

_DEFAULT_ORDERS = {"Event": "POSITION"}
_DEFAULT_SIZE = 20
_SIZES = (1, 2, 3, 4, 5, 7, 20, 50, 100)
_WILDCARDS = ("%", "_", "\\", "/", "//", "100%", "'", '"', " ", "@", "\n", "\t", "\x7f", "")
_LETTERS = ("ß", "SS", "ss", "i", "İ", "ı", "σ", "ς", "Σ", "zoë", "ZOË", "zoe\u0308", "👩", "👩‍👩‍👧")
_NO_IDS: Sequence[str | int] = ("", "nope", "cus_", f"app_{'0' * 26}", "lic_!", 7, "app_", "ＡＰＰ", "a\nb")


class EnumValue(str):
    """A string whose literal has no quotes."""

    __slots__ = ()


class Facts:
    """Values for queries: ids, strings and timestamps from the data set."""

    def __init__(self, data: Dataset) -> None:
        self.vendors = data.vendors
        self.rows: Mapping[str, Sequence[Row]] = {
            "App": data.rows.apps,
            "Customer": data.rows.customers,
            "License": data.rows.licenses,
            "Tier": data.rows.tiers,
            "Feature": data.rows.features,
            "ApiKey": data.rows.keys,
            "RegisteredDocument": data.rows.documents,
            "Event": data.rows.events,
        }
        # Queries may also use deleted rows: a cursor stays valid after its row is deleted, and any id may be
        # sent.
        deleted: Mapping[str, Sequence[Row]] = {
            "App": data.deleted.apps,
            "Customer": data.deleted.customers,
            "License": data.deleted.licenses,
            "Tier": data.deleted.tiers,
            "Feature": data.deleted.features,
            "ApiKey": data.deleted.keys,
            "RegisteredDocument": data.deleted.documents,
            "Event": data.deleted.events,
        }
        self.known = {kind: (*rows, *deleted[kind]) for kind, rows in self.rows.items()}
        customers = self.known["Customer"]
        self.texts = [row[name] for row in customers for name in ("email", "name") if row[name]]
        self.external_ids = [row["external_id"] for row in customers if row["external_id"]]
        self.emails = [row["email"] for row in customers]
        self.slugs: list[str] = [row["slug"] for row in data.rows.apps]
        self.tier_slugs: list[str] = [row["slug"] for row in self.known["Tier"]]
        self.feature_slugs: list[str] = [row["slug"] for row in self.known["Feature"]]
        # One entry per license, so that installations with many licenses are picked more often.
        self.installations: list[str] = [row["installation_id"] for row in self.known["License"]]
        self.jtis: list[str] = [row["jti"] for row in data.rows.tokens]
        self.sets: list[str] = [row["set"] for row in self.known["RegisteredDocument"]]
        self.created = sorted({row["created_at"] for kind in _SOLD for row in self.known[kind]})
        verified = {row["last_verified_at"] for row in self.known["License"]}
        self.verified = sorted(verified - {None})
        self.expiries = sorted({row["expires_at"] for row in self.known["License"] if row["expires_at"]})
        self.happened = sorted({row["created_at"] for row in self.known["Event"]})
        self.subjects: list[str] = [row["subject_id"] for row in self.known["Event"]]
        self.actors: list[str] = [row["actor_id"] for row in self.known["Event"] if row["actor_id"]]
        self.app_owners = {row["id"]: row["account_id"] for row in data.rows.apps}

    def own(self, kind: str, vendor: Vendor) -> Sequence[Row]:
        """Return the rows of a kind that belong to a vendor's account."""
        if kind in MANAGED:
            return [row for row in self.rows[kind] if row["account_id"] == vendor.account_id]
        app = "id" if kind == "App" else "app_id"
        return [row for row in self.rows[kind] if self.app_owners[row[app]] == vendor.account_id]


class Choices:
    """Choices that Hypothesis makes, and shrinks towards False, the smallest number and the first option."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def chance(self, percent: int) -> bool:
        """Return True with a probability of `percent` in a hundred."""
        return self._random.randint(0, 99) >= 100 - percent

    def number(self, least: int, most: int) -> int:
        """Return a number in a range, both ends included."""
        return self._random.randint(least, most)

    def pick(self, choices: Iterable[T]) -> T:
        """Return one of the choices."""
        among = list(choices)
        return among[self.number(0, len(among) - 1)]


@dataclass(frozen=True, slots=True)
class _Variable:
    declaration: str
    given: bool
    value: Any


class Arguments:
    """Writes the arguments of a document's fields, and remembers the variables that they use."""

    def __init__(self, choices: Choices, facts: Facts, vendor: Vendor) -> None:
        self._choices = choices
        self._facts = facts
        self._vendor = vendor
        self._variables: dict[str, _Variable] = {}

    def variables_in(self, text: str) -> tuple[str, dict[str, Any]]:
        """Return the declarations of the variables in a part of a document, and the values to send."""
        used = {name: each for name, each in self._variables.items() if f"${name} " in text}
        declarations = ", ".join(each.declaration for each in used.values())
        return declarations, {name: each.value for name, each in used.items() if each.given}

    def page(self, parent: str, kind: str, largest: int) -> tuple[str, int]:
        """Return the arguments of a connection, and the maximum number of objects on the page."""
        order, descending = self._order(kind)
        backward = self._choices.chance(40)
        sizes = [size for size in _SIZES if size <= largest] or [1]
        given = self._choices.pick(sizes) if largest < _DEFAULT_SIZE or self._choices.chance(70) else None
        place = None
        if self._choices.chance(35):
            is_own = kind == "Event" and parent in _WITH_OWN_EVENTS
            place = self._cursor(kind, BY_VERSION if is_own else ORDERS[kind][order], descending)
        if backward and given is None and place is None:
            backward = False
        arguments = {
            "first": self._optional("Int", None if backward else given),
            "after": self._optional("String", None if backward else place),
            "last": self._optional("Int", given if backward else None),
            "before": self._optional("String", place if backward else None),
        }
        if kind in _IN_THE_ORDER_ASKED:
            arguments["orderBy"] = self._order_by(kind, order, descending)
        if kind in _FILTERED:
            arguments["filter"] = self._filter(kind)
        if kind == "RegisteredDocument":
            chosen = self._choices.pick((*self._facts.sets, "unknown"))
            arguments["set"] = self._optional("String", chosen if self._choices.chance(40) else None)
        return self._listed(arguments), given or _DEFAULT_SIZE

    def _listed(self, arguments: Mapping[str, str | None]) -> str:
        """Write arguments, or the fields of an input object, in this order or in the reverse order.

        Values that are None are left out.
        """
        given = [f"{name}: {text}" for name, text in arguments.items() if text is not None]
        if len(given) > 1 and self._choices.chance(30):
            given = given[::-1]
        return f"({', '.join(given)})" if given else ""

    def _order(self, kind: str) -> tuple[str, bool]:
        if kind not in _IN_THE_ORDER_ASKED:
            (only,) = ORDERS[kind]
            return only, kind in MANAGED
        if self._choices.chance(50):
            return self._choices.pick(ORDERS[kind]), self._choices.chance(50)
        return _DEFAULT_ORDERS.get(kind, "CREATED_AT"), True

    def _order_by(self, kind: str, order: str, descending: bool) -> str | None:
        direction = EnumValue("DESC" if descending else "ASC")
        is_default = descending and order == _DEFAULT_ORDERS.get(kind, "CREATED_AT")
        if is_default and self._choices.chance(70):
            return self._optional(f"{kind}Order", None)
        value = {"field": EnumValue(order), "direction": direction}
        if not descending and self._choices.chance(50):
            del value["direction"]
        if self._choices.chance(40):
            return self.written(f"{kind}Order", value)
        fields = {"field": self.written(f"{kind}OrderField!", value["field"])}
        if "direction" in value:
            fields["direction"] = self.written("OrderDirection!", direction)
        elif self._choices.chance(30):
            # The variable has no value, so the default of the input field applies.
            fields["direction"] = self._variable("OrderDirection", given=False)
        return "{" + self._listed(fields)[1:-1] + "}"

    def _cursor(self, kind: str, order: Order, descending: bool) -> str:
        rows = self._facts.known[kind]
        row = self._choices.pick(rows)
        if order.numbers:
            number = max((order.value(row) or 0) + self._choices.pick((0, 0, 1, -1)), 0)
            return cursors.encode(f"{kind}.{order.name}.both", str(number), None)
        # Sometimes the cursor is stale: it has the row's id, but the sort value of another row.
        value = order.value(self._choices.pick(rows) if self._choices.chance(15) else row)
        direction = "desc" if descending else "asc"
        return cursors.encode(f"{kind}.{order.name}.{direction}", row["id"], value)

    def _filter(self, kind: str) -> str | None:
        if not self._choices.chance(45):
            return self._optional(f"{kind}Filter", None)
        fields: dict[str, tuple[str, Any]] = {}
        for name, (type_, value) in self._conditions(kind).items():
            if self._choices.chance(40):
                fields[name] = (type_, None if self._choices.chance(10) else value())
        if self._choices.chance(30):
            return self.written(f"{kind}Filter", {name: value for name, (_, value) in fields.items()})
        return "{" + self._listed({name: self._optional(*each) for name, each in fields.items()})[1:-1] + "}"

    def _conditions(self, kind: str) -> Mapping[str, tuple[str, Callable[[], Any]]]:
        facts = self._facts
        if kind == "License":
            return {
                "status": (
                    "LicenseStatus",
                    lambda: EnumValue(self._choices.pick(("ACTIVE", "EXPIRED", "REVOKED"))),
                ),
                "expiresBefore": ("DateTime", lambda: self._moment(facts.expiries)),
                "expiresAfter": ("DateTime", lambda: self._moment(facts.expiries)),
                "tierSlug": ("String", lambda: self._slug_of(facts.tier_slugs)),
                "feature": ("String", lambda: self._slug_of(facts.feature_slugs)),
                "installationId": ("UUID", self._installation),
                "verifiedBefore": ("DateTime", lambda: self._moment(facts.verified)),
                "verifiedAfter": ("DateTime", lambda: self._moment(facts.verified)),
                "search": ("String", self._start),
                "trial": ("Boolean", lambda: self._choices.chance(50)),
                "verified": ("Boolean", lambda: self._choices.chance(50)),
            }
        if kind == "ApiKey":
            kinds = ("SECRET", "PUBLIC", "RESTRICTED", "SESSION")
            return {
                "kind": ("KeyKind", lambda: EnumValue(self._choices.pick(kinds))),
                "live": ("Boolean", lambda: self._choices.chance(50)),
            }
        if kind == "Event":
            types = [type.name for type in EventType]
            return {
                "types": ("[EventType!]", lambda: [EnumValue(self._choices.pick(types)) for _ in range(3)]),
                "subjectId": ("ID", lambda: self._choices.pick((*facts.subjects, "", "nobody"))),
                "actorId": ("ID", lambda: self._choices.pick((*facts.actors, "", "nobody"))),
                "happenedAfter": ("DateTime", lambda: self._moment(facts.happened)),
                "happenedBefore": ("DateTime", lambda: self._moment(facts.happened)),
            }
        return {
            "email": ("String", self._text),
            "externalId": ("String", lambda: self._choices.pick((*facts.external_ids, "", "no such id"))),
            "search": ("String", self._text),
            "createdAfter": ("DateTime", lambda: self._moment(facts.created)),
            "createdBefore": ("DateTime", lambda: self._moment(facts.created)),
        }

    def _text(self) -> str:
        if self._choices.chance(40):
            return self._choices.pick(_WILDCARDS + _LETTERS + ("no such text",))
        text: str = self._choices.pick(self._facts.texts)
        start = self._choices.number(0, len(text) - 1)
        part = text[start : start + self._choices.number(1, 4)]
        return self._choices.pick((part, part.upper(), part.lower()))

    def _moment(self, moments: Sequence[datetime]) -> str:
        moment = self._choices.pick((*moments, NOW)) + timedelta(seconds=self._choices.pick((0, 1, -1)))
        if self._choices.chance(80):
            return clock.as_text(moment)
        return moment.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat()

    def _slug(self) -> str:
        return self._choices.pick(
            (*self._facts.slugs, *self._facts.slugs, "unknown", "", "Editor", "é", "editor ")
        )

    def _slug_of(self, slugs: Sequence[str]) -> str:
        """Return the slug of a tier or feature, a part of one, or a text that is special in SQL or JSON."""
        return self._choices.pick(
            (*slugs, *slugs, "", "ss", "export_", "%", "SSO", '"', '","', "[", "é", "[]")
        )

    def _installation(self) -> str:
        id = self._choices.pick((*self._facts.installations, "00000000-0000-4000-8000-000000000000"))
        return self._choices.pick((id, id.upper(), id.replace("-", "")))

    def _start(self) -> str:
        """Return the start of an installation id or of a jti, or another text."""
        id = self._choices.pick((*self._facts.jtis, self._installation()))
        start = id[: self._choices.number(0, len(id))]
        return self._choices.pick((start, start, start.upper(), f" {start}", f"{start}%", "-", "{"))

    def _node_id(self) -> str | int:
        """Return an id, or a value that is not the id of any node.

        Such a value is no error: the query finds nothing.
        """
        # A query with the id of a key or of a registered document is refused if the vendor cannot read these.
        kind = self._choices.pick(KINDS if self._vendor.manages_keys else _SOLD)
        if self._choices.chance(80):
            return self._id(kind)
        stranger: str = self._choices.pick(self._facts.known[kind])["id"]
        return self._choices.pick((stranger.upper(), f"lic{stranger[3:]}", self._vendor.account_id, *_NO_IDS))

    def _id(self, kind: str) -> str:
        """Return the id of an object of a kind, usually one of the vendor's own.

        Sometimes the object belongs to another vendor, is deleted, or has never existed.
        """
        own = [row["id"] for row in self._facts.own(kind, self._vendor)]
        if self._choices.chance(80):
            return str(self._choices.pick(own))
        prefix = own[0].partition("_")[0]
        return str(
            self._choices.pick((*(row["id"] for row in self._facts.known[kind]), f"{prefix}_{'0' * 26}"))
        )

    def _reference(self) -> str:
        key, pool, type_ = self._choices.pick(
            (
                ("email", (*self._facts.emails, "nobody", ""), "String!"),
                ("id", [self._id("Customer")], "ID!"),
                ("externalId", (*self._facts.external_ids, "nobody", ""), "String!"),
            )
        )
        value: str = self._choices.pick(pool)
        if key == "email":
            value = self._choices.pick((value, value.upper(), value.lower()))
        return self._one_of("CustomerRef!", key, value, type_)

    def _license_reference(self) -> str:
        key, value, type_ = self._choices.pick(
            (
                ("installationId", self._choices.pick(self._facts.installations), "UUID!"),
                ("installationId", "00000000-0000-4000-8000-000000000000", "UUID!"),
                ("id", self._id("License"), "ID!"),
            )
        )
        if key == "installationId" and self._choices.chance(30):
            value = value.upper()
        return self._one_of("LicenseRef!", key, value, type_)

    def _one_of(self, input_: str, key: str, value: str, type_: str) -> str:
        if self._choices.chance(30):
            return self.written(input_, {key: value})
        # GraphQL does not allow a nullable variable in a @oneOf input, even if the variable has a default.
        inside = (
            self._variable(type_, given=True, value=value) if self._choices.chance(50) else _literal(value)
        )
        return f"{{{key}: {inside}}}"

    def flag(self) -> str:
        """Return a Boolean argument for a directive."""
        return self.written("Boolean!", self._choices.chance(50))

    def lookup(self, parent: str, name: str) -> tuple[str, int]:
        """Return the arguments of a field, and the maximum number of objects that the field returns."""
        match parent, name:
            case "Query", "app":
                return f"(slug: {self.written('String!', self._slug())})", 1
            case "Query", ("customer" | "license"):
                return f"(id: {self.written('ID!', self._id(name.capitalize()))})", 1
            case "Query", "search":
                return self._search()
            case "Query", "node":
                return f"(id: {self.written('ID!', self._node_id())})", 1
            case "Query", "nodes":
                ids = [self._node_id() for _ in range(self._choices.number(0, 6))]
                one_alone = len(ids) == 1 and self._choices.chance(50)
                return f"(ids: {self.written('[ID!]!', ids[0] if one_alone else ids)})", max(len(ids), 1)
            case "App", "customer":
                return f"(by: {self._reference()})", 1
            case "App", "license":
                return f"(by: {self._license_reference()})", 1
            case "App", "tier":
                return f"(slug: {self.written('String!', self._slug_of(self._facts.tier_slugs))})", 1
            case "App", "feature":
                return f"(slug: {self.written('String!', self._slug_of(self._facts.feature_slugs))})", 1
            case "Query", "snapshot":
                id = self.written("ID!", self._id(self._choices.pick(_WITH_SNAPSHOTS)))
                return f"(id: {id}, at: {self._time()})", 1
            case _, "snapshot":
                return f"(at: {self._time()})", 1
            case "Tier", "features":
                return "", MOST_IN_APP
            case "ApiKey", "apps":
                return "", MOST_APPS
            case "App", "statistics":
                return self._intervals()
            case "App", "standing":
                return "", STANDING_COST
            case "Standing", "byTier":
                return "", TYPICAL_TIERS + STANDING_COST
            case "ApiKey", "usage":
                days = self._choices.pick((1, 2, 7, 90)) if self._choices.chance(50) else None
                return ("", 30) if days is None else (f"(days: {self.written('Int!', days)})", days)
            case _, "totalCount":
                at_most = self._choices.pick((1, 2, 5, 20, 1000)) if self._choices.chance(40) else None
                return self._listed({"atMost": self._optional("Int", at_most)}), 1
            case _:
                # `nodes` and `edges` add no factor, because the size of their connection has already been
                # counted.
                return "", 1

    def _search(self) -> tuple[str, int]:
        """Return the arguments of a search, and the maximum number of hits."""
        text = " ".join(self._sought() for _ in range(self._choices.number(1, 2)))
        if self._choices.chance(10):
            text = self._choices.pick(("", " \n", f" {text}\t", f"{text[:1]}\u200b{text[1:]}"))
        first = self._choices.pick((1, 2, 3, 20)) if self._choices.chance(60) else None
        slug = self._slug() if self._choices.chance(30) else None
        arguments = {
            "text": self.written("String!", text),
            "appSlug": self._optional("String", slug),
            "first": None if first is None else self.written("Int!", first),
        }
        return self._listed(arguments), first or DEFAULT_HITS

    def _sought(self) -> str:
        """Return something that a customer may send, or a part of it."""
        facts = self._facts
        customer: Row = self._choices.pick(facts.known["Customer"])
        email, name = customer["email"], customer["name"] or "Nobody"
        whole = (email, email.upper(), name, f"{name} <{email}>", customer["external_id"] or "x")
        parts = (email[: self._choices.number(1, 6)], name[:3].upper(), name[-3:], self._text())
        installation, jti = self._installation(), self._choices.pick(facts.jtis)
        named = (customer["id"], self._id("License"), installation, f"{{{installation}}}", jti, jti.upper())
        found: str = self._choices.pick((*whole, *parts, *named))
        return found

    def _intervals(self) -> tuple[str, int]:
        """Return the arguments of statistics, and the number of intervals."""
        every, days = self._choices.pick((("DAY", 1), ("WEEK", 7), ("MONTH", 31), (None, 1)))
        count = self._choices.pick((1, 2, 5, 40))
        first = NOW.date() - timedelta(days=self._choices.pick((0, 1, 40, 100, 800)))
        last = first + timedelta(days=days * (count - 1) + self._choices.number(0, days - 1))
        tier = self._choices.pick((None, None, "", *self._facts.tier_slugs, "nowhere"))
        written = {
            "from": self.written("Date!", first.isoformat()),
            "to": self.written("Date!", last.isoformat()),
            "every": None if every is None else self.written("StatisticsInterval!", EnumValue(every)),
            "tierSlug": self._optional("String", tier),
        }
        return self._listed(written), min(2 * count + 1, MOST_INTERVALS)

    def _time(self) -> str:
        """Return a time after the log began. Some are those of events, or in the future."""
        after = timedelta(days=self._choices.number(50, 110), seconds=self._choices.pick((0, 0, 0, -1, 1)))
        return self.written("DateTime!", clock.as_text(NOW - timedelta(days=100) + after))

    def _optional(self, type_: str, value: Any) -> str | None:
        """Write an optional value.

        None is written in one of four ways: left out, null, a variable without a value, or a variable that is
        null.
        """
        if value is not None:
            return self.written(type_, value)
        if self._choices.chance(85):
            return None
        ways: Sequence[Callable[[], str]] = (
            lambda: "null",
            lambda: self._variable(type_, given=False),
            lambda: self._variable(type_, given=True, value=None),
        )
        return self._choices.pick(ways)()

    def written(self, type_: str, value: Any) -> str:
        """Return a value as a literal or as a variable. The variable may have the value as its default."""
        if self._choices.chance(65):
            return _literal(value)
        if self._choices.chance(70):
            return self._variable(type_, given=True, value=value)
        other_default = _literal(value) if self._choices.chance(50) else None
        nullable = type_.removesuffix("!")
        if other_default is not None and self._choices.chance(50):
            return self._variable(nullable, given=False, default=other_default)
        return self._variable(f"{nullable}!", given=True, value=value, default=other_default)

    def _variable(self, type_: str, *, given: bool, value: Any = None, default: str | None = None) -> str:
        suffix = "" if default is None else f" = {default}"
        for name, other in self._variables.items():
            same = other.declaration == f"${name} : {type_}{suffix}" and other.given == given
            if same and _literal(other.value) == _literal(value):
                return f"${name} "
        name = f"v{len(self._variables)}"
        self._variables[name] = _Variable(f"${name} : {type_}{suffix}", given, value)
        return f"${name} "


def _literal(value: Any) -> str:
    """Return a value as a GraphQL literal."""
    match value:
        case EnumValue():
            return str(value)
        case dict():
            return "{" + ", ".join(f"{key}: {_literal(each)}" for key, each in value.items()) + "}"
        case list():
            return "[" + ", ".join(_literal(each) for each in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)
