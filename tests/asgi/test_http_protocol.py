"""HTTP/1.1 connections: requests are read the same way, however their bytes are split into packets."""

import asyncio
import resource
import socket
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from starlette.types import Receive, Scope, Send

from asgi import http_protocol
from asgi.http_protocol import MAX_AHEAD_BYTES, Bounds
from tests.asgi.connections import LAST, Echo, Listener, answers, cut, listening, post

UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA")
JAVA = (*UPGRADE, "Upgrade: h2c", "User-Agent: Java-http-client/17.0.1")
GET_LAST = ("GET", "/last", b"")
CUTS = ["whole", "head", "bytes"]


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def server(echo: Echo) -> AsyncIterator[Listener]:
    async with listening(echo) as server:
        yield server


# Upgrades


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    "lines",
    [
        JAVA,
        ("connection: keep-alive", "Connection: upgrade", "UPGRADE: h2c"),
        ("Connection: Upgrade", "Upgrade: h2c, foo/2", "Upgrade: TLS/1.0"),
        ("Proxy-Connection: upgrade", "Upgrade: anything"),
        ("Upgrade: h2c",),
        ("Connection: Upgrade",),
    ],
)
async def test_an_upgrade_is_ignored_and_its_body_is_read(
    server: Listener, echo: Echo, how: str, chunked: bool, lines: tuple[str, ...]
) -> None:
    body = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    text = post("/first", body, *lines, chunked=chunked) + LAST

    got = await server.talk(*cut(text, how), pause=0.001)

    assert echo.seen == [("POST", "/first", body), GET_LAST]
    assert [each.status for each in got] == [200, 200]


async def test_an_upgrade_of_a_request_without_a_body_is_ignored(server: Listener, echo: Echo) -> None:
    head = "\r\n".join(["GET /first HTTP/1.1", "Host: x", *JAVA]).encode()

    await server.talk(head + b"\r\n\r\n" + LAST)

    assert echo.seen == [("GET", "/first", b""), GET_LAST]


# Boundaries between requests


@pytest.mark.parametrize("how", CUTS)
async def test_requests_that_follow_each_other_are_answered_in_order(
    server: Listener, echo: Echo, how: str
) -> None:
    text = (
        post("/1", b"one")
        + b"\r\n"  # some clients send this after a body
        + post("/2", b"0\r\n\r\n two 0\r\n\r\n", chunked=True)
        + b"GET /3 HTTP/1.1\r\nHost: x\r\n\r\n"
        + post("/4", b"")
        + LAST
    )

    await server.talk(*cut(text, how), pause=0.001)

    assert echo.seen == [
        ("POST", "/1", b"one"),
        ("POST", "/2", b"0\r\n\r\n two 0\r\n\r\n"),
        ("GET", "/3", b""),
        ("POST", "/4", b""),
        GET_LAST,
    ]


async def test_bytes_right_after_trailers_are_not_a_request_and_trailers_are_not_headers() -> None:
    headers = []

    class Late(Echo):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await super().__call__(scope, receive, send)
            headers.extend(scope["headers"])

    echo = Late()
    text = post("/first", b"body", chunked=True).removesuffix(b"\r\n") + b"Authorization: Bearer x\r\n\r\n"
    async with listening(echo) as server:
        (alone,) = await server.talk(text + LAST)
        assert alone.headers["connection"] == "close"
        await server.talk(text, LAST, pause=0.1)

    assert echo.seen == [("POST", "/first", b"body"), ("POST", "/first", b"body"), GET_LAST]
    assert b"authorization" not in dict(headers)


async def test_a_client_that_pipelines_too_much_has_to_wait(echo: Echo, server: Listener) -> None:
    echo.gate.clear()
    request = b"GET /%04d HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n"
    reader, writer = await server.connect()
    writer.transport.set_write_buffer_limits(0)
    sent = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(1):
            for number in range(2_000):
                writer.write(request % number)
                await writer.drain()
                sent += len(request)
    assert echo.seen == []
    assert sent < 2_000 * len(request) / 2

    echo.gate.set()
    writer.write(LAST)
    received = await reader.read()
    writer.close()

    assert len(answers(received)) == len(echo.seen) > MAX_AHEAD_BYTES / len(request)
    assert echo.seen[-1] == GET_LAST


