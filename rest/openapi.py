"""The OpenAPI document, generated from the routed operations and the models of their input and responses."""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, TypeAlias

import orjson
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import core_schema

from asgi.idempotency import KEY_LENGTH
from rest import examples
from rest.envelopes import Versioned
from rest.errors import STATUSES, Code, ErrorAnswer
from rest.operations import Operation
from rest.routes import OPERATIONS, OPERATIONS_BY_PATH
from rest.service import VERSION

Json: TypeAlias = dict[str, Any]

_ABOUT = """Apps, their customers and their licenses.

Send an API key with every request: `Authorization: Bearer sk_live_...`. A secret key (`sk_`) reads and
writes. A public key (`pk_`) only reads. Every response has an `X-Request-Id`: the value that you sent,
or a new one. Paths that support GET also support HEAD. A slash at the end of a path is allowed. Unknown
query parameters and unknown keys of a body are ignored, unless the operation says that they are refused.
`X-Ignored-Parameters` names the parameters that were ignored."""

_TAGS = {
    "service": "Health of the server, and this document.",
    "apps": "Products that a vendor sells licenses for.",
    "statistics": "What happened in an app, by day, week or month.",
    "signing_keys": "Public keys that verify tokens, and key rotation.",
    "tiers": "Levels at which an app is sold.",
    "features": "What an app can do. Tiers and licenses enable it.",
    "customers": "People and organizations that buy licenses of an app.",
    "licenses": "Rights of customers to run an app.",
    "events": "The record of what happened: every change, who made it, and what it changed.",
    "keys": "API keys: who may call this server, and what they may do.",
    "verification": "Checks whether licenses are valid. No key is needed.",
}

_ERRORS = {
    Code.BAD_REQUEST: "The body is not a JSON object, or `If-Match` or `Idempotency-Key` is malformed.",
    Code.UNAUTHORIZED: "The key is missing, malformed, unknown, revoked or expired, or `current_token` is "
    "not valid.",
    Code.FORBIDDEN: "The key does not allow this operation.",
    Code.NOT_FOUND: "The app, or the object that the request names, does not exist.",
    Code.METHOD_NOT_ALLOWED: "The path does not support this method. `Allow` lists the methods that it "
    "supports.",
    Code.CONFLICT: "A value that must be unique is taken, an object is in use, an object's state does not "
    "allow the operation, or the first request with this `Idempotency-Key` is still running (only then, "
    "there is `Retry-After`).",
    Code.PRECONDITION_FAILED: "The object has another version than those in `If-Match`. Nothing was changed.",
    Code.PAYLOAD_TOO_LARGE: "The body is too large.",
    Code.UNSUPPORTED_MEDIA_TYPE: "The body was not sent as application/json.",
    Code.VALIDATION_ERROR: "Parameters or fields are wrong. `details` lists the problems. If the code is "
    "`idempotency_mismatch`, the `Idempotency-Key` was used with another input.",
    Code.IDEMPOTENCY_MISMATCH: "The `Idempotency-Key` was used with another input. Nothing was done.",
    Code.RATE_LIMITED: "A limit of the key or of the client's address is reached. Nothing was done.",
    Code.INTERNAL_ERROR: "Something went wrong in the server.",
    Code.UNAVAILABLE: "The database is unavailable, or the server is too busy.",
}


def _number(description: str, example: int) -> Json:
    return {"description": description, "schema": {"type": "integer"}, "example": example}


_HEADERS = {
    "ETag": {
        "description": "Version of the object, in quotes. Send it as `If-Match` to change the object only if "
        "nobody else has changed it since.",
        "schema": {"type": "string"},
        "required": True,
        "example": '"4"',
    },
    "Retry-After": _number("Seconds after which the same request passes.", 1),
    "Idempotency-Replayed": {
        "description": "Sent if an earlier request with the same `Idempotency-Key` got this response. "
        "Nothing was done.",
        "schema": {"type": "string", "const": "true"},
        "example": "true",
    },
    "X-RateLimit-Limit": _number("Requests per minute that the limit of this request allows.", 600),
    "X-RateLimit-Remaining": _number("How many more are allowed now.", 599),
    "X-RateLimit-Reset": _number(
        "When more will be allowed, in seconds since 1970. Requests count for one minute.", 1_796_083_260
    ),
    "RateLimit-Policy": {
        "description": "The points of the key: how many it can have (`q`), and after how many seconds all of "
        "them are back (`w`). Not sent without a key.",
        "schema": {"type": "string"},
        "example": '"points";q=100000;w=20;qu="points"',
    },
    "RateLimit": {
        "description": "How many points the key has now (`r`), and after how many seconds it has all of them "
        "(`t`). Not sent without a key.",
        "schema": {"type": "string"},
        "example": '"points";r=98700;t=1',
    },
}

