"""Preconditions: the header If-Match (RFC 9110, section 13.1.1) names the versions that may be changed.

The ETag of an object is its version in quotes (`rest.envelopes.one`).
"""

import re
from collections.abc import Sequence

from resolvers.versions import Versions
from rest.errors import Code, Problem

# One element of the list, which may be empty, and the comma after it.
_ELEMENT = re.compile(r'[ \t]*+(?:((?:W/)?"[\x21\x23-\x7e\x80-\xff]*+")[ \t]*+)?(?:,|\Z)')
_VERSION = re.compile(r'"([1-9][0-9]{0,9})"')
_MALFORMED = (
    'If-Match must be * or a list of ETags in quotes, such as "4". An ETag is the version of an object.'
)


def if_match(lines: Sequence[str]) -> Versions:
    """Return the versions that the lines of If-Match name. Raises Problem if the header is malformed.

    Without lines, and for `*`, any version may be changed. A weak ETag, or one that is not a version, matches
    none.
    """
    text = ",".join(lines).strip(" \t")
    if not lines or text == "*":
        return None
    tags, place = [], 0
    while place < len(text):
        element = _ELEMENT.match(text, place)
        if element is None:
            raise Problem(Code.BAD_REQUEST, _MALFORMED)
        if element[1]:
            tags.append(element[1])
        place = element.end()
    if not tags:
        raise Problem(Code.BAD_REQUEST, _MALFORMED)
    return {int(version[1]) for version in map(_VERSION.fullmatch, tags) if version is not None}
