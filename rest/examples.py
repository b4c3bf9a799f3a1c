"""Examples in the OpenAPI document: one app with a customer, a tier, a feature and a license."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel

from asgi.bodies import PayloadTooLarge
from resolvers.errors import NO_KEY, KeyReused
from rest.errors import Code
from rest.service import VERSION

_SLUG = "atlas-studio"
_INSTALLATION_ID = "8f14e45f-ceea-467f-a3b5-2d1b6f0c9e11"
_EMAIL = "lena@orbit.example"
_EXTERNAL_ID = "crm-8841"
_TOKEN = "eyJhbGciOiJFZERTQSIsImtpZCI6ImtleV8xIn0.eyJhdWQiOiJhdGxhcy1zdHVkaW8ifQ.c2lnbmF0dXJl"  # noqa: S105
_PEM = """\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""

_APP = {
    "id": "app_01kfn2s8x0e8vbq6d1y3m7r4tz",
    "name": "Atlas Studio",
    "slug": _SLUG,
    "description": None,
    "webhook_url": None,
    "public_key_pem": _PEM,
    "created_at": "2026-01-23T10:00:00Z",
}
_CUSTOMER = {
    "id": "cus_01kfn2v4c9fvz8k5p2x7w3q6hn",
    "email": _EMAIL,
    "name": "Lena Ortiz",
    "external_id": _EXTERNAL_ID,
    "metadata": {"region": "eu", "seats": 12},
    "created_at": "2026-01-23T10:05:00Z",
}
_SESSION = {
    "token": "cs_live_4fQ9xWm2Zt7Kc1Lb8Vn3Rj6Hd5Ps0Gy2",
    "expires_at": "2026-01-23T10:20:00Z",
}
_STATISTIC = {
    "from": "2026-01-01",
    "active": 812,
    "issued": 61,
    "renewed": 118,
    "reinstated": 1,
    "expired": 14,
    "revoked": 3,
    "deleted": 2,
    "customers_added": 40,
    "customers_deleted": 2,
    "customers": 530,
}
_TIER = {
    "id": "tier_01kfn2t6a1g0t9r8s7q6p5n4mk",
    "name": "Team",
    "slug": "team",
    "position": 1,
    "features": ["export"],
    "created_at": "2026-01-23T10:02:00Z",
}
_FEATURE = {
    "id": "feat_01kfn2sy7hf6e5d4c3b2a1z0yx",
    "name": "Export",
    "slug": "export",
    "description": "Export projects as PDF.",
    "created_at": "2026-01-23T10:01:00Z",
}
_LICENSE = {
    "id": "lic_01kfn2w9d5e4f3g2h1j0k9m8np",
    "installation_id": _INSTALLATION_ID,
    "token": _TOKEN,
    "status": "active",
    "tier": "team",
    "features": ["export"],
    "expires_at": "2027-01-23T10:06:00Z",
    "created_at": "2026-01-23T10:06:00Z",
    "customer_id": _CUSTOMER["id"],
    "tier_id": _TIER["id"],
    "jti": "lic_01kfn2w9d6r5s4t3v2w1x0y9z8",
    "revoked_at": None,
    "metadata": {"order": "A-1017"},
}
_KEY = {
    "id": "key_01kfn2x1b2c3d4e5f6g7h8j9k0",
    "name": "crm sync",
    "kind": "restricted",
    "prefix": "rk_live_",
    "last4": "x8Qz",
    "scopes": ["read", "read_customers", "write_customers"],
    "apps": [_SLUG],
    "origins": None,
    "documents": "any",
    "created_at": "2026-12-01T08:00:00Z",
    "last_used_at": None,
    "expires_at": None,
    "revoked_at": None,
}
_KEY_WITH_TOKEN = {**_KEY, "key": "rk_live_…"}
_WITHOUT_TOKEN = {key: value for key, value in _LICENSE.items() if key != "token"}
_EVENT = {
    "id": "evt_01kfn2y3d4f5g6h7j8k9m0n1p2",
    "type": "license.revoked",
    "created_at": "2026-03-01T09:30:00Z",
    "app": _SLUG,
    "subject": {"type": "license", "id": _LICENSE["id"]},
    "version": 3,
    "actor": {"kind": "key", "id": _KEY["id"], "name": _KEY["name"]},
    "request_id": "0f6c2b9e-7d1a-4c52-9a53-3f2f0f5f1f6c",
    "caused_by": None,
    "data": {
        **{key: value for key, value in _WITHOUT_TOKEN.items() if key != "metadata"},
        "status": "revoked",
        "revoked_at": "2026-03-01T09:30:00Z",
        "revoked_reason": "Refunded",
        "metadata": _LICENSE["metadata"],
    },
    "changes": {
        "status": {"from": "active", "to": "revoked"},
        "revoked_at": {"from": None, "to": "2026-03-01T09:30:00Z"},
        "revoked_reason": {"from": None, "to": "Refunded"},
    },
}

