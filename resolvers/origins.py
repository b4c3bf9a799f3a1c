"""Origins of browser pages: their form, and how they are compared.

An origin is `scheme://host[:port]`, as browsers write it in the header Origin. `https://*.preview.example`
stands for every origin with exactly one label in place of the `*`.
"""

import re
from collections.abc import Collection
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Annotated

from pydantic import AfterValidator, Field

from db import clock, keys
from db.engine import ReadSession
from resolvers.inputs import invalid

MAX_ORIGINS = 20
_LONGEST_SHOWN = 100
_EXAMPLE = "https://portal.example or https://portal.example:8443"

_FORM = re.compile(r"(https?)://([^/?#@\\]+?)(?::([0-9]{1,5}))?")
_NAME = re.compile(r"(?=.{1,253}$)(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
# If the last label of a host is a number, browsers read the host as an IPv4 address.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_FIRST_LABEL = re.compile(r"(https?://)[a-z0-9_-]+\.")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_WITHOUT_TLS = {"localhost", "127.0.0.1"}


def parse_origin(text: str) -> str:
    """Return an origin as browsers write it: in lower case and without a default port.

    Raises ValueError. The error's message names the origin and says what is wrong with it.
    """
    try:
        return _parsed(text.lower())
    except ValueError as error:
        raise ValueError(f"{_shown(text)} {error}") from None


def is_among(origin: str, origins: Collection[str]) -> bool:
    """Return whether an origin is one of `origins`, or matches one of them that has a `*`.

    `origin` is the value of a header Origin, or a result of `parse_origin`. All `origins` are such results.
    """
    if origin in origins:
        return True
    found = _FIRST_LABEL.match(origin)
    return found is not None and f"{found[1]}*.{origin[found.end() :]}" in origins


def are_within(origins: Collection[str] | None, limit: Collection[str] | None) -> bool:
    """Return whether `limit` includes all pages that `origins` include.

    All origins were returned by `parse_origin`. None stands for every origin.
    """
    return limit is None or (origins is not None and all(is_among(origin, limit) for origin in origins))


async def live_origins(session: ReadSession) -> frozenset[str]:
    """Return the origins of all keys of the installation that are neither revoked nor expired."""
    return frozenset(
        origin for origins in await keys.live_origins(session, clock.now()) for origin in origins
    )


def _parsed(text: str) -> str:
    if text in {"*", "null"}:
        raise ValueError("does not name a site")
    if not text.isascii():
        raise ValueError("must be in ASCII: write an international domain in Punycode (xn--…)")
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"must have the form {_EXAMPLE}, without a path")
    scheme, host, port = found.groups()
    host = _host(host)
    if scheme == "http" and host not in _WITHOUT_TLS:
        raise ValueError("must begin with https:// (http:// is for localhost and 127.0.0.1 only)")
    if port is None or int(port) == _DEFAULT_PORTS[scheme]:
        return f"{scheme}://{host}"
    if not 1 <= int(port) <= 65_535:
        raise ValueError("must have a port between 1 and 65535")
    return f"{scheme}://{host}:{int(port)}"


def _host(text: str) -> str:
    name = text.removeprefix("*.")
    if "*" in name:
        raise ValueError("can have one * only, as the whole first label, such as https://*.portal.example")
    try:
        if text.startswith("["):
            return f"[{IPv6Address(text.removeprefix('[').removesuffix(']'))}]"
        if _NUMBER.fullmatch(name.rpartition(".")[2]):
            return str(IPv4Address(text))
    except AddressValueError:
        raise ValueError("must have a valid address as its host") from None
    if not _NAME.fullmatch(name):
        raise ValueError("must have a valid host name")
    return text


def _shown(text: str) -> str:
    """Return a text in quotes, short and safe to send."""
    shown = text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return f'"{shown[:_LONGEST_SHOWN]}{"…" if len(shown) > _LONGEST_SHOWN else ""}"'


def _origins(texts: list[str]) -> list[str]:
    if not texts:
        raise invalid("needs at least one origin; null allows every origin")
    if len(texts) > MAX_ORIGINS:
        raise invalid(f"has too many origins (maximum is {MAX_ORIGINS})")
    parsed: dict[str, None] = {}
    wrong: list[str] = []
    for text in texts:
        try:
            parsed[parse_origin(text)] = None
        except ValueError as error:
            wrong.append(str(error))
    if wrong:
        raise invalid(f"has an origin that is not valid: {'; '.join(wrong)}")
    return list(parsed)


Origins = Annotated[
    list[str],
    AfterValidator(_origins),
    Field(
        description=f"1 to {MAX_ORIGINS} origins of pages that may use the key, such as "
        "https://portal.example. https://*.portal.example stands for one label in place of the *. http is "
        "only for localhost and 127.0.0.1. Requests from another origin, or without the header Origin, are "
        "FORBIDDEN.",
        json_schema_extra={"minItems": 1, "maxItems": MAX_ORIGINS},
    ),
]
"""The origins of a key, without repeats. A field of type `Origins | None` says what null stands for."""
