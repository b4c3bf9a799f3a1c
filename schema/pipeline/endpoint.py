"""The endpoint: GraphQL over HTTP, on one path.

Strawberry's own view is not used. It does not follow the rules of the GraphQL-over-HTTP draft for status and
media type, and responds to invalid requests in plain text (see docs/decisions.md).
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson
from graphql import GraphQLError, GraphQLSchema
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from asgi import refusals
from asgi.authentication import Authentication
from asgi.bodies import parse_json
from asgi.idempotency import HEADER, REPLAYED
from asgi.limits import Meter
from asgi.refusals import HttpRefusal
from asgi.request_log import record_of
from db.engine import Database
from resolvers.errors import RateLimited, Unauthenticated
from resolvers.inputs import is_storable
from resolvers.keyring import Keyring
from resolvers.viewer import DocumentPolicy, Viewer
from schema.pipeline.context import Context
from schema.pipeline.errors import Code, RequestRefused, code_of, failure_of, formatted
from schema.pipeline.limits import Limits
from schema.pipeline.media_types import MediaType, negotiated
from schema.pipeline.pipeline import Outcome, Pipeline, Request
from schema.pipeline.registered import RegisteredDocuments, name_of

RETRY_AFTER_S = "1"
_ALLOW = {405: {"Allow": "GET, POST"}}


class GraphQLEndpoint:
    """The ASGI application of `/graphql`."""

    def __init__(
        self,
        schema: GraphQLSchema,
        database: Database,
        keyring: Keyring,
        authentication: Authentication,
        *,
        limits: Limits,
        introspection: bool = True,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._authentication = authentication
        self._pipeline = Pipeline(schema, limits, introspection=introspection)
        self._registered = RegisteredDocuments(database, self._pipeline.documents)

    def running(self, *, checks_documents: bool) -> AbstractAsyncContextManager[None]:
        """Do the background work of registered documents while the block runs.

        With `checks_documents`, broken documents are logged. One process of a server does this.
        """
        return self._registered.running(checks_documents=checks_documents)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        context = Context(
            self._authentication.anonymous,
            self._database,
            self._keyring,
            self._pipeline.documents,
            record=record_of(scope),
            sent_keys=http.headers.getlist(HEADER),
        )
        response = await self._response(http, negotiated(http.headers.get("accept")), context)
        response.raw_headers += context.meter.budget_headers()
        await response(scope, receive, send)

    async def _response(self, http: HttpRequest, media_type: MediaType | None, context: Context) -> Response:
        try:
            refusals.check(http.scope)
            if media_type is None:
                raise HttpRefusal(
                    406, "This address answers application/graphql-response+json or application/json."
                )
            if http.method not in {"GET", "POST"}:
                raise HttpRefusal(405, "GraphQL only supports GET and POST.")
            context.viewer = await self._authentication.viewer_of(http)
            context.meter = self._authentication.limits.meter(context.viewer, context.record.client.network)
            request = await self._request(http, context.viewer)
            return self._executed(await self._pipeline.run(request, context), media_type, context)
        except ClientDisconnect:
            raise
        except RequestRefused as refused:
            return _refused(media_type or MediaType.JSON, refused)
        except RateLimited as error:
            requested = context.meter.requested
            extensions = {"cost": self._cost(context.meter, requested, 0)} if requested else None
            return _failed(media_type or MediaType.JSON, error, extensions)
        except Exception as error:
            context.meter.settle(0)
            return _failed(media_type or MediaType.JSON, error)

    async def _request(self, http: HttpRequest, viewer: Viewer) -> Request:
        if http.method == "GET":
            parameters: Mapping[str, Any] = {
                name: parse_json(text) if name in {"variables", "extensions"} and text else text or None
                for name, text in http.query_params.items()
            }
        else:
            content_type = http.headers.get("content-type", "").partition(";")[0].strip().lower()
            if content_type != "application/json":
                raise HttpRefusal(415, "Send the request as application/json.")
            max_bytes = self._pipeline.limits.max_body_bytes
            parameters = parse_json(await self._authentication.body_of(http, max_bytes))
        if isinstance(parameters, list):
            raise HttpRefusal(400, "Batches are not supported: send one document per request.")
        if not isinstance(parameters, dict):
            raise HttpRefusal(400, "The request must be a JSON object.")
        variables, extensions = _object(parameters, "variables"), _object(parameters, "extensions")
        has_text = parameters.get("query") not in (None, "")
        # If a text is sent, Apollo's extension only asks the server to store it. The server never does.
        name = name_of(parameters, {} if has_text else extensions)
        operation_name = parameters.get("operationName")
        if not isinstance(operation_name, str | None):
            raise HttpRefusal(400, "operationName must be a string or null.")
        cost_only = extensions.get("costOnly")
        if not isinstance(cost_only, bool | None):
            raise HttpRefusal(400, "extensions.costOnly must be true, false or null.")
        if name is not None and not has_text:
            found = self._registered.known(viewer, name.id) or await self._registered.named(viewer, name)
            query = found.text
        else:
            query = _query(parameters)
            if name is not None or viewer.documents is not DocumentPolicy.ANY:
                await self._registered.check(viewer, query, name)
        # Some clients send an empty string if the operation has no name.
        return Request(query, variables, operation_name or None, http.method == "POST", cost_only or False)

    def _executed(self, outcome: Outcome, media_type: MediaType, context: Context) -> Response:
        result, meter = outcome.result, context.meter
        errors = result.errors or []
        data = orjson.dumps(result.data)
        body: dict[str, Any] = {"data": orjson.Fragment(data)}
        if errors:
            body["errors"] = [formatted(error) for error in errors]
        body["extensions"] = {"cost": self._cost(meter, outcome.cost, meter.settle(len(data)))}
        if context.replayed:
            body["extensions"]["idempotency"] = {"replayed": context.replayed}
        nothing_done = result.data is None or all(value is None for value in result.data.values())
        is_unavailable = nothing_done and any(code_of(error) is Code.UNAVAILABLE for error in errors)
        response = _response(media_type, 503 if is_unavailable else 200, body)
        if context.replayed and result.data is not None and result.data.keys() == set(context.replayed):
            response.raw_headers.append(REPLAYED)
        return response

    def _cost(self, meter: Meter, requested: int, actual: int) -> Mapping[str, int | None]:
        """Return `extensions.cost`.

        The values of a limit that is off are null, and so are the points of a request without a key.
        """
        budget = meter.budget if meter.budget is not None and meter.budget.capacity else None
        return {
            "requested": requested,
            "maximum": self._pipeline.limits.max_cost or None,
            "actual": actual,
            "available": None if budget is None else budget.available_now(),
            "restoreRate": None if budget is None else budget.per_second,
        }


def _refused(media_type: MediaType, refused: RequestRefused) -> Response:
    """Return the response to a request that was not executed.

    The status is 401 if a key is missing. Otherwise, it is 200 for application/json, and 400 for the other
    media type.
    """
    if refused.code is Code.UNAUTHENTICATED:
        failure = failure_of(Unauthenticated(str(refused)))
        return _errors(media_type, failure.status, refused.errors, refused.code, failure.headers)
    return _errors(media_type, 400 if media_type is MediaType.RESPONSE else 200, refused.errors, refused.code)


def _failed(media_type: MediaType, error: Exception, extensions: Mapping[str, Any] | None = None) -> Response:
    """Return the response to a request that ended with an exception before there was a result."""
    failure = failure_of(error)
    shown = GraphQLError(str(error), original_error=error)
    headers = _ALLOW.get(failure.status, {}) | dict(failure.headers)
    return _errors(media_type, failure.status, [shown], failure.code, headers, extensions)


def _errors(
    media_type: MediaType,
    status: int,
    errors: Sequence[GraphQLError],
    code: Code,
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, Any] | None = None,
) -> Response:
    body: dict[str, Any] = {"errors": [formatted(error, code) for error in errors]}
    if extensions is not None:
        body["extensions"] = extensions
    return _response(media_type, status, body, headers)


def _query(parameters: Mapping[str, Any]) -> str:
    """Return the text of the document. Raises HttpRefusal."""
    query = parameters.get("query")
    if not isinstance(query, str) or not query.strip():
        raise HttpRefusal(400, "query must be the text of a document.")
    if not is_storable(query):
        raise HttpRefusal(400, "query must not contain NUL or lone surrogates.")
    return query


def _object(parameters: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a parameter whose value must be an object. Raises HttpRefusal.

    null and an empty list count as an empty object, because PHP clients write an empty object as `[]`.
    """
    value = parameters.get(name)
    if value is None or value == []:
        return {}
    if not isinstance(value, dict):
        raise HttpRefusal(400, f"{name} must be an object or null.")
    return value


def _response(
    media_type: MediaType, status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        orjson.dumps(body),
        status_code=status,
        headers={
            "Content-Type": f"{media_type}; charset=utf-8",
            # Responses become outdated and may contain tokens.
            "Cache-Control": "no-store",
            "Vary": "Accept",
            **({"Retry-After": RETRY_AFTER_S} if status == 503 else {}),
            **(headers or {}),
        },
    )
