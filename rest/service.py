"""The service itself: health, and the document that describes the rest."""

from typing import Literal

from pydantic import ConfigDict
from starlette.responses import Response

from resolvers import health
from rest import envelopes
from rest.envelopes import Answer, JsonResponse
from rest.operations import Call, operation

VERSION = "0.1.0"


class Health(Answer):
    """How the service is."""

    status: Literal["ok"]
    version: str


class HealthAnswer(Answer):
    """The service is well."""

    data: Health


class Document(Answer):
    """An OpenAPI 3.1 document."""

    model_config = ConfigDict(extra="allow")

    openapi: str


@operation("GET", "/api/health", answers={200: HealthAnswer})
async def get_health(call: Call) -> Response:
    """Ask whether the service and its store are well. No key is needed."""
    async with call.database.health() as session:
        await health.check_store(session)
    return envelopes.one(Health(status="ok", version=VERSION).model_dump_json())


@operation("GET", "/api/openapi.json", answers={200: Document})
async def get_openapi(call: Call) -> Response:
    """Get this document. No key is needed."""
    return JsonResponse(call.door.document)
