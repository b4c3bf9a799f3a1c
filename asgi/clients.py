"""The client of a request: the address that the request comes from, even behind proxies."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from starlette.types import Scope

Network: TypeAlias = IPv4Network | IPv6Network

LOOPBACK = "127.0.0.0/8,::1/128"

REMEMBERED = 4_096
_IPV6_PREFIX = 64  # providers usually give each customer at least a network of this size


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request comes from.

    `address` is the IP address, or None if it is unknown, as on a Unix socket. `network` is what limits count
    by: an IPv4 address, the /64 network of an IPv6 address, or "local" if nothing is known.
    If the client has a name and no address, as in tests, both are this name.
    """

    address: str | None
    network: str


UNKNOWN = Client(None, "local")


class Clients:
    """Finds the client of a request.

    The search begins at the other end of the connection and goes on in X-Forwarded-For, from the last entry
    to the first. The client is the first address that is not a trusted proxy. The search stops at an entry
    that is not an address. If it finds only trusted proxies, the client is the last of them. A Unix socket
    has no address, and is trusted.
    """

    def __init__(self, trusted_proxies: str = LOOPBACK) -> None:
        """`trusted_proxies` are networks, separated by commas. Raises ValueError."""
        self._trusted = networks(trusted_proxies)
        self._found = lru_cache(REMEMBERED)(self._find)

    def of(self, scope: Scope) -> Client:
        """Return the client of a request."""
        peer = scope.get("client")
        forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        return self._found(peer[0] if peer else None, b",".join(forwarded) if forwarded else b"")

    def _find(self, peer: str | None, forwarded: bytes) -> Client:
        address = None if peer is None else _parsed(peer)
        if address is None or self._trusts(address):
            for hop in _hops(forwarded):
                if hop is None:  # not an address, so the entries to its left cannot be trusted
                    break
                address = hop
                if not self._trusts(hop):
                    break
        if address is None:
            return UNKNOWN if peer is None else Client(peer, peer)
        if isinstance(address, IPv4Address):
            return Client(str(address), str(address))
        return Client(str(address), str(IPv6Network((int(address), _IPV6_PREFIX), strict=False)))

    def _trusts(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def networks(text: str) -> Sequence[Network]:
    """Return the networks in a comma-separated list.

    Raises ValueError. The message has the number of the wrong part, but not the part itself.
    """
    found = []
    for part in text.split(","):
        try:
            found.append(ip_network(part.strip()))
        except ValueError:
            raise ValueError(f"part {len(found) + 1} is not a network such as 10.0.0.0/8") from None
    return found


def _hops(forwarded: bytes) -> Iterator[IPv4Address | IPv6Address | None]:
    """Yield the addresses of X-Forwarded-For, the nearest first, and None for each other entry."""
    if forwarded:
        for hop in reversed(forwarded.decode("latin-1").split(",")):
            yield _parsed(hop.strip())


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in a text, or None. The text may have a port: `192.0.2.1:80`, `[2001:db8::1]:80`."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # An IPv4 address on an IPv6 socket is still an IPv4 address.
    return getattr(address, "ipv4_mapped", None) or address
