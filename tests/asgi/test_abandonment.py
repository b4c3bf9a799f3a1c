"""A client that is gone: what was done for it stops. One that is there notices nothing."""

import asyncio
import time

import pytest
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from asgi.abandonment import CLIENT_CLOSED_REQUEST, Abandonment
from asgi.bodies import read_body
from db.engine import Database
from tests.db.test_deadlines import ENDLESS, SHORTLY

SCOPE = {"type": "http", "method": "POST", "path": "/", "headers": []}


class Client:
    """The other end of a request: sends these messages, then hangs up when it is told to."""

    def __init__(self, *messages: Message) -> None:
        self._messages = list(messages)
        self.hangs_up = asyncio.Event()
        self.received: list[Message] = []

    async def receive(self) -> Message:
        if self._messages:
            return self._messages.pop(0)
        await self.hangs_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.received.append(message)


def body(text: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": text, "more_body": more}


@pytest.fixture
def client() -> Client:
    return Client(body(b"{}"))


@pytest.mark.parametrize("reads_body", [True, False])
async def test_statement_of_a_client_that_is_gone_stops(
    database: Database, client: Client, reads_body: bool
) -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        if reads_body:
            assert await receive() == body(b"{}")
        try:
            async with database.read() as session:
                await session.rows(ENDLESS, {})
        finally:
            ended.set()

    asking = asyncio.create_task(Abandonment(app)(SCOPE, client.receive, client.send))
    await asyncio.sleep(0.3)
    assert not ended.is_set()
    started = time.monotonic()
    client.hangs_up.set()
    await asking

    assert ended.is_set()
    assert time.monotonic() - started < SHORTLY
    assert client.received[0]["status"] == CLIENT_CLOSED_REQUEST


async def test_app_that_has_answered_is_left_to_finish(client: Client) -> None:
    """As servers do: to them, a client that has its answer is gone."""
    finished = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.15)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        client.hangs_up.set()
        await asyncio.sleep(0.15)
        finished.set()

    await Abandonment(app)(SCOPE, client.receive, client.send)

    assert finished.is_set()
    assert [message["type"] for message in client.received] == ["http.response.start", "http.response.body"]


async def test_answer_that_has_begun_is_not_begun_again(client: Client) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        client.hangs_up.set()
        await asyncio.Event().wait()

    await Abandonment(app)(SCOPE, client.receive, client.send)

    assert [message["status"] for message in client.received] == [200]


async def test_body_that_comes_late_is_read_whole() -> None:
    client = Client(body(b"a", more=True), body(b"b", more=True), body(b"c"))
    read = []

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        await asyncio.sleep(0.15)
        read.append(await read_body(Request(scope, receive), 0))
        await asyncio.sleep(0.15)

    await Abandonment(app)(SCOPE, client.receive, client.send)

    assert read == [b"abc"]


async def test_app_that_waits_for_the_client_hears_that_it_is_gone(client: Client) -> None:
    heard = []

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        heard.append(await receive())
        client.hangs_up.set()
        heard.append(await receive())

    await Abandonment(app)(SCOPE, client.receive, client.send)

    assert heard == [body(b"{}"), {"type": "http.disconnect"}]


async def test_cancellation_by_the_server_goes_on(client: Client) -> None:
    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        await asyncio.Event().wait()

    asking = asyncio.create_task(Abandonment(app)(SCOPE, client.receive, client.send))
    await asyncio.sleep(0.1)
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert client.received == []


async def test_what_is_not_http_passes(client: Client) -> None:
    scopes = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append((scope, receive, send))

    scope = {"type": "lifespan"}
    await Abandonment(app)(scope, client.receive, client.send)

    assert scopes == [(scope, client.receive, client.send)]
