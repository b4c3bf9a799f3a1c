"""Request bodies, read no further than they may be long, and JSON as it comes in."""

import json
from codecs import BOM_UTF8
from typing import Any, ClassVar, Self

from starlette.requests import ClientDisconnect, Request

from asgi import refusals
from asgi.refusals import HttpRefusal
from db import deadlines

SMALL_BYTES = 65_536
"""A body that is no longer is always taken: connections are bounded, and so are many of these."""

MAX_LARGE_BYTES = 16 * 1024 * 1024
"""What all longer bodies may hold together while they come in, in one process."""

_AS_IT_IS = {b"", b"identity"}


class PayloadTooLarge(Exception):
    """The body is longer than `MAX_BODY_BYTES`."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body may hold at most {max_bytes} bytes.")


class MalformedJson(ValueError):
    """The text is not JSON."""


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body. Raises PayloadTooLarge as soon as it is known to be; `max_bytes` 0 sets no limit.

    Raises HttpRefusal for a body that is encoded, does not come in time or is malformed, and ClientDisconnect
    when nobody is there any more.
    """
    for name, value in request.scope["headers"]:
        if name == b"content-encoding" and value.strip().lower() not in _AS_IT_IS:
            raise HttpRefusal(415, "Send the body as it is, without a Content-Encoding.")
        if name == b"content-length" and value.isdigit() and 0 < max_bytes < int(value):
            raise PayloadTooLarge(max_bytes)
    body, more = await _received(request)
    if max_bytes and len(body) > max_bytes:
        raise PayloadTooLarge(max_bytes)
    if more:
        body = await _rest_of(body, request, max_bytes)
    deadlines.arrive()  # whoever sends slowly has not arrived before
    return body


async def _received(request: Request) -> tuple[bytes, bool]:
    """A part of a body, and whether there is more to come."""
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
    """What one body holds of `MAX_LARGE_BYTES` while it comes in."""

    _taken_by_all: ClassVar[int] = 0

    def __init__(self) -> None:
        self._taken = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        _Room._taken_by_all -= self._taken

    def take(self, size: int) -> None:
        """Hold so many bytes in all. Raises HttpRefusal where there is no room for them."""
        if _Room._taken_by_all - self._taken + size > MAX_LARGE_BYTES:
            raise HttpRefusal(503, "Too many long bodies are being sent. Try again later.")
        _Room._taken_by_all += size - self._taken
        self._taken = size


def parse_json(text: bytes | str) -> Any:
    """Parse JSON, UTF-8, with or without a byte order mark. Raises MalformedJson.

    The standard library's parser, since orjson's makes floats of integers beyond 64 bits and refuses lone
    surrogates: both are the caller's data, to be kept or judged field by field where they are used.
    """
    try:
        return _decoder.decode(text.removeprefix(BOM_UTF8).decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        raise MalformedJson("This is not JSON.") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
