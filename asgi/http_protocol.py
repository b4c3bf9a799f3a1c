"""The HTTP/1.1 protocol of `serve`: uvicorn's, with limits on each connection and the number of connections.

uvicorn passes all received bytes to its parser. This module splits them first. The parser gets the head of a
request and then its body, but no byte of the next request until the current request has its response. This
way, the size of a head can be limited, a head can be changed if the parser would misread it, and bytes of a
body are never parsed as a request.

This module does not respond to invalid requests. It marks them (`asgi.refusals`) and passes them to the
application, which responds.
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

from asgi.refusals import HttpRefusal, WebSocketRefusal, refuse

TICK_S = 0.1
"""The interval at which the time limits are checked."""

EXCESS_S = 1
"""A connection beyond `max_connections` gets a 503 once it has sent its headers, or after this time."""

LINGER_S = 2
"""How long the server keeps reading, a little per tick, after it has responded to an incomplete request."""

MAX_AHEAD_BYTES = 65_536
"""The number of bytes after a request that a client may send before the server stops reading."""

_END = b"\r\n\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_CHUNK_FRAME_BYTES = 32  # more than a chunk needs for its size line and line breaks
_UNTOLD = -1  # stands for the unknown length of a chunked body

_REQUEST_LINE = re.compile(rb"(?!CONNECT )[A-Z-]+ [^\x00-\x20\x7f]+ HTTP/1\.([01])\r\n")
_TARGET = re.compile(rb"([A-Z-]{1,20}) +([^\s?#]*)")
_ORIGIN_AND_HOST = re.compile(rb"\r\n(origin|host):([^\r\n]*)(?=\r\n)", re.IGNORECASE)
_UPGRADE = re.compile(rb"\r\nupgrade:([^\r]*)", re.IGNORECASE)
_HOST = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
_JUDGED = {b"host", b"content-length", b"transfer-encoding", b"expect"}
_WITHOUT_BODY = {204, 304}
_UNUSUAL = {b"connection", b"transfer-encoding"}
_MOST_COPIED_BYTES = 65_536
_NOT_ASCII = re.compile(rb"[\x80-\xff]")

_NEVER = math.inf

# The stages of a connection. Each says what the connection is waiting for.
_HEAD = 0  # the next request, or the rest of its head
_BODY = 1
_ANSWER = 2  # the response; the request is complete
_DEAF = 3  # nothing: all further bytes are ignored

_MALFORMED = "This is not a valid HTTP/1.1 request."


@dataclass(frozen=True, slots=True)
class Bounds:
    """The limits on the client connections of a process. 0 means no limit."""

    max_header_bytes: int = 65_536
    header_timeout_s: float = 20
    body_timeout_s: float = 30
    send_timeout_s: float = 30
    max_connections: int = 1_000


class Connections:
    """All client connections of a process. uvicorn uses this object as its protocol class (`http=`)."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._is_watching = False

    def __call__(self, **given: Any) -> "HttpProtocol":
        """Create the protocol of one connection."""
        protocol = HttpProtocol(self._bounds, **given)
        if not self._is_watching:
            self._is_watching = True
            self._watch(protocol.loop, protocol.connections)
        return protocol

    def _watch(self, loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
        # One timer for all connections: a timer for each would cost more than the rest of this module.
        loop.call_later(TICK_S, self._watch, loop, connections)
        now = loop.time()
        for each in tuple(connections):
            each.look(now)


class _Cycle(RequestResponseCycle):
    """A request and its response. Writes an ordinary response with less work than uvicorn.

    uvicorn checks each header with two regular expressions, and writes the head and the body separately.
    Without this class, a short response takes 10 µs more, which is longer than this module's other work.
    """

    _head = b""
    """The head of the response, until the body arrives."""

    async def send(self, message: Any) -> None:
        if self._head:
            message = self._with_head(message)
        elif not (self.response_started or self.disconnected or self.flow.write_paused):
            head = self._head_of(message)
            if head is not None:
                self.response_started = True
                self.waiting_for_100_continue = self.chunked_encoding = False
                if self.scope["method"] == "HEAD":  # uvicorn writes no body
                    self.transport.write(head)
                else:
                    self._head = head
                return
        await super().send(message)

    def _head_of(self, message: Any) -> bytes | None:
        """Return the head of a response and note the length of its body.

        Returns None for an unusual response, which is left to uvicorn.
        """
        status = message["status"]
        lines = [STATUS_LINE[status].rstrip()]
        length = 0 if status in _WITHOUT_BODY else None
        for name, value in (*self.default_headers, *message["headers"]):
            if name in _UNUSUAL:
                return None
            if name == b"content-length":
                length = int(value)
            lines.append(name + b": " + value)
        if not self.keep_alive:
            lines.append(b"connection: close")
        lines += (b"", b"")
        head = b"\r\n".join(lines)
        breaks = len(lines) - 1
        if length is None or not head.count(b"\r") == head.count(b"\n") == breaks or b"\0" in head:
            return None
        self.expected_content_length = length
        return head

    def _with_head(self, message: Any) -> Any:
        """Return a message with the head before its body, so that both are written at once.

        A long body is not copied: the head is written first, and the message is returned unchanged.
        """
        head, self._head = self._head, b""
        body = message.get("body", b"")
        if len(body) > _MOST_COPIED_BYTES:
            self.transport.write(head)
            return message
        self.expected_content_length += len(head)
        return {**message, "body": head + body}


class HttpProtocol(HttpToolsProtocol):
    """One connection. `Connections` creates each connection and regularly calls its `look` method."""

    def __init__(self, bounds: Bounds, **given: Any) -> None:
        super().__init__(**given)
        self._bounds = bounds
        self._stage = _HEAD
        self._head = bytearray()
        self._ahead = bytearray()
        self._excess: HttpRefusal | None = None  # set if this connection is beyond the limit
        self._is_held_up = False
        self._is_ending = False
        self._is_http_1_0 = False
        self._offers_upgrade = False
        self._trailers: list[tuple[bytes, bytes]] = []
        self._left = 0  # how many bytes of the body are missing
        self._chunks = 0
        self._framing = 0  # bytes of a chunked body that are not content
        self._tail = b""
        self._due = self._due_to_be_read = _NEVER
        self._overdue: Any = None
        self.waiting_since = self.loop.time()

    # What uvicorn and the event loop call

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # If the response is sent before the end of the request, the cycle closes this object instead of the
        # transport. Its `close` keeps reading for a while before it closes the transport.
        self._lingering: Any = SimpleNamespace(
            write=transport.write, is_closing=transport.is_closing, close=self._linger
        )
        bound = self._bounds.max_connections
        if not bound or len(self.connections) <= bound or self._finds_room():
            self._await(self._bounds.header_timeout_s, self._give_up_head)
        elif len(self.connections) <= 2 * bound:
            # The request is read first: a page of another origin can only read the response if it has CORS
            # headers, which depend on the request.
            self._excess = HttpRefusal(503, "Too many connections are open. Try again later.")
            self._await(EXCESS_S, self._give_up_head)
        else:
            self.connections.discard(self)
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stage = _DEAF
        self._due = self._due_to_be_read = _NEVER
        self._overdue = self._lingering = None  # both refer to this protocol; break the reference cycle

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
                # `look` resumes reading once per tick, so a fast sender costs no more than a slow one
                self.transport.pause_reading()
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
        """Act on the time limits that have passed at the time `now`.

        If further bytes are ignored, this also resumes reading.
        """
        if now > self._due:
            self._due = _NEVER
            self._overdue()
        if now > self._due_to_be_read:
            self.transport.abort()
        elif self._stage == _DEAF:
            self.transport.resume_reading()

    @property
    def is_idle(self) -> bool:
        """Whether no request is in progress, so that the connection may be closed to make room.

        A request is in progress from the moment its head is complete. A connection that is closing, or that
        is beyond the limit and gets a 503, is not idle.
        """
        return self._stage == _HEAD and self._excess is None and not self.transport.is_closing()

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        if self._stage != _HEAD:
            raise RuntimeError("a request began after the body of another")
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
        refusal = self._judge() or self._excess
        # Headers that arrive later are trailers, which must not count as headers.
        self.headers = self._trailers = []
        # A client that gets a final response instead of 100 Continue may or may not send the body, so the
        # connection cannot be reused.
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
        """Close the connection that has been idle for the longest time. Return False if none is idle.

        This way, idle connections do not keep out new connections.
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
            data = data.lstrip(b"\r\n")  # some clients send line breaks after a body
            if not data:
                return b""
            end = data.find(_END)
        else:
            head += data
            end = head.find(_END, max(before - len(_END) + 1, 0))
        bound = self._bounds.max_header_bytes
        if bound and (end if end >= 0 else before + len(data)) > bound:
            too_long = HttpRefusal(431, f"The request's headers can have at most {bound} bytes.")
            self._refuse(bytes(head or data), too_long)
            return b""
        if end < 0:
            if not before:
                head += data
                if not data[:1].isupper():
                    self._refuse(b"", HttpRefusal(400, _MALFORMED))
                elif self._excess is None:
                    self._await(self._bounds.header_timeout_s, self._give_up_head)
            return b""
        end += len(_END)
        if before:
            data = bytes(head)
            head.clear()
        self._due = _NEVER
        self._begin(data[:end])
        return data[end:]

    def _begin(self, head: bytes) -> None:
        """Begin a request whose head is complete."""
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
            elif self._stage == _HEAD:  # in another stage, the request has already been rejected
                self._refuse(head, HttpRefusal(400, _MALFORMED))

    def _begin_without_upgrade(self, head: bytes) -> None:
        """Begin a request that offers an upgrade.

        The offer is ignored (RFC 9110, 7.8), but WebSockets are refused.

        `Upgrade` is removed from the head, because the parser would treat everything after the head as data
        of another protocol.
        """
        if any(b"websocket" in each.lower() for each in _UPGRADE.findall(head)):
            self._refuse(head, WebSocketRefusal())
            return
        self.parser = httptools.HttpRequestParser(self)
        self._begin(_UPGRADE.sub(b"", head))

    def _judge(self) -> HttpRefusal | None:
        """Check the Host header, and the headers that determine where the body ends.

        Return the refusal for the request, or None if the headers are valid. This also sets the length of the
        body, and whether the client waits for 100 Continue.
        """
        hosts = 0
        self._left = self._chunks = self._framing = 0
        self._tail = b""
        for name, value in self.headers:
            if name not in _JUDGED:
                continue
            if name == b"host":
                hosts += 1
                if _HOST.fullmatch(value) is None:
                    return HttpRefusal(400, "The Host header is invalid.")
            elif name == b"content-length":
                self._left = int(value)
            elif name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue" and not self._is_http_1_0
            else:
                self._left = _UNTOLD
                if value.strip().lower() != b"chunked" or self._is_http_1_0:
                    return HttpRefusal(400, "Transfer-Encoding must be chunked, and requires HTTP/1.1.")
        if hosts != 1 and (hosts or not self._is_http_1_0):
            return HttpRefusal(400, "A request must have exactly one Host header.")
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
        """Return the end of the next piece of a chunked body. No piece extends beyond the body's end.

        The body is split into pieces because the parser does not report where a body ended. One rare case is
        not recognized: a body with trailers, and another request in the same packet. That request is lost and
        the connection closes.
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
            self._break_off(HttpRefusal(400, "The chunked body is malformed."))
            return
        if self.headers is not self._trailers:
            self._break_off(HttpRefusal(400, _MALFORMED))  # the head of another request has begun
            return
        bound = self._bounds.max_header_bytes
        if bound and self._framing > bound + self._chunks * _CHUNK_FRAME_BYTES:
            self._break_off(
                HttpRefusal(431, f"The body's chunks can have at most {bound} bytes of overhead.")
            )

    def _next(self) -> None:
        """Continue with the next request, which may have arrived already."""
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
        """Pass a refused request to the application, with the method and path if they can be recognized.

        The application also gets the headers Origin and Host, which decide which pages may read the response.
        """
        self.on_message_begin()
        found = _TARGET.match(head)
        method, target = found.groups() if found is not None else (b"GET", b"/")
        self.scope["method"] = method.decode()
        self.scope["path"] = target.decode(errors="replace")
        self.scope["raw_path"] = target
        self.scope["query_string"] = b""
        self.headers += [
            (name.lower(), value.strip(b" \t")) for name, value in _ORIGIN_AND_HOST.findall(head)
        ]
        refuse(self.scope["state"], refusal)
        self.expect_100_continue = False
        cycle = self._begin_cycle(keep_alive=False)
        cycle.more_body = False
        cycle.message_event.set()
        self._end()

    def _begin_cycle(self, *, keep_alive: bool) -> _Cycle:
        """Start the application for a request."""
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
        """Stop reading a body, and reject its request unless the response has already been sent."""
        if self._stage == _BODY:
            refuse(self.scope["state"], refusal)
        self._end()
        if self.cycle.response_complete:
            self._linger()
        else:
            self.cycle.message_event.set()  # wakes up the reader of the body

    def _end(self) -> None:
        """Ignore all further bytes, and close the connection after the response."""
        self._stage = _DEAF
        self._due = _NEVER
        self.cycle.keep_alive = False
        self.cycle.transport = self._lingering

    def _linger(self) -> None:
        """Close the connection. If the request is incomplete, keep reading for `LINGER_S` seconds first.

        If bytes arrive at a closed connection, the client's system may discard the response.
        """
        if self._stage == _ANSWER:
            self.transport.close()
        elif not self.transport.is_closing():
            self._stage = _DEAF
            self.flow.resume_reading()
            self.transport.write_eof()
            self._await(LINGER_S, self.transport.abort)

    def _give_up_head(self) -> None:
        if self._head or self._excess is not None:
            too_slow = HttpRefusal(408, "The request's headers took too long to arrive.")
            self._refuse(bytes(self._head), self._excess or too_slow)
        else:
            self.transport.close()

    def _give_up_body(self) -> None:
        self._break_off(HttpRefusal(408, "The request's body took too long to arrive."))

    def _await(self, seconds: float, otherwise: Callable[[], None]) -> None:
        """Set a time limit for what the connection waits for, and the function to call when it passes."""
        self._due = self.loop.time() + seconds if seconds else _NEVER
        self._overdue = otherwise

    def _bound_writing(self) -> None:
        """Set a time limit for the client to read the response."""
        seconds = self._bounds.send_timeout_s
        self._due_to_be_read = self.loop.time() + seconds if seconds else _NEVER


def _percent_encoded(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]
