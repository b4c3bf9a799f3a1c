"""What license tokens and customer sessions may show: the fields of each noun, by their names in `db`.

The holders of these tokens and sessions may not read any other noun or field.
"""

from db.shaping.selection import Visible

_LICENSE = frozenset(
    {
        *("id", "installation_id", "status", "status_word", "expires_at", "revoked_at", "revoked_reason"),
        *("features", "jti", "token", "customer_id", "tier_id", "tier_slug", "metadata"),
        *("created_at", "updated_at", "version", "trial"),
        "tier",
    }
)
_TIER = frozenset(
    {
        *("id", "slug", "name", "position", "feature_slugs", "created_at", "version", "features"),
        *("duration_days", "trial"),
    }
)
_FEATURE = frozenset({"id", "slug", "name", "description", "created_at", "version"})

OF_LICENSE: Visible = {"License": _LICENSE, "Tier": _TIER, "Feature": _FEATURE}
"""What the holder of a license's token sees: the license, its tier and the tier's features."""

OF_CUSTOMER: Visible = {
    "Customer": frozenset(
        {
            *("id", "email", "name", "external_id", "metadata", "created_at", "updated_at", "version"),
            *("licenses", "app"),
        }
    ),
    "License": _LICENSE | {"customer", "app"},
    "Tier": _TIER | {"app"},
    "Feature": _FEATURE | {"app"},
    "App": frozenset({"id", "slug", "name", "description", "signing_algorithm", "public_key_pem"}),
    "SearchHit": frozenset({"field", "customer", "license"}),
}
"""What a session shows: the customer, their licenses with tiers and features, and some fields of the app."""
