"""Request bodies, read no further than they may be long, and JSON as it comes in."""

import json
from typing import Any

from starlette.requests import Request

from db import deadlines


class PayloadTooLarge(Exception):
    """The body is longer than `MAX_BODY_BYTES`."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(f"The body may hold at most {max_bytes} bytes.")


class MalformedJson(ValueError):
    """The text is not JSON."""


async def read_body(request: Request, max_bytes: int) -> bytes:
    """The whole body. Raises PayloadTooLarge as soon as it is known to be; `max_bytes` 0 sets no limit."""
    declared = request.headers.get("content-length", "0")
    if max_bytes and declared.isdecimal() and int(declared) > max_bytes:
        raise PayloadTooLarge(max_bytes)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if max_bytes and size > max_bytes:
            raise PayloadTooLarge(max_bytes)
        chunks.append(chunk)
    deadlines.arrive()  # whoever sends slowly has not arrived before
    return b"".join(chunks)


def parse_json(text: bytes | str) -> Any:
    """Parse JSON, UTF-8. Raises MalformedJson.

    The standard library's parser, since orjson's makes floats of integers beyond 64 bits and refuses lone
    surrogates: both are the caller's data, to be kept or judged field by field where they are used.
    """
    try:
        return _decoder.decode(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as error:
        raise MalformedJson("This is not JSON.") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
