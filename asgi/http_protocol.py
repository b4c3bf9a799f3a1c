"""HTTP/1.1 as `serve` speaks it: uvicorn's protocol, with bounds on what a client may send, take and hold.

uvicorn hands its parser whatever comes. Here bytes are parted first: the parser gets one head, then that
request's body, and nothing of the next request before this one is answered. So a head can be bounded, and
changed where the parser would mistake it, and what belongs to a body is never taken for a request.

What is wrong is not answered here: the application gets a request that is marked (`asgi.refusals`).
"""

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from asgi.refusals import HttpRefusal, refuse

TICK_S = 0.1
"""How exact the bounds of time are."""

LINGER_S = 2
"""After a response to an unfinished request, the server reads on for this long, a little at each tick."""

MAX_AHEAD_BYTES = 65_536
"""How much a client may send of its next requests before it is made to wait."""

_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_CHUNK_FRAME_BYTES = 32  # more than the size of a chunk and its line breaks take
_UNTOLD = -1  # the length of a body in chunks

_REQUEST_LINE = re.compile(rb"(?!CONNECT )[A-Z-]+ [^\x00-\x20\x7f]+ HTTP/1\.([01])\r\n")
_TARGET = re.compile(rb"([A-Z-]{1,20}) +([^\s?#]*)")
_UPGRADE = re.compile(rb"\r\nupgrade:([^\r]*)", re.IGNORECASE)
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_JUDGED = {b"host", b"content-length", b"transfer-encoding", b"expect"}
_UNUSUAL = {b"connection", b"transfer-encoding"}
_NOT_ASCII = re.compile(rb"[\x80-\xff]")

_NEVER = math.inf

# What a connection is waiting for
_HEAD = 0  # the next request, or the rest of its head
_BODY = 1
_ANSWER = 2  # a request has come in whole and is not answered
_DEAF = 3  # nothing that comes is looked at any more

