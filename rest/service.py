"""The service itself: health, and the document that describes the rest."""

from typing import Literal

from pydantic import ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from rest import envelopes
from rest.envelopes import Answer, JsonResponse
from rest.operations import Call, operation

VERSION = "0.1.0"


class Health(Answer):
    """How the service is."""

    status: Literal["ok"] = Field(description="Reads are answered.")
    version: str
    writes: Literal["refused"] | SkipJsonSchema[None] = Field(
        None, description="Only there while the store takes no writes."
    )


class HealthAnswer(Answer):
    """The service is well."""

    data: Health


class Document(Answer):
    """An OpenAPI 3.1 document."""

    model_config = ConfigDict(extra="allow")

    openapi: str


@operation("GET", "/api/health", public=True, answers={200: HealthAnswer})
async def get_health(call: Call) -> Response:
    """Ask whether the service and its store are well. No key is needed."""
    writes = None if await call.database.takes_writes() else "refused"
    health = Health(status="ok", version=VERSION, writes=writes)
    return envelopes.one(health.model_dump_json(exclude_none=True))


@operation("GET", "/api/openapi.json", public=True, answers={200: Document})
async def get_openapi(call: Call) -> Response:
    """Get this document. No key is needed."""
    return JsonResponse(call.door.document)
