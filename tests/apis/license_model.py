"""A model of licenses: what each call does to a license, and which license an installation uses.

Times are whole seconds since 1970. Calls have REST's names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

DAY = 86_400
FACTS = ("tier_id", "own_features", "installation_id")
"""What a token states about a license, besides its expiry."""

Wrong: TypeAlias = dict[str, str]
"""Codes by field."""


@dataclass(frozen=True)
class License:
    """What the model knows about a license."""

    customer_id: str
    tier_id: str | None
    own_features: tuple[str, ...]
    features: tuple[str, ...]
    installation_id: str
    expires_at: int | None
    is_revoked: bool = False
    metadata: Any = None

    def status(self, now: int) -> str:
        if self.is_revoked:
            return "revoked"
        return "active" if self.expires_at is None or self.expires_at > now else "expired"


class Model:
    """All licenses of an app, and the features of its tiers."""

    def __init__(self, tiers: Mapping[str | None, Sequence[str]]) -> None:
        self.tiers = {None: (), **tiers}
        self.licenses: dict[str, License] = {}

    def holder(self, installation_id: str, now: int) -> str | None:
        """Return the id of the installation's active license, or None."""
        seated = (id for id, each in self.licenses.items() if each.installation_id == installation_id)
        return next((id for id in seated if self.licenses[id].status(now) == "active"), None)

    def after(self, id: str, verb: str, values: Mapping[str, Any], now: int) -> License | Wrong:
        """Return a license as it is after a call, or what is wrong with the call."""
        new: License | Wrong = getattr(self, f"_{verb}")(self.licenses[id], values, now)
        if isinstance(new, License) and new.status(now) == "active":
            return (
                new if self.holder(new.installation_id, now) in {None, id} else {"installation_id": "TAKEN"}
            )
        return new

    def joined(self, tier_id: str | None, own: Sequence[str]) -> tuple[str, ...]:
        of_tier = sorted(self.tiers[tier_id])
        return (*of_tier, *(slug for slug in own if slug not in of_tier))

    def _update(self, old: License, values: Mapping[str, Any], now: int) -> License | Wrong:
        given = {"own_features" if name == "features" else name: value for name, value in values.items()}
        new = replace(old, **{name: given[name] for name in (*FACTS, "metadata") if name in given})
        if (new.tier_id, new.own_features) != (old.tier_id, old.own_features):
            new = replace(new, features=self.joined(new.tier_id, new.own_features))
        term = next((name for name in ("expires_at", "duration_days", "forever") if name in values), None)
        if term is not None:
            end = _end(values, now)
            if end is not None and end <= now and end != old.expires_at:
                return {"expires_at": "INVALID"}
            new = replace(new, expires_at=end)
        wrong = [name for name in FACTS if getattr(new, name) != getattr(old, name)]
        if old.is_revoked and new.expires_at != old.expires_at:
            wrong.append(term or "")
        if wrong and new.status(now) != "active":
            return {"features" if name == "own_features" else name: "WRONG_STATE" for name in wrong}
        return new

    def _renew(self, old: License, values: Mapping[str, Any], now: int) -> License | Wrong:
        if old.is_revoked or old.expires_at is None:
            return {"id": "WRONG_STATE"}
        start = {"now": now, "expiry": old.expires_at}.get(values["from"], max(now, old.expires_at))
        end = _end(values, start)
        return (
            {"duration_days": "INVALID"} if end is not None and end <= now else replace(old, expires_at=end)
        )

    def _transfer(self, old: License, values: Mapping[str, Any], _now: int) -> License:
        return replace(old, customer_id=values["customer_id"])

    def _revoke(self, old: License, _values: Mapping[str, Any], _now: int) -> License:
        return replace(old, is_revoked=True)

    def _reinstate(self, old: License, _values: Mapping[str, Any], _now: int) -> License | Wrong:
        return replace(old, is_revoked=False) if old.is_revoked else {"id": "WRONG_STATE"}

    def _regenerate(self, old: License, _values: Mapping[str, Any], now: int) -> License | Wrong:
        if old.status(now) != "active":
            return {"id": "WRONG_STATE"}
        return replace(old, features=self.joined(old.tier_id, old.own_features))


def _end(values: Mapping[str, Any], start: int) -> int | None:
    """Return when a term ends. A number of days counts from `start`."""
    if "duration_days" in values:
        return start + int(values["duration_days"]) * DAY
    text = values.get("expires_at") or values.get("until")
    return None if text is None else int(datetime.fromisoformat(text).timestamp())
