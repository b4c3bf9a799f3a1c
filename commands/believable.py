"""Realistic customers and licenses for demos. Generating millions of rows takes seconds, not minutes.

Values are generated in the format in which the database stores them. Slow work is not repeated for each
license: the dates of its expiry and revocation are looked up instead of formatted, and random choices are
made for a whole batch.
"""

import random
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import uuid_utils

from db import clock, ids
from db.emails import email_key
from db.engine import ResultRow as Row
from db.ids import NewId
from db.types import fold, fold_optional, json_text

CUSTOMER_COLUMNS = (
    "id",
    "app_id",
    "email",
    "email_folded",
    "name",
    "name_folded",
    "external_id",
    "metadata",
    "created_at",
    "updated_at",
    "email_key",
)
LICENSE_COLUMNS = (
    "id",
    "app_id",
    "customer_id",
    "installation_id",
    "is_current",
    "expires_at",
    "revoked_at",
    "revoked_reason",
    "metadata",
    "created_at",
    "updated_at",
)

PAST = timedelta(days=2 * 365)

FEATURES = (
    ("export", "Export", "PDF, Markdown and HTML"),
    ("offline", "Work offline", "For thirty days without a network"),
    ("shared_notebooks", "Shared notebooks", None),
    ("sso", "Single sign-on", "SAML and OpenID Connect"),
    ("audit_log", "Audit log", "Who read and changed what, for a year"),
    ("beta_api", "Beta API", "For a few, while it grows"),
    ("priority_support", "Priority support", None),
)
"""The demo app's features: slug, name and description."""

TIERS = (
    ("starter", "Starter", ("export",)),
    ("team", "Team", ("export", "offline", "shared_notebooks")),
    ("business", "Business", ("audit_log", "export", "offline", "shared_notebooks", "sso")),
)
"""The demo app's tiers, from the lowest: slug, name and the slugs of the included features."""

GRANTS: tuple[tuple[str | None, tuple[str, ...], int], ...] = (
    ("starter", (), 45),
    ("starter", ("offline",), 5),
    ("team", (), 28),
    ("team", ("beta_api",), 4),
    ("business", (), 12),
    ("business", ("beta_api", "priority_support"), 3),
    (None, ("export",), 3),
)
"""The grants of licenses: a tier, additional features, and the percentage of licenses with this grant."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_FIRST_NAMES = _words(
    "Ada Aiko Alma Amara Anders Anika Arjun Astrid Ayşe Beatriz Björn Camila Carlos Chen Chloé Daniel "
    "Dmitri Elena Elif Emeka Emma Farah Felix Fiona Gabriel Grace Hana Hassan Hugo Ines Ingrid Ivan "
    "Jamal Jana Jin Jonas José Julia Kaito Kamala Karim Katja Kofi Lars Laura Leila Liam Lucía Mabel "
    "Magnus Malik María Mateo Mei Mila Mohamed Naomi Nia Nikolai Noor Olga Oliver Omar Paula Pavel Priya "
    "Rafael Ravi Rosa Saki Samuel Sara Sofia Stefan Tariq Theo Uma Victor Wanjiru Yusuf Zoë"
)
_LAST_NAMES = _words(
    "Abe Adeyemi Ahmed Almeida Andersen Bauer Becker Berg Bianchi Castro Chowdhury Cohen Costa Dahl Diaz "
    "Dubois Eriksen Evans Fischer Fontaine García Ghosh Gupta Haddad Hansen Hoffmann Hughes Ibrahim Ito "
    "Ivanova Jansen Johansson Kaya Keller Khan Kim Kowalski Kumar Larsen Laurent Lee Lehmann Lindqvist "
    "López Martin Mbeki Mendes Meyer Mori Müller Nakamura Nguyen Novak Okafor Olsen Ortiz Park Patel "
    "Pereira Popov Quinn Ramos Reyes Rossi Sato Schmidt Silva Singh Smith Suzuki Takahashi Tanaka Torres "
    "Usman Vargas Wagner Walker Weber Wong Yamamoto Yılmaz Zhang Zimmermann"
)
_COMPANIES = _words(
    "Alder Beacon Brightfield Cobalt Driftwood Ember Fernhill Fjord Granite Harbor Juniper Kestrel Lantern "
    "Meadow Northlight Orbit Papermill Quarry Riverstone Saltmarsh Tidewater Umber Vesper Willow"
)
_DOTLESS = str.maketrans("ı", "i")

_CUSTOMER_METADATA = tuple(
    json_text({"plan": plan, "country": country})
    for plan in ("monthly", "annual", "team", "lifetime")
    for country in ("BR", "CA", "DE", "FR", "GB", "IN", "JP", "KE", "NO", "US")
)
_LICENSE_METADATA = ("{}", *(json_text({"seats": seats}) for seats in (1, 1, 2, 5, 10, 25)))
_TERMS = (30, 90, 365, 365, 365, 730, None)  # days until a license expires; None means never
_REVOKED_AFTER = (*[None] * 18, 9, 40)  # days until a license is revoked; None means never
_REASONS = ("Refunded", "Chargeback", "The seat was given up", "The key was shared")


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of customers and rows of their licenses, both in chronological order."""

    customers: Sequence[Row]
    licenses: Sequence[Row]