_MALFORMED = "This is not a request of HTTP/1.1."


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one client, and all of them together, may ask of the connections of a process. 0: no bound."""

    max_header_bytes: int = 65_536
    header_timeout_s: float = 20
    body_timeout_s: float = 30
    send_timeout_s: float = 30
    max_connections: int = 1_000


class Connections:
    """All connections of a process. uvicorn takes it for the class of its protocol (`http=`)."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._is_watching = False

    def __call__(self, **given: Any) -> "HttpProtocol":
        """Make the protocol of one connection."""
        protocol = HttpProtocol(self._bounds, **given)
        if not self._is_watching:
            self._is_watching = True
            self._watch(protocol.loop, protocol.connections)
        return protocol

    def _watch(self, loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
        # In place of a timer for each of them, which would cost more than all else that is done here.
        loop.call_later(TICK_S, self._watch, loop, connections)
        now = loop.time()
        for each in tuple(connections):
            each.look(now)


class _Cycle(RequestResponseCycle):
    """A request and its response. Writes the head of an ordinary response three times as fast as uvicorn.

    uvicorn checks each header with two regular expressions. The time saved pays for what this module adds.
    """

    async def send(self, message: Any) -> None:
        if self.response_started or self.disconnected or self.flow.write_paused:
            await super().send(message)
            return
        lines = [STATUS_LINE[message["status"]]]
        length = None
        for name, value in (*self.default_headers, *message["headers"]):
            if name in _UNUSUAL:
                await super().send(message)
                return
            if name == b"content-length":
                length = int(value)
            lines.append(b"%b: %b\r\n" % (name, value))
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        head = b"".join(lines)
        if length is None or not head.count(b"\r") == head.count(b"\n") == len(lines) or b"\0" in head:
            await super().send(message)
            return
        self.response_started = True
        self.waiting_for_100_continue = self.chunked_encoding = False
        self.expected_content_length = length
        self.transport.write(head + b"\r\n")


class HttpProtocol(HttpToolsProtocol):
    """One connection. `Connections` makes them, and has each `look` at what is overdue."""

    def __init__(self, bounds: Bounds, **given: Any) -> None:
        super().__init__(**given)
        self._bounds = bounds
        self._stage = _HEAD
        self._head = bytearray()
        self._ahead = bytearray()
        self._is_held_up = False
        self._is_ending = False
        self._is_http_1_0 = False
        self._offers_upgrade = False
        self._trailers: list[tuple[bytes, bytes]] = []
        self._left = 0  # how much of the body is to come
        self._chunks = 0
        self._framing = 0  # bytes of a body in chunks that are not the body's
        self._tail = b""
        self._due = self._due_to_be_read = _NEVER
        self._overdue: Any = None
        self.waiting_since = self.loop.time()

    # What uvicorn and the event loop call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # After an early response, the cycle closes this transport, which first reads on for a while.
        self._lingering: Any = SimpleNamespace(
            write=transport.write, is_closing=transport.is_closing, close=self._linger
        )
        bound = self._bounds.max_connections
        if not bound or len(self.connections) <= bound or self._finds_room():
            self._await(self._bounds.header_timeout_s, self._give_up_head)
        elif len(self.connections) <= 2 * bound:
            self._refuse(b"", HttpRefusal(503, "Too many connections are open. Try again later."))
        else:
            self.connections.discard(self)
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stage = _DEAF
        self._due = self._due_to_be_read = _NEVER
        self._overdue = self._lingering = None  # both hold this protocol

    def data_received(self, data: bytes) -> None:
        while data:
            if self._stage == _HEAD:
                data = self._take_head(data)
            elif self._stage == _BODY:
                data = self._take_body(data)
            elif self._stage == _ANSWER:
                self._ahead += data
                if len(self._ahead) > MAX_AHEAD_BYTES:
                    self._is_held_up = True
                    self.transport.pause_reading()
                return
            else:
                self.transport.pause_reading()  # `look` resumes it, so a flood costs no more than a trickle
                return
        if self._stage == _BODY and self._due is _NEVER:
            self._await(self._bounds.body_timeout_s, self._give_up_body)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._bound_writing()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._due_to_be_read = _NEVER

    def shutdown(self) -> None:
        self._is_ending = True
        super().shutdown()

    def look(self, now: float) -> None:
        """End what should have come, or should have been read, by now."""
        if now > self._due:
            self._due = _NEVER
            self._overdue()
        if now > self._due_to_be_read:
            self.transport.abort()
        elif self._stage == _DEAF:
            self.transport.resume_reading()

    @property
    def is_idle(self) -> bool:
        """Whether no request has come in, or not the whole of its head."""
        return self._stage == _HEAD and not self.transport.is_closing()

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._stage != _HEAD:
            raise RuntimeError("a request has begun behind the body of another")
        if self.parser.should_upgrade():
            self._offers_upgrade = True
            raise RuntimeError("the parser would not read the body")
        target = httptools.parse_url(self.url)
        path = target.path.decode("ascii")
        scope = self.scope
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = target.path
        scope["query_string"] = target.query or b""
        if self._is_http_1_0:
            scope["http_version"] = "1.0"
        refusal = self._judge()
        self.headers = self._trailers = []  # which are no headers: those have been judged
        # If a client gets an early response instead of 100 Continue, it may or may not send the body.
        keep_alive = not (self._is_http_1_0 or self.expect_100_continue) and self.parser.should_keep_alive()
        cycle = self._begin_cycle(keep_alive=keep_alive)
        if self._left:
            cycle.transport = self._lingering
        self._stage = _BODY
        if refusal is not None:
            refuse(scope["state"], refusal)
            self._end()

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, body: bytes) -> None:
        self._framing -= len(body)
        cycle = self.cycle
        if not cycle.response_complete:
            cycle.body += body
            if len(cycle.body) > HIGH_WATER_LIMIT:
                self.flow.pause_reading()
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        if self._stage != _BODY:
            return
        self._stage = _ANSWER
        self._due = _NEVER
        cycle = self.cycle
        cycle.more_body = False
        cycle.message_event.set()
        if self.expect_100_continue and not cycle.response_started:
            cycle.keep_alive = self.parser.should_keep_alive() and not self._is_ending

    # What the cycle calls

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self._bound_writing()
            return
        self.flow.resume_reading()
        if self._stage == _ANSWER:
            self._next()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._bound_writing()

    # Our own

    def _finds_room(self) -> bool:
        """Close the connection that has been idle longest. Return False if none is idle.

        This way, idle connections do not keep new ones out.
        """
        connections: set[Any] = self.connections
        idle = [each for each in connections if each is not self and each.is_idle]
        if not idle:
            return False
        min(idle, key=attrgetter("waiting_since")).transport.abort()
        return True

    def _take_head(self, data: bytes) -> bytes:
        """Consume the part of the data that belongs to a head. Return the rest."""
        head, before = self._head, len(self._head)
        if not before:
            data = data.lstrip(b"\r\n")  # as some clients send after a body
            if not data:
                return b""
            end = data.find(_END)
        else:
            head += data
            end = head.find(_END, max(before - len(_END) + 1, 0))
        bound = self._bounds.max_header_bytes
        if bound and (end if end >= 0 else before + len(data)) > bound:
            too_long = HttpRefusal(431, f"The request's headers may hold at most {bound} bytes.")
            self._refuse(bytes(head or data), too_long)
            return b""
        if end < 0:
            if not before:
                head += data
                if data[:1].isupper():
                    self._await(self._bounds.header_timeout_s, self._give_up_head)
                else:
                    self._refuse(b"", HttpRefusal(400, _MALFORMED))
            return b""
        end += len(_END)
        if before:
            data = bytes(head)
            head.clear()
        self._due = _NEVER
        self._begin(data[:end])
        return data[end:]

    def _begin(self, head: bytes) -> None:
        """Begin the request of a head that is there in whole."""
        found = _REQUEST_LINE.match(head)
        if found is None:
            self._refuse(head, HttpRefusal(400, _MALFORMED))
            return
        if not head.isascii():
            line, rest = head.split(b"\r\n", 1)
            head = b"%b\r\n%b" % (_NOT_ASCII.sub(_percent_encoded, line), rest)
        self._is_http_1_0 = found[1] == b"0"
        self._offers_upgrade = False
        try:
            self.parser.feed_data(head)
        except httptools.HttpParserError:
            if self._offers_upgrade:
                self._begin_without_upgrade(head)
            elif self._stage == _HEAD:  # otherwise it was refused already, for what the parser saw later
                self._refuse(head, HttpRefusal(400, _MALFORMED))

    def _begin_without_upgrade(self, head: bytes) -> None:
        """Begin a request that may be answered in another protocol, and need not be (RFC 9110, 7.8).

        To the parser, what follows such a head is that other protocol.
        """
        if any(b"websocket" in each.lower() for each in _UPGRADE.findall(head)):
            self._refuse(head, HttpRefusal(400, "There are no WebSockets here. Send requests by HTTP."))
            return
        self.parser = httptools.HttpRequestParser(self)
        self._begin(_UPGRADE.sub(b"", head))

    def _judge(self) -> HttpRefusal | None:
        """Look at the headers that say where a request ends, and whose it is."""
        hosts = 0
        self._left = self._chunks = self._framing = 0
        self._tail = b""
        for name, value in self.headers:
            if name not in _JUDGED:
                continue
            if name == b"host":
                hosts += 1
                if _HOST.fullmatch(value) is None:
                    return HttpRefusal(400, "Host does not name a host.")
            elif name == b"content-length":
                self._left = int(value)
            elif name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue" and not self._is_http_1_0
            else:
                self._left = _UNTOLD
                if value.strip().lower() != b"chunked" or self._is_http_1_0:
                    return HttpRefusal(400, "Transfer-Encoding can be chunked alone, and in HTTP/1.1.")
        if hosts != 1 and (hosts or not self._is_http_1_0):
            return HttpRefusal(400, "A request has one Host.")
        return None

    def _take_body(self, data: bytes) -> bytes:
        """Consume the part of the data that belongs to a body. Return the rest."""
        end = 0
        if self._left == _UNTOLD:
            while end < len(data) and self._stage == _BODY:
                begin, end = end, self._end_of_piece(data, end)
                self._tail = (self._tail + data[max(begin, end - len(_LAST_CHUNK)) : end])[
                    1 - len(_LAST_CHUNK) :
                ]
                self._framing += end - begin
                self._feed(data[begin:end])
        else:
            end = min(self._left, len(data))
            self._left -= end
            self._feed(data[:end])
        if self._stage == _ANSWER and self.cycle.response_complete:
            self._next()
        return data[end:]

    def _end_of_piece(self, data: bytes, begin: int) -> int:
        """Where to stop feeding a body in chunks, so that its end is the end of a piece.

        The parser does not tell where it ended. What follows trailers, which nobody sends, in the same packet
        is lost: it is begun by no head of ours, and the connection closes.
        """
        across = self._tail + data[begin : begin + len(_LAST_CHUNK) - 1]
        found = across.find(_LAST_CHUNK)
        if found >= 0:
            return begin + found + len(_LAST_CHUNK) - len(self._tail)
        found = data.find(_LAST_CHUNK, begin)
        return found + len(_LAST_CHUNK) if found >= 0 else len(data)

    def _feed(self, body: bytes) -> None:
        try:
            self.parser.feed_data(body)
        except httptools.HttpParserError:
            self._break_off(HttpRefusal(400, "The body is not in chunks as HTTP/1.1 has them."))
            return
        if self.headers is not self._trailers:
            self._break_off(HttpRefusal(400, _MALFORMED))  # the head of another request has begun
            return
        bound = self._bounds.max_header_bytes
        if bound and self._framing > bound + self._chunks * _CHUNK_FRAME_BYTES:
            self._break_off(HttpRefusal(431, f"Chunks may have at most {bound} bytes beside the body."))

    def _next(self) -> None:
        """Go on to the next request, which may be there already."""
        self._stage = _HEAD
        self.waiting_since = self.loop.time()
        self._await(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        if self._ahead:
            ahead, self._ahead = bytes(self._ahead), bytearray()
            if self._is_held_up:
                self._is_held_up = False
                self.transport.resume_reading()
            self.data_received(ahead)

    def _refuse(self, head: bytes, refusal: HttpRefusal) -> None:
        """Answer something that is no request, as far as one can be made out."""
        self.on_message_begin()
        found = _TARGET.match(head)
        method, target = found.groups() if found is not None else (b"GET", b"/")
        self.scope["method"] = method.decode()
        self.scope["path"] = target.decode(errors="replace")
        self.scope["raw_path"] = target
        self.scope["query_string"] = b""
        refuse(self.scope["state"], refusal)
        self.expect_100_continue = False
        cycle = self._begin_cycle(keep_alive=False)
        cycle.more_body = False
        cycle.message_event.set()
        self._end()

    def _begin_cycle(self, *, keep_alive: bool) -> _Cycle:
        """Hand a request to the application."""
        self.cycle = _Cycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        self._start_asgi_task(self.cycle, self.app)
        return self.cycle

    def _break_off(self, refusal: HttpRefusal) -> None:
        """Read no more of a body, and have its request answered so, if it is not answered yet."""
        if self._stage == _BODY:
            refuse(self.scope["state"], refusal)
        self._end()
        if self.cycle.response_complete:
            self._linger()
        else:
            self.cycle.message_event.set()  # whoever waits for the body looks

    def _end(self) -> None:
        """Hear nothing more, and close when the answer is sent."""
        self._stage = _DEAF
        self._due = _NEVER
        self.cycle.keep_alive = False
        self.cycle.transport = self._lingering

    def _linger(self) -> None:
        """Close, and hear a client out that is still sending: or its system would throw the answer away."""
        if self._stage == _ANSWER:
            self.transport.close()
        elif not self.transport.is_closing():
            self._stage = _DEAF
            self.flow.resume_reading()
            self.transport.write_eof()
            self._await(LINGER_S, self.transport.abort)

    def _give_up_head(self) -> None:
        if self._head:
            self._refuse(bytes(self._head), HttpRefusal(408, "The request's headers came too slowly."))
        else:
            self.transport.close()

    def _give_up_body(self) -> None:
        self._break_off(HttpRefusal(408, "The request's body came too slowly."))

    def _await(self, seconds: float, otherwise: Callable[[], None]) -> None:
        """Bound what is waited for from a client."""
        self._due = self.loop.time() + seconds if seconds else _NEVER
        self._overdue = otherwise

    def _bound_writing(self) -> None:
        """Bound how long a client may take to read what it is sent."""
        seconds = self._bounds.send_timeout_s
        self._due_to_be_read = self.loop.time() + seconds if seconds else _NEVER


def _percent_encoded(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]
