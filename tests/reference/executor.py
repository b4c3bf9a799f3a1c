"""Runs queries with plain resolvers: every object is a dict of values and functions for graphql-core."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, TypeAlias
from uuid import UUID

from graphql import build_schema, execute_sync, parse

from db import clock
from db.emails import email_key
from db.shaping import cursors
from db.shaping.selection import Values
from resolvers import search
from resolvers.inputs import parse_moment
from tests.reference.pages import BY_VERSION, Arguments, page
from tests.reference.rows import Row, Rows

Object: TypeAlias = dict[str, Any]

PREFIXES = {"secret": "sk", "public": "pk", "restricted": "rk", "session": "cs"}
_HAPPENED = ("issued", "renewed", "reinstated", "expired", "revoked", "deleted")
SECRET = (
    *("read", "read_customers", "read_tokens", "read_events"),
    *("write", "write_customers", "write_licenses", "write_catalog"),
    *("rotate_signing_keys", "manage_keys", "manage_webhooks"),
)
"""The scopes of a secret key."""


class Reference:
    """Runs valid queries on a fixed set of rows."""

    def __init__(self, sdl: str, rows: Rows) -> None:
        self._schema = build_schema(sdl)
        self._rows = rows

    def answer(
        self,
        document: str,
        variables: Mapping[str, Any] | None = None,
        *,
        account_id: str,
        now: datetime,
        operation: str | None = None,
        reads_tokens: bool = True,
    ) -> Object:
        """Execute a document for an account at a given time, and return the `data` of the response.

        Unless `reads_tokens`, tokens of licenses are null. If execution fails, raises the first error, a
        GraphQLError.
        """
        root = _Graph(self._rows, account_id, now, reads_tokens=reads_tokens).query()
        # The document is not validated, because the application itself refuses invalid documents.
        result = execute_sync(
            self._schema,
            parse(document),
            root,
            variable_values=dict(variables or {}),
            operation_name=operation,
        )
        if result.errors:
            raise result.errors[0]
        assert result.data is not None
        return result.data


class _Graph:
    def __init__(self, rows: Rows, account_id: str, now: datetime, *, reads_tokens: bool) -> None:
        self._now = now
        self._reads_tokens = reads_tokens
        self._rows = rows
        self._apps = [row for row in rows.apps if row["account_id"] == account_id]
        own = {row["id"] for row in self._apps}
        self._customers = [row for row in rows.customers if row["app_id"] in own]
        self._licenses = [row for row in rows.licenses if row["app_id"] in own]
        self._tiers = [row for row in rows.tiers if row["app_id"] in own]
        self._features = [row for row in rows.features if row["app_id"] in own]
        self._keys = [row for row in rows.keys if row["account_id"] == account_id]
        self._documents = [row for row in rows.documents if row["account_id"] == account_id]
        self._events = [row for row in rows.events if row["account_id"] == account_id]

    def query(self) -> Object:
        return {
            "node": self._node,
            "nodes": lambda info, ids: [self._node(info, id) for id in ids],
            "app": lambda _, slug: _first(self._app, self._apps, lambda row: row["slug"] == slug),
            "apps": lambda _, **arguments: self._app_connection(self._apps, arguments),
            "customer": self._one_customer,
            "license": self._one_license,
            "search": lambda _, **wanted: self._search(**wanted),
            "apiKeys": lambda _, **arguments: self._key_connection(arguments),
            "registeredDocuments": lambda _, **arguments: self._document_connection(arguments),
            "events": lambda _, **arguments: self._event_connection(self._events, arguments),
            "snapshot": lambda _, **wanted: self._snapshot_of(**wanted),
        }

    def _node(self, info: object, id: str) -> Object | None:
        ways = (
            *(self._one_app, self._one_customer, self._one_license, self._one_tier, self._one_feature),
            *(self._one_key, self._one_document, self._one_event),
        )
        return next((found for way in ways if (found := way(info, id)) is not None), None)

    def _one_app(self, _info: object, id: str) -> Object | None:
        return _first(self._app, self._apps, lambda row: row["id"] == id)

    def _one_customer(self, _info: object, id: str) -> Object | None:
        return _first(self._customer, self._customers, lambda row: row["id"] == id)

    def _one_license(self, _info: object, id: str) -> Object | None:
        return _first(self._license, self._licenses, lambda row: row["id"] == id)

    def _one_tier(self, _info: object, id: str | None) -> Object | None:
        return _first(self._tier, self._tiers, lambda row: row["id"] == id)

    def _one_feature(self, _info: object, id: str) -> Object | None:
        return _first(self._feature, self._features, lambda row: row["id"] == id)

    def _one_key(self, _info: object, id: str | None) -> Object | None:
        return _first(self._key, self._keys, lambda row: row["id"] == id)

    def _one_document(self, _info: object, id: str) -> Object | None:
        return _first(self._document, self._documents, lambda row: row["id"] == id)

    def _one_event(self, _info: object, id: str | None) -> Object | None:
        return _first(self._event, self._events, lambda row: row["id"] == id)

    def _search(self, text: str, first: int, appSlug: str | None = None) -> list[Object]:  # noqa: N803
        """Return the hits of a search: collect everything that matches, sort it, and drop repeats."""
        values = Values()
        sought = search.sought(text, appSlug, first, values)
        if sought is None:
            return []
        searched = {row["id"] for row in self._apps if appSlug in {None, row["slug"]}}
        within = [row for row in self._customers if row["app_id"] in searched]
        exact = {kind: json.loads(str(values.items[slot])) for kind, slot in sought.exact}
        licenses = [row for row in self._licenses if row["app_id"] in searched]
        issued = [each for row in licenses for each in self._issued(row)]
        found: list[tuple[int, str, str, Row, Row | None]] = []
        for rank, (kind, field, named) in enumerate(
            (
                ("token", "TOKEN", [(row["id"], row) for row in licenses]),
                ("token_jti", "TOKEN", [(token["jti"], row) for row, token in issued]),
                ("jti", "JTI", [(token["jti"], row) for row, token in issued]),
                ("license_id", "LICENSE_ID", [(row["id"], row) for row in licenses]),
                ("customer_id", "CUSTOMER_ID", [(row["id"], row) for row in within]),
                ("installation_id", "INSTALLATION_ID", [(row["installation_id"], row) for row in licenses]),
                ("external_id", "EXTERNAL_ID", [(row["external_id"], row) for row in within]),
                ("email", "EMAIL", [(email_key(row["email"]), row) for row in within]),
            )
        ):
            for value, row in named:
                if value in exact.get(kind, ()):
                    customer = next(
                        each for each in within if each["id"] == row.get("customer_id", row["id"])
                    )
                    found.append((rank, "", field, customer, row if "customer_id" in row else None))
        ranges = [] if sought.beginnings is None else json.loads(str(values.items[sought.beginnings]))
        words = [str(values.items[slot]) for slot in sought.words]
        for row in within:
            email, name = row["email"].casefold(), (row["name"] or "").casefold()
            if any(email.startswith(start) for start, _ in ranges):
                found.append((8, email, "EMAIL", row, None))
            if row["name"] is not None and any(name.startswith(start) for start, _ in ranges):
                found.append((9, name, "NAME", row, None))
            there = [word for word in words if word in email or word in name]
            if words and there == words:
                field = "EMAIL" if all(word in email for word in words) else "NAME"
                found.append((10, email, field, row, None))
            found += [(11, email, "EMAIL" if word in email else "NAME", row, None) for word in there]
        best: dict[tuple[str, str | None], tuple[int, str, str, Row, Row | None]] = {}
        for each in sorted(found, key=lambda each: each[:3]):
            best.setdefault((each[3]["id"], each[4]["id"] if each[4] else None), each)
        hits = sorted(best.values(), key=lambda each: each[3]["id"])
        hits.sort(key=lambda each: each[4]["id"] if each[4] else "", reverse=True)
        hits.sort(key=lambda each: each[:2])
        return [
            {
                "__typename": "SearchHit",
                "field": field,
                "customer": self._customer(customer),
                "license": license and self._license(license),
            }
            for _, _, field, customer, license in hits[:first]
        ]

    def _issued(self, license: Row) -> Iterable[tuple[Row, Row]]:
        """Return a license with each of its tokens, except those that were signed in advance."""
        (generation,) = (app["signing_generation"] for app in self._apps if app["id"] == license["app_id"])
        for token in self._rows.tokens:
            if token["license_id"] == license["id"] and token["generation"] <= generation:
                yield license, token

    def _snapshot_of(self, id: str, at: str) -> Object | None:
        """Return the snapshot of an app, a customer or a license, which may be deleted."""
        images = (self._apps, self._app_image), (self._customers, self._customer_image)
        for rows, image in (*images, (self._licenses, self._license_image)):
            for row in rows:
                if row["id"] == id:
                    return self._snapshot(row, image, at)
        return self._snapshot({"id": id}, None, at)

    def _snapshot(self, row: Row, image: Callable[[Row], Object] | None, at: str) -> Object | None:
        then = clock.as_text(min(parse_moment(at), self._now))
        about = sorted(
            (each for each in self._events if each["subject_id"] == row["id"]), key=lambda e: e["version"]
        )
        past = [each for each in about if clock.as_text(each["created_at"]) <= then]
        if past:
            if past[-1]["type"].endswith(".deleted"):
                return None
            shown = json.loads(past[-1]["data"])
        elif about:
            undone = {key: each["from"] for key, each in json.loads(about[0]["changes"]).items()}
            shown = {**json.loads(about[0]["data"]), **undone}
        elif image is not None:
            shown = image(row)
        else:
            return None
        shown.pop("license_count", None)
        if "status" in shown and shown["status"] != "revoked":
            is_over = shown["expires_at"] is not None and shown["expires_at"] <= then
            shown["status"] = "expired" if is_over else "active"
        return shown if shown["created_at"] <= then else None

    def _app_image(self, row: Row) -> Object:
        return {
            **{name: row[name] for name in ("id", "name", "slug", "description", "webhook_url")},
            "public_key_pem": self._public_key_pem(row),
            "created_at": clock.as_text(row["created_at"]),
        }

    def _customer_image(self, row: Row) -> Object:
        names = "id", "email", "name", "external_id", "metadata"
        return {**{name: row[name] for name in names}, "created_at": clock.as_text(row["created_at"])}

    def _license_image(self, row: Row) -> Object:
        slugs = {tier["id"]: tier["slug"] for tier in self._tiers}
        return {
            "id": row["id"],
            "installation_id": row["installation_id"],
            "status": self._status(row).lower(),
            "tier": slugs.get(row["tier_id"]),
            "features": row["features"],
            "expires_at": _moment(row["expires_at"]),
            "created_at": clock.as_text(row["created_at"]),
            "customer_id": row["customer_id"],
            "tier_id": row["tier_id"],
            "jti": self._token(row)["jti"],
            "revoked_at": _moment(row["revoked_at"]),
            "revoked_reason": row["revoked_reason"],
            "metadata": row["metadata"],
        }

    def _app(self, row: Row) -> Object:
        customers = [other for other in self._customers if other["app_id"] == row["id"]]
        licenses = [other for other in self._licenses if other["app_id"] == row["id"]]
        tiers = [other for other in self._tiers if other["app_id"] == row["id"]]
        features = [other for other in self._features if other["app_id"] == row["id"]]
        events = [other for other in self._events if other["app_id"] == row["id"]]
        return {
            "__typename": "App",
            "id": row["id"],
            "slug": row["slug"],
            "name": row["name"],
            "description": row["description"],
            "webhookUrl": row["webhook_url"],
            "signingAlgorithm": row["signing_algorithm"],
            "publicKeyPem": lambda _: self._public_key_pem(row),
            "createdAt": clock.as_text(row["created_at"]),
            "updatedAt": clock.as_text(row["updated_at"]),
            "version": lambda _: row["version"],
            "changesCursor": lambda _: cursors.encode(
                "Event.position.both", str(self._rows.log[0]["head"]), None
            ),
            "events": lambda _, **arguments: self._event_connection(events, arguments),
            "statistics": lambda _, **arguments: list(self._statistics(row, tiers, arguments)),
            "standing": lambda _: self._standing(licenses, tiers),
            "snapshot": lambda _, at: self._snapshot(row, self._app_image, at),
            "customer": lambda _, by: _first(self._customer, customers, partial(_is_referred_to, by)),
            "customers": lambda _, **arguments: self._customer_connection(customers, arguments),
            "licenses": lambda _, **arguments: self._license_connection(licenses, arguments),
            "license": lambda _, by: self._license_by(licenses, by),
            "tier": lambda _, slug: _first(self._tier, tiers, lambda other: other["slug"] == slug),
            "tiers": lambda _, **arguments: page("Tier", tiers, arguments, self._tier),
            "feature": lambda _, slug: _first(self._feature, features, lambda other: other["slug"] == slug),
            "features": lambda _, **arguments: page("Feature", features, arguments, self._feature),
        }

    def _statistics(self, app: Row, tiers: Iterable[Row], arguments: Arguments) -> Iterable[Object]:
        first, last = (date.fromisoformat(arguments[name]) for name in ("from", "to"))
        slug, every = arguments.get("tierSlug"), arguments["every"]
        tier_id = next((tier["id"] for tier in tiers if tier["slug"] == slug), None) if slug else "*"
        of_app = [day for day in self._rows.app_days if (day["app_id"], day["span"]) == (app["id"], "day")]
        licenses = [day for day in of_app if day["tier_id"] == tier_id]
        customers = [day for day in of_app if day["tier_id"] == "*"]
        starts = sorted(
            {_start(first + timedelta(number), every) for number in range((last - first).days + 1)}
        )
        for start in starts:
            # No interval is longer than 31 days.
            days = [start + timedelta(number) for number in range(31)]
            within = {day.isoformat() for day in days if _start(day, every) == start}
            found = Counter[str]()
            for row in licenses:
                found.update({name: row[name] for name in _HAPPENED if row["day"] in within})
                found["active"] += row["active"] if row["day"] <= max(within) else 0
            for row in customers:
                added, deleted = row["customers_added"], row["customers_deleted"]
                found["customers"] += added - deleted if row["day"] <= max(within) else 0
                found.update(
                    {"customersAdded": added, "customersDeleted": deleted} if row["day"] in within else {}
                )
            names = (*_HAPPENED, "active", "customers", "customersAdded", "customersDeleted")
            yield {
                "__typename": "Statistic",
                "from": start.isoformat(),
                **{name: found[name] for name in names},
            }

    def _standing(self, licenses: Sequence[Row], tiers: Sequence[Row]) -> Object:
        statuses = [self._status(row) for row in licenses]
        active = [row for row in licenses if self._status(row) == "ACTIVE"]
        of_tier = Counter(row["tier_id"] for row in active)
        ordered = [*(tier["id"] for tier in sorted(tiers, key=lambda tier: tier["rank"]))]
        if of_tier[None]:
            ordered.append(None)

        def expiring(days: int) -> int:
            end = self._now + timedelta(days=days)
            return sum(row["expires_at"] is not None and row["expires_at"] <= end for row in active)

        return {
            "__typename": "Standing",
            "active": len(active),
            "expired": statuses.count("EXPIRED"),
            "revoked": statuses.count("REVOKED"),
            "expiringIn7Days": expiring(7),
            "expiringIn30Days": expiring(30),
            "neverVerified": sum(row["last_verified_at"] is None for row in active),
            "byTier": [
                {
                    "__typename": "TierStanding",
                    "tier": partial(self._one_tier, id=id),
                    "active": of_tier[id],
                }
                for id in ordered
            ],
        }

    def _public_key_pem(self, app: Row) -> str:
        (pem,) = (
            key["public_key_pem"]
            for key in self._rows.signing_keys
            if (key["app_id"], key["generation"]) == (app["id"], app["signing_generation"])
        )
        return str(pem)

    def _customer(self, row: Row) -> Object:
        licenses = [other for other in self._licenses if other["customer_id"] == row["id"]]
        events = [
            other for other in self._events if row["id"] in {other["customer_id"], other["other_customer_id"]}
        ]
        return {
            "__typename": "Customer",
            "id": row["id"],
            "email": row["email"],
            "name": row["name"],
            "externalId": row["external_id"],
            "metadata": row["metadata"],
            "createdAt": clock.as_text(row["created_at"]),
            "updatedAt": clock.as_text(row["updated_at"]),
            "version": lambda _: row["version"],
            "events": lambda _, **arguments: self._event_connection(events, arguments),
            "snapshot": lambda _, at: self._snapshot(row, self._customer_image, at),
            "app": lambda info: self._one_app(info, row["app_id"]),
            "licenses": lambda _, **arguments: self._license_connection(licenses, arguments),
        }

    def _tier(self, row: Row) -> Object:
        licenses = [other for other in self._licenses if other["tier_id"] == row["id"]]
        linked = {link["feature_id"] for link in self._rows.tier_features if link["tier_id"] == row["id"]}
        features = sorted(
            (other for other in self._features if other["id"] in linked), key=lambda other: other["slug"]
        )
        return {
            "__typename": "Tier",
            "id": row["id"],
            "slug": row["slug"],
            "name": row["name"],
            "position": row["position"],
            "durationDays": row["duration_days"],
            "trial": row["trial"],
            "version": lambda _: row["version"],
            "events": lambda _, **arguments: self._own_events(row, arguments),
            "createdAt": clock.as_text(row["created_at"]),
            "app": lambda info: self._one_app(info, row["app_id"]),
            "features": lambda _: [self._feature(each) for each in features],
            "licenses": lambda _, **arguments: self._license_connection(licenses, arguments),
        }

    def _feature(self, row: Row) -> Object:
        return {
            "__typename": "Feature",
            "id": row["id"],
            "slug": row["slug"],
            "name": row["name"],
            "description": row["description"],
            "version": lambda _: row["version"],
            "events": lambda _, **arguments: self._own_events(row, arguments),
            "createdAt": clock.as_text(row["created_at"]),
            "app": lambda info: self._one_app(info, row["app_id"]),
        }

    def _key(self, row: Row) -> Object:
        kind, listed = row["kind"], row["app_ids"]
        of_kind = ["read", "read_customers"] if kind == "public" else SECRET
        used = [each for each in self._rows.usage if each["subject"] == row["id"]]
        apps = sorted((app for app in self._apps if app["id"] in (listed or ())), key=lambda app: app["slug"])
        return {
            "__typename": "ApiKey",
            "id": row["id"],
            "kind": kind.upper(),
            "name": row["name"],
            "prefix": f"{PREFIXES[kind]}_live_",
            "last4": row["last4"],
            "scopes": [scope.upper() for scope in row["scopes"] or of_kind],
            "apps": None if listed is None else [self._app(app) for app in apps],
            "origins": row["origins"],
            "documents": row["documents"].upper(),
            "documentSets": row["document_sets"],
            "createdAt": clock.as_text(row["created_at"]),
            "createdBy": lambda info: self._one_key(info, row["created_by"]),
            "expiresAt": _moment(row["expires_at"]),
            "revokedAt": _moment(row["revoked_at"]),
            "lastUsedAt": _moment(max((each["last_at"] for each in used), default=None)),
            "usage": lambda _, days: list(self._usage(used, days)),
        }

    def _usage(self, used: Iterable[Row], days: int) -> Iterable[Object]:
        by_day: dict[date, list[Row]] = {}
        for row in used:
            by_day.setdefault(row["minute"].date(), []).append(row)
        for day in sorted(by_day):
            if (self._now.date() - day).days < days:
                names = ("requests", "points", "refused")
                sums = {name: max(sum(row[name] for row in by_day[day]), 0) for name in names}
                yield {"__typename": "KeyUsage", "day": day.isoformat(), **sums}

    def _key_connection(self, arguments: Arguments) -> Object:
        filter = arguments.get("filter") or {}
        passing = [row for row in self._keys if self._key_passes(row, filter)]
        return page("ApiKey", passing, arguments, self._key)

    def _key_passes(self, row: Row, filter: Arguments) -> bool:
        kind, live = filter.get("kind"), filter.get("live")
        is_over = row["expires_at"] is not None and row["expires_at"] <= self._now
        is_live = row["revoked_at"] is None and not is_over
        is_of_kind = row["kind"] != "session" if kind is None else row["kind"].upper() == kind
        return is_of_kind and live in {None, is_live}

    def _document(self, row: Row) -> Object:
        return {
            "__typename": "RegisteredDocument",
            "id": row["id"],
            "documentId": row["document_id"],
            "set": row["set"],
            "operations": row["operations"],
            "text": row["text"],
            "maxCost": row["max_cost"],
            "registeredAt": clock.as_text(row["registered_at"]),
            "lastUsedAt": _moment(row["last_used_at"]),
        }

    def _document_connection(self, arguments: Arguments) -> Object:
        set = arguments.get("set")
        passing = [row for row in self._documents if set is None or row["set"] == set]
        return page("RegisteredDocument", passing, arguments, self._document)

    def _event(self, row: Row) -> Object:
        return {
            "__typename": "Event",
            "id": row["id"],
            "type": row["type"].replace(".", "_").upper(),
            "createdAt": clock.as_text(row["created_at"]),
            "subjectType": row["subject_type"].upper(),
            "subjectId": row["subject_id"],
            "version": lambda _: row["version"],
            "app": lambda info: self._one_app(info, row["app_id"]),
            "actor": lambda _: self._actor(row),
            "requestId": row["request_id"],
            "causedBy": lambda info: self._one_event(info, row["caused_by"]),
            "data": json.loads(row["data"]),
            "changes": json.loads(row["changes"]),
            "erased": row["erased"],
        }

    def _actor(self, event: Row) -> Object:
        key = next((key for key in self._rows.keys if key["id"] == event["actor_id"]), None)
        return {
            "__typename": "Actor",
            "kind": event["actor_kind"].upper(),
            "id": event["actor_id"],
            "name": key and key["name"],
            "last4": key and key["last4"],
        }

    def _event_connection(self, rows: Iterable[Row], arguments: Arguments) -> Object:
        filter = arguments.get("filter") or {}
        passing = [row for row in rows if row["position"] is not None and _event_passes(row, filter)]
        return page("Event", passing, arguments, self._event)

    def _own_events(self, subject: Row, arguments: Arguments) -> Object:
        filter = arguments.get("filter") or {}
        own = [row for row in self._events if row["subject_id"] == subject["id"]]
        passing = [row for row in own if _event_passes(row, filter)]
        return page("Event", passing, arguments, self._event, BY_VERSION)

    def _license(self, row: Row) -> Object:
        return {
            "__typename": "License",
            "id": row["id"],
            "installationId": row["installation_id"],
            "status": self._status(row),
            "expiresAt": _moment(row["expires_at"]),
            "revokedAt": _moment(row["revoked_at"]),
            "revokedReason": row["revoked_reason"],
            "features": row["features"],
            "jti": lambda _: self._token(row)["jti"],
            "token": lambda _: self._token(row)["token"] if self._reads_tokens else None,
            "tier": lambda info: self._one_tier(info, row["tier_id"]),
            "trial": self._is_trial(row),
            "metadata": row["metadata"],
            "createdAt": clock.as_text(row["created_at"]),
            "updatedAt": clock.as_text(row["updated_at"]),
            "version": lambda _: row["version"],
            "lastVerifiedAt": _moment(row["last_verified_at"]),
            "events": lambda _, **arguments: self._own_events(row, arguments),
            "snapshot": lambda _, at: self._snapshot(row, self._license_image, at),
            "app": lambda info: self._one_app(info, row["app_id"]),
            "customer": lambda info: self._one_customer(info, row["customer_id"]),
        }

    def _token(self, license: Row) -> Row:
        """Return the newest token that was signed with the current key or an earlier one."""
        return max(self._tokens(license), key=lambda token: token["number"])

    def _tokens(self, license: Row) -> list[Row]:
        """Return the tokens that were signed with the current key or an earlier one."""
        (generation,) = (app["signing_generation"] for app in self._apps if app["id"] == license["app_id"])
        return [
            token
            for token in self._rows.tokens
            if token["license_id"] == license["id"] and token["generation"] <= generation
        ]

    def _license_by(self, licenses: Iterable[Row], by: Arguments) -> Object | None:
        """Find a license by id or by installation.

        An installation's license is the active one, or the newest one if none is active.
        """
        ((key, value),) = by.items()
        if key == "id":
            return _first(self._license, licenses, lambda row: row["id"] == value)
        there = [row for row in licenses if row["installation_id"] == value.lower()]
        there.sort(key=lambda row: (self._status(row) == "ACTIVE", row["id"]), reverse=True)
        return self._license(there[0]) if there else None

    def _status(self, row: Row) -> str:
        if row["revoked_at"] is not None:
            return "REVOKED"
        if row["expires_at"] is not None and row["expires_at"] <= self._now:
            return "EXPIRED"
        return "ACTIVE"

    def _app_connection(self, rows: Iterable[Row], arguments: Arguments) -> Object:
        return page("App", rows, arguments, self._app)

    def _customer_connection(self, rows: Iterable[Row], arguments: Arguments) -> Object:
        filter = arguments.get("filter") or {}
        passing = [row for row in rows if _customer_passes(row, filter)]
        return page("Customer", passing, arguments, self._customer)

    def _license_connection(self, rows: Iterable[Row], arguments: Arguments) -> Object:
        filter = arguments.get("filter") or {}
        passing = [row for row in rows if self._license_passes(row, filter)]
        return page("License", passing, arguments, self._license)

    def _license_passes(self, row: Row, filter: Arguments) -> bool:
        status, before, after = (filter.get(key) for key in ("status", "expiresBefore", "expiresAfter"))
        tier_slug, feature = filter.get("tierSlug") or "", filter.get("feature") or ""
        installation, expires_at = filter.get("installationId"), row["expires_at"]
        seen_before, seen_after = filter.get("verifiedBefore"), filter.get("verifiedAfter")
        seen = row["last_verified_at"]
        return (
            (status is None or self._status(row) == status)
            and (before is None or (expires_at is not None and expires_at < datetime.fromisoformat(before)))
            and (after is None or (expires_at is not None and expires_at > datetime.fromisoformat(after)))
            and (not tier_slug or tier_slug == self._tier_slug(row))
            and (not feature or feature in row["features"])
            and filter.get("trial") in {None, self._is_trial(row)}
            and filter.get("verified") in {None, seen is not None}
            and (installation is None or UUID(installation) == UUID(row["installation_id"]))
            and (seen_before is None or (seen is not None and seen < datetime.fromisoformat(seen_before)))
            and (seen_after is None or (seen is not None and seen > datetime.fromisoformat(seen_after)))
            and self._license_starts(row, (filter.get("search") or "").strip())
        )

    def _license_starts(self, license: Row, start: str) -> bool:
        """Return whether a license's installation id, or the jti of one of its tokens, starts with a text."""
        digits = re.sub("[-{}]", "", start.lower())
        return (
            not start
            or (digits != "" and license["installation_id"].replace("-", "").startswith(digits))
            or any(token["jti"].startswith(start) for token in self._tokens(license))
        )

    def _is_trial(self, license: Row) -> bool:
        return any(tier["trial"] for tier in self._tiers if tier["id"] == license["tier_id"])

    def _tier_slug(self, license: Row) -> str | None:
        return next((row["slug"] for row in self._tiers if row["id"] == license["tier_id"]), None)


