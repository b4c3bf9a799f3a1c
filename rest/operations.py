"""Operations of the API: how they are declared, for routing and for OpenAPI, and how they are called."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
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
from asgi.cors import ANY_ORIGIN, RawHeaders, Route
from asgi.idempotency import HEADER, key_of
from asgi.limits import Meter, Quota
from asgi.request_log import record_of
from asgi.unavailability import unavailability
from db.engine import Database, StoreUnavailable
from db.idempotency import Claim
from resolvers.errors import Busy
from resolvers.idempotency import Outcome, claim_of, once
from resolvers.inputs import Input, check, is_storable
from resolvers.keyring import Keyring
from resolvers.versions import Versions
from resolvers.viewer import Scope, Viewer, closed_to_rest, implied
from rest import ignored, outcomes
from rest.errors import INPUT_ERRORS, Code, Problem, not_found, problem_of
from rest.numeric_strings import with_numbers
from rest.preconditions import if_match

M = TypeVar("M", bound=Input)

log = structlog.get_logger("licensegraph.rest")


@dataclass(frozen=True, slots=True)
class Services:
    """What all calls share: the database, keyring, authentication, body limit and OpenAPI document.

    `path_prefix` is the path under which callers reach the server. `cors` says whether responses have the
    headers of CORS.
    """

    database: Database
    keyring: Keyring
    authentication: Authentication
    max_body_bytes: int
    document: bytes
    path_prefix: str = ""
    cors: bool = True


class Call:
    """One request to an operation.

    `viewer` is its sender, who is anonymous if no key was sent or if the operation ignores keys.
    """

    def __init__(
        self, services: Services, operation: "Operation", request: Request, viewer: Viewer, meter: Meter
    ) -> None:
        self.services = services
        self.database = services.database
        self.keyring = services.keyring
        self.path: Mapping[str, str] = request.path_params
        self.method = request.method
        self.headers = request.headers
        self.query_string: bytes = request.scope["query_string"]
        self.viewer = viewer
        self._body: dict[str, Any] | None = None
        self._operation = operation
        self._request = request
        self._meter = meter
        self._has_spent = operation.cost is not None

    @property
    def if_version(self) -> Versions:
        """Return the versions that If-Match requires. Raises Problem if the header is malformed."""
        return if_match(self._request.headers.getlist("if-match"))

    def location(self, path: str) -> str:
        """Return a path of this server as callers see it, with the path prefix."""
        return f"{self.services.path_prefix}{path}"

    @property
    def query(self) -> dict[str, str]:
        """Return the query parameters as they were sent. If a name is repeated, the last one counts."""
        return dict(self._parameters())

    def all_of(self, name: str) -> list[str]:
        """Return all values of a query parameter that can be repeated, as they were sent."""
        return [value for key, value in self._parameters() if key == name]

    def _parameters(self) -> list[tuple[str, str]]:
        # Invalid UTF-8 becomes lone surrogates, which are later refused in every parameter.
        text = self.query_string.decode("utf-8", "surrogateescape")
        return parse_qsl(text, keep_blank_values=True, errors="surrogateescape")

    def checked(self, model: type[M], values: Mapping[str, object]) -> M:
        """Return the query or the body as a model. Raises Faults.

        The context of the model's validators has the path parameters and the `account_id` of the viewer.
        """
        return check(model, values, {**self.path, "account_id": self.viewer.account_id})

    def spend(self, cost: int) -> None:
        """Spend the points of the call, unless they have been spent already. Raises RateLimited."""
        if not self._has_spent:
            self._has_spent = True
            self._meter.take(cost)

    def count(self, quota: Quota) -> None:
        """Count the call toward another limit per minute. Raises RateLimited."""
        self._meter.take(0, {quota: 1})

    async def body(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object. Numeric strings become numbers where this is allowed.

        If the body is optional, an empty body becomes {}. Raises Problem, MalformedJson and the exceptions of
        `body_of`.
        """
        if self._body is None:
            self._body = await self._read_body()
        return dict(self._body)

    async def _read_body(self) -> dict[str, Any]:
        # If an operation ignores keys, a bad key is not an error.
        read = read_body if self._operation.scope is None else self.services.authentication.body_of
        text = await read(self._request, self.services.max_body_bytes)
        if not text and self._operation.body_optional:
            return {}
        if not text:
            raise Problem(Code.BAD_REQUEST, "The body is empty. Send a JSON object.")
        media_type = self._request.headers.get("content-type", "").partition(";")[0]
        if media_type.strip().lower() != "application/json":
            raise Problem(Code.UNSUPPORTED_MEDIA_TYPE, "The body must be sent as application/json.")
        values = parse_json(text)
        if not isinstance(values, dict):
            raise Problem(Code.BAD_REQUEST, "The body must be a JSON object.")
        return values if self._operation.body is None else with_numbers(self._operation.body, values)


