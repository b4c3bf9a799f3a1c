"""The header Idempotency-Key, and the form of idempotency keys."""

import re
from collections.abc import Sequence

from asgi.refusals import HttpRefusal

HEADER = "idempotency-key"
REPLAYED = (b"idempotency-replayed", b"true")
"""The header of a response that repeats an earlier one."""

KEY_LENGTH = 255
FORM = f"must be 1 to {KEY_LENGTH} visible ASCII characters, in quotes or not"

_VISIBLE = re.compile(rf"[!-~]{{1,{KEY_LENGTH}}}")
_QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


def parse_key(text: str) -> str:
    """Return an idempotency key without the quotes that may be around it. Raises ValueError."""
    quoted = _QUOTED.fullmatch(text)
    key = text if quoted is None else re.sub(r"\\(.)", r"\1", quoted[1])
    if not _VISIBLE.fullmatch(key) or (quoted is None and key.startswith('"')):
        raise ValueError(FORM)
    return key


def key_of(sent: Sequence[str]) -> str | None:
    """Return the key in a request's headers Idempotency-Key, or None. Raises HttpRefusal."""
    if not sent:
        return None
    if len(sent) > 1:
        raise HttpRefusal(400, "Idempotency-Key was sent more than once.")
    try:
        return parse_key(sent[0].strip())
    except ValueError as error:
        raise HttpRefusal(400, f"Idempotency-Key {error}.") from None
