"""Operations: what is routed and what is documented, declared once, and the way of a request to one."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import structlog
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as HttpScope
from starlette.websockets import WebSocketClose

from asgi import refusals, tracebacks
from asgi.authentication import Authentication
from asgi.bodies import parse_json, read_body
from asgi.request_log import record_of
from asgi.unavailability import unavailability
from db.engine import Database, StoreUnavailable
from resolvers.errors import Busy
from resolvers.inputs import Input
from resolvers.viewer import Scope, Viewer
from rest.errors import Code, Problem, not_found, problem_of

log = structlog.get_logger("licensegraph.rest")


@dataclass(frozen=True, slots=True)
class Door:
    """What every call is handed: the store, who is let in, and the OpenAPI document."""

    database: Database
    authentication: Authentication
    max_body_bytes: int
    document: bytes


class Call:
    """One request to an operation. `viewer` is who asks: of operations open to all, nobody in particular."""

    def __init__(self, door: Door, operation: "Operation", request: Request, viewer: Viewer) -> None:
        self.door = door
        self.database = door.database
        self.path: Mapping[str, str] = request.path_params
        self.headers: Mapping[str, str] = request.headers
        self.query_string: bytes = request.scope["query_string"]
        self.viewer = viewer
        self._operation = operation
        self._request = request

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters, as they came; of one that is given twice, the last."""
        # What is not UTF-8 becomes lone surrogates, which no parameter may hold.
        text = self.query_string.decode("utf-8", "surrogateescape")
        return dict(parse_qsl(text, keep_blank_values=True, errors="surrogateescape"))

    async def body(self) -> dict[str, Any]:
        """The body, which is a JSON object. Raises Problem, MalformedJson and what `body_of` raises."""
        # Where no key is looked at, a bad one is no reason either.
        read = read_body if self._operation.scope is None else self.door.authentication.body_of
        text = await read(self._request, self.door.max_body_bytes)
        if not text and self._operation.body_optional:
            return {}
        if not text:
            raise Problem(Code.BAD_REQUEST, "The body is empty; send a JSON object.")
        media_type = self._request.headers.get("content-type", "").partition(";")[0]
        if media_type.strip().lower() != "application/json":
            raise Problem(Code.UNSUPPORTED_MEDIA_TYPE, "The body must be sent as application/json.")
        values = parse_json(text)
        if not isinstance(values, dict):
            raise Problem(Code.BAD_REQUEST, "The body must be a JSON object.")
        return values


RawHeaders: TypeAlias = Sequence[tuple[bytes, bytes]]
Handler: TypeAlias = Callable[[Call], Awaitable[Response]]

_NO_STORE: RawHeaders = [(b"cache-control", b"no-store")]
_ANY_CACHE: RawHeaders = []


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """Something callers can do: at which path, by which methods, and what goes in and comes out.

    `scope` is what the key must allow, which is asked before anything else; None: no key is needed, and none
    is looked at. `key_optional`: none is needed either, or something else may serve in its place, which is
    for the handler to say; a key that is sent must be good all the same. `answers` are the successes, by
    status; what can go wrong follows from the rest. `public`: the answers are the same to everybody and hold
    nobody's data; all others, errors too, are `no-store`.
    """

    methods: tuple[str, ...]
    path: str
    handle: Handler
    answers: Mapping[int, type[BaseModel] | None]
    scope: Scope | None = None
    key_optional: bool = False
    query: type[Input] | None = None
    body: type[Input] | None = None
    body_optional: bool = False
    media_type: str = "application/json"
    public: bool = False

    @property
    def name(self) -> str:
        """What it is called in the OpenAPI document and in the log."""
        return self.handle.__name__


def operation(
    methods: str, path: str, *, answers: Mapping[int, type[BaseModel] | None], **declared: Any
) -> Callable[[Handler], Operation]:
    """Declare a handler as an operation. `methods` are words; the handler's docstring is the summary."""
    return lambda handle: Operation(tuple(methods.split()), path, handle, answers, **declared)


class Endpoint:
    """The ASGI application of one path: all that can be done there, by method. None at all: not found."""

    def __init__(self, door: Door, operations: Sequence[Operation] = ()) -> None:
        self._door = door
        self._path = operations[0].path if operations else None
        self._by_method = {method: each for each in operations for method in each.methods}
        if "GET" in self._by_method:
            self._by_method["HEAD"] = self._by_method["GET"]

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        request = Request(scope, receive)
        record = record_of(scope)
        record.path = self._path
        headers = _NO_STORE
        try:
            refusals.check(scope)
            chosen = self._chosen(request.method)
            record.operation = chosen.name
            headers = _ANY_CACHE if chosen.public else _NO_STORE
            response = await self._answer(chosen, request)
        except ClientDisconnect:
            raise
        except Exception as error:
            problem = problem_of(error)
            _log(error, problem)
            response = problem.response()
        response.raw_headers += headers
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _answer(self, chosen: Operation, request: Request) -> Response:
        viewer = self._door.authentication.anonymous
        if chosen.scope is not None:
            viewer = await self._door.authentication.viewer_of(request)
            if not chosen.key_optional:
                viewer.require(chosen.scope)
        return await chosen.handle(Call(self._door, chosen, request, viewer))

    def _chosen(self, method: str) -> Operation:
        if not self._by_method:
            raise not_found("path")
        if method not in self._by_method:
            allowed = ", ".join(self._by_method)
            raise Problem(
                Code.METHOD_NOT_ALLOWED, f"This path knows {allowed} alone.", headers={"Allow": allowed}
            )
        return self._by_method[method]


def _log(error: Exception, problem: Problem) -> None:
    """Log what is not the caller's fault."""
    if problem.error.code is Code.INTERNAL_ERROR:
        log.error("request.failed", exception=tracebacks.of(error))
    elif isinstance(error, StoreUnavailable | Busy):
        unavailability.tell(error)
