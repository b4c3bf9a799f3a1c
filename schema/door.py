"""The GraphQL door: GraphQL over HTTP, on one path.

Strawberry's own view is not used: it knows none of the draft's rules of status and media type, and
answers a broken request in plain text (see docs/decisions.md).
"""

from collections.abc import Mapping
from typing import Any

import orjson
from graphql import GraphQLError
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asgi import refusals
from asgi.authentication import Authentication
from asgi.bodies import MalformedJson, PayloadTooLarge, parse_json
from asgi.refusals import HttpRefusal
from asgi.request_log import record_of
from db.engine import Database, StoreUnavailable
from resolvers.errors import Busy, Unauthenticated
from resolvers.inputs import is_storable
from schema.context import Context
from schema.errors import Code, RequestRefused, code_of, formatted
from schema.limits import Limits
from schema.media_types import MediaType, negotiated
from schema.operations import MutationNotAllowed, Operations, Outcome, Request

RETRY_AFTER_S = "1"


class _HttpRefusal(Exception):
    """A request that does not get as far as a document."""

    def __init__(
        self,
        status: int,
        message: str,
        code: Code = Code.BAD_USER_INPUT,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers


class GraphQLDoor:
    """The ASGI application of `/graphql`."""

    def __init__(
        self,
        database: Database,
        authentication: Authentication,
        *,
        limits: Limits,
        introspection: bool = True,
    ) -> None:
        self._database = database
        self._authentication = authentication
        self._operations = Operations(limits, introspection=introspection)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        response = await self._answer(http, negotiated(http.headers.get("accept")))
        await response(scope, receive, send)

    async def _answer(self, http: HttpRequest, media_type: MediaType | None) -> Response:
        try:
            refusals.check(http.scope)
            if media_type is None:
                raise _HttpRefusal(
                    406, "This address answers application/graphql-response+json or application/json."
                )
            if http.method not in {"GET", "POST"}:
                raise _HttpRefusal(405, "GraphQL takes GET and POST.", headers={"Allow": "GET, POST"})
            viewer = await self._authentication.viewer_of(http)
            request = await self._request(http)
            context = Context(viewer, self._database, record=record_of(http.scope))
            outcome = await self._operations.execute(request, context)
            return self._executed(outcome, media_type)
        except _HttpRefusal as refusal:
            return _refused(media_type, refusal.status, refusal.code, str(refusal), refusal.headers)
        except HttpRefusal as refusal:
            code = Code.UNAVAILABLE if refusal.status == 503 else Code.BAD_USER_INPUT
            return _refused(media_type, refusal.status, code, str(refusal))
        except ClientDisconnect:
            raise
        except MutationNotAllowed:
            return _refused(
                media_type, 405, Code.BAD_USER_INPUT, "A mutation is sent by POST.", {"Allow": "POST"}
            )
        except Unauthenticated as error:
            return _unauthenticated(media_type, [GraphQLError(str(error))])
        except (StoreUnavailable, Busy) as error:
            failed = GraphQLError(str(error), original_error=error)
            return _response(media_type, 503, {"errors": [formatted(failed)]})
        except PayloadTooLarge as error:
            return _refused(media_type, 413, Code.BAD_USER_INPUT, str(error))
        except MalformedJson as error:
            return _refused(media_type, 400, Code.BAD_USER_INPUT, str(error))
        except RequestRefused as refused:
            if refused.code is Code.UNAUTHENTICATED:
                return _unauthenticated(media_type, refused.errors)
            status = 400 if media_type is MediaType.RESPONSE else 200
            return _response(
                media_type, status, {"errors": [formatted(e, refused.code) for e in refused.errors]}
            )
        except Exception as error:
            failed = GraphQLError("", original_error=error)
            return _response(media_type, 500, {"errors": [formatted(failed)]})

    async def _request(self, http: HttpRequest) -> Request:
        if http.method == "GET":
            parameters: Mapping[str, Any] = {
                name: parse_json(text) if name in {"variables", "extensions"} and text else text or None
                for name, text in http.query_params.items()
            }
        else:
            content_type = http.headers.get("content-type", "").partition(";")[0].strip().lower()
            if content_type != "application/json":
                raise _HttpRefusal(415, "Send the request as application/json.")
            max_bytes = self._operations.limits.max_body_bytes
            parameters = parse_json(await self._authentication.body_of(http, max_bytes))
        return _request_of(parameters, may_mutate=http.method == "POST")

    def _executed(self, outcome: Outcome, media_type: MediaType) -> Response:
        result = outcome.result
        errors = result.errors or []
        answer: dict[str, Any] = {"data": result.data}
        if errors:
            answer["errors"] = [formatted(error) for error in errors]
        maximum = self._operations.limits.max_cost
        answer["extensions"] = {"cost": {"requested": outcome.cost, "maximum": maximum or None}}
        nothing_done = result.data is None or all(value is None for value in result.data.values())
        unreachable = nothing_done and any(code_of(error) is Code.UNAVAILABLE for error in errors)
        return _response(media_type, 503 if unreachable else 200, answer)


def _unauthenticated(media_type: MediaType | None, errors: list[GraphQLError]) -> Response:
    answer = {"errors": [formatted(error, Code.UNAUTHENTICATED) for error in errors]}
    return _response(media_type, 401, answer, {"WWW-Authenticate": "Bearer"})


def _refused(
    media_type: MediaType | None, status: int, code: Code, message: str, headers: dict[str, str] | None = None
) -> Response:
    return _response(media_type, status, {"errors": [formatted(GraphQLError(message), code)]}, headers)


def _request_of(parameters: Any, *, may_mutate: bool) -> Request:
    if isinstance(parameters, list):
        raise _HttpRefusal(400, "Batches are not taken: send one document a request.")
    if not isinstance(parameters, Mapping):
        raise _HttpRefusal(400, "The request must be a JSON object.")
    query = parameters.get("query")
    if not isinstance(query, str) or not query.strip():
        raise _HttpRefusal(400, "query must be the text of a document.")
    if not is_storable(query):
        raise _HttpRefusal(400, "query must not contain NUL or lone surrogates.")
    for name, kind, called in (
        ("variables", Mapping, "an object"),
        ("extensions", Mapping, "an object"),
        ("operationName", str, "a string"),
    ):
        if not isinstance(parameters.get(name), kind | None):
            raise _HttpRefusal(400, f"{name} must be {called} or null.")
    # An empty operation name is what some clients send for none.
    return Request(query, parameters.get("variables"), parameters.get("operationName") or None, may_mutate)


def _response(
    media_type: MediaType | None, status: int, answer: dict[str, Any], headers: dict[str, str] | None = None
) -> Response:
    return Response(
        orjson.dumps(answer),
        status_code=status,
        headers={
            "Content-Type": f"{media_type or MediaType.JSON}; charset=utf-8",
            # What is answered holds for the moment, and may be a token.
            "Cache-Control": "no-store",
            "Vary": "Accept",
            **({"Retry-After": RETRY_AFTER_S} if status == 503 else {}),
            **(headers or {}),
        },
    )