_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "ETags of the object, or `*`. If the object has another version by now, nothing is "
    "changed, and the response is 412.",
    "schema": {"type": "string", "pattern": r'^(\*|"[1-9][0-9]{0,9}"(, *"[1-9][0-9]{0,9}")*)$'},
    "example": '"4"',
}

_EMPTY = {
    204: "Done. The response has no body.",
    304: "The cached copy with the ETag in `If-None-Match` is still current. The response has no body.",
}

_RETRIED = {Code.CONFLICT, Code.RATE_LIMITED, Code.UNAVAILABLE}

_IDEMPOTENCY_KEY: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": f"{KEY_LENGTH} visible ASCII characters at most, such as a random UUID, in quotes or not. "
    "If the response is lost, send the same request with the same key again: it has its effect once, and "
    "gets the same response.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH},
    "example": "4f9d2b0e-6c1a-4b57-9a37-0d6f8e2c51ab",
}

_PATH_PARAMETERS = {"slug": "Slug of the app.", "id": "Id of the {noun}."}


class _Schemas(GenerateJsonSchema):
    def field_title_should_be_set(self, _schema: object) -> bool:
        return False


class _SchemasOfQueries(_Schemas):
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        # An empty default only means that the parameter was left out, so the default is not in the schema.
        return (
            super().default_schema(schema) if schema.get("default") else self.generate_inner(schema["schema"])
        )

    def nullable_schema(self, schema: core_schema.NullableSchema) -> Json:
        # None means that a parameter was left out. Callers cannot send null, so the schema does not allow
        # null.
        return self.generate_inner(schema["schema"])


class _SchemasWithoutDefaults(_Schemas):
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        # Callers need not send a default value: they can leave the field out. The default is therefore not in
        # the schema.
        return self.generate_inner(schema["schema"])


@cache
def written(path_prefix: str) -> bytes:
    """Return the document as JSON."""
    return orjson.dumps(document(path_prefix))


def document(path_prefix: str = "") -> Json:
    """Return the OpenAPI 3.1 document of all routes.

    `path_prefix` is the path under which callers reach the server.
    """
    return {
        "openapi": "3.1.0",
        "info": {"title": "Licensegraph", "version": VERSION, "description": _ABOUT},
        "servers": [{"url": path_prefix or "/", "description": "This server."}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": {
            path: {method.lower(): _operation(each, method) for each in operations for method in each.methods}
            for path, operations in OPERATIONS_BY_PATH.items()
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "headers": _HEADERS,
            "responses": {code.value: _error(code) for code in _ERRORS},
            "schemas": _schemas(),
        },
    }


def _operation(operation: Operation, method: str) -> Json:
    name = operation.name
    summary, _, description = (inspect.getdoc(operation.handle) or "").partition(". ")
    described: Json = {
        "operationId": name if method == operation.methods[0] else f"{name}_{method.lower()}",
        "tags": [_tag(operation)],
        "summary": summary.rstrip("."),
    }
    if description:
        described["description"] = description
    described["security"] = [] if operation.scope is None else [{"key": []}]
    if operation.key_optional:
        described["security"].append({})
    if parameters := list(_parameters(operation)):
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": not operation.body_optional,
            **_content(operation.body, examples.of_body(operation.body)),
        }
    described["responses"] = {str(status): _answer(operation, status) for status in operation.answers} | {
        str(STATUSES[code]): {"$ref": f"#/components/responses/{code}"} for code in _errors(operation)
    }
    return described