MALFORMED = {
    "length and chunks": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "chunks and length": ["Transfer-Encoding: chunked", "Content-Length: 5"],
    "two lengths": ["Content-Length: 5", "Content-Length: 5"],
    "two different lengths": ["Content-Length: 5", "Content-Length: 6"],
    "a list of lengths": ["Content-Length: 5, 5"],
    "a signed length": ["Content-Length: +5"],
    "a negative length": ["Content-Length: -5"],
    "a length of no digits": ["Content-Length: 0x5"],
    "an empty length": ["Content-Length:"],
    "an endless length": ["Content-Length: 99999999999999999999999999"],
    "identity": ["Transfer-Encoding: identity"],
    "identity, chunked": ["Transfer-Encoding: identity, chunked"],
    "gzip, chunked": ["Transfer-Encoding: gzip, chunked"],
    "chunked, identity": ["Transfer-Encoding: chunked, identity"],
    ",chunked": ["Transfer-Encoding: ,chunked"],
    "chunked twice": ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    "identity, then chunked": ["Transfer-Encoding: identity", "Transfer-Encoding: chunked"],
    "xchunked": ["Transfer-Encoding: xchunked"],
    "chunked with a parameter": ["Transfer-Encoding: chunked;q=1"],
    "quoted": ['Transfer-Encoding: "chunked"'],
    "a control character": ["Transfer-Encoding: \x0bchunked"],
    "a space before the colon": ["Transfer-Encoding : chunked"],
    "a folded line": ["Transfer-Encoding:", " chunked"],
    "a folded line behind an upgrade": ["Upgrade: h2c", " Content-Length: 5"],
    "a line break alone": ["X: a\nContent-Length: 5"],
    "a return alone": ["X: a\rContent-Length: 5"],
    "a return in an upgrade": ["Upgrade: h2c\rContent-Length: 5"],
    "a NUL": ["X: a\x00b"],
    "no name": [": x"],
}


@pytest.mark.parametrize("lines", MALFORMED.values(), ids=MALFORMED)
async def test_a_request_with_an_ambiguous_end_is_400_and_closes_the_connection(
    server: Listener, echo: Echo, lines: list[str]
) -> None:
    head = "\r\n".join(["POST /first HTTP/1.1", "Host: x", *lines]).encode()

    got = await server.talk(head + b"\r\n\r\n" + b"5\r\nhello\r\n0\r\n\r\n" + LAST)

    assert [each.status for each in got] == [400]
    assert got[0].headers["connection"] == "close"
    assert echo.seen == []


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"5\nhello\n0\n\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\r\n0\r\n\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
        b"5;a\nhello\r\n0\r\n\r\n",
        b'5;a="\r\n"\r\nhello\r\n0\r\n\r\n',
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    ],
)
@pytest.mark.parametrize("how", ["head", "bytes"])
async def test_invalid_chunks_are_400_and_close_the_connection(
    server: Listener, echo: Echo, chunks: bytes, how: str
) -> None:
    head = b"POST /first HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"

    got = await server.talk(*cut(head + chunks + LAST, how), pause=0.001)

    assert [each.status for each in got] == [400]
    assert echo.seen == []


@pytest.mark.parametrize(
    "text",
    [
        b"GET /a?q=a b HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET  /a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a HTTP/1.1 \r\nHost: x\r\n\r\n",
        b"GET /a HTTP/1.1\nHost: x\r\n\r\n",
        b"GET /a\r\n\r\n",
        b"GET /a HTTP/0.9\r\nHost: x\r\n\r\n",
        b"GET /a HTTP/1.2\r\nHost: x\r\n\r\n",
        b"GET /a HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /a RTSP/1.0\r\nHost: x\r\n\r\n",
        b"GET /a http/1.1\r\nHost: x\r\n\r\n",
        b"get /a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"BREW /a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a\x01 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET /a HTTP/1.1\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x/y\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x y\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x@y\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
        b"POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ],
)
async def test_an_invalid_request_is_400_and_closes_the_connection(
    server: Listener, echo: Echo, text: bytes
) -> None:
    got = await server.talk(text + LAST)

    assert [each.status for each in got] == [400]
    assert echo.seen == []


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/é".encode(), "/%C3%A9"),
        ("/a?q=é".encode(), "/a"),
        (b"/\xe9", "/%E9"),
        (b"http://x/a", "/a"),
        (b"/a#b", "/a"),
    ],
)
@pytest.mark.parametrize("how", CUTS)
async def test_targets_that_clients_send_are_accepted(
    server: Listener, echo: Echo, target: bytes, path: str, how: str
) -> None:
    text = b"GET %b HTTP/1.1\r\nHost: x\r\nX: \xff\r\n\r\n" % target

    await server.talk(*cut(text + LAST, how), pause=0.001)

    assert echo.seen == [("GET", path, b""), GET_LAST]


