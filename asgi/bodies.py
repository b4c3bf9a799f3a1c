"""Reads request bodies up to a maximum length, and parses JSON."""

import json
from codecs import BOM_UTF8
from typing import Any, ClassVar, Self

from starlette.requests import ClientDisconnect, Request

from asgi import refusals
from asgi.refusals import HttpRefusal
from db import deadlines

SMALL_BYTES = 65_536
"""A body up to this size does not count towards `MAX_LARGE_BYTES`.

The maximum number of connections limits the memory for all such bodies.
"""

MAX_LARGE_BYTES = 16 * 1024 * 1024
"""The number of bytes that all larger bodies of a process together may use while they are received."""

_AS_IT_IS = {b"", b"identity"}


class PayloadTooLarge(Exception):
    """The body is longer than allowed."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body can have at most {max_bytes} bytes.")


class MalformedJson(ValueError):
    """The text is not JSON."""


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Read and return the whole body. A `max_bytes` of 0 means no limit.

    Raises PayloadTooLarge as soon as the body is known to be too long, and ClientDisconnect if the client is
    gone. Raises HttpRefusal if the body is compressed, malformed or too slow, or if the server is receiving
    too many large bodies.
    """
    for name, value in request.scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in _AS_IT_IS:
            raise HttpRefusal(415, "Content-Encoding is not supported. Send the body uncompressed.")
        if name == b"content-length" and value.isdigit() and 0 < max_bytes < int(value):
            raise PayloadTooLarge(max_bytes)
    body, more = await _received(request)
    if max_bytes and len(body) > max_bytes:
        raise PayloadTooLarge(max_bytes)
    if more:
        body = await _rest_of(body, request, max_bytes)
    deadlines.arrive()  # deadlines start now, so that a slow client does not use them up
    return body


async def _received(request: Request) -> tuple[bytes, bool]:
    """Return the next part of the body, and whether more parts follow.

    Raises ClientDisconnect if the client is gone, and HttpRefusal if the request has been refused.
    """
    message = await request.receive()
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    refusals.check(request.scope)
    return message.get("body", b""), message.get("more_body", False)


async def _rest_of(first: bytes, request: Request, max_bytes: int) -> bytes:
    body, more = bytearray(first), True
    with _Room() as room:
        while more:
            if len(body) > SMALL_BYTES:
                room.take(len(body))
            part, more = await _received(request)
            body += part
            if max_bytes and len(body) > max_bytes:
                raise PayloadTooLarge(max_bytes)
    return bytes(body)


class _Room:
    """The share of `MAX_LARGE_BYTES` that one body uses while it is received."""

    _taken_by_all: ClassVar[int] = 0

    def __init__(self) -> None:
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        _Room._taken_by_all -= self._taken

    def take(self, size: int) -> None:
        """Increase this body's share to `size` bytes.

        Raises HttpRefusal if the shares of all bodies would exceed `MAX_LARGE_BYTES`.
        """
        if _Room._taken_by_all - self._taken + size > MAX_LARGE_BYTES:
            raise HttpRefusal(503, "The server is receiving too many large bodies. Try again later.")
        _Room._taken_by_all += size - self._taken
        self._taken = size


def parse_json(text: bytes | str) -> Any:
    """Parse JSON in UTF-8, with or without a byte order mark. Raises MalformedJson.

    The standard library's parser is used, because orjson turns integers beyond 64 bits into floats and
    rejects lone surrogates. Here, each field decides whether it accepts such integers and texts.
    """
    try:
        return _decoder.decode(text.removeprefix(BOM_UTF8).decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        raise MalformedJson("This is not valid JSON.") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
