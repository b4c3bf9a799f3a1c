"""The client of a request: its network, by which limits count, and its address, which the log shows."""

import pytest

from asgi.clients import Client, Clients
from settings import InvalidSettings, read_settings


def client(peer: str | None, *forwarded: str, trusted: str | None = None) -> Client:
    clients = Clients() if trusted is None else Clients(trusted)
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return clients.of({"type": "http", "client": (peer, 1) if peer else None, "headers": headers})


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", [], "203.0.113.7"),
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),  # the peer is not a trusted proxy
        ("127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # the client can forge the first one
        ("127.0.0.1", ["6.6.6.6", "198.51.100.1, 127.0.0.1"], "198.51.100.1"),
        ("::1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("::1", ["[2001:db8::7]:443"], "2001:db8::7"),
        ("::ffff:127.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("127.0.0.1", ["6.6.6.6, nonsense"], "127.0.0.1"),
        ("127.0.0.1", ["127.0.0.2"], "127.0.0.2"),
        (None, ["198.51.100.1"], "198.51.100.1"),  # a peer on a Unix socket
        (None, [], None),
    ],
)
def test_the_client_is_the_last_hop_that_is_not_a_trusted_proxy(
    peer: str | None, forwarded: list[str], address: str | None
) -> None:
    assert client(peer, *forwarded).address == address


def test_trusted_proxies_are_a_setting() -> None:
    trusted = "10.0.0.0/8, 2001:db8:1::/48"

    assert client("10.1.2.3", "198.51.100.1, 2001:db8:1::5", trusted=trusted).address == "198.51.100.1"
    assert client("127.0.0.1", "198.51.100.1", trusted=trusted).address == "127.0.0.1"


def test_an_ipv6_address_counts_by_its_64_network() -> None:
    assert client("2001:db8:1:2:3::4") == Client("2001:db8:1:2:3::4", "2001:db8:1:2::/64")
    assert client("203.0.113.7") == Client("203.0.113.7", "203.0.113.7")


def test_a_bad_network_is_named_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LICENSEGRAPH_TRUSTED_PROXIES", "10.0.0.0/8,10.0.0.1/8")

    with pytest.raises(InvalidSettings) as raised:
        read_settings()

    assert str(raised.value) == ("LICENSEGRAPH_TRUSTED_PROXIES: part 2 is not a network such as 10.0.0.0/8")