_BY_MODEL: Mapping[str, Any] = {
    "App": _APP,
    "Customer": _CUSTOMER,
    "CustomerSession": _SESSION,
    "Tier": _TIER,
    "Feature": _FEATURE,
    "License": _LICENSE,
    "ApiKey": _KEY,
    "ApiKeyWithToken": _KEY_WITH_TOKEN,
    "Event": _EVENT,
    "FeedMeta": {"next": _EVENT["id"], "has_more": False},
    "Meta": {"total": 1, "page": 1, "per_page": 20},
    "Health": {"status": "ok", "version": VERSION},
    "Document": {"openapi": "3.1.0"},
    "PublicKey": _PEM,
    "Jwk": {
        "kty": "OKP",
        "use": "sig",
        "alg": "EdDSA",
        "kid": "sgn_01kfn2s8x1h2j3k4m5n6p7q8r9",
        "x": "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE",
        "crv": "Ed25519",
    },
    "RotatedKeys": {"message": "Signing keys replaced", "licenses_resigned": 1, "public_key_pem": _PEM},
    "VerifiedLicense": {
        "valid": True,
        **{key: _LICENSE[key] for key in ("status", "tier", "features", "expires_at", "installation_id")},
    },
    "Verdicts": {"results": {_INSTALLATION_ID: {"valid": True, "status": "active", "tier": "team"}}},
    "CreateApp": {"name": _APP["name"], "slug": _SLUG, "signing_algorithm": "EdDSA"},
    "UpdateApp": {"description": "Drawing for architects"},
    "Rotation": {},  # Without `retire`, because someone may send the example unchanged.
    "NewTier": {**{key: _TIER[key] for key in ("slug", "name", "features")}, "duration_days": 365},
    "ChangedTier": {"position": 2},
    "CreateFeature": {key: _FEATURE[key] for key in ("slug", "name", "description")},
    "UpdateFeature": {"description": None},
    "CreateCustomer": {key: _CUSTOMER[key] for key in ("email", "name", "external_id", "metadata")},
    "UpdateCustomer": {"name": "Lena Ortiz-Berg", "metadata": None},
    "NewCustomerSession": {"ttl_seconds": 900},
    "NewLicense": {
        **{key: _LICENSE[key] for key in ("customer_id", "tier_id", "installation_id", "metadata")},
        "duration_days": 365,
    },
    "ChangedLicense": {"features": [], "duration_days": 365},
    "RenewedLicense": {"duration_days": 365, "from": "expiry_or_now"},
    "TransferLicense": {"customer_id": _CUSTOMER["id"]},
    "RegenerateLicense": {"current_token": _TOKEN},
    "RevokeLicense": {"reason": "Refunded"},
    "VerificationBatch": {"installation_ids": [_INSTALLATION_ID]},
    "NewApiKey": {key: _KEY[key] for key in ("name", "kind", "scopes", "apps")},
    "ChangedApiKey": {"name": "crm"},
    "RotateApiKey": {"overlap_hours": 24},
    "ApiKeysQuery": {"kind": "restricted"},
    "StatisticsQuery": {"from": "2026-01-01", "to": "2026-01-31", "every": "month"},
    "Statistic": _STATISTIC,
    "EventsQuery": {"type": ["license.revoked"], "subject_id": _LICENSE["id"]},
    "EmailQuery": {"email": _EMAIL},
    "ExternalIdQuery": {"external_id": _EXTERNAL_ID},
    "InstallationQuery": {"installation_id": _INSTALLATION_ID},
    "VerificationQuery": {"installation_id": _INSTALLATION_ID},
}