Handler: TypeAlias = Callable[[Call], Awaitable[Response]]

_WRITING = implied({Scope.WRITE})
_ONE = {quota: {quota: 1} for quota in Quota}
_NO_STORE: RawHeaders = [(b"cache-control", b"no-store")]
_ANY_CACHE: RawHeaders = []


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """An operation of the API: its path and methods, its input and its responses.

    scope: the scope that the key must have, checked before the input. None: keys are ignored.
    reads: a second scope that the key must have, usually because the response shows what was written.
    key_optional: the scope is not checked before the handler runs. Either no key is required, or the handler
        accepts something else in place of a key. A key that is sent must be valid.
    query, body: the models of the input. If `body_optional` is true, an empty body is accepted.
    check_first: a check whose errors take precedence over those of the query and the body. It only runs if
        the query or the body is wrong. If not, the handler's own statements find the same errors.
    cost: the points that a call costs. None: they depend on the query or the body, and the handler passes
        them to `Call.spend`.
    quota: the limit per minute that each call counts toward. None: a call with a key counts toward
        `Quota.REQUESTS`, and a call without a key counts toward none.
    answers: for each status of a success, the model of the body, or None if there is no body. The errors
        follow from the other fields.
    conditional: If-Match is checked (`Call.if_version`).
    located: a response with status 201 has the header Location, the path of the new object.
    public: responses are the same for everyone and may be cached. The responses of all other operations,
        including errors, are `no-store`.
    any_origin: no key is needed, so pages of any origin may read the responses.
    check_viewer: what the handler checks of the viewer besides the scopes. It runs before an earlier response
        is repeated, because the handler does not run then.
    proves_itself: whether the body makes the key unnecessary. Such a request ignores Idempotency-Key.
    """

    methods: tuple[str, ...]
    path: str
    handle: Handler
    answers: Mapping[int, type[BaseModel] | None]
    cost: int | None
    quota: Quota | None = None
    scope: Scope | None = None
    reads: Scope | None = None
    key_optional: bool = False
    query: type[Input] | None = None
    body: type[Input] | None = None
    body_optional: bool = False
    check_first: Callable[[Call], Awaitable[object]] | None = None
    media_type: str = "application/json"
    conditional: bool = False
    located: bool = True
    public: bool = False
    any_origin: bool = False
    check_viewer: Callable[[Viewer], object] | None = None
    proves_itself: Callable[[Mapping[str, Any]], bool] | None = None

    @property
    def is_write(self) -> bool:
        """Return whether the operation changes something for the key of the request."""
        return self.methods != ("GET",) and self.scope in _WRITING

    @property
    def name(self) -> str:
        """Return the operation's name in the OpenAPI document and in the log."""
        return self.handle.__name__


def operation(
    methods: str,
    path: str,
    *,
    answers: Mapping[int, type[BaseModel] | None],
    cost: int | None,
    **declared: Any,
) -> Callable[[Handler], Operation]:
    """Declare a handler as an operation. `methods` are separated by spaces.

    The first sentence of the handler's docstring is the summary in OpenAPI. The rest is the description.
    """
    return lambda handle: Operation(tuple(methods.split()), path, handle, answers, cost, **declared)


