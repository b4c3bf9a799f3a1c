"""When a client hangs up before the response is complete, the server stops working on its request."""

import asyncio
import time

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from asgi import refusals
from asgi.abandonment import CLIENT_CLOSED_REQUEST, Abandonment
from asgi.bodies import read_body
from db.engine import Database
from tests.db.test_deadlines import ENDLESS, SHORTLY

SCOPE = {"type": "http", "method": "POST", "path": "/", "headers": []}


class Client:
    """A client at the ASGI level. It sends `messages`, and disconnects when a test sets `hangs_up`."""

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
async def test_the_statement_of_a_client_that_hung_up_stops(
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


async def test_an_app_that_has_answered_may_finish(client: Client) -> None:
    """Once a response is complete, servers report a disconnect, even if the client has not hung up."""
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


async def test_a_response_is_not_started_twice(client: Client) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        client.hangs_up.set()
        await asyncio.Event().wait()

    await Abandonment(app)(SCOPE, client.receive, client.send)

    assert [message["status"] for message in client.received] == [200]


async def test_a_late_body_is_read_completely() -> None:
    client = Client(body(b"a", more=True), body(b"b", more=True), body(b"c"))
    read = []

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        await asyncio.sleep(0.15)
        read.append(await read_body(Request(scope, receive), 0))
        await asyncio.sleep(0.15)

    await Abandonment(app)(SCOPE, client.receive, client.send)

    assert read == [b"abc"]


async def test_an_app_that_waits_for_the_client_is_told_that_it_hung_up(client: Client) -> None:
    heard = []

    async def app(scope: Scope, receive: Receive, _send: Send) -> None:
        heard.append(await receive())
        client.hangs_up.set()
        heard.append(await receive())

    await Abandonment(app)(SCOPE, client.receive, client.send)

    assert heard == [body(b"{}"), {"type": "http.disconnect"}]


async def test_cancellation_by_the_server_is_passed_on_after_a_response(client: Client) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if (refusal := refusals.of(scope)) is not None:
            await Response(str(refusal), refusal.status)(scope, receive, send)
        await asyncio.Event().wait()

    asking = asyncio.create_task(Abandonment(app)({**SCOPE}, client.receive, client.send))
    await asyncio.sleep(0.1)
    asking.cancel()
    await asyncio.sleep(0.1)
    asking.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [message.get("status") for message in client.received] == [503, None]
    assert client.received[1]["body"] == b"The server is shutting down. Try again later."


async def test_other_scopes_than_http_pass_through(client: Client) -> None:
    scopes = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append((scope, receive, send))

    scope = {"type": "lifespan"}
    await Abandonment(app)(scope, client.receive, client.send)

    assert scopes == [(scope, client.receive, client.send)]
