"""Expected values for REST tests: strings that match a pattern, errors, and stored rows."""

import re
from typing import Any

import httpx
from sqlalchemy import Table, Text, cast, select

from db.engine import Database
from db.types import JsonObject

CUSTOMER_KEYS = ["id", "email", "name", "external_id", "metadata", "created_at"]
APP_KEYS = ["id", "name", "slug", "description", "webhook_url", "public_key_pem", "created_at"]

TIER_KEYS = ["id", "name", "slug", "position", "features", "created_at"]
FEATURE_KEYS = ["id", "name", "slug", "description", "created_at"]
LICENSE_KEYS = [
    "id",
    "installation_id",
    "token",
    "status",
    "tier",
    "features",
    "expires_at",
    "created_at",
    "customer_id",
    "tier_id",
    "jti",
    "revoked_at",
    "metadata",
]
LICENSE_KEYS_WITHOUT_TOKEN = [key for key in LICENSE_KEYS if key != "token"]
VERIFICATION_KEYS = ["valid", "status", "tier", "features", "expires_at", "installation_id"]


class Like(str):
    """A pattern that is equal to every string that matches the pattern."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(str(self), other) is not None

    def __ne__(self, other: object) -> bool:
        return not self == other


APP_ID = Like("app_[0-7][0-9a-hjkmnp-tv-z]{25}")
CUSTOMER_ID = Like("cus_[0-7][0-9a-hjkmnp-tv-z]{25}")
FEATURE_ID = Like("feat_[0-7][0-9a-hjkmnp-tv-z]{25}")
LICENSE_ID = Like("lic_[0-7][0-9a-hjkmnp-tv-z]{25}")
TIER_ID = Like("tier_[0-7][0-9a-hjkmnp-tv-z]{25}")
TOKEN = Like(r"[\w-]+\.[\w-]+\.[\w-]+")
PEM = Like(r"-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+\n-----END PUBLIC KEY-----\n")
MOMENT = Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
SENTENCE = Like(r"(?s).*\w.*")


def error(response: httpx.Response) -> tuple[int, str, dict[str, list[str]] | None]:
    """Check the envelope of an error, and return the status, code and details of the error.

    The details are returned without `existing_id`, which `tests/apis/test_messages.py` checks.
    """
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    body = response.json()
    shown = body["error"]
    assert body == {"error": shown}, body
    assert list(shown) == ["code", "message", "details"][: len(shown)], shown
    assert shown["message"] == SENTENCE, shown
    assert ("details" in shown) == (shown["code"] in {"validation_error", "conflict"}), shown
    assert set(map(type, shown.get("details", {}).pop("existing_id", [""]))) == {str}, shown
    return response.status_code, shown["code"], shown.get("details")


def invalid(**details: str) -> tuple[int, str, dict[str, list[str]]]:
    """Return the expected error for invalid fields, with one message for each field."""
    return 422, "validation_error", {field: [message] for field, message in details.items()}


def taken(*fields: str) -> tuple[int, str, dict[str, list[str]]]:
    """Return the expected error for fields whose values are already taken."""
    return 409, "conflict", {field: ["has already been taken"] for field in fields}


NOT_FOUND = (404, "not_found", None)
UNAUTHORIZED = (401, "unauthorized", None)
FORBIDDEN = (403, "forbidden", None)
BAD_REQUEST = (400, "bad_request", None)
PAYLOAD_TOO_LARGE = (413, "payload_too_large", None)
UNSUPPORTED_MEDIA_TYPE = (415, "unsupported_media_type", None)


async def stored(database: Database, table: Table) -> list[dict[str, Any]]:
    """Return all rows of a table in order of creation, with JSON columns as stored text."""
    columns = [
        cast(column, Text).label(column.name) if isinstance(column.type, JsonObject) else column
        for column in table.c
    ]
    async with database.write() as session:
        rows = await session.execute(select(*columns).order_by(table.c.id))
        return [dict(row) for row in rows.mappings()]
