"""The OpenAPI document, written from the operations that are routed and the models that validate."""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from typing import Any, TypeAlias

import orjson
from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema
from pydantic_core import core_schema

from resolvers.viewer import Scope
from rest.errors import STATUSES, Code, ErrorAnswer
from rest.operations import Operation
from rest.routes import OPERATIONS, OPERATIONS_BY_PATH
from rest.service import VERSION

Json: TypeAlias = dict[str, Any]

_ABOUT = """Apps, their customers and their licenses.

Send a key with every request: `Authorization: Bearer sk_live_...`. Secret keys (`sk_`) read and write,
public keys (`pk_`) read. Every answer carries an `X-Request-Id`, yours if you sent one. Every path that
answers GET answers HEAD. A slash at the end of a path changes nothing, and unknown parameters and keys of a
body are ignored."""

_ERRORS = {
    Code.BAD_REQUEST: "The body is not a JSON object.",
    Code.UNAUTHORIZED: "The key is missing, malformed, unknown, revoked or expired.",
    Code.FORBIDDEN: "The key may not do this.",
    Code.NOT_FOUND: "What the path names is not there.",
    Code.METHOD_NOT_ALLOWED: "The path is not for this method; `Allow` lists those it is for.",
    Code.CONFLICT: "Something that must be unique is taken, or something is in use or in another state.",
    Code.PAYLOAD_TOO_LARGE: "The body is too long.",
    Code.UNSUPPORTED_MEDIA_TYPE: "The body was not sent as application/json.",
    Code.VALIDATION_ERROR: "Parameters or fields are wrong; `details` lists all of them.",
    Code.INTERNAL_ERROR: "Something went wrong in the server.",
    Code.UNAVAILABLE: "The store does not answer.",
}

_EMPTY = {
    204: "Done; the answer has no body.",
    304: "It is what the caller has, by `If-None-Match`; the answer has no body.",
}

_PATH_PARAMETERS = {"slug": "The app's slug.", "id": "The id."}


class _Schemas(GenerateJsonSchema):
    def field_title_should_be_set(self, _schema: object) -> bool:
        return False


class _SchemasWithoutDefaults(_Schemas):
    def default_schema(self, schema: core_schema.WithDefaultSchema) -> Json:
        # What a model holds for a key that was left out is no value that anyone sends.
        return self.generate_inner(schema["schema"])


@cache
def written() -> bytes:
    """The document as it is served: it is the same for every application."""
    return orjson.dumps(document())


def document() -> Json:
    """The OpenAPI 3.1 document of all that `rest.routes` lists."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Licensegraph", "version": VERSION, "description": _ABOUT},
        "paths": {
            path: {method.lower(): _operation(each, method) for each in operations for method in each.methods}
            for path, operations in OPERATIONS_BY_PATH.items()
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "responses": {code.value: _error(description) for code, description in _ERRORS.items()},
            "schemas": _schemas(),
        },
    }


def _operation(operation: Operation, method: str) -> Json:
    name = operation.name
    summary, _, description = (inspect.getdoc(operation.handle) or "").partition(". ")
    described: Json = {
        "operationId": name if method == operation.methods[0] else f"{name}_{method.lower()}",
        "tags": [operation.handle.__module__.rpartition(".")[2]],
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
        described["requestBody"] = {"required": not operation.body_optional, **_content(operation.body)}
    described["responses"] = {str(status): _answer(operation, status) for status in operation.answers} | {
        str(STATUSES[code]): {"$ref": f"#/components/responses/{code}"} for code in _errors(operation)
    }
    return described


def _parameters(operation: Operation) -> Iterator[Json]:
    for name in re.findall(r"{(\w+)}", operation.path):
        described = {"description": _PATH_PARAMETERS[name], "schema": {"type": "string", "minLength": 1}}
        yield {"name": name, "in": "path", "required": True, **described}
    if operation.query is not None:
        schema = operation.query.model_json_schema(schema_generator=_Schemas)
        for name, member in schema["properties"].items():
            described = {"description": member.pop("description"), "schema": member}
            yield {"name": name, "in": "query", "required": name in schema.get("required", ()), **described}


def _errors(operation: Operation) -> Iterator[Code]:
    """What can go wrong, by status."""
    if operation.body is not None:
        yield Code.BAD_REQUEST
    if operation.scope is not None:
        yield Code.UNAUTHORIZED
    if operation.scope not in {None, Scope.READ}:
        yield Code.FORBIDDEN
    if "{" in operation.path:
        yield Code.NOT_FOUND
    if operation.scope is Scope.WRITE:
        yield Code.CONFLICT
    if operation.body is not None:
        yield from (Code.PAYLOAD_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE)
    if operation.body is not None or operation.query is not None:
        yield Code.VALIDATION_ERROR
    yield from (Code.INTERNAL_ERROR, Code.UNAVAILABLE)


def _answer(operation: Operation, status: int) -> Json:
    model = operation.answers[status]
    if model is None:
        return {"description": _EMPTY[status]}
    described: Json = {"description": inspect.getdoc(model), **_content(model, operation.media_type)}
    if status == 201:
        location = {"description": "Where it is found.", "schema": {"type": "string"}, "required": True}
        described["headers"] = {"Location": location}
    return described


def _error(description: str) -> Json:
    return {"description": description, **_content(ErrorAnswer)}


def _content(model: type[BaseModel], media_type: str = "application/json") -> Json:
    return {"content": {media_type: {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}}


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
