"""Connections to a server of a test's own, byte by byte, and what comes back."""

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
    """A server that listens, on a port of this machine."""

    port: int

    async def talk(self, *packets: bytes, pause: float = 0.02, patience: float = 10) -> list[Answer]:
        """Send packets, and answer what came until the server closed. TimeoutError if it does not."""
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
        pass  # the server has heard enough


def answers(received: bytes) -> list[Answer]:
    """The answers in what a server sent, each with its length told. Those of status 100 are left out."""
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
    """An application that answers 200, and remembers the requests it was handed, with their bodies."""

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
    """A server of an application that is started already."""
    config = uvicorn.Config(
        app,
        http=Connections(bounds or Bounds()),
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
    """Packets of a text: in one, with the head apart, or each byte apart."""
    match how:
        case "whole":
            return [text]
        case "head":
            head, end, rest = text.partition(b"\r\n\r\n")
            return [head + end, rest]
        case _:
            return [bytes([byte]) for byte in text]


def post(path: str, body: bytes, *lines: str, chunked: bool = False) -> bytes:
    """A POST of a body, with these header lines beside those it needs."""
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    if chunked:
        body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in re.findall(b"(?s).{1,7}", body))
        body += b"0\r\n\r\n"
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: x", length, *lines])
    return head.encode() + b"\r\n\r\n" + body


LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
"""A request after which the server closes."""