class Believable:
    """Generates the customers and licenses of one app, spread over the two years before `now`."""

    def __init__(self, app_id: str, customers: int, licenses_per_customer: int, now: datetime) -> None:
        self._app_id = app_id
        self._total = customers
        self._each = licenses_per_customer
        self._start = now - PAST
        self._random = random.Random(customers)  # noqa: S311  (nothing here is a secret)
        self._dates = [str(self._start.date() + timedelta(days)) for days in range(PAST.days + 731)]

    def batches(self, rows: int) -> Iterator[Batch]:
        """Yield all of the data in batches of about `rows` rows."""
        size = max(1, rows // (1 + self._each))
        for first in range(0, self._total, size):
            numbers = range(first, min(first + size, self._total))
            # Each customer has its own time slot, so that customers are in chronological order.
            ats = [
                self._start + PAST * ((number + self._random.random()) / self._total) for number in numbers
            ]
            new = [ids.new_id(ids.CUSTOMER, at) for at in ats]
            yield Batch(self._customers(numbers, new), self._licenses(new))

    def _customers(self, numbers: range, new: Sequence[NewId]) -> list[Row]:
        rows: list[Row] = []
        kept = self._random.choices(_CUSTOMER_METADATA, k=len(new))
        for number, made, metadata in zip(numbers, new, kept, strict=True):
            email = _email(number)
            name = _name(number)
            external_id = f"crm-{number + 1:07}" if number % 5 else None
            created = clock.as_text(made.created_at)
            rows.append(
                (
                    made.id,
                    self._app_id,
                    email,
                    fold(email),
                    name,
                    fold_optional(name),
                    external_id,
                    metadata,
                    created,
                    created,
                    email_key(email),
                )
            )
        return rows

    def _licenses(self, owners: Sequence[NewId]) -> list[Row]:
        rows: list[Row] = []
        terms = iter(self._random.choices(_TERMS, k=len(owners) * self._each))
        revocations = iter(self._random.choices(_REVOKED_AFTER, k=len(owners) * self._each))
        kept = iter(self._random.choices(_LICENSE_METADATA, k=len(owners) * self._each))
        for owner in owners:
            day = (owner.created_at.date() - self._start.date()).days
            created = clock.as_text(owner.created_at)
            time = created[10:]
            for _ in range(self._each):
                term, after = next(terms), next(revocations)
                revoked = (
                    None if after is None or day + after >= PAST.days else self._dates[day + after] + time
                )
                rows.append(
                    (
                        ids.new_id(ids.LICENSE, owner.created_at).id,
                        self._app_id,
                        owner.id,
                        str(uuid_utils.uuid7()),  # ids in ascending order are indexed twice as fast
                        True,
                        None if term is None else self._dates[day + term] + time,
                        revoked,
                        None if revoked is None else _REASONS[day % len(_REASONS)],
                        next(kept),
                        created,
                        revoked or created,
                    )
                )
        return rows


def _name(number: int) -> str | None:
    """Return the name of customer `number`, or None: every twentieth customer has no name."""
    if number % 20 == 0:
        return None
    first, last, _, _ = _drawn(number)
    return f"{_FIRST_NAMES[first]} {_LAST_NAMES[last]}"


def _email(number: int) -> str:
    """Return the email of customer `number`. Every customer has a different email."""
    first, last, company, round_ = _drawn(number)
    return f"{_PLAIN_FIRST[first]}.{_PLAIN_LAST[last]}{round_ or ''}@{_PLAIN_COMPANIES[company]}.example"


def _drawn(number: int) -> tuple[int, int, int, int]:
    """Return the indexes of a customer's first name, last name and company, and the number of the round.

    In each round, `_TRIOS` customers get every combination of these three exactly once, because `_STRIDE` and
    `_TRIOS` have no common factor.
    """
    round_, step = divmod(number, _TRIOS)
    rest, first = divmod(step * _STRIDE % _TRIOS, len(_FIRST_NAMES))
    company, last = divmod(rest, len(_LAST_NAMES))
    return first, last, company, round_


def _plain(names: Sequence[str]) -> tuple[str, ...]:
    """Convert names to lower-case ASCII, for use in emails."""
    decomposed = (unicodedata.normalize("NFKD", name).translate(_DOTLESS) for name in names)
    return tuple(name.encode("ascii", "ignore").decode().lower() for name in decomposed)


_PLAIN_FIRST, _PLAIN_LAST, _PLAIN_COMPANIES = map(_plain, (_FIRST_NAMES, _LAST_NAMES, _COMPANIES))
_TRIOS = len(_FIRST_NAMES) * len(_LAST_NAMES) * len(_COMPANIES)
_STRIDE = 100_003  # a prime number
assert _TRIOS % _STRIDE, "some trios would never be used"