def _tag(operation: Operation) -> str:
    """Return an operation's tag: the noun that names the module of the operation."""
    module = operation.handle.__module__.rpartition(".")[2]
    return "licenses" if module == "license_changes" else module


def _parameters(operation: Operation) -> Iterator[Json]:
    tag = _tag(operation)
    for name in re.findall(r"{(\w+)}", operation.path):
        described = {
            "description": _PATH_PARAMETERS[name].format(noun=tag.removesuffix("s")),
            "schema": {"type": "string", "minLength": 1},
            "example": examples.of_path(tag)[name],
        }
        yield {"name": name, "in": "path", "required": True, **described}
    if operation.conditional:
        yield _IF_MATCH
    if operation.query is not None:
        schema = operation.query.model_json_schema(schema_generator=_SchemasOfQueries)
        given = examples.of_query(operation.query)
        for name, member in schema["properties"].items():
            described = {"description": member.pop("description"), "schema": member}
            if name in given:
                described["example"] = given[name]
            yield {"name": name, "in": "query", "required": name in schema.get("required", ()), **described}
    if operation.is_write:
        yield _IDEMPOTENCY_KEY


def _errors(operation: Operation) -> Iterator[Code]:
    """Yield the errors that the document lists for an operation, sorted by status."""
    if operation.body is not None or operation.conditional or operation.is_write:
        yield Code.BAD_REQUEST
    if operation.scope is not None:
        yield from (Code.UNAUTHORIZED, Code.FORBIDDEN)
    if "{" in operation.path:
        yield Code.NOT_FOUND
    if operation.is_write:
        yield Code.CONFLICT
    if operation.conditional:
        yield Code.PRECONDITION_FAILED
    if operation.body is not None:
        yield from (Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE)
    if operation.body is not None or operation.query is not None:
        yield Code.VALIDATION_ERROR
    if operation.scope is not None:
        yield Code.RATE_LIMITED
    yield from (Code.INTERNAL_ERROR, Code.UNAVAILABLE)


def _answer(operation: Operation, status: int) -> Json:
    model = operation.answers[status]
    unsent = {"ETag", "Retry-After"} | (set() if operation.is_write else {"Idempotency-Replayed"})
    headers = {} if operation.scope is None else _referred(*_HEADERS.keys() - unsent)
    if model is None:
        return {"description": _EMPTY[status]} | ({"headers": headers} if headers else {})
    example = examples.of_answer(operation.name, model)
    described: Json = {
        "description": inspect.getdoc(model),
        **_content(model, example, operation.media_type),
    }
    if status == 201 and operation.located:
        location = {"description": "Path of the new object.", "schema": {"type": "string"}, "required": True}
        headers = {"Location": location, **headers}
    if _is_versioned(model):
        headers |= _referred("ETag")
    if headers:
        described["headers"] = headers
    return described


def _is_versioned(model: type[BaseModel]) -> bool:
    """Return whether a response with this body has one resource that has versions."""
    data = model.model_fields.get("data")
    return data is not None and isinstance(data.annotation, type) and issubclass(data.annotation, Versioned)


def _referred(*names: str) -> Json:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(names)}


def _error(code: Code) -> Json:
    described = {"description": _ERRORS[code], **_content(ErrorAnswer, examples.of_error(code))}
    return described | ({"headers": _referred("Retry-After")} if code in _RETRIED else {})


def _content(model: type[BaseModel], example: object, media_type: str = "application/json") -> Json:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"content": {media_type: {"schema": schema, "example": example}}}


def _schemas() -> Json:
    modes: dict[type[BaseModel], JsonSchemaMode] = {ErrorAnswer: "serialization"}
    for each in OPERATIONS:
        modes |= {model: "serialization" for model in each.answers.values() if model is not None}
        if each.body is not None:
            modes[each.body] = "validation"
    _, schemas = models_json_schema(
        [(model, mode) for model, mode in modes.items()],
        ref_template="#/components/schemas/{model}",
        schema_generator=_SchemasWithoutDefaults,
    )
    return {name: schemas["$defs"][name] for name in sorted(schemas["$defs"])}