class Endpoint:
    """The ASGI application of one path, with an operation for each method.

    Without operations, it responds to every request with 404.
    """

    def __init__(self, services: Services, operations: Sequence[Operation] = ()) -> None:
        self._services = services
        self._path = operations[0].path if operations else None
        self._by_method = {method: each for each in operations for method in each.methods}
        if "GET" in self._by_method:
            self._by_method["HEAD"] = self._by_method["GET"]
        any_origin = any(each.any_origin for each in operations)
        self._of_path = ANY_ORIGIN if any_origin and services.cors else ()
        self.route = None if self._path is None else Route(self._path, any_origin)

    async def __call__(self, scope: HttpScope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await WebSocketClose()(scope, receive, send)
            return
        request = Request(scope, receive)
        record = record_of(scope)
        record.path = self._path
        headers = _NO_STORE
        chosen: Operation | None = None
        meter: Meter | None = None
        try:
            refusals.check(scope)
            chosen = self._chosen(request.method)
            record.operation = chosen.name
            headers = _ANY_CACHE if chosen.public else _NO_STORE
            authentication = self._services.authentication
            viewer = authentication.anonymous
            if chosen.scope is not None:
                viewer = closed_to_rest(await authentication.viewer_of(request))
            meter = authentication.limits.meter(viewer, record.client.network)
            response = await self._answer(chosen, request, viewer, meter)
        except ClientDisconnect:
            raise
        except Exception as error:
            problem = problem_of(error)
            _log(error, problem)
            response = problem.response()
        if chosen is not None and (names := ignored.names(chosen.query, scope["query_string"])):
            record.ignored_parameters = ignored.loggable(names)
            response.raw_headers.append((b"x-ignored-parameters", ignored.header(names)))
        response.raw_headers += (*headers, *self._of_path)
        if meter is not None:
            meter.settle(len(response.body))
            response.raw_headers += (*meter.budget_headers(), *meter.window_headers())
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _answer(self, chosen: Operation, request: Request, viewer: Viewer, meter: Meter) -> Response:
        quota = chosen.quota or (None if viewer.is_anonymous else Quota.REQUESTS)
        meter.take(chosen.cost or 0, {} if quota is None else _ONE[quota])
        if chosen.scope is not None and not chosen.key_optional:
            viewer.require(chosen.scope)
        if chosen.reads is not None:
            viewer.require(chosen.reads)
        call = Call(self._services, chosen, request, viewer, meter)
        try:
            return await _handled(chosen, call)
        except Exception as error:
            if chosen.check_first is not None and problem_of(error).error.code in INPUT_ERRORS:
                await chosen.check_first(call)
            raise

    def _chosen(self, method: str) -> Operation:
        if not self._by_method:
            raise not_found("path")
        if method not in self._by_method:
            allowed = ", ".join(self._by_method)
            raise Problem(
                Code.METHOD_NOT_ALLOWED, f"This path only supports {allowed}.", headers={"Allow": allowed}
            )
        return self._by_method[method]


async def _handled(operation: Operation, call: Call) -> Response:
    """Return an operation's response, or the earlier one if a write is repeated with its idempotency key."""
    claim = await _claim(operation, call)
    if claim is None:
        return await operation.handle(call)
    if operation.check_viewer is not None:
        operation.check_viewer(call.viewer)

    async def work(database: Database) -> Outcome:
        call.database = database
        try:
            return outcomes.written(await operation.handle(call))
        finally:
            call.database = call.services.database

    return outcomes.response_of(await once(call.database, call.keyring, claim, work))


async def _claim(operation: Operation, call: Call) -> Claim | None:
    """Return the claim of a write that was sent with an API key and an idempotency key, or else None."""
    if not operation.is_write or call.viewer.key_id is None:
        return None
    key = key_of(call.headers.getlist(HEADER))
    path = operation.path.format(**call.path)
    if key is None or not is_storable(path):
        return None
    body = {} if operation.body is None else await call.body()
    if operation.proves_itself is not None and operation.proves_itself(body):
        return None
    sent = {
        "query": outcomes.known_to(operation.query, call.query),
        "body": outcomes.known_to(operation.body, body),
    }
    return claim_of(call.viewer.key_id, f"{call.method} {path}", key, sent)


def _log(error: Exception, problem: Problem) -> None:
    """Log an error, unless the caller caused it."""
    if problem.error.code is Code.INTERNAL_ERROR:
        log.error("request.failed", exception=tracebacks.of(error))
    elif isinstance(error, StoreUnavailable | Busy):
        unavailability.tell(error)