_DATA_BY_OPERATION: Mapping[str, Any] = {
    "list_licenses": [_WITHOUT_TOKEN],
    "revoke_license": {**_WITHOUT_TOKEN, "status": "revoked", "revoked_at": "2026-03-01T09:30:00Z"},
    "update_app": {**_APP, "description": "Drawing for architects"},
    "update_tier": {**_TIER, "position": 2},
    "update_feature": {**_FEATURE, "description": None},
    "update_api_key": {**_KEY, "name": "crm"},
    "update_customer": {**_CUSTOMER, "name": "Lena Ortiz-Berg", "metadata": {}},
}
"""By operation: the `data` of responses with a changed object, or with licenses without tokens."""

_IDS = {"tiers": _TIER["id"], "features": _FEATURE["id"], "customers": _CUSTOMER["id"], "keys": _KEY["id"]}

_ERRORS: Mapping[Code, Mapping[str, Any]] = {
    Code.BAD_REQUEST: {"message": "The body is not valid JSON."},
    Code.UNAUTHORIZED: {"message": NO_KEY},
    Code.FORBIDDEN: {"message": "A public key can read and not write; use a secret key."},
    Code.NOT_FOUND: {"message": "The app does not exist."},
    Code.METHOD_NOT_ALLOWED: {"message": "This path only supports GET, HEAD."},
    Code.CONFLICT: {
        "message": "email has already been taken",
        "details": {"email": ["has already been taken"]},
    },
    Code.PRECONDITION_FAILED: {"message": "If-Match does not match the current version, which is 5."},
    Code.PAYLOAD_TOO_LARGE: {"message": str(PayloadTooLarge(1_048_576))},
    Code.UNSUPPORTED_MEDIA_TYPE: {"message": "The body must be sent as application/json."},
    Code.VALIDATION_ERROR: {
        "message": "email is not a valid address",
        "details": {"email": ["is not a valid address"]},
    },
    Code.IDEMPOTENCY_MISMATCH: {"message": str(KeyReused())},
    Code.RATE_LIMITED: {"message": "At most 600 requests with this key are allowed per minute."},
    Code.INTERNAL_ERROR: {"message": "Internal error. Look up the request id in the server's log."},
    Code.UNAVAILABLE: {"message": "The database is unavailable. Try again later."},
}


def of_body(model: type[BaseModel]) -> Any:
    """Return an example of a request body."""
    return _of(model)


def of_answer(operation: str, model: type[BaseModel]) -> Any:
    """Return an example of an operation's response body."""
    answer = _of(model)
    return {**answer, "data": _DATA_BY_OPERATION[operation]} if operation in _DATA_BY_OPERATION else answer


def of_error(code: Code) -> Any:
    """Return an example of an error's response body."""
    return {"error": {"code": code.value, **_ERRORS[code]}}


def of_path(tag: str) -> Mapping[str, Any]:
    """Return examples of the path parameters of a tag's operations."""
    return {"slug": _SLUG, "id": _IDS.get(tag, _LICENSE["id"])}


def of_query(model: type[BaseModel]) -> Mapping[str, Any]:
    """Return examples of the query parameters that a request needs."""
    examples: Mapping[str, Any] = _BY_MODEL.get(model.__name__, {})
    return examples


def _of(annotation: Any) -> Any:
    """Return the example of a type. By default, a model's example consists of its fields' examples."""
    if get_origin(annotation) is list:
        return [_of(get_args(annotation)[0])]
    if get_origin(annotation) in {Union, UnionType}:
        return _of(next(each for each in get_args(annotation) if each is not NoneType))
    if annotation.__name__ in _BY_MODEL:
        return _BY_MODEL[annotation.__name__]
    return {name: _of(info.annotation) for name, info in annotation.model_fields.items()}
