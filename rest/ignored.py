"""Unknown query parameters: they are ignored, but the response and the log name them."""

import re
from collections.abc import Sequence
from functools import cache
from urllib.parse import quote, unquote_plus

from resolvers.inputs import Input

MAX_NAMES = 10
NAME_LENGTH = 32

# Names that may be logged. They cannot be ids, keys, tokens or addresses, because those contain digits or
# other characters, or are longer.
_NAME = re.compile(rf"[A-Za-z_.\[\]-]{{1,{NAME_LENGTH}}}")
# A comma separates names, and "%" begins an encoded character, so both are encoded inside a name.
_SAFE = "".join(chr(each) for each in range(0x21, 0x7F) if chr(each) not in ",%")


def names(query: type[Input] | None, query_string: bytes) -> Sequence[str]:
    """Return the names of the parameters that the model `query` does not have, at most `MAX_NAMES` + 1."""
    if query is not None and query.model_config.get("extra") == "forbid":
        return ()  # unknown parameters are refused, not ignored
    known = _known(query)
    found: dict[str, None] = {}
    for part in query_string.split(b"&") if query_string else ():
        raw = part.partition(b"=")[0]
        if not raw or raw in known:
            continue
        name = unquote_plus(raw.decode("utf-8", "surrogateescape"), errors="surrogateescape")
        if name.encode("utf-8", "surrogateescape") not in known:
            found[name] = None
            if len(found) > MAX_NAMES:
                break
    return tuple(found)


def header(names: Sequence[str]) -> bytes:
    """Return the value of X-Ignored-Parameters: the names, cut to `NAME_LENGTH` and percent-encoded.

    "..." stands for the names beyond the first `MAX_NAMES`.
    """
    shown = [quote(name[:NAME_LENGTH], _SAFE, errors="surrogateescape") for name in names[:MAX_NAMES]]
    return ", ".join([*shown, "..."] if len(names) > MAX_NAMES else shown).encode()


def loggable(names: Sequence[str]) -> str:
    """Return the names for the log. A name that could be a key or another value becomes "other".

    "..." stands for the names beyond the first `MAX_NAMES`.
    """
    shown = dict.fromkeys(name if _NAME.fullmatch(name) else "other" for name in names[:MAX_NAMES])
    return ",".join([*shown, "..."] if len(names) > MAX_NAMES else shown)


@cache
def _known(query: type[Input] | None) -> frozenset[bytes]:
    return frozenset() if query is None else frozenset(name.encode() for name in query.model_fields)
