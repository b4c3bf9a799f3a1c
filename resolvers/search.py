"""The search for customers and licenses by anything that someone may send: what a text may stand for."""

import re
from dataclasses import dataclass, field

from db import ids
from db.customers import CUSTOMER
from db.emails import email_key
from db.search import EXACT
from db.shaping.selection import Slot, Sought, Values
from db.types import fold, json_text
from resolvers import paging
from resolvers.errors import BadUserInput
from resolvers.inputs import is_storable, parse_uuid
from resolvers.verification import MAX_TOKEN_LENGTH, Claims, claims_of

DEFAULT_HITS, MAX_HITS = 10, 20
MAX_LENGTH = 1_000
MAX_WORDS = 10

# Characters that nobody sees, but that pasted text may have: soft hyphens, zero-width spaces, marks of the
# writing direction, word joiners and byte order marks.
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_BETWEEN_PARTS = re.compile(r'[<>,;"\n\r\t]+')
_AROUND_WORDS = "()[]{}'.:!?#"
_ID = re.compile(
    r"(?<![0-9a-z])(?:cus|lic)_[0-7][0-9a-hjkmnp-tv-z]{25}(?![0-9a-z])", re.IGNORECASE | re.ASCII
)
_UUID = re.compile(
    r"(?<![0-9a-z])(?:[0-9a-f]{32}|[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})(?![0-9a-z])",
    re.IGNORECASE | re.ASCII,
)
_SPACES = re.compile(r"(\s+)")
_FIRST_SURROGATE, _AFTER_SURROGATES = 0xD800, 0xE000
_LAST_CHARACTER = "\U0010ffff"
# This is longer than any email and any name.
_AFTER_ALL = _LAST_CHARACTER * MAX_LENGTH


@dataclass(slots=True)
class _Meaning:
    """What a text may stand for: values of each kind (`db.search.EXACT`), beginnings of texts, and words."""

    exact: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in EXACT})
    beginnings: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def add_token(self, claims: Claims) -> None:
        """Add what a token names. Its signature does not matter: the token only serves to find a license."""
        jti = claims.body.get("jti")
        if claims.license_id:
            self.exact["token"].append(claims.license_id)
        if isinstance(jti, str) and is_storable(jti):
            self.exact["token_jti"].append(jti)

    def add_part(self, text: str) -> None:
        """Add a part of a text, such as a name, an email, or several words."""
        words = text.split()
        spaced = " ".join(words)
        names = [word for word in words if not self._add_ids(word)]
        if names == words:
            self.beginnings += (text, spaced)
        names = [bare for word in names if (bare := word.removeprefix("mailto:").strip(_AROUND_WORDS))]
        self.words += names
        self.exact["external_id"] += (text, spaced, *words, *names)
        self.exact["email"] += (email_key(each) for each in (text, *names) if "@" in each)

    def _add_ids(self, word: str) -> bool:
        """Add the ids in a word, such as the address of a page, and return whether there are any."""
        found = [id.lower() for id in _ID.findall(word)]
        for id in found:
            kinds = ["customer_id"] if ids.prefix_of(id) == ids.CUSTOMER else ["license_id", "jti"]
            for kind in kinds:
                self.exact[kind].append(id)
        installations = [parse_uuid(each) for each in _UUID.findall(word)]
        self.exact["installation_id"] += installations
        return bool(found or installations)


def sought(text: str, app_slug: str | None, first: int, values: Values) -> Sought | None:
    """Return what a text stands for, with its values in slots, or None if nothing can match.

    Raises BadUserInput.
    """
    size = paging.number("first", first, MAX_HITS, values)
    if not is_storable(text):
        raise BadUserInput("text", "must not contain NUL or lone surrogates")
    found = _meaning(text)
    exact = [(kind, each) for kind in EXACT if (each := list(dict.fromkeys(found.exact.get(kind, ()))))]
    if not exact or (app_slug is not None and not is_storable(app_slug)):
        return None
    ranges = [(fold(each), _after(fold(each))) for each in dict.fromkeys(found.beginnings)]
    words = dict.fromkeys(map(CUSTOMER.filters["search"].bind, found.words))
    if len(words) > MAX_WORDS:
        raise BadUserInput("text", f"has too many words (maximum is {MAX_WORDS}, besides ids and tokens)")
    return Sought(
        size,
        None if app_slug is None else values.slot(app_slug),
        tuple((kind, values.slot(json_text(each))) for kind, each in exact),
        values.slot(json_text(ranges)) if ranges else None,
        tuple(values.slot(word) for word in words),
    )


def assumed(size: int, values: Values, *, is_largest: bool) -> Sought:
    """Return a search for an unknown text: one with the largest or the smallest cost."""
    words: list[Slot] = [values.slot(None) for _ in range(MAX_WORDS if is_largest else 0)]
    return Sought(values.slot(size), None, (), None, tuple(words))


def _meaning(text: str) -> _Meaning:
    found = _Meaning()
    whole = claims_of(text)
    if whole is not None:
        found.add_token(whole)
        return found
    rest = []
    for piece in _SPACES.split(_INVISIBLE.sub("", text)):
        claims = claims_of(piece)
        if claims is None:
            rest.append(piece)
        else:
            found.add_token(claims)
    plain = "".join(rest).strip()
    if len(plain) > MAX_LENGTH:
        raise BadUserInput(
            "text", f"is too long (maximum is {MAX_LENGTH:,} characters, or {MAX_TOKEN_LENGTH:,} for a token)"
        )
    if plain:
        found.exact["external_id"].append(plain)
    for part in _BETWEEN_PARTS.split(plain):
        if part.strip():
            found.add_part(part.strip())
    return found


def _after(beginning: str) -> str:
    """Return a text that comes after all texts with this beginning, and before all other later ones."""
    kept = beginning.rstrip(_LAST_CHARACTER)
    if not kept:
        return _AFTER_ALL
    next = ord(kept[-1]) + 1
    return kept[:-1] + chr(_AFTER_SURROGATES if next == _FIRST_SURROGATE else next)
