"""Answers queries with plain resolvers: every object is a dict whose values graphql-core calls or takes."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypeAlias

from graphql import build_schema, graphql_sync

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
    ) -> Object:
        """The `data` of the answer, for a viewer of an account at a moment. Raises what a resolver raises."""
        root = _Graph(self._rows, account_id, now).query()
        result = graphql_sync(
            self._schema, document, root, variable_values=dict(variables or {}), operation_name=operation
        )
        if result.errors:
            raise result.errors[0]
        assert result.data is not None
        return result.data


class _Graph:
    def __init__(self, rows: Rows, account_id: str, now: datetime) -> None:
        self._now = now
        self._apps = [row for row in rows.apps if row["account_id"] == account_id]
        own = {row["id"] for row in self._apps}
        self._customers = [row for row in rows.customers if row["app_id"] in own]
        self._licenses = [row for row in rows.licenses if row["app_id"] in own]

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
        return self._one_app(info, id) or self._one_customer(info, id) or self._one_license(info, id)

    def _one_app(self, _info: object, id: str) -> Object | None:
        return _first(self._app, self._apps, lambda row: row["id"] == id)

    def _one_customer(self, _info: object, id: str) -> Object | None:
        return _first(self._customer, self._customers, lambda row: row["id"] == id)

    def _one_license(self, _info: object, id: str) -> Object | None:
        return _first(self._license, self._licenses, lambda row: row["id"] == id)

    def _app(self, row: Row) -> Object:
        customers = [other for other in self._customers if other["app_id"] == row["id"]]
        licenses = [other for other in self._licenses if other["app_id"] == row["id"]]
        return {
            "__typename": "App",
            "id": row["id"],
            "slug": row["slug"],
            "name": row["name"],
            "description": row["description"],
            "webhookUrl": row["webhook_url"],
            "createdAt": clock.as_text(row["created_at"]),
            "updatedAt": clock.as_text(row["updated_at"]),
            "customer": lambda _, by: _first(self._customer, customers, partial(_is_referred_to, by)),
            "customers": lambda _, **arguments: self._customer_connection(customers, arguments),
            "licenses": lambda _, **arguments: self._license_connection(licenses, arguments),
        }

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

    def _license(self, row: Row) -> Object:
        return {
            "__typename": "License",
            "id": row["id"],
            "installationId": row["installation_id"],
            "status": self._status(row),
            "expiresAt": _moment(row["expires_at"]),
            "revokedAt": _moment(row["revoked_at"]),
            "metadata": row["metadata"],
            "createdAt": clock.as_text(row["created_at"]),
            "updatedAt": clock.as_text(row["updated_at"]),
            "app": lambda info: self._one_app(info, row["app_id"]),
            "customer": lambda info: self._one_customer(info, row["customer_id"]),
        }

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
        expires_at = row["expires_at"]
        return (
            (status is None or self._status(row) == status)
            and (before is None or (expires_at is not None and expires_at < datetime.fromisoformat(before)))
            and (after is None or (expires_at is not None and expires_at > datetime.fromisoformat(after)))
        )


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
