"""Raw connections to a server that a test starts."""

import asyncio
import json
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from asgi.http_protocol import Bounds, Connections


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    content: bytes

    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Listener:
    """A server that listens on a local port."""

    port: int

    async def talk(self, *packets: bytes, pause: float = 0.02, patience: float = 10) -> list[Answer]:
        """Send packets, `pause` seconds apart, and return the responses.

        Reads until the server closes the connection. Raises TimeoutError if the connection stays open longer
        than `patience` seconds.
        """
        reader, writer = await self.connect()
        sending = asyncio.ensure_future(_send(writer, packets, pause))
        try:
            async with asyncio.timeout(patience):
                return answers(await reader.read())
        finally:
            sending.cancel()
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


async def _send(writer: asyncio.StreamWriter, packets: tuple[bytes, ...], pause: float) -> None:
    writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        for packet in packets:
            writer.write(packet)
            await writer.drain()
            await asyncio.sleep(pause)
    except OSError:
        pass  # the server has closed the connection


def answers(received: bytes) -> list[Answer]:
    """Parse the responses in the bytes that a server sent. Responses with status 100 are left out."""
    found = []
    while received:
        head, _, received = received.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (each.split(": ", 1) for each in lines)}
        length = int(headers.get("content-length", 0))
        status = int(line.split()[1])
        if status != 100:
            found.append(Answer(status, headers, received[:length]))
        received = received[length:]
    return found


class Echo:
    """An application that returns 200 and records each request's method, path and body.

    It waits for `gate` before it responds. A request that the server refuses gets the refusal's status
    instead of 200, and is not recorded. An incomplete request is not recorded either.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bytes]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more and "refusal" not in scope["state"]:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message["body"]
            more = message["more_body"]
        await self.gate.wait()
        refusal = scope["state"].get("refusal")
        if refusal is None and not more:
            self.seen.append((scope["method"], scope["raw_path"].decode(), body))
        await send(
            {
                "type": "http.response.start",
                "status": 200 if refusal is None else refusal.status,
                "headers": [(b"content-length", b"2")],
            }
        )
        await send({"type": "http.response.body", "body": b"{}"})


@asynccontextmanager
async def listening(
    app: ASGIApp, bounds: Bounds | None = None, *, keep_alive_s: int = 75
) -> AsyncIterator[Listener]:
    """Run a server for an application. The caller runs the application's lifespan, if it has one."""
    config = uvicorn.Config(
        app,
        http=Connections(bounds or Bounds()),  # type: ignore[arg-type]  # called like a class
        timeout_keep_alive=keep_alive_s,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        await server.startup([taken])
        try:
            yield Listener(taken.getsockname()[1])
        finally:
            await server.shutdown([taken])


def cut(text: bytes, how: str) -> list[bytes]:
    """Split bytes into packets: one packet, two packets (head and body), or one packet per byte."""
    match how:
        case "whole":
            return [text]
        case "head":
            head, end, rest = text.partition(b"\r\n\r\n")
            return [head + end, rest]
        case _:
            return [bytes([byte]) for byte in text]


def post(path: str, body: bytes, *lines: str, chunked: bool = False) -> bytes:
    """Return a POST request with this body and these header lines. Other required headers are added."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    if chunked:
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in re.findall(b"(?s).{1,7}", body))
        body += b"0\r\n\r\n"
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", length, *lines])
    return head.encode() + b"\r\n\r\n" + body


LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""A request after which the server closes the connection."""