async def test_http_1_0_needs_no_host(server: Listener, echo: Echo) -> None:
    (got,) = await server.talk(b"GET /a HTTP/1.0\r\n\r\n")

    assert (got.status, got.headers["connection"]) == (200, "close")


async def test_nothing_is_answered_after_connection_close(server: Listener, echo: Echo) -> None:
    assert len(await server.talk(LAST + LAST)) == 1
    assert echo.seen == [GET_LAST]


# Expect: 100-continue


async def test_a_client_that_got_100_continue_keeps_its_connection(server: Listener, echo: Echo) -> None:
    head, body = cut(post("/first", b"body", "Expect: 100-continue"), "head")
    reader, writer = await server.connect()
    writer.write(head)
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(body + LAST)
    received = await reader.read()
    writer.close()

    assert "connection" not in answers(received)[0].headers
    assert echo.seen == [("POST", "/first", b"body"), GET_LAST]


async def test_a_client_that_got_a_response_instead_of_100_continue_has_no_next_request() -> None:
    seen = []

    async def refusing(scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(scope["path"])
        await send({"type": "http.response.start", "status": 413, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with listening(refusing) as server:
        head, body = cut(post("/first", LAST, "Expect: 100-continue"), "head")
        for packets in ([head, LAST], [head, body, LAST]):
            (got,) = await server.talk(*packets)
            assert (got.status, got.headers["connection"]) == (413, "close")
        # If a client sends its body without waiting, the body is read, and the next request is handled.
        assert len(await server.talk(post("/first", LAST) + LAST)) == 2
        assert len(await server.talk(head + body + LAST)) == 2
    assert seen == ["/first"] * 3 + ["/last", "/first", "/last"]


# Limits


@pytest.mark.parametrize("how", ["whole", "halves", "bytes"])
@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 500 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 500 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 90 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 500,
    ],
)
async def test_headers_are_bounded(echo: Echo, head: bytes, how: str) -> None:
    packets = [head[:300], head[300:]] if how == "halves" else cut(head, how)
    async with listening(echo, Bounds(max_header_bytes=500)) as server:
        got = await server.talk(*packets, pause=0.001)
    async with listening(echo, Bounds(max_header_bytes=0)) as server:
        with pytest.raises(TimeoutError):
            await server.talk(head, patience=0.3)

    assert [each.status for each in got] == [431]


@pytest.mark.parametrize(
    "chunks",
    [
        b"1;" + b"a" * 3_000 + b"\r\nx\r\n0\r\n\r\n",
        (b"1;" + b"a" * 300 + b"\r\nx\r\n") * 10 + b"0\r\n\r\n",
        b"0\r\nA: " + b"a" * 3_000 + b"\r\n\r\n",
        b"0\r\n" + b"A: a\r\n" * 500 + b"\r\n",
        b"0;" + b"a" * 3_000,
        b"0" * 3_000,
    ],
)
async def test_the_overhead_of_chunks_is_bounded(echo: Echo, chunks: bytes) -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with listening(echo, Bounds(max_header_bytes=2_000)) as server:
        got = await server.talk(head, *[chunks[at : at + 500] for at in range(0, len(chunks), 500)])

    # The parser may refuse the request first, with status 400.
    assert [each.status for each in got] in ([431], [400])
    assert echo.seen == []


async def test_a_body_in_chunks_of_one_byte_is_accepted(echo: Echo) -> None:
    text = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 20_000
    async with listening(echo, Bounds(max_header_bytes=2_000)) as server:
        await server.talk(text + b"0\r\n\r\n" + LAST)

    assert echo.seen == [("POST", "/", b"x" * 20_000), GET_LAST]


async def test_headers_have_a_time_limit(echo: Echo) -> None:
    async with listening(echo, Bounds(header_timeout_s=0.5)) as server:
        began = time.monotonic()
        silent = await server.talk(b"")
        slow = await server.talk(*[b"G", b"ET / HTTP/1.1\r\n", *[b"X: x\r\n"] * 99], pause=0.1)
        next_one = await server.talk(
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", *[b"GET / HTTP/1.1\r\nX: x\r\n"] * 99, pause=0.1
        )
        breaks = await server.talk(*[b"\r\n"] * 99, pause=0.1)

    assert time.monotonic() - began < 4
    assert silent == breaks == []
    assert [each.status for each in slow] == [408]
    assert [each.status for each in next_one] == [200, 408]


async def test_an_idle_connection_is_closed_after_the_keep_alive_time(echo: Echo) -> None:
    async with listening(echo, Bounds(header_timeout_s=0.3), keep_alive_s=1) as server:
        began = time.monotonic()
        got = await server.talk(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n", *[b"\r\n"] * 3, pause=0.2)

    assert [each.status for each in got] == [200]
    assert 0.9 < time.monotonic() - began < 3


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_has_a_time_limit(echo: Echo, chunked: bool) -> None:
    begun = post("/", b"x" * 70, chunked=chunked)
    head, _ = cut(begun, "head")
    async with listening(echo, Bounds(body_timeout_s=0.5)) as server:
        began = time.monotonic()
        slow = await server.talk(head, *([b"1\r\nx\r\n"] * 99 if chunked else [b"x"] * 60), pause=0.05)
        silent = await server.talk(head)

    assert time.monotonic() - began < 3
    assert [each.status for each in slow + silent] == [408, 408]
    assert echo.seen == []


async def test_a_body_has_a_time_limit_after_an_early_response_too() -> None:
    async def hasty(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async with listening(hasty, Bounds(body_timeout_s=0.5)) as server:
        began = time.monotonic()
        got = await server.talk(post("/", b"x" * 500)[:-400], *[b"x"] * 99, pause=0.02)
        took = time.monotonic() - began

    assert [each.status for each in got] == [401]
    assert 0.4 < took < 2


async def test_a_slow_application_has_no_time_limit(echo: Echo) -> None:
    echo.gate.clear()
    bounds = Bounds(header_timeout_s=0.2, body_timeout_s=0.2, send_timeout_s=0.2)
    async with listening(echo, bounds) as server:
        asking = asyncio.ensure_future(server.talk(post("/", b"body"), LAST))
        await asyncio.sleep(1)
        echo.gate.set()
        got = await asking

    assert [each.status for each in got] == [200, 200]


@pytest.mark.parametrize("closes", [False, True])
async def test_a_client_that_does_not_read_is_disconnected(closes: bool) -> None:
    ended = asyncio.Event()

    async def talkative(_scope: Scope, _receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            for _ in range(1 if closes else 1_000):
                await send({"type": "http.response.body", "body": b"x" * 20_000_000, "more_body": not closes})
        finally:
            ended.set()

    async with listening(talkative, Bounds(send_timeout_s=0.5)) as server:
        reader, writer = await server.connect()
        transport = writer.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        writer.write(LAST)
        began = time.monotonic()
        async with asyncio.timeout(5):
            await ended.wait()
            await asyncio.sleep(0.7)
            transport.resume_reading()
            received = 0
            with suppress(ConnectionResetError):
                while part := await reader.read(1_000_000):
                    received += len(part)
        writer.close()

    assert received < 20_000_000

    assert time.monotonic() - began < 4


async def busy(server: Listener) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection, and send a request without its body."""
    reader, writer = await server.connect()
    writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n")
    return reader, writer


async def test_the_number_of_connections_is_bounded(echo: Echo) -> None:
    async with listening(echo, Bounds(max_connections=3)) as server:
        held = [await busy(server) for _ in range(3)]
        await asyncio.sleep(0.1)
        (refused,) = await server.talk(b"")
        held.pop()[1].close()
        await asyncio.sleep(0.1)
        taken = await server.talk(LAST)
        held.append(await busy(server))
        await asyncio.sleep(0.1)
        many = [await server.connect() for _ in range(30)]
        ends = [await asyncio.wait_for(reader.read(), 5) for reader, _ in many[-20:]]
        for _, writer in held + many:
            writer.close()

    assert refused.status == 503
    assert [each.status for each in taken] == [200]
    assert set(ends) == {b""}, "beyond twice the limit, connections are closed without a response"


async def test_the_connection_that_is_idle_for_longest_makes_room(echo: Echo) -> None:
    async with listening(echo, Bounds(max_connections=3)) as server:
        idle = []
        for part in (b"", b"GET / HT", b""):
            reader, writer = await server.connect()
            writer.write(part)
            idle.append((reader, writer))
            await asyncio.sleep(0.05)
        taken = await server.talk(LAST)
        await asyncio.sleep(0.05)
        closed = [reader.at_eof() or reader.exception() is not None for reader, _ in idle]
        for _, writer in idle:
            writer.close()

    assert [each.status for each in taken] == [200]
    assert closed == [True, False, False]


async def test_tiny_packets_cost_little(echo: Echo) -> None:
    """After 60 kB of headers, more bytes arrive one at a time.

    The server must not scan all the headers again for each byte.
    """
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 60_000
    async with listening(echo) as server:
        _, writer = await server.connect()
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        writer.write(head)
        await asyncio.sleep(0.3)
        before = resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(500):
            writer.write(b"x")
            await asyncio.sleep(0.001)
        after = resource.getrusage(resource.RUSAGE_SELF)
        writer.close()

    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 0.5


async def test_a_response_before_the_end_of_a_request_is_not_lost(
    server: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server responds while the client is still sending.

    If the server closed the connection immediately, the client's system would drop the response.
    """
    monkeypatch.setattr(http_protocol, "LINGER_S", 0.5)

    began = time.monotonic()
    got = await server.talk(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 5_000_000)

    assert [each.status for each in got] == [431]
    reader, writer = await server.connect()
    writer.write(b"nonsense")
    assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
    await asyncio.sleep(1)
    writer.write(b"x")  # a client that keeps sending is cut off
    await asyncio.sleep(0.1)
    with pytest.raises(ConnectionResetError):
        await _send_on(writer)
    assert time.monotonic() - began < 5


async def test_a_flood_after_an_early_response_is_slowed_down(
    server: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server continues to read, but more slowly than the client could send."""
    monkeypatch.setattr(http_protocol, "LINGER_S", 0.5)
    _, writer = await server.connect()
    writer.write(b"nonsense")
    packet, sent = b"x" * 65_536, 0

    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(0.4):
            while True:
                writer.write(packet)
                await writer.drain()
                sent += len(packet)

    writer.close()
    assert 65_536 < sent < 16_000_000


async def _send_on(writer: asyncio.StreamWriter) -> None:
    for _ in range(2):
        await writer.drain()
        writer.write(b"x")


# Responses


@pytest.mark.parametrize("value", [b"a\r\nSet-Cookie: x", b"a\nb", b"a\rb", b"a\0b"])
async def test_header_values_with_line_breaks_are_not_sent(
    value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def careless(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"0"), (b"x", value)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    async with listening(careless) as server:
        reader, writer = await server.connect()
        writer.write(LAST)
        received = await reader.read()
        writer.close()

    assert b"a" not in received.lower().partition(b"x: ")[2]
    assert "Invalid HTTP header value" in caplog.text


@pytest.mark.parametrize(
    ("method", "status", "headers", "expected"),
    [
        ("GET", 200, [(b"content-length", b"2")], b"content-length: 2\r\nconnection: close\r\n\r\n{}"),
        ("HEAD", 200, [(b"content-length", b"2")], b"content-length: 2\r\nconnection: close\r\n\r\n"),
        ("GET", 200, [], b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
        ("GET", 200, [(b"connection", b"close")], b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
    ],
)
async def test_responses_are_framed_correctly(
    method: str, status: int, headers: list[tuple[bytes, bytes]], expected: bytes
) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    async with listening(app) as server:
        reader, writer = await server.connect()
        writer.write(LAST.replace(b"GET", method.encode()))
        received = await reader.read()
        writer.close()

    assert received.endswith(expected)
