"""Answers queries with plain resolvers: every object is a dict whose values graphql-core calls or takes."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

from graphql import build_schema, execute_sync, parse

from db import clock
from tests.reference.pages import Arguments, page
from tests.reference.rows import Row, Rows

Object: TypeAlias = dict[str, Any]


class Reference:
    """The graph over rows that do not change. Queries only, and only such as are valid."""

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
        """The `data` of the answer, for a viewer of an account at a moment. Raises what a resolver raises."""
        root = _Graph(self._rows, account_id, now, reads_tokens=reads_tokens).query()
        # Whether a document is valid is for the application to say, which refuses one that is not.
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

    def query(self) -> Object:
        return {
            "node": self._node,
            "nodes": lambda info, ids: [self._node(info, id) for id in ids],
            "app": lambda _, slug: _first(self._app, self._apps, lambda row: row["slug"] == slug),
            "apps": lambda _, **arguments: self._app_connection(self._apps, arguments),
            "customer": self._one_customer,
            "license": self._one_license,
        }

    def _node(self, info: object, id: str) -> Object | None:
        ways = (self._one_app, self._one_customer, self._one_license, self._one_tier, self._one_feature)
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

    def _app(self, row: Row) -> Object:
        customers = [other for other in self._customers if other["app_id"] == row["id"]]
        licenses = [other for other in self._licenses if other["app_id"] == row["id"]]
        tiers = [other for other in self._tiers if other["app_id"] == row["id"]]
        features = [other for other in self._features if other["app_id"] == row["id"]]
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
            "customer": lambda _, by: _first(self._customer, customers, partial(_is_referred_to, by)),
            "customers": lambda _, **arguments: self._customer_connection(customers, arguments),
            "licenses": lambda _, **arguments: self._license_connection(licenses, arguments),
            "license": lambda _, by: self._license_by(licenses, by),
            "tier": lambda _, slug: _first(self._tier, tiers, lambda other: other["slug"] == slug),
            "tiers": lambda _, **arguments: page("Tier", tiers, arguments, self._tier),
            "feature": lambda _, slug: _first(self._feature, features, lambda other: other["slug"] == slug),
            "features": lambda _, **arguments: page("Feature", features, arguments, self._feature),
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
        return {
            "__typename": "Customer",
            "id": row["id"],
            "email": row["email"],
            "name": row["name"],
            "externalId": row["external_id"],
            "metadata": row["metadata"],
            "createdAt": clock.as_text(row["created_at"]),
            "updatedAt": clock.as_text(row["updated_at"]),
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
            "createdAt": clock.as_text(row["created_at"]),
            "app": lambda info: self._one_app(info, row["app_id"]),
        }

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
            "metadata": row["metadata"],
            "createdAt": clock.as_text(row["created_at"]),
            "updatedAt": clock.as_text(row["updated_at"]),
            "app": lambda info: self._one_app(info, row["app_id"]),
            "customer": lambda info: self._one_customer(info, row["customer_id"]),
        }

    def _token(self, license: Row) -> Row:
        """The last one that a key has signed which is current or was."""
        (generation,) = (app["signing_generation"] for app in self._apps if app["id"] == license["app_id"])
        signed = (
            token
            for token in self._rows.tokens
            if token["license_id"] == license["id"] and token["generation"] <= generation
        )
        return max(signed, key=lambda token: token["number"])

    def _license_by(self, licenses: Iterable[Row], by: Arguments) -> Object | None:
        """By id, or by installation: the active one comes first, and else the newest."""
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
        expires_at = row["expires_at"]
        return (
            (status is None or self._status(row) == status)
            and (before is None or (expires_at is not None and expires_at < datetime.fromisoformat(before)))
            and (after is None or (expires_at is not None and expires_at > datetime.fromisoformat(after)))
            and (not tier_slug or tier_slug == self._tier_slug(row))
            and (not feature or feature in row["features"])
        )

    def _tier_slug(self, license: Row) -> str | None:
        return next((row["slug"] for row in self._tiers if row["id"] == license["tier_id"]), None)


def _customer_passes(row: Row, filter: Arguments) -> bool:
    email, external_id, search = (filter.get(key) or "" for key in ("email", "externalId", "search"))
    before, after = filter.get("createdBefore"), filter.get("createdAfter")
    return (
        _contains(row["email"], email)
        and (external_id in {"", row["external_id"]})
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
            return bool(row["email"].casefold() == value.casefold())
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