def _start(day: date, every: str) -> date:
    """Return the first day of the interval that contains a day."""
    if every == "MONTH":
        return day.replace(day=1)
    return day - timedelta(days=day.weekday()) if every == "WEEK" else day


def _event_passes(row: Row, filter: Arguments) -> bool:
    types, subject_id, actor_id = (filter.get(key) for key in ("types", "subjectId", "actorId"))
    before, after = filter.get("happenedBefore"), filter.get("happenedAfter")
    return (
        (not types or row["type"].replace(".", "_").upper() in types)
        and (not subject_id or row["subject_id"] == subject_id)
        and (not actor_id or row["actor_id"] == actor_id)
        and (before is None or row["created_at"] < datetime.fromisoformat(before))
        and (after is None or row["created_at"] > datetime.fromisoformat(after))
    )


def _customer_passes(row: Row, filter: Arguments) -> bool:
    email, external_id, search = (filter.get(key) or "" for key in ("email", "externalId", "search"))
    before, after = filter.get("createdBefore"), filter.get("createdAfter")
    return (
        _contains(row["email"], email.strip())
        and (not external_id.strip() or external_id == row["external_id"])
        and (_contains(row["email"], search) or _contains(row["name"], search))
        and (before is None or row["created_at"] < datetime.fromisoformat(before))
        and (after is None or row["created_at"] > datetime.fromisoformat(after))
    )


def _contains(text: str | None, part: str) -> bool:
    return text is not None and part.casefold() in text.casefold()


def _is_referred_to(by: Arguments, row: Row) -> bool:
    ((key, value),) = by.items()
    match key:
        case "email":
            return email_key(row["email"]) == email_key(value)
        case "externalId":
            return bool(row["external_id"] == value)
        case _:
            return bool(row["id"] == value)


def _first(
    make: Callable[[Row], Object], rows: Iterable[Row], wanted: Callable[[Row], bool]
) -> Object | None:
    return next((make(row) for row in rows if wanted(row)), None)


def _moment(at: datetime | None) -> str | None:
    return None if at is None else clock.as_text(at)
