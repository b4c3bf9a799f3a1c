"""Emails, and the keys by which emails are compared."""

import re
import unicodedata

import idna

DOT = re.compile("[.\u3002\uff0e\uff61]")
"""The dots that IDNA accepts between the labels of a domain."""

# The greatest length of a stored email. The email that a caller looks up may be longer, and is then not
# found.
_LONGEST = 254
_LONGEST_LABEL = 63


def email_key(email: str) -> str:
    """Return the key by which an email is compared: two emails count as equal if they have the same key.

    In a key, the local part is case-folded, and the domain consists of IDNA A-labels in lower case, separated
    by dots. Canonically equivalent texts have the same key. Whitespace around an email is ignored. A label
    that IDNA cannot encode is converted to lower case. Every text has a key, even if it is not an email. If
    the domain is too long for an email, the key is the unchanged text.
    """
    local, at, domain = _composed(email.strip()).rpartition("@")
    if len(domain) > _LONGEST:
        return email
    return f"{_composed(local.casefold())}{at}{'.'.join(map(_a_label, DOT.split(domain)))}"


def _a_label(label: str) -> str:
    try:
        mapped = idna.uts46_remap(label, std3_rules=False)
    except idna.IDNAError:
        return _composed(label.lower())
    if " " in mapped:
        # IDNA maps some characters, such as ¨, to a space and a combining mark. A key must not contain a
        # space, except before the id of a duplicate (`db.customers`).
        return _composed(label.lower())
    if mapped.isascii() or len(mapped) > _LONGEST_LABEL:
        return mapped
    # idna.encode is not used here, because it refuses labels that browsers encode, such as emoji.
    return f"xn--{mapped.encode('punycode').decode()}"


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)
